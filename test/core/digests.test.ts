import { deflateSync } from 'node:zlib'
import t from 'tap'
import { combineCrc } from '../../backends/crc-combining.ts'
import { digestKinds, digestSizes, startDigest } from '../../backends/digesting.ts'
import { DigestSet } from '../../gateway/core/digests.ts'

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex')

t.test('known values', async (t) => {
  const digits = Buffer.from('123456789')
  const cases = [
    ['adler32', Buffer.from('Wikipedia'), '11e60398'],
    ['adler32', Buffer.alloc(0), '00000001'],
    // RFC 3720, section B.4
    ['crc32c', digits, 'e3069283'],
    ['crc32c', Buffer.alloc(32), '8a9136aa'],
    ['crc32c', Buffer.alloc(32, 0xff), '62a8ab43'],
    ['crc32c', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), '46dd794e'],
    ['crc32c', Buffer.alloc(0), '00000000'],
    // RFC 1952, section 8; Amazon S3 User Guide, "Checking object integrity"
    ['crc32', digits, 'cbf43926'],
    ['crc32', Buffer.alloc(0), '00000000'],
    ['crc64nvme', digits, 'ae8b14860a799888'],
    ['crc64nvme', Buffer.from('hello'), '3377857006524257'],
    ['crc64nvme', Buffer.alloc(0), '0000000000000000'],
    ['sha-1', digits, 'f7c3bc1d808e04732adf679965ccc34ca7ae3441'],
    ['md5', digits, '25f9e794323b453885f5181f1b624d0b'],
    ['sha-256', Buffer.from('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ] as const
  for (const [kind, bytes, expected] of cases) {
    const digest = startDigest(kind)
    digest.update(bytes)
    t.equal(hex(digest.digest()), expected, `${kind} ${bytes.length}`)
  }
})

t.test('the pieces do not matter', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 31) % 256))
  const whole = new DigestSet(digestKinds)
  whole.update(bytes)
  const expected = whole.finish()
  for (const piece of [1, 7, 8, 13, 5552, 5553]) {
    const parts = new DigestSet(digestKinds)
    for (let at = 0; at < bytes.length; at += piece) parts.update(bytes.subarray(at, at + piece))
    const got = parts.finish()
    for (const kind of digestKinds) t.equal(hex(got[kind]), hex(expected[kind]), `${kind} in pieces of ${piece}`)
  }
})

t.test('adler32 does not overflow on the largest sums', async (t) => {
  const digest = startDigest('adler32')
  digest.update(Buffer.alloc(100_000, 0xff))
  let [low, high] = [1, 0]
  for (let count = 0; count < 100_000; count++) {
    low = (low + 255) % 65_521
    high = (high + low) % 65_521
  }
  t.equal(Buffer.from(digest.digest()).readUInt32BE(), high * 65_536 + low)
})

t.test('adler32 is what zlib computes, from any byte of a buffer to any other', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 12_000 }, (_, index) => (index * index * 7 + (index >> 5)) & 0xff))
  for (const [start, end] of [
    [0, 63],
    [1, 65],
    [3, 131],
    [0, 5504],
    [5, 5504 + 5 + 64],
    [7, 11_999],
    [0, 12_000],
  ] as const) {
    const part = bytes.subarray(start, end)
    const digest = startDigest('adler32')
    digest.update(part)
    // RFC 1950, section 2.2: the stream ends in its Adler-32.
    t.equal(hex(digest.digest()), hex(deflateSync(part).subarray(-4)), `${start} to ${end}`)
  }
})

t.test('digests have the sizes that are told', async (t) => {
  const all = new DigestSet(digestKinds).finish()
  for (const kind of digestKinds) t.equal(all[kind]?.length, digestSizes[kind], kind)
})

t.test('the CRC of two pieces comes of those of each', async (t) => {
  const crcOf = (kind: 'crc32' | 'crc32c' | 'crc64nvme', bytes: Uint8Array) => {
    const digest = startDigest(kind)
    digest.update(bytes)
    return digest.digest()
  }
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * index * 7 + index) & 0xff))
  for (const kind of ['crc32', 'crc32c', 'crc64nvme'] as const) {
    for (const cut of [0, 1, 7, 100, 4999, 5000]) {
      const [a, b] = [crcOf(kind, bytes.subarray(0, cut)), crcOf(kind, bytes.subarray(cut))]
      t.equal(hex(combineCrc(kind, a, b, bytes.length - cut)), hex(crcOf(kind, bytes)), `${kind} cut at ${cut}`)
    }
  }
  const [hello, world] = [Buffer.from('hello'), Buffer.from(' world')]
  const together = (kind: 'crc32' | 'crc64nvme') =>
    Buffer.from(combineCrc(kind, crcOf(kind, hello), crcOf(kind, world), world.length)).toString('base64')
  t.equal(together('crc32'), 'DUoRhQ==')
  t.equal(together('crc64nvme'), 'jSnVw/bqjr4=')
})

t.test('a CRC of more zero bytes than 32 bits count comes of smaller ones', async (t) => {
  const zero = startDigest('crc32c')
  zero.update(Buffer.alloc(1024))
  const first = zero.digest()
  let [crc, length] = [first, 1024]
  for (; length < 2 ** 40; length *= 2) crc = combineCrc('crc32c', crc, crc, length)
  // In another order of the same pieces.
  const [third, rest] = [combineCrc('crc32c', first, crc, length), combineCrc('crc32c', crc, first, 1024)]
  t.equal(hex(third), hex(rest))
})
