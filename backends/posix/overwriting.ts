/**
 * Operations of an I/O thread for a draft that cannot take the place of an old file, as where that belongs to somebody
 * else: its bytes are copied into the old file. The same copying serves copies of files.
 */

import { type Changed, requireExpected, stale, told } from './changing.ts'
import type { HandleRef } from './handles.ts'
import type { Labels } from './kept-text.ts'
import { type LabelNames, label, markElsewhere, writeAttribute } from './labelling.ts'
import * as sys from './native/sys.ts'
import { requireRoom } from './staging.ts'
import type { Expected } from './wire.ts'
import type { Workshop } from './workshop.ts'

export interface OverwriteArgs {
  readonly parent: HandleRef
  readonly name: string
  readonly expected: Expected
  /** Bytes that are to be written to it. */
  readonly size: number
}

/**
 * Opens the file that a draft cannot take the place of; the kernel checks that the caller may write it. Fails with
 * the file untouched where the file system can tell that there is no room for the bytes.
 */
export function openOld(shop: Workshop, { parent, name, expected, size }: OverwriteArgs): { readonly fd: number } {
  return shop.using(parent, (directory) => {
    requireExpected(shop, directory, name, expected)
    const fd = shop.walker.open(directory, name, sys.O_WRONLY | sys.O_NONBLOCK)
    try {
      const stat = sys.fstat(fd)
      if (!shop.maker.isExpected(stat, expected)) throw stale()
      requireRoom(fd, size - stat.blocks * 512)
      reserve(fd, size)
      return { fd }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

/** Gives a file the blocks it is going to need: a full disk or a quota then shows before the old bytes are lost. */
function reserve(fd: number, size: number): void {
  if (size === 0) return
  try {
    sys.fallocate(fd, sys.FALLOC_FL_KEEP_SIZE, 0, size)
  } catch (error) {
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].some((code) => sys.isErrno(error, code))) throw error
    // Not every file system can, and then writing tells.
    if (!(error instanceof sys.Errno)) throw error
  }
}

export interface CopyArgs {
  readonly from: HandleRef
  readonly to: HandleRef
  readonly offset: number
  /** Where they go; `offset` if absent. */
  readonly at?: number
  readonly length: number
}

/** Copies bytes between two open files, or in one, inside the kernel where it can. Returns how many; 0 at the end. */
export function copyBytes(shop: Workshop, { from, to, offset, at = offset, length }: CopyArgs): number {
  const copy = (source: number, target: number) => {
    shop.step('overwriting')
    let done = 0
    while (done < length) {
      const count = copySome(source, target, offset + done, at + done, length - done)
      if (count === 0) break
      done += count
    }
    return done
  }
  return shop.using(from, (source) => {
    if (from.slot === to.slot) return copy(source, source)
    return shop.using(to, (target) => copy(source, target))
  })
}

const chunk = Buffer.allocUnsafeSlow(1024 * 1024)

function copySome(source: number, target: number, offset: number, at: number, length: number): number {
  try {
    return sys.copyFileRange(source, offset, target, at, length)
  } catch (error) {
    if (!['EXDEV', 'EINVAL', 'ENOTSUP', 'ENOSYS', 'EBADF'].some((code) => sys.isErrno(error, code))) throw error
  }
  const count = sys.pread(source, chunk.subarray(0, Math.min(length, chunk.length)), offset)
  let written = 0
  while (written < count) written += sys.pwrite(target, chunk.subarray(written, count), at + written)
  return count
}

export interface FinishArgs {
  readonly file: HandleRef
  readonly name: string
  readonly size: number
  readonly modified?: bigint | undefined
  readonly names: LabelNames
  readonly labels?: Labels | undefined
}

/** `unlabelled`: where the labels are to be kept, since the file has no room for them. */
export type Finished = Changed & { readonly unlabelled?: string }

/** Ends an overwriting: the size, the time, the labels. */
export function finishOld(shop: Workshop, { file, name, size, modified, names, labels }: FinishArgs): Finished {
  shop.maker.begin(true)
  return shop.using(file, (fd) => {
    sys.ftruncate(fd, size)
    if (modified !== undefined) sys.futimens(fd, 'omit', modified)
    const unlabelled = relabel(shop, fd, names, labels)
    if (shop.setup.sync) sys.fsync(fd)
    return { ...told(shop, name, fd), ...(unlabelled !== undefined && { unlabelled }) }
  })
}

function relabel(shop: Workshop, fd: number, names: LabelNames, labels: Labels | undefined): string | undefined {
  if (labels && label(shop, fd, labels)) return undefined
  // Of the old bytes.
  if (sys.fgetxattr(fd, names.name)) writeAttribute(fd, names.name, undefined)
  if (!labels || !markElsewhere(fd, labels)) return undefined
  const stat = sys.fstat(fd)
  return shop.maker.id(stat)
}
