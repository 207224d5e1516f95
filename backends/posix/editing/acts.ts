/** Operations of an I/O thread on files that are worked on in place. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { type Changed, inheritsMode, keepsElsewhere, stale, storeAcl, told } from '../changing.ts'
import type { HandleRef } from '../handles.ts'
import type { LabelNames } from '../labelling.ts'
import * as sys from '../native/sys.ts'
import { modeForNew, openUnnamed } from '../passing-on.ts'
import type { AclBytes } from '../wire.ts'
import type { Workshop } from '../workshop.ts'

/** Something is kept of the bytes as they are: digests, a record. */
export interface Labelled {
  /** The id under which it may be in the overflow store. */
  readonly overflow?: string
}

export interface OpenToEditArgs {
  readonly object: HandleRef
  readonly name: string
  readonly truncate: boolean
  /** EACCES where it cannot be read as well. */
  readonly read: boolean
  readonly names: LabelNames
}

export interface OpenedToEdit extends Changed {
  readonly fd: number
  /** Bytes that were taken may still be refused. */
  readonly takesLate: boolean
  readonly unreadable: boolean
  readonly labelled?: Labelled
}

/** Reading may be closed to whoever may write. */
function openWritable(seen: number, read: boolean): { readonly fd: number; readonly unreadable: boolean } {
  const open = (access: number) => sys.openat(sys.AT_FDCWD, sys.procPath(seen), access | sys.O_NONBLOCK, 0)
  try {
    return { fd: open(sys.O_RDWR), unreadable: false }
  } catch (error) {
    if (read || !sys.isErrno(error, 'EACCES')) throw error
    return { fd: open(sys.O_WRONLY), unreadable: true }
  }
}

/** Opens the very file that was looked at. */
export function openToEdit(shop: Workshop, { object, name, truncate, read, names }: OpenToEditArgs): OpenedToEdit {
  shop.maker.begin(true)
  return shop.using(object, (seen) => {
    const { fd, unreadable } = openWritable(seen, read)
    try {
      const labelled = labelOf(shop, fd, names)
      if (truncate) {
        if (labelled) removeLabel(fd, names)
        sys.ftruncate(fd, 0)
      }
      return { ...told(shop, name, fd), fd, takesLate: takesLate(fd), unreadable, ...(labelled && { labelled }) }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

const { nfs, cifs, smb2 } = sys.fileSystemTypes
/** Their clients send bytes to a server when they like, at the latest at the close (nfs(5), "DATA AND METADATA COHERENCE"). */
const sendingLate: ReadonlySet<number> = new Set([nfs, cifs, smb2])

function takesLate(fd: number): boolean {
  return sendingLate.has(sys.fstatfs(fd).type)
}

function labelOf({ maker }: Workshop, fd: number, { name, marker }: LabelNames): Labelled | undefined {
  // Also where the caller may not read and so is not told: there may be something, here or there.
  if (keepsElsewhere(fd, marker)) return { overflow: maker.id(sys.fstat(fd)) }
  return sys.fgetxattr(fd, name) ? {} : undefined
}

function removeLabel(fd: number, { name }: LabelNames): void {
  try {
    sys.fremovexattr(fd, name)
  } catch (error) {
    // There are none here, or it is not for who opened it to take away any more. It says itself of which version it is.
    if (!(error instanceof sys.Errno)) throw error
  }
}

/** Takes away what is kept of the bytes that are about to change. */
export function dropLabel(
  shop: Workshop,
  { file, names }: { readonly file: HandleRef; readonly names: LabelNames },
): void {
  shop.using(file, (fd) => removeLabel(fd, names))
}

export interface CreateToEditArgs {
  readonly parent: HandleRef
  readonly name: string
  /** Bits that a file gets whose directory says nothing. */
  readonly mode: number | undefined
  readonly acl: AclBytes | undefined
}

export type CreatedToEdit = Omit<OpenedToEdit, 'labelled' | 'unreadable'> | { readonly unnamed: 'unsupported' }

const permissions = 0o777
const execution = 0o111

/**
 * Makes an empty file and opens it. Throws `exists` where anything has the name, `stale` where the directory has gone.
 * `unnamed`: it could be seen without its ACL here, and was not made.
 */
export function createToEdit(shop: Workshop, { parent, name, mode, acl }: CreateToEditArgs): CreatedToEdit {
  shop.maker.begin(true)
  return shop.using(parent, (directory) => {
    const fd = acl ? createListed(shop, directory, name, acl) : createPlain(shop, directory, name, mode)
    if (fd === undefined) return { unnamed: 'unsupported' }
    shop.step('published')
    try {
      return { ...told(shop, name, fd), fd, takesLate: takesLate(fd) }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

/** It has its ACL before it has its name. */
function createListed(shop: Workshop, directory: number, name: string, acl: AclBytes): number | undefined {
  const fd = openUnnamed(directory, modeForNew(shop, directory))
  if (fd === undefined) return undefined
  try {
    storeAcl(shop, fd, acl)
    shop.step('renaming')
    sys.linkDescriptor(fd, directory, name)
    return fd
  } catch (error) {
    sys.close(fd)
    throw explained(error)
  }
}

function createPlain(shop: Workshop, directory: number, name: string, asked: number | undefined): number {
  const usual = modeForNew(shop, directory)
  // What a default ACL gives is cut by the mode, so that says no more than whether it is a program.
  const own = inheritsMode(directory) ? usual | ((asked ?? 0) & execution) : (asked ?? usual) & permissions
  const flags = sys.O_CREAT | sys.O_EXCL | sys.O_RDWR | sys.O_NONBLOCK
  try {
    return shop.walker.open(directory, name, flags, own)
  } catch (error) {
    throw explained(error)
  }
}

function explained(error: unknown): unknown {
  if (sys.isErrno(error, 'EEXIST')) return new StorageError('exists', 'something of that name exists')
  return sys.isErrno(error, 'ENOENT') ? stale() : error
}

/** Changes the size of a file open for editing. */
export function truncate(shop: Workshop, { file, size }: { readonly file: HandleRef; readonly size: number }): void {
  shop.using(file, (fd) => sys.ftruncate(fd, size))
}

export interface AllocateArgs {
  readonly file: HandleRef
  readonly offset: number
  readonly length: number
  readonly how: 'extend' | 'keep' | 'punch' | 'zero'
}

const keeping = sys.FALLOC_FL_KEEP_SIZE

/** fallocate(2). */
export function allocate(shop: Workshop, { file, offset, length, how }: AllocateArgs): void {
  shop.using(file, (fd) => {
    if (how === 'zero') zero(fd, offset, length)
    else sys.fallocate(fd, { extend: 0, keep: keeping, punch: keeping | sys.FALLOC_FL_PUNCH_HOLE }[how], offset, length)
  })
}

/** Not every file system that makes holes makes zeros as well. */
function zero(fd: number, offset: number, length: number): void {
  try {
    sys.fallocate(fd, sys.FALLOC_FL_ZERO_RANGE, offset, length)
  } catch (error) {
    if (!sys.isErrno(error, 'ENOTSUP')) throw error
    sys.fallocate(fd, keeping | sys.FALLOC_FL_PUNCH_HOLE, offset, length)
    sys.fallocate(fd, 0, offset, length)
  }
}

export interface SeekArgs {
  readonly file: HandleRef
  readonly offset: number
  readonly what: 'data' | 'hole'
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE; undefined for ENXIO. */
export function seek(shop: Workshop, { file, offset, what }: SeekArgs): number | undefined {
  return shop.using(file, (fd) => {
    try {
      return sys.lseek(fd, offset, what === 'data' ? sys.SEEK_DATA : sys.SEEK_HOLE)
    } catch (error) {
      if (sys.isErrno(error, 'ENXIO')) return undefined
      throw error
    }
  })
}
