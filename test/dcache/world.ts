/** A back end over a stand-in dCache, for the conformance suite and the tests of faults. */

import type { Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import type { DelegationOptions } from '../../backends/dcache/credentials.ts'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import { stagingPrefix } from '../../backends/dcache/names.ts'
import type { DcacheOptions } from '../../backends/dcache/options.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { World } from '../backends/conformance.ts'
import { type DcacheDouble, type DcacheDoubleOptions, startDcache } from '../doubles/dcache/dcache.ts'
import { TestServices } from '../posix/backend-world.ts'

const issuer = 'https://op.example.org/'

export const alice: Principal = {
  id: 'https://op.example.org/|alice',
  user: 'alice@example.org',
  groups: new Set(['p01@example.org']),
  grants: 'unbounded',
  posix: { uid: 1000, gid: 1000, gids: [] },
  credential: { kind: 'bearer', secret: new Secret('token-of-alice'), issuer, audiences: ['dcache'] },
}

export const bob: Principal = {
  ...alice,
  id: 'https://op.example.org/|bob',
  user: 'bob@example.org',
  posix: { uid: 1001, gid: 1000, gids: [] },
  credential: { kind: 'bearer', secret: new Secret('token-of-bob'), issuer, audiences: ['dcache'] },
}

/** Came with something that cannot be sent on, so the service stands in. */
export const keyHolder: Principal = {
  id: 's3:AKIAEXAMPLE',
  user: 'gateway@example.org',
  groups: new Set(),
  grants: 'unbounded',
  posix: { uid: 900, gid: 900, gids: [] },
}

/** The caller decided about by dCache, by the token itself. */
export const forwarding: DelegationOptions = {
  accepts: [{ issuer, audiences: ['dcache'] }],
  send: 'forward',
  capabilities: 'never',
  otherwise: 'service',
  service: async () => ({ scheme: 'Basic', secret: new Secret('gateway:secret') }),
}

export interface DcacheWorld extends World {
  readonly dcache: DcacheDouble
  readonly backend: DcacheBackend
  readonly services: TestServices
  readonly messages: string[]
}

export interface WorldOptions {
  readonly principals?: readonly [Principal, ...Principal[]]
  readonly double?: DcacheDoubleOptions
  readonly options?: Partial<DcacheOptions>
  /** The back end gets no REST frontend. */
  readonly withoutFrontend?: boolean
  readonly owner?: string
}

export async function startWorld(world: WorldOptions = {}): Promise<DcacheWorld> {
  const { owner = 'alice' } = world
  const users = [
    { name: 'alice', uid: 1000, gids: [1000], tokens: ['token-of-alice'] },
    { name: 'bob', uid: 1001, gids: [1000], tokens: ['token-of-bob'] },
    { name: 'gateway', uid: 900, gids: [900, 1000], password: 'secret' },
  ]
  const dcache = await startDcache({
    users,
    seed: [{ path: '/data', directory: true, owner, mode: 0o775 }],
    plainMacaroons: true,
    ...world.double,
  })
  const services = new TestServices()
  const messages: string[] = []
  const backend = new DcacheBackend(
    {
      name: 'dcache:test',
      webdav: dcache.webdav,
      ...(world.withoutFrontend ? {} : { frontend: dcache.frontend }),
      root: '/data' as Path,
      pools: ['localhost', '127.0.0.1'],
      insecurePools: true,
      ca: dcache.ca,
      delegation: forwarding,
      log: (message) => messages.push(message),
      ...world.options,
    },
    services,
  )
  return {
    backend,
    dcache,
    services,
    messages,
    principals: world.principals ?? [alice, bob],
    reserved: ['.(get)(file)(locality)', `${stagingPrefix}x`],
    fill: async (directory, names) => {
      for (const name of names) await dcache.tree.add({ path: `/data${directory}/${name}`, text: '', owner })
    },
    leftovers: async () => [...services.places, ...stagedIn(dcache)],
    cleanup: () => dcache.close(),
  }
}

/** Hidden uploads anywhere in the namespace. */
export function stagedIn(dcache: DcacheDouble, path = '/data'): string[] {
  const node = dcache.tree.get(path)
  if (node.type !== 'directory') return []
  return [...node.children.values()].flatMap((child) =>
    child.type === 'directory'
      ? stagedIn(dcache, `${path}/${child.name}`)
      : child.name.startsWith(stagingPrefix)
        ? [`${path}/${child.name}`]
        : [],
  )
}

/** A world that goes with the test. */
export async function worldFor(t: Test, options: WorldOptions = {}): Promise<DcacheWorld> {
  const world = await startWorld(options)
  t.teardown(async () => {
    await world.backend.close()
    await world.cleanup()
  })
  return world
}

export function callBy(principal: Principal = alice, signal: AbortSignal = new AbortController().signal): Call {
  return { id: 'test', principal, protocol: 'internal', from: '127.0.0.1', signal }
}
