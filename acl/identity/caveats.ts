/**
 * What the caveats of a macaroon mean (dCache User Guide, "Macaroons"; XRootD reads the same words).
 *
 * Every caveat must be understood, or the macaroon is worth nothing. `path` and `root` go on from where the one before
 * them led; both bound what is reached, and neither changes the names by which it is asked for.
 */

import { BlockList, isIP } from 'node:net'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import type { AddressBound, Grant, GrantKind } from '../principal.ts'

/** In the order in which they are written. */
export const activities = [
  'READ_METADATA',
  'LIST',
  'DOWNLOAD',
  'UPLOAD',
  'DELETE',
  'MANAGE',
  'UPDATE_METADATA',
] as const
export type Activity = (typeof activities)[number]

/** All caveats of a macaroon together. */
export interface Bounds {
  readonly path: Path
  /** `all` without an `activity` caveat; empty where those that are there have nothing in common. */
  readonly activities: ReadonlySet<Activity> | 'all'
  /** Milliseconds since 1970: the earliest `before`. */
  readonly before: number | undefined
  /** The lists of the `ip` caveats; the caller must be in one network of each. */
  readonly networks: ReadonlyArray<readonly string[]>
  /** Bytes of each upload. */
  readonly maxUpload: number | undefined
}

/** Throws `invalid` for a caveat that is not understood. The message does not quote it. */
export function readCaveats(caveats: readonly string[]): Bounds {
  let bounds: Bounds = { path: root, activities: 'all', before: undefined, networks: [], maxUpload: undefined }
  for (const caveat of caveats) bounds = narrow(bounds, caveat)
  return bounds
}

function narrow(bounds: Bounds, caveat: string): Bounds {
  const colon = caveat.indexOf(':')
  const value = caveat.slice(colon + 1)
  switch (caveat.slice(0, Math.max(0, colon))) {
    case 'path':
    case 'root':
      return { ...bounds, path: below(bounds.path, value) }
    case 'home':
      // Where a session would begin: HTTP has none.
      below(root, value)
      return bounds
    case 'activity':
      return { ...bounds, activities: inCommon(bounds.activities, readActivities(value)) }
    case 'before':
      return { ...bounds, before: Math.min(bounds.before ?? Number.POSITIVE_INFINITY, readInstant(value)) }
    case 'ip':
      return { ...bounds, networks: [...bounds.networks, readNetworks(value)] }
    case 'max-upload':
      return { ...bounds, maxUpload: Math.min(bounds.maxUpload ?? Number.POSITIVE_INFINITY, readBytes(value)) }
    default:
      throw new StorageError('invalid', 'a caveat is not known here')
  }
}

function below(top: Path, text: string): Path {
  const path = parsePath(text)
  if (top === root || path === root) return top === root ? path : top
  return parsePath(`${top}${path}`)
}

function readActivities(text: string): ReadonlySet<Activity> {
  const names = text.split(',').map((name) => name.trim())
  return new Set(names.map((name) => activities.find((each) => each === name) ?? unknown('activity')))
}

function inCommon(some: Bounds['activities'], others: ReadonlySet<Activity>): ReadonlySet<Activity> {
  if (some === 'all') return others
  return expanded(some).intersection(expanded(others))
}

/** Each activity has READ_METADATA in it, so that is what two different ones have in common. */
function expanded(some: ReadonlySet<Activity>): ReadonlySet<Activity> {
  return some.size === 0 ? some : new Set([...some, 'READ_METADATA'])
}

const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/

/** An instant of ISO 8601 in UTC; fractions beyond milliseconds are cut. */
function readInstant(text: string): number {
  const time = instant.test(text) ? Date.parse(text.replace(/(\.\d{3})\d+Z$/, '$1Z')) : Number.NaN
  return Number.isNaN(time) ? unknown('before') : time
}

const maxNetworks = 64

function readNetworks(text: string): readonly string[] {
  const networks = text.split(',').map((each) => each.trim())
  if (networks.length > maxNetworks) unknown('ip')
  for (const network of networks) partsOf(network)
  return networks
}

function partsOf(network: string) {
  const [address = '', prefix, more] = network.split('/')
  const family = isIP(address)
  const most = family === 4 ? 32 : 128
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.POSITIVE_INFINITY
  // A zone ("%eth0") is of one machine alone.
  if (family === 0 || more !== undefined || bits > most || address.includes('%')) return unknown('ip')
  return { address, bits, family: family === 4 ? 'ipv4' : 'ipv6' } as const
}

function readBytes(text: string): number {
  const bytes = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  return Number.isNaN(bytes) ? unknown('max-upload') : bytes
}

function unknown(name: string): never {
  throw new StorageError('invalid', `the value of a caveat is not understood (${name})`)
}

const kinds: Readonly<Record<Activity, GrantKind>> = {
  READ_METADATA: 'look',
  LIST: 'list',
  DOWNLOAD: 'download',
  UPLOAD: 'upload',
  DELETE: 'delete',
  MANAGE: 'manage',
  UPDATE_METADATA: 'describe',
}

/** What the bounds leave. Replacing a file takes UPLOAD and DELETE. No activity of its own gives tape, so only all do. */
export function grantsOf({ path, activities: some }: Bounds): readonly Grant[] {
  const chosen = some === 'all' ? new Set<Activity>(activities) : some
  const found: GrantKind[] = activities.filter((each) => chosen.has(each)).map((each) => kinds[each])
  if (chosen.has('UPLOAD') && chosen.has('DELETE')) found.push('overwrite')
  if (some === 'all') found.push('stage', 'poll')
  return found.map((kind) => ({ kind, path, directoryOnly: false }))
}

/** The `ip` caveats as a test of addresses; undefined without any. */
export function addressesOf({ networks }: Bounds): AddressBound | undefined {
  if (networks.length === 0) return undefined
  const lists = networks.map(testsOf)
  return {
    networks,
    includes(address) {
      const family = isIP(address)
      return family !== 0 && lists.every((list) => list[family === 4 ? 'ipv4' : 'ipv6'](address))
    },
  }
}

/** By family: one list of both takes "::/0" for all IPv4 addresses too. */
function testsOf(networks: readonly string[]): Readonly<Record<'ipv4' | 'ipv6', (address: string) => boolean>> {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const network of networks) {
    const { address, bits, family } = partsOf(network)
    lists[family].addSubnet(address, bits, family)
  }
  return {
    ipv4: (address) => lists.ipv4.check(address, 'ipv4'),
    ipv6: (address) => lists.ipv6.check(address, 'ipv6'),
  }
}
