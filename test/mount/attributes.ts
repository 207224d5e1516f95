/** Extended attributes by name, as getfattr(1) and setfattr(1) handle them: without opening the object. */

import { fail, libc } from '../../backends/posix/native/library.ts'

const c = {
  lgetxattr: libc.func('long lgetxattr(const char *, const char *, void *, size_t)'),
  llistxattr: libc.func('long llistxattr(const char *, void *, size_t)'),
  lsetxattr: libc.func('int lsetxattr(const char *, const char *, const void *, size_t, int)'),
}
const room = Buffer.alloc(65_536)

/** Throws Errno: ENODATA where there is none. */
export function getAttribute(path: string, name: string): Buffer {
  const length: number = c.lgetxattr(path, name, room, room.length)
  if (length < 0) fail('lgetxattr')
  return Buffer.from(room.subarray(0, length))
}

export function listAttributes(path: string): readonly string[] {
  const length: number = c.llistxattr(path, room, room.length)
  if (length < 0) fail('llistxattr')
  return room.toString('utf8', 0, length).split('\0').slice(0, -1)
}

export function setAttribute(path: string, name: string, value: Uint8Array): void {
  if (c.lsetxattr(path, name, value, value.length, 0) < 0) fail('lsetxattr')
}
