/** Password hashes `scrypt$N$r$p$SALT$HASH` (RFC 7914; salt and hash in base64url). */

import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../secret.ts'

interface ScryptHash {
  readonly cost: number
  readonly blockSize: number
  readonly parallelization: number
  readonly salt: Buffer
  readonly hash: Buffer
}

const grammar = /^scrypt\$(\d{5,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9_-]{22,86})\$([A-Za-z0-9_-]{43,86})$/
const maxMemory = 256 * 1024 * 1024

/** Equal work for names that do not exist, so that the time of an answer does not tell them apart. */
export const decoyHash = `scrypt$32768$8$3$${'A'.repeat(22)}$${'A'.repeat(43)}`

/** Whether the text is a hash of a cost that is neither worthless nor ruinous. */
export function isPasswordHash(text: string): boolean {
  return read(text) !== undefined
}

/** Takes tens of milliseconds and 32 MiB on a thread of the pool. */
export async function hashPassword(password: Secret): Promise<string> {
  const [cost, blockSize, parallelization] = [32_768, 8, 3]
  const salt = randomBytes(16)
  const hash = await derive(password.reveal(), { cost, blockSize, parallelization, salt, hash: Buffer.alloc(32) })
  return `scrypt$${cost}$${blockSize}$${parallelization}$${salt.toString('base64url')}$${hash.toString('base64url')}`
}

/** Compares in constant time; false for a text that is no hash. */
export async function verifyPassword(password: Secret, text: string): Promise<boolean> {
  const stored = read(text)
  if (stored === undefined) return false
  return timingSafeEqual(await derive(password.reveal(), stored), stored.hash)
}

function read(text: string): ScryptHash | undefined {
  const match = grammar.exec(text)
  if (match === null) return undefined
  const [, cost, blockSize, parallelization] = match.map(Number)
  const [salt, hash] = [Buffer.from(match[4] ?? '', 'base64url'), Buffer.from(match[5] ?? '', 'base64url')]
  if (cost === undefined || blockSize === undefined || parallelization === undefined) return undefined
  const isPowerOfTwo = (cost & (cost - 1)) === 0
  const isSane = cost >= 16_384 && blockSize >= 8 && parallelization >= 1 && parallelization <= 16
  if (!isPowerOfTwo || !isSane || 128 * cost * blockSize > maxMemory) return undefined
  return { cost, blockSize, parallelization, salt, hash }
}

function derive(password: string, { hash, salt, ...parameters }: ScryptHash): Promise<Buffer> {
  // Node counts some more than the 128 * N * r of the algorithm.
  const limits = { ...parameters, maxmem: 2 * maxMemory }
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hash.length, limits, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
