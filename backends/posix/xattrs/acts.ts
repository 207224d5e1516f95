/** Operations of an I/O thread on the extended attributes of callers. */

import { isUtf8 } from 'node:buffer'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { HandleRef } from '../handles.ts'
import * as sys from '../native/sys.ts'
import type { Workshop } from '../workshop.ts'

/** The name space that belongs to those who may write a file (xattr(7)). */
export const userSpace = 'user.'

/** All names in it that are UTF-8, without it. */
export function listXattrs(shop: Workshop, { object }: { readonly object: HandleRef }): readonly string[] {
  return shop.using(object, (fd) => {
    const names = sys.attributeNames(fd).split('\0')
    return names.flatMap((name) => {
      if (!name.startsWith(userSpace)) return []
      const bytes = Buffer.from(name.slice(userSpace.length), 'latin1')
      return bytes.length > 0 && isUtf8(bytes) ? [bytes.toString('utf8')] : []
    })
  })
}

export interface SetXattrArgs {
  readonly object: HandleRef
  readonly name: string
  /** Undefined removes. */
  readonly value: Uint8Array | undefined
  readonly condition: 'any' | 'absent' | 'present'
}

const flags = { any: 0, absent: sys.XATTR_CREATE, present: sys.XATTR_REPLACE }

/** Throws `not-found` where there is none to remove or to replace, `no-space` where it does not fit. */
export function setXattr(shop: Workshop, { object, name, value, condition }: SetXattrArgs): void {
  shop.using(object, (fd) => {
    if (value) store(fd, name, value, condition)
    else if (!sys.fremovexattr(fd, name)) throw new StorageError('not-found', 'no such attribute')
  })
}

function store(fd: number, name: string, value: Uint8Array, condition: SetXattrArgs['condition']): void {
  try {
    sys.fsetxattr(fd, name, value, flags[condition])
  } catch (error) {
    // Said of the attribute (setxattr(2)): ext4 has one block for all of a file, and the rest of it may be empty.
    if (!sys.isErrno(error, 'ENOSPC')) throw error
    throw new StorageError('no-space', 'there is no room for this attribute', { cause: error })
  }
}
