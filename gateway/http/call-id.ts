/** Short random names for calls: shown to callers, written to logs. */

import { randomFillSync } from 'node:crypto'

const idBytes = 12
const pool = Buffer.alloc(idBytes * 512)
let used = pool.length

/** 16 characters of URL-safe base64: 96 random bits. */
export function newCallId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += idBytes
  return pool.toString('base64url', used - idBytes, used)
}
