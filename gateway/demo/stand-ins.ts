/**
 * What stands in for storage that cannot be had on one machine: the commands of Storage Scale over a plain tree, and
 * a dCache in a process of its own, whose files are gone when it ends.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { DcacheDoubleOptions, SeedOptions } from '../../test/doubles/dcache/dcache.ts'
import { GpfsDouble } from '../../test/doubles/gpfs/gpfs.ts'
import { StorageError } from '../core/errors.ts'
import { groups, users } from './people.ts'

/** Addresses and the gateway's own login. */
export interface DcacheDoors {
  readonly webdav: string
  readonly frontend: string
  readonly tokenFile: string
}

export interface Provider {
  readonly issuer: string
  readonly jwksFile: string
  readonly audience: string
}

/** Makes the commands of Storage Scale for a file system that is the tree `top`; gives the directory they are in. */
export async function playScale(directory: string, top: string): Promise<string> {
  const named = (ids: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(ids).map(([name, id]) => [String(id), name]))
  const accounts = Object.fromEntries(Object.entries(users).map(([name, { uid }]) => [name, uid]))
  const { bin } = await GpfsDouble.make(directory, {
    fileSystem: 'asap3',
    mountPoint: top,
    names: { passwd: named(accounts), group: named(groups) },
    quotas: Object.entries(users).map(([name, { uid }]) => ({
      quotaType: 'USR',
      ...{ id: uid, name, blockUsage: 2 ** 20, blockQuota: 2 ** 27, blockLimit: 2 ** 28, blockInDoubt: 0 },
      ...{ filesUsage: 3, filesQuota: 0, filesLimit: 0, filesInDoubt: 0 },
    })),
  })
  return bin
}

/** Two files on disk, two on tape, and a directory that p01 may write to. */
const seed: readonly SeedOptions[] = [
  { path: '/pnfs/desy.de', directory: true, mode: 0o755 },
  { path: '/pnfs/desy.de/exfel', directory: true, mode: 0o755 },
  { path: '/pnfs/desy.de/exfel/raw', directory: true, owner: 'admin', group: groups.photon, mode: 0o750 },
  ...(['run0001.h5', 'run0002.h5', 'run0003.h5'] as const).map(
    (name, index): SeedOptions => ({
      path: `/pnfs/desy.de/exfel/raw/${name}`,
      size: index === 0 ? 2 ** 30 : 2 ** 26,
      ...{ owner: 'admin', group: groups.photon, mode: 0o640 },
      locality: index === 0 ? 'ONLINE' : 'NEARLINE',
    }),
  ),
  { path: '/pnfs/desy.de/exfel/p01', directory: true, owner: 'alice', group: groups.p01, mode: 0o770 },
  {
    path: '/pnfs/desy.de/exfel/p01/readme.txt',
    text: 'p01 writes here.\n',
    owner: 'alice',
    group: groups.p01,
    mode: 0o640,
  },
]

/** Milliseconds that the tape robot takes. */
const recallDelay = 3000

/** Writes down how dCache is to be started: what it holds, whom it knows, and where its doors are. */
export function planDcache(directory: string, port: number, { issuer, jwksFile, audience }: Provider): DcacheDoors {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const token = randomBytes(32).toString('base64url')
  const options: DcacheDoubleOptions = {
    ports: { door: port, frontend: port + 1 },
    users: [
      ...Object.entries(users).map(([name, { uid, gid, groups: joined }]) => ({
        ...{ name, uid },
        gids: [gid, ...joined.map((group) => groups[group])],
        subjects: { demo: name },
      })),
      { name: 'portolan', uid: 0, gids: [0], tokens: [token], isAdmin: true },
    ],
    providers: [
      {
        name: 'demo',
        issuer,
        jwks: JSON.parse(readFileSync(jwksFile, 'utf8')),
        audiences: [audience],
        profile: 'oidc',
      },
    ],
    seed,
    recallDelay,
    forbids: true,
  }
  const tokenFile = join(directory, 'token')
  writeFileSync(tokenFile, token, { mode: 0o600 })
  writeFileSync(planIn(directory), JSON.stringify(options), { mode: 0o600 })
  const [webdav, frontend] = [`http://localhost:${port}/`, `http://localhost:${port + 1}/api/v1`]
  return { webdav, frontend, tokenFile }
}

export interface Playing {
  stop(): Promise<void>
}

/** Starts the dCache that was planned in `directory`. Throws `unavailable` when it does not come up. */
export async function playDcache(directory: string): Promise<Playing> {
  const program = resolve(import.meta.dirname, '../../test/doubles/dcache/main.ts')
  // It ends when its standard input does, so it cannot outlive the demo.
  const child: ChildProcess = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  child.stdin?.write(`${readFileSync(planIn(directory), 'utf8')}\n`)
  const answer = child.stdout ? once(child.stdout, 'data') : ended
  const [first] = await Promise.race([answer, ended.then(() => [undefined])])
  if (!(first instanceof Buffer)) throw new StorageError('unavailable', 'the stand-in for dCache did not start')
  return {
    stop: async () => {
      child.stdin?.end()
      await ended
    },
  }
}

function planIn(directory: string): string {
  return join(directory, 'plan.json')
}
