/** The C library, and the buffers through which this thread hands names and structures to it. */

import koffi from 'koffi'
import { Errno } from './errno.ts'

export const libc = koffi.load('libc.so.6')

/** Longest path in bytes, without its NUL. */
const pathMax = 4095

// One call at a time happens on a thread, so its scratch space can be shared by all of them.
const first = Buffer.alloc(pathMax + 1)
const second = Buffer.alloc(pathMax + 1)

/** A name or path as a caller gives it: a string, written as UTF-8, or its bytes without NUL. */
export type Name = string | Uint8Array

/** Throws for the system call that has just answered -1. Must be called before anything else touches errno. */
export function fail(syscall: string): never {
  throw new Errno(koffi.errno(), syscall)
}

/** The error number of the system call that has just answered -1. */
export function lastErrno(): number {
  return koffi.errno()
}

/** `name` as a C string, valid until the next call of this function. Throws EINVAL for one with a NUL. */
export function cString(name: Name): Buffer {
  return write(name, first)
}

/** The same for a call that takes two names. */
export function otherCString(name: Name): Buffer {
  return write(name, second)
}

function write(name: Name, into: Buffer): Buffer {
  let length: number
  if (typeof name === 'string') {
    if (name.length * 3 > pathMax && Buffer.byteLength(name) > pathMax) throw new Errno(36, 'name')
    if (name.includes('\0')) throw new Errno(22, 'name')
    length = into.write(name, 0, pathMax)
  } else {
    if (name.length > pathMax) throw new Errno(36, 'name')
    if (name.includes(0)) throw new Errno(22, 'name')
    into.set(name)
    length = name.length
  }
  into[length] = 0
  return into
}
