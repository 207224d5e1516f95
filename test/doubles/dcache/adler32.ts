/** Adler-32 (RFC 1950, section 8.2), also of what is put together from known parts. */

const base = 65521
/** Most bytes that can be summed before the sums outgrow 32 bits. */
const batch = 5552

export function adler32(bytes: Uint8Array, from = 1): number {
  let a = from & 0xffff
  let b = from >>> 16
  for (let start = 0; start < bytes.length; start += batch) {
    const end = Math.min(start + batch, bytes.length)
    for (let i = start; i < end; i++) {
      a += bytes[i] as number
      b += a
    }
    a %= base
    b %= base
  }
  return ((b << 16) | a) >>> 0
}

/** The checksum of two parts one after the other, from theirs and the length of the second. */
export function adler32Joined(first: number, second: number, secondLength: number): number {
  const a1 = first & 0xffff
  const rest = secondLength % base
  const a = (a1 + (second & 0xffff) + base - 1) % base
  const b = ((first >>> 16) + (second >>> 16) + rest * (a1 + base - 1)) % base
  return ((b << 16) | a) >>> 0
}
