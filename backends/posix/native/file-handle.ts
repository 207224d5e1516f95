/** What a file system itself calls an object: its inode and generation, as it tells them to an NFS server. */

import { errnoName } from './errno.ts'
import type { Name } from './library.ts'
import { cString, fail, lastErrno, libc } from './library.ts'

const nameToHandle = libc.func('int name_to_handle_at(int, const void *, void *, void *, int)')

const emptyPath = 0x1000
/** MAX_HANDLE_SZ; struct file_handle has two words before its bytes. */
const most = 128
const head = 8
const room = new ArrayBuffer(head + most)
const bytes = Buffer.from(room)
const words = new Uint32Array(room)
const mount = Buffer.alloc(8)

/**
 * The file handle of one plain name below a directory, links as links, or with "" of an open object, O_PATH included:
 * as text, different for two objects that have one inode number one after the other. Undefined where the file system
 * has none to tell, or where the process may not ask. FS_IOC_GETVERSION would tell the generation alone, takes no
 * O_PATH descriptor, and few file systems know it.
 */
export function fileHandle(dirfd: number, name: Name): string | undefined {
  words[0] = most
  if (nameToHandle(dirfd, cString(name), bytes, mount, name.length === 0 ? emptyPath : 0) === 0) {
    return bytes.toString('latin1', head, head + Math.min(words[0] ?? 0, most))
  }
  const code = errnoName(lastErrno())
  if (code === 'ENOTSUP' || code === 'EOVERFLOW' || code === 'ENOSYS' || code === 'EPERM') return undefined
  return fail('name_to_handle_at')
}
