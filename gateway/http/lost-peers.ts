/** Peers that are gone without a word: a machine that lost its power, a network that was cut. */

import type { Socket } from 'node:net'
import koffi from 'koffi'
import { descriptorOf } from './direct.ts'

const IPPROTO_TCP = 6
const TCP_USER_TIMEOUT = 18
const value = Buffer.alloc(4)

let setsockopt: ((fd: number, level: number, name: number, value: Buffer, length: number) => number) | undefined

/**
 * From now on the connection ends when something that was sent on it is not acknowledged for `ms` (tcp(7),
 * TCP_USER_TIMEOUT); by itself the kernel waits for a quarter of an hour. Changes nothing where it cannot be set.
 */
export function noticeLoss(socket: Socket, ms: number): void {
  const fd = descriptorOf(socket)
  if (fd === undefined) return
  setsockopt ??= koffi.load('libc.so.6').func('int setsockopt(int, int, int, const void *, uint32_t)')
  value.writeInt32LE(ms)
  setsockopt?.(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value, value.length)
}
