/** What an act needs of what was seen; each throws what the caller is to be told. */

import { StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path } from '../../gateway/core/path.ts'
import type { CommitCondition, Entry, Trail } from '../backend.ts'
import type { NameSight } from './desk.ts'
import type { Handle } from './handles.ts'

/** Something is there. */
export function requireEntry({ entry }: Trail, path: Path): Entry {
  if (entry) return entry
  throw new StorageError('not-found', 'no such file or directory', { path })
}

/** A regular file is there. */
export function requireFile(trail: Trail, path: Path): Entry {
  const entry = requireEntry(trail, path)
  requireRegular(entry, path)
  return entry
}

export function requireRegular({ type }: Entry, path: Path): void {
  if (type === 'file') return
  if (type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
  const text = type === 'symlink' ? 'symbolic links are not followed here' : 'this is not a regular file'
  throw new StorageError('denied', text, { path, reason: { rule: type === 'symlink' ? 'symlink' : 'file-type', text } })
}

/** A directory is there to hold the name. */
export function requireParent({ parentExists }: Trail, path: Path): void {
  if (!parentExists) throw new StorageError('no-parent', 'the parent directory does not exist', { path })
}

/** The directory in which a name is to appear. */
export function requireDirectoryOf(trail: Trail, path: Path): Entry {
  requireParent(trail, path)
  const directory = trail.ancestors.at(-1)
  if (!directory) throw new StorageError('exists', 'the root is always there', { path })
  return directory
}

/** A name that anybody may give to something, where links lead too. */
export function requireUnreserved(
  mount: { isReserved(name: string): boolean },
  { looked }: Pick<NameSight, 'looked'>,
  path: Path,
): void {
  if (mount.isReserved(looked.name ?? nameOf(path)))
    throw new StorageError('invalid', 'this name is reserved', { path })
}

/** The directory in which a name may be made, and its entry. */
export function requirePlace(
  mount: { isReserved(name: string): boolean },
  sight: NameSight,
  path: Path,
): { readonly parent: Handle; readonly directory: Entry } {
  const { trail, parent } = sight
  const directory = requireDirectoryOf(trail, path)
  if (!parent) throw new StorageError('exists', 'the root is always there', { path })
  requireUnreserved(mount, sight, path)
  return { parent, directory }
}

/** What an open was refused for: the kernel's no, or an object of another file system. */
export function refusal({ refused }: { readonly refused?: boolean | undefined }, path: Path): StorageError {
  const text = refused ? 'the file system refused to open it' : 'it belongs to another file system'
  return new StorageError('denied', 'permission denied', { path, reason: { rule: 'kernel', text } })
}

/** What was seen is as a commit wants it. */
export function requireCondition(condition: CommitCondition, entry: Entry | undefined, path: Path): void {
  if (condition === 'any') return
  if (condition === 'absent') {
    if (entry) throw new StorageError('exists', 'the file exists', { path })
    return
  }
  if (entry && (condition === 'present' || condition.versions.includes(entry.version))) return
  throw new StorageError('precondition', 'the file is not what the condition names', { path })
}

/** Undefined where the object was not what it had been; then nothing has happened to it. */
export async function unlessStale<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof StorageError && error.code === 'stale') return undefined
    throw error
  }
}
