/** mmap(2) of a part of a file, for programs that compare what a map shows with what was written. */

import koffi from 'koffi'
import { fail, libc } from '../../backends/posix/native/library.ts'

const c = {
  mmap: libc.func('void *mmap(void *, size_t, int, int, int, int64_t)'),
  msync: libc.func('int msync(void *, size_t, int)'),
  munmap: libc.func('int munmap(void *, size_t)'),
  copyOut: libc.func('void *memcpy(void *, const void *, size_t)'),
}
const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1
const MS_SYNC = 4
const page = 4096
const MAP_FAILED = 0xffff_ffff_ffff_ffffn

/** Bytes of an open file as a shared map shows them. The range must lie within the file. */
export function readMapped(fd: number, start: number, length: number): Buffer {
  return mapped(fd, start, length, PROT_READ, (address, skip) => {
    const into = Buffer.alloc(skip + length)
    c.copyOut(into, address, skip + length)
    return into.subarray(skip)
  })
}

/** Writes into a shared map, and puts the pages on disk. The range must lie within the file, which is open for both. */
export function writeMapped(fd: number, start: number, bytes: Buffer): void {
  mapped(fd, start, bytes.length, PROT_READ | PROT_WRITE, (address, skip) => {
    c.copyOut(koffi.address(address) + BigInt(skip), bytes, bytes.length)
    if (c.msync(address, skip + bytes.length, MS_SYNC) < 0) fail('msync')
  })
}

function mapped<T>(
  fd: number,
  start: number,
  length: number,
  protection: number,
  work: (address: unknown, skip: number) => T,
): T {
  const skip = start % page
  const address: unknown = c.mmap(null, skip + length, protection, MAP_SHARED, fd, start - skip)
  if (koffi.address(address) === MAP_FAILED) fail('mmap')
  try {
    return work(address, skip)
  } finally {
    c.munmap(address, skip + length)
  }
}
