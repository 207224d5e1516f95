/** Operations of an I/O thread on open objects: attributes of ours, opening again, usage. */

import type { Changed } from './changing.ts'
import { told } from './changing.ts'
import type { HandleRef } from './handles.ts'
import { type AttributeOutcome, writeAttribute } from './labelling.ts'
import * as sys from './native/sys.ts'
import type { Workshop } from './workshop.ts'

export interface ReadAttributesArgs {
  readonly object: HandleRef
  readonly names: readonly string[]
}

export interface AttributesRead {
  /** In the order of the names. */
  readonly values: ReadonlyArray<Uint8Array | undefined>
  /** False: the object can hold none. */
  readonly supported: boolean
  /** The object has no name any more. */
  readonly gone: boolean
  readonly overflow: string
}

/** Attributes of ours. */
export function readAttributes(shop: Workshop, { object, names }: ReadAttributesArgs): AttributesRead {
  return shop.using(object, (fd) => {
    const stat = sys.fstat(fd)
    const about = { overflow: shop.maker.id(stat), gone: stat.nlink === 0 }
    try {
      return { values: names.map((name) => own(sys.fgetxattr(fd, name))), supported: true, ...about }
    } catch (error) {
      if (sys.isErrno(error, 'ENOTSUP')) return { values: [], supported: false, ...about }
      throw error
    }
  })
}

/** A slice of a pool would be cloned with all of the pool. */
function own(bytes: Buffer | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes)
}

export interface WriteAttributesArgs {
  readonly object: HandleRef
  /** Undefined removes. */
  readonly values: ReadonlyArray<readonly [name: string, value: Uint8Array | undefined]>
}

/** One after the other, up to the first that fails. */
export function writeAttributes(shop: Workshop, { object, values }: WriteAttributesArgs): AttributeOutcome {
  return shop.using(object, (fd) => {
    for (const [name, value] of values) {
      const outcome = writeAttribute(fd, name, value)
      if (outcome !== 'done') return outcome
    }
    return 'done'
  })
}

export interface ReopenArgs {
  readonly object: HandleRef
  readonly name: string
}

/** Opens the very object that was looked at, which must be a regular file, for reading. */
export function reopen(shop: Workshop, args: ReopenArgs): Changed & { readonly fd: number } {
  shop.maker.begin(true)
  return shop.using(args.object, (object) => {
    const fd = sys.openat(sys.AT_FDCWD, sys.procPath(object), sys.O_RDONLY | sys.O_NONBLOCK, 0)
    try {
      return { ...told(shop, args.name, fd), fd }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

/** Attributes of an open file as they are now. */
export function restat(shop: Workshop, { file, name }: { readonly file: HandleRef; readonly name: string }): Changed {
  shop.maker.begin(true)
  return shop.using(file, (fd) => told(shop, name, fd))
}

/** The file system of an open object. */
export function usage(shop: Workshop, { object }: { readonly object: HandleRef }): sys.FileSystem {
  return shop.using(object, sys.fstatfs)
}
