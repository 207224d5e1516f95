/** Writing ACLs where only a path leads to them: tied to the object by looks before and after. */

import type { Acl } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, type Path } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import type { Changed, SetArgs } from './changing.ts'
import type { Caller, Desk, ObjectSight } from './desk.ts'
import type { Handle } from './handles.ts'
import { heldStill, wayOf } from './path-acls.ts'
import { attributeNames } from './properties.ts'
import { requireEntry } from './requiring.ts'
import type { AclBytes } from './wire.ts'

/**
 * Replaces the list of the object that was looked at; `others` are set first, by descriptor. Throws `stale` where the
 * path no longer leads to that object, `unsupported` where its list holds what would be lost.
 */
export async function setByPath(
  desk: Desk,
  sight: ObjectSight,
  path: Path,
  acl: Acl,
  others: Omit<SetArgs, 'object' | 'name'>,
  caller: Caller,
): Promise<Entry> {
  const { trail, object } = sight
  const pathAcls = requirePathAcls(desk)
  const { id, name, acl: old } = requireEntry(trail, path)
  if (!object) throw new StorageError('denied', 'this belongs to another file system', { path })
  requireWhole(desk, old)
  const set = await desk.run('set', { object: object.ref, name, ...others }, caller)
  const { changed } = desk.entry(set.entry, set)
  const glance = desk.glance(caller)
  const before = wayOf(await glance(path, caller.signal))
  const last = before.at(-1)
  if (last?.id !== id || last.changed !== changed || !isSame(wayOf(trail), before)) throw moved(path)
  await pathAcls.write(path, acl, caller.signal)
  const after = wayOf(await glance(path, caller.signal))
  if (!isSame(before, after)) throw moved(path)
  const now = requireEntry((await desk.see('look', { path, follow: false }, caller)).trail, path)
  // Where others have worked in the directories meanwhile, the name may have been another object's in between.
  if (!directoriesStood(before, after) && !isSameList(now.acl, acl)) throw moved(path)
  return now
}

/** An object that has only a hidden name so far. */
export interface HiddenObject {
  /** The directory: its path, its id as it was seen, its descriptor. */
  readonly path: Path
  readonly directory: string
  readonly parent: Handle
  readonly name: string
  readonly id: string
}

/** Gives an object its list before it becomes visible. Throws `stale` where the path does not lead to it. */
export async function writeHidden(desk: Desk, hidden: HiddenObject, acl: Acl, caller: Caller): Promise<void> {
  const { path, directory, parent, name, id } = hidden
  const glance = desk.glance(caller)
  const isThere = async () => (await desk.run('identify', { parent: parent.ref, name }, caller)) === id
  const before = wayOf(await glance(path, caller.signal))
  if (before.at(-1)?.id !== directory || !(await isThere())) throw moved(path)
  await requirePathAcls(desk).write(join(path, name), acl, caller.signal)
  if (!isSame(before, wayOf(await glance(path, caller.signal))) || !(await isThere())) throw moved(path)
}

export interface MkdirByPath {
  readonly path: Path
  readonly directory: string
  readonly parent: Handle
  readonly name: string
  readonly acl: AclBytes
}

/** Makes a directory under a hidden name, gives it its list, and then its name. */
export async function mkdirByPath(
  desk: Desk,
  { path, directory, parent, name, acl }: MkdirByPath,
  hidden: { readonly name: string },
  caller: Caller,
): Promise<Changed> {
  const made = await desk.run('mkdir', { parent: parent.ref, name: hidden.name }, caller)
  const { id, changed } = desk.entry(made.entry, made)
  if (acl.list) await writeHidden(desk, { path, directory, parent, name: hidden.name, id }, acl.list, caller)
  const from = { parent: parent.ref, name: hidden.name, expected: { id, changed } }
  const to = { parent: parent.ref, name, expected: undefined }
  return desk.run('rename', { from, to, marker: attributeNames(desk.setup).elsewhere }, caller)
}

/** Throws `unsupported` for a list in which something was not understood: writing anything over it would lose that. */
export function requireWhole(desk: Desk, acl: Acl | undefined): void {
  if (acl && !requirePathAcls(desk).isWhole(acl)) {
    throw new StorageError('unsupported', 'the ACL holds what the gateway does not understand, so it stays as it is')
  }
}

function requirePathAcls({ pathAcls }: Desk) {
  if (!pathAcls) throw new StorageError('internal', 'ACLs of this mount do not come by path')
  return pathAcls
}

function isSame(before: readonly Entry[], after: readonly Entry[]): boolean {
  return before.length === after.length && before.every(({ id }, i) => after[i]?.id === id)
}

/** Whether no name on the way was given to another object in between. The object itself changes with its list. */
function directoriesStood(before: readonly Entry[], after: readonly Entry[]): boolean {
  const directory = before.length - 2
  return heldStill(before.slice(0, -1), after.slice(0, -1)) && before[directory]?.changed === after[directory]?.changed
}

function isSameList(told: Acl | undefined, written: Acl): boolean {
  const rows = ({ aces }: Acl) => JSON.stringify(aces.map(({ type, flags, mask, who }) => [type, flags, mask, who]))
  return told !== undefined && rows(told) === rows(written)
}

function moved(path: Path): StorageError {
  return new StorageError('stale', 'the path leads to another object than the one that was looked at', { path })
}
