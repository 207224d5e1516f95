/** Attributes of ours on an I/O thread: written one by one, and the one that tells of the version of the bytes. */

import { stale } from './changing.ts'
import type { HandleRef } from './handles.ts'
import { type Labels, textOfKept } from './kept-text.ts'
import * as sys from './native/sys.ts'
import type { Workshop } from './workshop.ts'

export type AttributeOutcome = 'done' | 'full' | 'unsupported'

/** Sets an attribute of an open object, or removes it. */
export function writeAttribute(fd: number, name: string, value: Uint8Array | undefined): AttributeOutcome {
  try {
    if (value) sys.fsetxattr(fd, name, value, 0)
    else sys.fremovexattr(fd, name)
    return 'done'
  } catch (error) {
    // ext4 says ENOSPC when its block of attributes is full, others E2BIG or ERANGE.
    if (['ENOSPC', 'E2BIG', 'ERANGE', 'EDQUOT'].some((code) => sys.isErrno(error, code))) return 'full'
    if (sys.isErrno(error, 'ENOTSUP')) return 'unsupported'
    throw error
  }
}

/** Longer values are not even tried: the kernel takes no more. */
const maxValue = 60_000
const marked = Uint8Array.of(49)

/** Files digests and record under the version of the bytes. False: there is no room for them. */
export function label({ maker }: Workshop, fd: number, labels: Labels): boolean {
  const value = Buffer.from(textOfKept(maker.version(sys.fstat(fd)), labels))
  return value.length <= maxValue && writeAttribute(fd, labels.name, value) === 'done'
}

/**
 * Marks an open file whose labels are elsewhere. False where it has no room for that either and a record would not be
 * found; where no attributes are, everybody looks there.
 */
export function markElsewhere(fd: number, { marker, record }: Labels): boolean {
  return writeAttribute(fd, marker, marked) !== 'full' || record === undefined
}

/** As in Labels. */
export type LabelNames = Pick<Labels, 'name' | 'marker'>

/** What is kept with a file: the value of its attribute, or the id under which it may be in the overflow store. */
export interface KeptValue {
  readonly value?: Uint8Array
  readonly overflow?: string
}

/** Reads what is kept with an open file. */
export function readLabel({ maker }: Workshop, fd: number, stat: sys.Stat, { name, marker }: LabelNames): KeptValue {
  try {
    const value = sys.fgetxattr(fd, name)
    // A slice of a pool would be cloned with all of the pool.
    if (value) return { value: new Uint8Array(value) }
    if (sys.fgetxattr(fd, marker) === undefined) return {}
  } catch (error) {
    if (!sys.isErrno(error, 'ENOTSUP')) throw error
  }
  return { overflow: maker.id(stat) }
}

export interface ReadKeptArgs {
  readonly object: HandleRef
  readonly names: LabelNames
  /** `stale` where the file is of another by now, or has no name any more. */
  readonly version?: string
}

/** The same of an object kept open; `id` is that of the overflow store. */
export function readKept(
  shop: Workshop,
  { object, names, version }: ReadKeptArgs,
): KeptValue & { readonly id: string } {
  const { maker } = shop
  return shop.using(object, (fd) => {
    const stat = sys.fstat(fd)
    if (version !== undefined && (stat.nlink === 0 || maker.version(stat) !== version)) throw stale()
    return { ...readLabel(shop, fd, stat, names), id: maker.id(stat) }
  })
}
