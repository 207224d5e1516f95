/** All operations, by the names that requests have. */

import { checksums, explain, getXattr, rights, setXattr, space, stage, xattrs } from './extras.ts'
import { allocate, commit, copyRange, fstat, open, release, seek, sync, truncate } from './files.ts'
import { list } from './listing.ts'
import { cancelLock, lock, testLock, unlock } from './locking.ts'
import { change, getAcl, link, mkdir, remove, rename, setAcl, stat, symlink } from './objects.ts'
import type { Operation } from './operation.ts'

export const operations: ReadonlyMap<string, Operation> = new Map(
  Object.entries({
    ...{ stat, list, open, release, fstat, truncate, sync, commit, allocate, seek, 'copy-range': copyRange },
    ...{ mkdir, remove, rename, symlink, link, change, rights, space },
    ...{ xattrs, 'get-xattr': getXattr, 'set-xattr': setXattr, 'get-acl': getAcl, 'set-acl': setAcl },
    ...{ checksums, explain, stage, 'test-lock': testLock, lock, unlock, 'cancel-lock': cancelLock },
  }),
)
