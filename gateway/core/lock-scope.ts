/** Which locks speak about which objects: pure rules, over what a walk saw (RFC 4918, sections 6 and 7). */

import type { Backend, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { LockBinding, StoredLock } from '../state/state.ts'
import { isWithin, type Path, parentOf, root } from './path.ts'

/**
 * What a change does to an object. `content`: bytes, properties, attributes, ACL. `name`: a name of its directory begins
 * to mean something. `tree`: the object and all below it leave their place.
 */
export type Touch = 'content' | 'name' | 'tree'

/** An object as locks know it. */
export interface Spot {
  readonly path: Path
  readonly backend: string
  readonly realm: string
  /** Its place in the realm, without links as far as that was seen. */
  readonly at: Path
  /** Undefined where nothing is there, or nothing was seen. */
  readonly id: string | undefined
  /** Of the directories on the way, the parent last. */
  readonly above: readonly string[]
  readonly parent: string | undefined
}

export interface Change {
  readonly spot: Spot
  readonly touch: Touch
}

/** Storage of which back ends show parts, by their names. */
interface Realm {
  readonly name: string
  readonly top: Path
}

const trees: ReadonlySet<string> = new Set(['posix', 'gpfs', 'dust'])
const realms = new WeakMap<Backend, Realm>()

/**
 * Back ends are named by the kind of storage and the directory in it ("posix:/gpfs/dust"): two that show parts of
 * one tree must know each other's locks. Others are a realm of their own.
 */
export function realmOf(backend: Backend): Realm {
  const known = realms.get(backend)
  if (known) return known
  const match = /^(\w+):([^/]*)(\/.*)?$/s.exec(backend.name)
  const [, kind = '', host = '', directory] = match ?? []
  const realm =
    directory === undefined
      ? { name: backend.name, top: root }
      : { name: trees.has(kind) ? 'tree' : `${kind}:${host}`, top: (directory.replace(/\/+$/, '') || '/') as Path }
  realms.set(backend, realm)
  return realm
}

/** Where nothing was seen of an object, since its back end decides and acts in one, its path alone counts. */
export function spotOf({ mount, path, inner }: Place, trail: Trail | undefined): Spot {
  const { backend } = mount
  const realm = realmOf(backend)
  const above = trail?.ancestors.map(({ id }) => id) ?? []
  return {
    path,
    backend: backend.name,
    realm: realm.name,
    at: under(realm.top, trail?.resolved ?? inner),
    id: trail?.entry?.id || undefined,
    above,
    parent: trail?.parentExists ? above.at(-1) : undefined,
  }
}

/** What a lock on the object would know of it. */
export function bindingOf({ id, above }: Spot, fresh: boolean): LockBinding {
  return { object: id, above, fresh }
}

/** The lock is on this very object, or on its place. */
export function isOn(lock: StoredLock, { realm, backend, at, id }: Spot): boolean {
  if (lock.realm === realm && lock.at === at) return true
  return id !== undefined && lock.backend === backend && lock.object === id
}

/** The lock is on a directory above the object and reaches down to it. */
export function reaches(lock: StoredLock, { realm, backend, at, above }: Spot): boolean {
  if (lock.depth !== 'infinity') return false
  if (lock.realm === realm && lock.at !== at && isWithin(at, lock.at)) return true
  return lock.object !== undefined && lock.backend === backend && above.includes(lock.object)
}

export function covers(lock: StoredLock, spot: Spot): boolean {
  return isOn(lock, spot) || reaches(lock, spot)
}

/** The lock is on something below the object. */
export function isBelow(lock: StoredLock, { realm, backend, at, id }: Spot): boolean {
  if (lock.realm === realm && lock.at !== at && isWithin(lock.at, at)) return true
  return id !== undefined && lock.backend === backend && lock.above.includes(id)
}

/** The lock protects the membership of the object's directory (RFC 4918, section 7.4). */
function isOnParent(lock: StoredLock, { realm, backend, at, parent }: Spot): boolean {
  if (lock.realm === realm && at !== root && lock.at === parentOf(at)) return true
  return parent !== undefined && lock.backend === backend && lock.object === parent
}

/** Whether a change needs the lock's token. */
export function forbids(lock: StoredLock, { spot, touch }: Change): boolean {
  if (covers(lock, spot)) return true
  if (touch === 'content') return false
  return isOnParent(lock, spot) || (touch === 'tree' && isBelow(lock, spot))
}

/** Whether two locks cannot be held at the same time (RFC 4918, section 6.2). */
export function excludes(
  lock: StoredLock,
  scope: StoredLock['scope'],
  depth: StoredLock['depth'],
  spot: Spot,
): boolean {
  if (lock.scope === 'shared' && scope === 'shared') return false
  return covers(lock, spot) || (depth === 'infinity' && isBelow(lock, spot))
}

/** Whether any change through this back end can touch the lock. */
export function concerns(lock: StoredLock, backend: Backend): boolean {
  const { name, top } = realmOf(backend)
  if (lock.backend === backend.name) return true
  return lock.realm === name && (isWithin(lock.at, top) || isWithin(top, lock.at))
}

function under(top: Path, inner: Path): Path {
  if (top === root) return inner
  return inner === root ? top : (`${top}${inner}` as Path)
}
