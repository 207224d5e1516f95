/** Operations of an I/O thread on names: links, and two names that change places. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { type Changed, requireExpected, stale, told, withOther } from '../changing.ts'
import type { HandleRef } from '../handles.ts'
import * as sys from '../native/sys.ts'
import type { Expected } from '../wire.ts'
import { closing, syncDirectory, type Workshop } from '../workshop.ts'

export interface SymlinkArgs {
  readonly parent: HandleRef
  readonly name: string
  readonly target: string
}

/** Makes a symbolic link. */
export function symlink(shop: Workshop, { parent, name, target }: SymlinkArgs): Changed {
  shop.maker.begin(true)
  return shop.using(parent, (directory) => {
    named(() => sys.symlinkat(target, directory, name))
    shop.step('published')
    if (shop.setup.sync) syncDirectory(directory)
    return closing(shop.walker.open(directory, name, sys.O_PATH), (fd) => told(shop, name, fd))
  })
}

export interface LinkArgs {
  readonly object: HandleRef
  readonly parent: HandleRef
  readonly name: string
}

/** Gives a further name to the very file that was looked at. */
export function link(shop: Workshop, { object, parent, name }: LinkArgs): Changed {
  shop.maker.begin(true)
  return shop.using(object, (fd) =>
    shop.using(parent, (directory) => {
      named(() => sys.linkDescriptor(fd, directory, name))
      shop.step('published')
      if (shop.setup.sync) syncDirectory(directory)
      return told(shop, name, fd)
    }),
  )
}

/** The file, or the directory, was removed meanwhile. */
function named(give: () => void): void {
  try {
    give()
  } catch (error) {
    throw sys.isErrno(error, 'ENOENT') ? stale() : error
  }
}

export interface NameArgs {
  readonly parent: HandleRef
  readonly name: string
  readonly expected: Expected
}

/** Two names change places, if both still are what was seen. */
export function exchange(shop: Workshop, { one, other }: { readonly one: NameArgs; readonly other: NameArgs }): void {
  shop.using(one.parent, (first) =>
    withOther(shop, one.parent, other.parent, first, (second) => {
      requireExpected(shop, first, one.name, one.expected)
      requireExpected(shop, second, other.name, other.expected)
      shop.step('renaming')
      try {
        sys.renameat2(first, one.name, second, other.name, sys.RENAME_EXCHANGE)
      } catch (error) {
        // NFS and GPFS know no such rename.
        if (!sys.isErrno(error, 'EINVAL')) throw error
        throw new StorageError('unsupported', 'names cannot change places here', { cause: error })
      }
      if (!shop.setup.sync) return
      syncDirectory(first)
      if (second !== first) syncDirectory(second)
    }),
  )
}
