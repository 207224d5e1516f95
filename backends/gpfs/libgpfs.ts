/**
 * ACLs by libgpfs and descriptor, on an I/O thread that runs as the user, so that the file system itself decides
 * about reading and writing them (gpfs_getacl and gpfs_putacl, IBM Storage Scale programming interfaces).
 *
 * Loaded by backends/posix as the module of `aclModule`, with the library in the query of its URL: see
 * `libgpfsModule` in library-module.ts.
 */

import koffi, { type LibraryHandle } from 'koffi'
import type { Acl } from '../../acl/acl.ts'
import { decodeGpfsStruct, encodeGpfsStruct, requestGpfsStruct } from '../../acl/codec/gpfs-struct.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { fromKernel } from '../posix/io/errors.ts'
import * as sys from '../posix/native/sys.ts'
import { defaultLibrary, libraryKey } from './library-module.ts'
import type { ThreadAclSource } from './providers.ts'

/** GPFS_GETACL_STRUCT and GPFS_PUTACL_STRUCT: the structure, not the opaque form for backups. */
const asStructure = 0x20
/** Room for 200 entries, tried first, and for the 64 KiB that a cluster may allow. */
const usual = 4096
const most = 65536 + 64

type LibraryFunction = ReturnType<LibraryHandle['func']>

/** What libgpfs offers, as far as it is used. `byFd` is newer than `byPath`. */
interface Calls {
  readonly getByPath: LibraryFunction
  readonly putByPath: LibraryFunction
  readonly getByFd: LibraryFunction | undefined
  readonly putByFd: LibraryFunction | undefined
}

/** The ACLs of this thread's user. Throws `unavailable` where the library cannot be loaded. */
export function createAclSource(): ThreadAclSource {
  return new Libgpfs(load(new URL(import.meta.url).searchParams.get(libraryKey) ?? defaultLibrary))
}

class Libgpfs implements ThreadAclSource {
  readonly #calls: Calls
  #room = Buffer.alloc(usual)

  constructor(calls: Calls) {
    this.#calls = calls
  }

  read(fd: number): Acl | undefined {
    const bytes = this.#get(fd)
    const found = bytes && decodeGpfsStruct(bytes)
    if (!found) return undefined
    const { uid, gid } = sys.fstat(fd)
    return { owner: String(uid), group: String(gid), dialect: 'gpfs', ...found }
  }

  write(fd: number, acl: Acl): void {
    const { aces, flags } = acl
    const bytes = Buffer.from(encodeGpfsStruct(flags === undefined ? { aces } : { aces, flags }))
    const { putByFd, putByPath } = this.#calls
    const errno = call(putByFd, putByPath, fd, bytes)
    if (errno !== 0) throw fromKernel(new sys.Errno(errno, 'gpfs_putacl'))
  }

  /** Undefined for an object that is not on GPFS, or whose file system keeps no such ACLs. */
  #get(fd: number): Uint8Array | undefined {
    const { getByFd, getByPath } = this.#calls
    for (let again = 0; again < 3; again++) {
      // Nothing of another object's list may stand where the library has not written: all ones are no entry.
      this.#room.fill(0xff)
      requestGpfsStruct(this.#room, this.#room.length)
      const errno = call(getByFd, getByPath, fd, this.#room)
      if (errno === 0) return this.#room
      const name = sys.errnoName(errno)
      if (name === 'EINVAL' || name === 'ENOSYS' || name === 'ENOTSUP' || name === 'ENOTTY') return undefined
      if (name !== 'ENOSPC') throw fromKernel(new sys.Errno(errno, 'gpfs_getacl'))
      // The size that is needed stands in the first word; another caller may have made it longer since.
      const needed = new Uint32Array(this.#room.buffer, this.#room.byteOffset, 1)[0] ?? 0
      if (needed <= this.#room.length || needed > most) break
      this.#room = Buffer.alloc(needed + usual)
    }
    throw new StorageError('too-large', 'the ACL is too long to be read')
  }
}

/**
 * 0, or the number of the error. A descriptor that only names its object (O_PATH), which the library may take for a
 * bad or an unfit one, is used by its path below /proc.
 */
function call(byFd: LibraryFunction | undefined, byPath: LibraryFunction, fd: number, bytes: Buffer): number {
  if (byFd) {
    if (byFd(fd, asStructure, bytes) === 0) return 0
    const errno = koffi.errno()
    const name = sys.errnoName(errno)
    if (name !== 'EBADF' && name !== 'EINVAL') return errno
  }
  return byPath(sys.procPath(fd), asStructure, bytes) === 0 ? 0 : koffi.errno()
}

function load(library: string): Calls {
  try {
    const lib = koffi.load(library)
    return {
      getByPath: lib.func('int gpfs_getacl(const char *, int, void *)'),
      putByPath: lib.func('int gpfs_putacl(const char *, int, void *)'),
      getByFd: optional(() => lib.func('int gpfs_getacl_fd(int, int, void *)')),
      putByFd: optional(() => lib.func('int gpfs_putacl_fd(int, int, void *)')),
    }
  } catch (cause) {
    throw new StorageError('unavailable', 'libgpfs cannot be loaded', { cause })
  }
}

/** A function that older releases of the library do not have. */
function optional(find: () => LibraryFunction): LibraryFunction | undefined {
  try {
    return find()
  } catch {
    // Not in this library: the older function of the same meaning is used.
    return undefined
  }
}
