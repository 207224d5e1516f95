import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { ChunkedDecoder, type ChunkedOptions } from '../../gateway/s3/chunked.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import type { ChunkSigning } from '../../gateway/s3/payload-mode.ts'
import { deriveSigningKey, emptyHash, signatureOf } from '../../gateway/s3/sigv4.ts'

/** The examples of the Amazon S3 API Reference: "Signature calculations … transferring payload in multiple chunks", and "… including trailing headers". */
const scope = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', day: '20130524', region: 'us-east-1', service: 's3' }
const key = deriveSigningKey(new Secret('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'), scope)
const signingFrom = (seed: string): ChunkSigning => ({
  key,
  date: '20130524T000000Z',
  scope: '20130524/us-east-1/s3/aws4_request',
  seed,
})

const plainSeed = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'
const trailerSeed = '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e'
const first = 'a'.repeat(65536)
const second = 'a'.repeat(1024)
const signedBody =
  `10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n${first}\r\n` +
  `400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n${second}\r\n` +
  `0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n`
const trailerBody =
  `10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n${first}\r\n` +
  `400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n${second}\r\n` +
  `0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n` +
  `x-amz-checksum-crc32c:sOO8/Q==\r\n` +
  `x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n`
const signed: ChunkedOptions = { length: 66560, signing: signingFrom(plainSeed), hasTrailer: false, trailer: undefined }
const withTrailer: ChunkedOptions = {
  length: 66560,
  signing: signingFrom(trailerSeed),
  hasTrailer: true,
  trailer: 'x-amz-checksum-crc32c',
}
const unsigned: ChunkedOptions = { length: 5, signing: undefined, hasTrailer: true, trailer: 'x-amz-checksum-crc32' }
const unsignedBody = '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n'

/** `size`: bytes of a packet. */
function* packets(body: string, size: number): Generator<Buffer> {
  const bytes = Buffer.from(body, 'latin1')
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function decode(options: ChunkedOptions, body: string, size = 1_000_000) {
  const decoder = new ChunkedDecoder(options)
  const [bytes] = await Promise.all([buffer(decoder), pipeline(packets(body, size), decoder)])
  return { text: bytes.toString('latin1'), trailers: Object.fromEntries(decoder.trailers) }
}

async function codeOf(options: ChunkedOptions, body: string, size?: number): Promise<string> {
  try {
    await decode(options, body, size)
    return 'none'
  } catch (error) {
    return error instanceof S3Error ? `${error.status} ${error.s3Code}` : String(error)
  }
}

/** Byte after byte where it does not take long. */
const smallest = (body: string) => [body.length < 10_000 ? 1 : 97, 1_000_000]
const sizes = [13, 64, 87, 1000, 65_535, 65_536, 1_000_000]

t.test('the documented chunks are accepted however they are cut on the way', async (t) => {
  t.equal(signedBody.length, 66824)
  t.equal(trailerBody.length, 66946)
  for (const size of sizes) {
    t.same(await decode(signed, signedBody, size), { text: first + second, trailers: {} }, `${size}`)
    const trailers = { 'x-amz-checksum-crc32c': 'sOO8/Q==' }
    t.same(await decode(withTrailer, trailerBody, size), { text: first + second, trailers }, `${size}`)
  }
})

t.test('chunks without signatures end in their trailer', async (t) => {
  for (const size of [1, 2, 3, 5, 100]) {
    const found = await decode(unsigned, unsignedBody, size)
    t.same(found, { text: 'hello', trailers: { 'x-amz-checksum-crc32': 'NhCmhg==' } })
  }
  const empty = '0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n'
  t.same((await decode({ ...unsigned, length: 0 }, empty)).trailers, { 'x-amz-checksum-crc32': 'AAAAAA==' })
  t.equal((await decode({ ...unsigned, trailer: undefined }, '5\r\nhello\r\n0\r\n\r\n')).text, 'hello')
})

t.test('sizes may be written in upper case and with zeros', async (t) => {
  const body = `000A\r\n0123456789\r\nb\r\n0123456789a\r\n0000\r\n\r\n`
  t.equal((await decode({ ...unsigned, length: 21, trailer: undefined }, body)).text, '01234567890123456789a')
})

t.test('trailers that some clients set apart are understood', async (t) => {
  const apart = trailerBody.replace('sOO8/Q==\r\n', 'sOO8/Q==\n\r\n')
  t.equal(await codeOf(withTrailer, apart), 'none')
  t.equal(await codeOf(withTrailer, apart, 33), 'none')
  t.equal(await codeOf(unsigned, unsignedBody.replace('NhCmhg==\r\n', 'NhCmhg==\n\r\n')), 'none')
})

t.test('a chunk whose signature is wrong ends the body', async (t) => {
  const rows: readonly [what: string, options: ChunkedOptions, body: string][] = [
    ['first chunk', signed, signedBody.replace('ad80', 'ad81')],
    ['middle chunk', signed, signedBody.replace('0055627c', '0055627d')],
    ['last chunk', signed, signedBody.replace('b6c6', 'b6c7')],
    ['a byte of the data', signed, signedBody.replace('aaaa\r\n400', 'aaab\r\n400')],
    ['a short signature', signed, signedBody.replace('b6c6ea8a', '')],
    ['no digits', signed, signedBody.replace(/b6c6\w+/, '')],
    ['another seed', { ...signed, signing: signingFrom(trailerSeed) }, signedBody],
    ['the trailer', withTrailer, trailerBody.replace('sOO8', 'sOO9')],
    ['its signature', withTrailer, trailerBody.replace('d81f', 'd81e')],
  ]
  for (const [what, options, body] of rows) {
    for (const size of [997, 1_000_000]) t.equal(await codeOf(options, body, size), '403 SignatureDoesNotMatch', what)
  }
})

t.test('what does not follow the framing, or is not as long as announced, is incomplete', async (t) => {
  const bare: ChunkedOptions = { ...unsigned, trailer: undefined }
  const rows: readonly [what: string, options: ChunkedOptions, body: string][] = [
    ['nothing', signed, ''],
    ['ended in a chunk', signed, signedBody.slice(0, 1000)],
    ['ended before the last', signed, signedBody.slice(0, -88)],
    ['ended before the end', signed, signedBody.slice(0, -2)],
    ['chunks without signatures', { ...signed, length: 5 }, '5\r\nhello\r\n0\r\n\r\n'],
    ['chunks with signatures', unsigned, signedBody],
    ['more announced', { ...signed, length: 66561 }, signedBody],
    ['less announced', { ...signed, length: 66559 }, signedBody],
    ['no CR', bare, '5\nhello\n0\n\n'],
    ['no end of a chunk', bare, '5\r\nhello0\r\n\r\n'],
    ['a longer chunk', bare, '5\r\nhellox\r\n0\r\n\r\n'],
    ['no number', bare, 'hello\r\n'],
    ['an empty size', bare, '\r\nhello\r\n'],
    ['a negative size', bare, '-5\r\nhello\r\n0\r\n\r\n'],
    ['a huge size', bare, 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['a size beyond what is announced', bare, 'fffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['an extension', bare, '5;x=y\r\nhello\r\n0\r\n\r\n'],
    ['a line without an end', bare, '0'.repeat(5000)],
    ['more behind the end', unsigned, `${unsignedBody}more`],
    ['another body behind the end', unsigned, unsignedBody + unsignedBody],
    ['empty lines behind the end', unsigned, `${unsignedBody}\r\n\r\n`],
    ['the trailer cut', unsigned, unsignedBody.slice(0, -2)],
    ['a trailer that is not announced', signed, signedBody.replace(/\r\n$/, 'x-amz-checksum-crc32:NhCmhg==\r\n\r\n')],
  ]
  for (const [what, options, body] of rows) {
    for (const size of smallest(body)) t.equal(await codeOf(options, body, size), '400 IncompleteBody', what)
  }
})

t.test('a trailer has the one field that was announced', async (t) => {
  const rows: readonly [what: string, options: ChunkedOptions, body: string][] = [
    ['none', unsigned, '5\r\nhello\r\n0\r\n\r\n'],
    ['another', unsigned, unsignedBody.replace('crc32:', 'crc32c:')],
    ['two', unsigned, unsignedBody.replace('NhCmhg==', 'NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==')],
    ['one more', unsigned, unsignedBody.replace('NhCmhg==', 'NhCmhg==\r\nx-amz-meta-a:1')],
    ['no name', unsigned, unsignedBody.replace('x-amz-checksum-crc32:', ':')],
    ['no field', unsigned, unsignedBody.replace('x-amz-checksum-crc32:', '')],
    ['not announced', { ...unsigned, trailer: undefined }, unsignedBody],
    [
      'a signature where nothing is signed',
      unsigned,
      unsignedBody.replace('\r\n\r\n', '\r\nx-amz-trailer-signature:0\r\n\r\n'),
    ],
    ['no signature', withTrailer, trailerBody.replace(/x-amz-trailer-signature.*\r\n/, '\r\n')],
    ['only a signature', withTrailer, trailerBody.replace(/x-amz-checksum.*\r\n/, '')],
    [
      'a field behind the signature',
      withTrailer,
      trailerBody.replace(/\r\n$/, 'x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n'),
    ],
  ]
  for (const [what, options, body] of rows) {
    for (const size of smallest(body)) t.equal(await codeOf(options, body, size), '400 MalformedTrailerError', what)
  }
})

t.test('many small chunks are handed on together', async (t) => {
  const body = `${'1\r\nx\r\n'.repeat(20_000)}0\r\n\r\n`
  const decoder = new ChunkedDecoder({ length: 20_000, signing: undefined, hasTrailer: true, trailer: undefined })
  let pieces = 0
  decoder.on('data', () => pieces++)
  await pipeline(packets(body, 65_536), decoder)
  t.ok(pieces < 10, `${pieces} pieces`)
})

t.test('a body of many signed chunks is taken as it comes', async (t) => {
  const chunk = Buffer.alloc(100_000, 7)
  const digest = createHash('sha256').update(chunk).digest('hex')
  let previous = plainSeed
  const next = (hash: string) => {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n${previous}\n${emptyHash}\n${hash}`
    previous = signatureOf(key, text)
    return previous
  }
  const parts: Buffer[] = []
  for (let at = 0; at < 50; at++) {
    parts.push(Buffer.from(`186a0;chunk-signature=${next(digest)}\r\n`), chunk, Buffer.from('\r\n'))
  }
  parts.push(Buffer.from(`0;chunk-signature=${next(emptyHash)}\r\n\r\n`))
  const found = await decode({ ...signed, length: 5_000_000 }, Buffer.concat(parts).toString('latin1'), 65_536)
  t.equal(found.text.length, 5_000_000)
})

t.test('whatever is done to a body, it is what was sent or refused', async (t) => {
  const property = fc.asyncProperty(
    fc.constantFrom<readonly [ChunkedOptions, string]>(
      [unsigned, unsignedBody],
      [signed, signedBody],
      [withTrailer, trailerBody],
    ),
    fc.nat(),
    fc.nat(8),
    fc.string({ unit: 'binary-ascii', maxLength: 8 }),
    fc.integer({ min: 1, max: 4096 }),
    async ([options, body], at, removed, inserted, size) => {
      // Where the framing is: in front of the data and behind it.
      const start = at % 2 === 0 ? at % Math.min(body.length, 120) : body.length - (at % Math.min(body.length, 400))
      const spoiled = body.slice(0, start) + inserted + body.slice(start + removed)
      const outcome = await decode(options, spoiled, Math.max(size, body.length / 200)).catch((error: unknown) => error)
      if (outcome instanceof S3Error) return outcome.status < 500
      const { text } = outcome as Awaited<ReturnType<typeof decode>>
      return text.length === options.length && (options.signing === undefined || text === first + second)
    },
  )
  await t.resolves(fc.assert(property, { numRuns: 200 }))
})
