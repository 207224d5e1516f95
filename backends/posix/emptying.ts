/** Operations of an I/O thread on directories that hold nothing but hidden names of ours. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { HandleRef } from './handles.ts'
import * as sys from './native/sys.ts'
import { isOurs } from './options.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

/** Drafts that are kept open at a time. */
const mostDrafts = 256

/**
 * What nobody can see keeps no directory: drafts that were left in it go with it. Throws `busy` while somebody is at
 * work with one of them, and ENOTEMPTY as before where there is anything else.
 */
export function removeDirectory(shop: Workshop, directory: number, name: string): void {
  try {
    sys.unlinkat(directory, name, sys.AT_REMOVEDIR)
  } catch (error) {
    if (!sys.isErrno(error, 'ENOTEMPTY') && !sys.isErrno(error, 'EEXIST')) throw error
    closing(shop.walker.open(directory, name, sys.O_RDONLY | sys.O_DIRECTORY), (inner) => {
      const names = namesIn(inner)
      if (!names || names.length > mostDrafts) throw error
      empty(shop, inner, names, error)
    })
    sys.unlinkat(directory, name, sys.AT_REMOVEDIR)
  }
}

/** Undefined where not all of them are ours. */
function namesIn(directory: number): readonly string[] | undefined {
  const names: string[] = []
  for (let batch = sys.getdents(directory); batch.length > 0; batch = sys.getdents(directory)) {
    for (const { name } of batch) {
      if (name === undefined || !isOurs(name)) return undefined
      names.push(name)
    }
  }
  return names
}

/** All drafts are claimed before the first of them goes: whoever publishes one would find the others gone. */
function empty(shop: Workshop, directory: number, names: readonly string[], reason: unknown): void {
  const open: number[] = []
  try {
    for (const name of names) {
      const fd = openQuietly(shop, directory, name, reason)
      if (fd === undefined) continue
      open.push(fd)
      const kind = kindOf(sys.fstat(fd))
      if (kind === sys.S_IFREG) requireLeft(fd)
      else if (kind !== sys.S_IFDIR) throw reason
    }
    for (const name of names) unlinkHidden(directory, name)
  } finally {
    for (const fd of open) sys.close(fd)
  }
}

/** Undefined for what has gone meanwhile. What the caller may not open is not his to judge. */
function openQuietly({ walker }: Workshop, directory: number, name: string, reason: unknown): number | undefined {
  try {
    return walker.open(directory, name, sys.O_RDONLY | sys.O_NONBLOCK)
  } catch (error) {
    if (sys.isErrno(error, 'ENOENT')) return undefined
    if (sys.isErrno(error, 'EACCES') || sys.isErrno(error, 'ELOOP')) throw reason
    throw error
  }
}

function requireLeft(fd: number): void {
  try {
    sys.flock(fd, sys.LOCK_SH | sys.LOCK_NB)
  } catch (error) {
    if (!sys.isErrno(error, 'EAGAIN')) return
    const text = 'a file is being uploaded into the directory'
    throw new StorageError('busy', text, { retryAfter: 5, reason: { rule: 'uploading', text } })
  }
}

/** Takes away a hidden name; one that is not there is fine. */
export function unlinkHidden(directory: number, name: string): void {
  if (!isOurs(name)) throw new StorageError('internal', 'not a name of ours')
  try {
    sys.unlinkat(directory, name, 0)
  } catch (error) {
    if (sys.isErrno(error, 'EISDIR')) sys.unlinkat(directory, name, sys.AT_REMOVEDIR)
    else if (!sys.isErrno(error, 'ENOENT')) throw error
  }
}

/** A hidden name that nobody knows any more, and whose it is. */
export interface Stray {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** A hidden name to which nothing has happened for so many ms that nobody can be about to go on with it. */
export function strayAt(directory: number, name: string, age: number): Stray | undefined {
  if (!isOurs(name)) return undefined
  try {
    const { ctimeNs, uid, gid } = sys.fstatat(directory, name, sys.AT_SYMLINK_NOFOLLOW)
    return Number(ctimeNs / 1_000_000n) < Date.now() - age ? { name, uid, gid } : undefined
  } catch (error) {
    if (error instanceof sys.Errno) return undefined
    throw error
  }
}

export interface StrayArgs {
  readonly directory: HandleRef
  readonly names: readonly string[]
  /** ms. */
  readonly age: number
}

/** Takes away hidden names that nobody knows any more. Returns how many. */
export function dropStrays(shop: Workshop, { directory, names, age }: StrayArgs): number {
  return shop.using(directory, (fd) => {
    const strays = names.filter((name) => strayAt(fd, name, age))
    for (const name of strays) unlinkHidden(fd, name)
    return strays.length
  })
}
