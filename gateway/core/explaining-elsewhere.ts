/** What is told of an answer that is not the gateway's to give: the storage is asked, as the one who is asked about. */

import { type Rights, right } from '../../acl/acl.ts'
import { type Action, type Need, needs } from '../../acl/needs.ts'
import { rightsNames } from '../../acl/rights-names.ts'
import type { Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { Gate } from './deciding.ts'
import { type ErrorCode, StorageError } from './errors.ts'
import { isWithin, type Path, parentOf, rebase } from './path.ts'
import type { Task } from './task.ts'

/** With these a look ends for what it met, and not for what the storage is like just now. */
export const settled: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['denied', 'not-found', 'invalid', 'unsupported'])

/** The storage's word on an action. */
export interface Word {
  /** `unknown` where it tells nothing, or only what it would go by. */
  readonly allowed: boolean | 'unknown'
  readonly text: string
  /** The object that the right would be one on. */
  readonly path: Path
}

/**
 * Asks the back end what the caller of `asked` may do. The kernel's word is the answer; a storage that decides by
 * credentials tells what its lists say, and decides when it is asked to act.
 */
export async function wordOf(gate: Gate, asked: Task, place: Place, trail: Trail, action: Action): Promise<Word> {
  const { mount, path, inner } = place
  const ways = waysTo(action, mount)
  const [{ target, parent = 0 } = {}] = ways
  const where = target === undefined ? parentOf(path) : path
  const none: Word = { allowed: 'unknown', text: 'a look at the path was not refused', path: where }
  const cannot = target === undefined ? path === mount.at : trail.entry === undefined
  if (!mount.backend.rights || cannot) return none
  const held = await heldOn(gate, asked, place, target === undefined ? parentOf(inner) : inner)
  if (held === 'unknown') return none
  const holds = ways.some((way) => covers(held, way.target ?? way.parent ?? 0))
  const isDirectory = target === undefined || trail.entry?.type === 'directory'
  const names = rightsNames(target ?? parent, isDirectory ? 'directory' : 'file').join(', ')
  if (mount.enforce === 'native') {
    const beside = holds && action === 'replace' ? await mayWriteBeside(gate, asked, place) : undefined
    if (beside) return beside
    const text = holds ? `the kernel grants ${names} to this user` : `the kernel does not grant ${names} to this user`
    return { allowed: holds, text, path: where }
  }
  const says = holds ? `would grant ${names}` : `would not grant ${names}`
  return {
    allowed: 'unknown',
    text: `by owner, mode and list the storage ${says}; it decides when it acts`,
    path: where,
  }
}

/** New content is written in the directory of the old, before it takes its place. Undefined: nothing is in the way of that. */
async function mayWriteBeside(gate: Gate, asked: Task, { mount, path, inner }: Place): Promise<Word | undefined> {
  if (path === mount.at) return undefined
  const held = await heldOn(gate, asked, { mount, path, inner }, parentOf(inner))
  if (held === 'unknown' || covers(held, right.addFile)) return undefined
  const text = 'new content is written beside the old, and the kernel does not grant ADD_FILE to this user there'
  return { allowed: false, text, path: parentOf(path) }
}

/**
 * The alternatives that are rights on one and the same object: deleting is asked of the object, where sticky directories
 * count. Extended attributes are guarded by the kernel like the content, and not like other attributes (xattr(7)).
 */
function waysTo(action: Action, { enforce }: Place['mount']): Need['rights'] {
  const { rights } = needs[action]
  const isDeletion = action === 'remove' || action === 'move-away'
  const isOfKernel = enforce === 'native' && (action === 'read-properties' || action === 'write-properties')
  return isDeletion || isOfKernel ? rights.slice(0, 1) : rights
}

function covers(held: Rights, mask: Rights): boolean {
  return (held & mask) === mask
}

async function heldOn(gate: Gate, asked: Task, place: Place, inner: Path): Promise<Rights | 'unknown'> {
  const { rights } = place.mount.backend
  if (!rights) return 'unknown'
  try {
    return await gate.run(asked, place, () => rights.effective(inner, asked), { admission: 'continues' })
  } catch (thrown) {
    const { code } = StorageError.from(thrown)
    if (code === 'denied' || code === 'not-found' || code === 'unsupported') return 'unknown'
    throw thrown
  }
}

/** A place on the way, with what a look at it shows. */
export interface Shown {
  readonly path: Path
  readonly trail: Trail
}

/**
 * The last place above the object that can be looked at, and is `shown`. What lies in a directory cannot be looked at
 * without passing it, so on a way that the kernel refused it is the first closed directory. Undefined where not even the
 * top can be.
 */
export async function lastOnTheWay(
  gate: Gate,
  asked: Task,
  place: Place,
  isShown: (path: Path, trail: Trail) => boolean = () => true,
): Promise<Shown | undefined> {
  const { mount, path } = place
  const way: Path[] = []
  for (let at = parentOf(path); isWithin(at, mount.at); at = parentOf(at)) {
    way.unshift(at)
    if (at === mount.at) break
  }
  let found: Shown | undefined
  for (let low = 0, high = way.length - 1; low <= high; ) {
    const middle = (low + high) >> 1
    const at = way[middle] ?? mount.at
    const trail = await seen(gate, asked, place, rebase(at, mount.at, mount.base))
    if (trail === undefined || !isShown(at, trail)) high = middle - 1
    else {
      found = { path: at, trail }
      low = middle + 1
    }
  }
  return found
}

async function seen(gate: Gate, asked: Task, place: Place, inner: Path): Promise<Trail | undefined> {
  try {
    const work = () => place.mount.backend.walk(inner, asked)
    return await gate.run(asked, place, work, { admission: 'continues' })
  } catch (thrown) {
    if (settled.has(StorageError.from(thrown).code)) return undefined
    throw thrown
  }
}
