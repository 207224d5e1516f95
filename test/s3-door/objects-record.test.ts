/** What is kept with objects, and the words it is told in. */

import t from 'tap'
import { DigestSet } from '../../gateway/core/digests.ts'
import {
  algorithmOf,
  announcedChecksum,
  base64,
  checksumAlgorithms,
  digestOf,
  lengthOf,
  parseChecksum,
  parseContentMd5,
} from '../../gateway/s3/checksums.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import { etagOf, names, parseEtags } from '../../gateway/s3/etags.ts'
import { describe, descriptionHeaders } from '../../gateway/s3/metadata.ts'
import { hintOf, rangeOf, sourceRangeOf } from '../../gateway/s3/ranges.ts'
import { countParts, decodeRecord, encodeRecord, type ObjectRecord, runsOf, spanOf } from '../../gateway/s3/record.ts'
import { parseTagging, tagSet, tagsIn } from '../../gateway/s3/tag-set.ts'
import { parseRoot } from '../../gateway/s3/xml.ts'

const plain: ObjectRecord = { headers: {}, meta: {}, tags: [] }

/** The code of what is thrown. */
function codeOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return error instanceof S3Error ? error.s3Code : String(error)
  }
}

t.test('a record comes back as it was put', async (t) => {
  const record: ObjectRecord = {
    etag: 'a56979024342128ecebc884e3442121b-2',
    headers: { 'content-type': 'text/plain', 'content-disposition': 'attachment; filename="\xe9"' },
    meta: { mtime: '1.5', 'a.b_c': '', ünïx: 'x' },
    tags: [
      ['project', 'ä b'],
      ['e', ''],
    ],
    checksum: { algorithm: 'CRC32', type: 'COMPOSITE', value: 'otMqCw==-2' },
    parts: {
      sizes: [
        { size: 5, count: 1 },
        { size: 6, count: 1 },
      ],
      checksums: Buffer.alloc(8, 7),
    },
  }
  const { ünïx: _, ...meta } = record.meta
  const kept = { ...record, meta }
  t.same(decodeRecord(encodeRecord(kept)), kept)
  t.equal(decodeRecord(encodeRecord(record)), undefined, 'a name that is no field name is nobody’s')
  t.equal(encodeRecord(plain), undefined, 'nothing takes no room')
  t.same(decodeRecord(encodeRecord({ ...plain, etag: 'x' })), { ...plain, etag: 'x' })
})

t.test('what somebody else has put into a record is not taken for one', async (t) => {
  const bad: readonly unknown[] = [
    'no JSON',
    '[]',
    'null',
    '{"v":2}',
    { v: 1, etag: 'two words' },
    { v: 1, etag: 'a"b' },
    { v: 1, etag: 7 },
    { v: 1, headers: { 'content-type': 'a\r\nSet-Cookie: x' } },
    { v: 1, headers: { 'set-cookie': 'x' } },
    { v: 1, headers: [] },
    { v: 1, meta: { 'a b': 'x' } },
    { v: 1, meta: { a: '\u0100' } },
    { v: 1, meta: { a: 1 } },
    { v: 1, tags: [['a']] },
    { v: 1, tags: Array.from({ length: 11 }, (_, index) => [String(index), '']) },
    { v: 1, tags: [['\ud800', '']] },
    { v: 1, sum: ['MD6', 'FULL_OBJECT', 'AAAA'] },
    { v: 1, sum: ['CRC32', 'FULL_OBJECT', 'A\r\n'] },
    { v: 1, parts: [] },
    { v: 1, parts: [[1, 10_001]] },
    { v: 1, parts: [[-1, 1]] },
    { v: 1, parts: [[2 ** 52, 4]] },
    { v: 1, parts: [[1]] },
    { v: 1, etag: 'x', headers: { 'content-type': 'x'.repeat(70_000) } },
  ]
  for (const each of bad) {
    const text = typeof each === 'string' ? each : JSON.stringify(each)
    t.equal(decodeRecord(text), undefined, text.slice(0, 60))
  }
  t.equal(decodeRecord(undefined), undefined)
})

t.test('ten thousand parts fit', async (t) => {
  const sizes = runsOf(Array.from({ length: 10_000 }, () => 8 * 1024 ** 2))
  const long: ObjectRecord = {
    ...plain,
    etag: 'x-10000',
    checksum: { algorithm: 'SHA256', type: 'COMPOSITE', value: `${'A'.repeat(43)}=-10000` },
    parts: { sizes, checksums: Buffer.alloc(320_000) },
  }
  const text = encodeRecord(long) ?? ''
  t.ok(Buffer.byteLength(text) <= 65_536, `${text.length} bytes`)
  const { parts, ...rest } = decodeRecord(text) ?? plain
  t.same(parts, { sizes }, 'without their checksums')
  t.equal(rest.etag, 'x-10000')
  const uneven = runsOf(Array.from({ length: 10_000 }, (_, index) => 5 * 1024 ** 2 + index))
  const worst = encodeRecord({ ...long, parts: { sizes: uneven } }) ?? ''
  t.ok(Buffer.byteLength(worst) <= 65_536)
  t.equal(decodeRecord(worst)?.etag, 'x-10000', 'the rest is kept where not even the sizes fit')
})

t.test('parts are found by their number', async (t) => {
  const sizes = runsOf([5, 5, 5, 7, 2])
  t.same(sizes, [
    { size: 5, count: 3 },
    { size: 7, count: 1 },
    { size: 2, count: 1 },
  ])
  t.equal(countParts({ sizes }), 5)
  t.same(
    [1, 3, 4, 5].map((number) => spanOf({ sizes }, number)),
    [
      { start: 0, end: 5 },
      { start: 10, end: 15 },
      { start: 15, end: 22 },
      { start: 22, end: 24 },
    ],
  )
  t.equal(spanOf({ sizes }, 6), undefined)
})

t.test('an ETag is the record’s, or one that nobody takes for an MD5', async (t) => {
  const file = { type: 'file', version: '0123456789abcdef0123456789abcdef' } as const
  t.equal(etagOf(file, { ...plain, etag: 'e' }), 'e')
  t.equal(etagOf(file, plain), '0123456789abcdef0123456789abcdef-0')
  t.equal(etagOf({ type: 'directory', version: 'v' }, { ...plain, etag: 'e' }), 'd41d8cd98f00b204e9800998ecf8427e')
  t.same(parseEtags(' "a", "b" '), ['a', 'b'])
  t.same(parseEtags('d41d8cd98f00b204e9800998ecf8427e'), ['d41d8cd98f00b204e9800998ecf8427e'], 'without quotes')
  t.equal(parseEtags('*'), '*')
  t.equal(
    codeOf(() => parseEtags('"a')),
    'InvalidArgument',
  )
  t.ok(names('*', 'x') && names(['x'], 'x') && !names(['y'], 'x'))
})

t.test('checksums of S3 are those of the digests', async (t) => {
  const known = {
    CRC32: 'y/Q5Jg==',
    CRC32C: '4waSgw==',
    CRC64NVME: 'rosUhgp5mIg=',
    SHA1: '98O8HYCOBHMq32eZZczDTKeuNEE=',
    SHA256: 'FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=',
  } as const
  for (const algorithm of checksumAlgorithms) {
    const set = new DigestSet([digestOf(algorithm)])
    set.update(Buffer.from('123456789'))
    const bytes = set.finish()[digestOf(algorithm)] ?? new Uint8Array()
    t.equal(base64(bytes), known[algorithm])
    t.equal(bytes.length, lengthOf(algorithm))
    t.same(parseChecksum(algorithm, known[algorithm]), bytes)
    t.equal(algorithmOf(algorithm.toLowerCase()), algorithm)
  }
  t.equal(
    codeOf(() => parseChecksum('CRC32', 'AAAAAAA=')),
    'InvalidRequest',
  )
  t.equal(
    codeOf(() => parseChecksum('CRC32', '!!!!')),
    'InvalidRequest',
  )
  t.same(parseContentMd5('XUFAKrxLKna5cZ2REBfFkg=='), Buffer.from('5d41402abc4b2a76b9719d911017c592', 'hex'))
  t.equal(
    codeOf(() => parseContentMd5('aGVsbG8=')),
    'InvalidDigest',
  )
})

t.test('one checksum comes with a body, and it is the one that was announced', async (t) => {
  const announced = (fields: Record<string, string>, trailer?: string) =>
    announcedChecksum(new Map(Object.entries(fields)), trailer)
  t.equal(announced({}), undefined)
  t.same(announced({ 'x-amz-checksum-crc32': 'NhCmhg==' }), {
    algorithm: 'CRC32',
    value: Buffer.from('NhCmhg==', 'base64'),
  })
  t.same(announced({}, 'x-amz-checksum-crc64nvme'), { algorithm: 'CRC64NVME', value: undefined })
  t.ok(announced({ 'x-amz-checksum-crc32': 'NhCmhg==', 'x-amz-sdk-checksum-algorithm': 'crc32' }))
  const refused: ReadonlyArray<readonly [Record<string, string>, string?]> = [
    [{ 'x-amz-checksum-crc32': 'NhCmhg==', 'x-amz-checksum-crc32c': 'mnG7TA==' }],
    [{ 'x-amz-checksum-crc32': 'NhCmhg==' }, 'x-amz-checksum-crc32'],
    [{ 'x-amz-sdk-checksum-algorithm': 'CRC32' }],
    [{ 'x-amz-sdk-checksum-algorithm': 'SHA256', 'x-amz-checksum-crc32': 'NhCmhg==' }],
    [{ 'x-amz-sdk-checksum-algorithm': 'CRC7', 'x-amz-checksum-crc32': 'NhCmhg==' }],
    [{ 'x-amz-checksum-crc32': 'NhCmhg' }],
    [{}, 'x-amz-meta-a'],
  ]
  for (const [fields, trailer] of refused) {
    t.equal(
      codeOf(() => announced(fields, trailer)),
      'InvalidRequest',
      JSON.stringify([fields, trailer]),
    )
  }
  t.equal(
    codeOf(() => announced({ 'x-amz-checksum-xxhash64': 'x' })),
    'NotImplemented',
    'and never taken for right',
  )
})

t.test('metadata are kept as they were sent', async (t) => {
  const fields = new Map([
    ['content-type', 'text/x'],
    ['content-encoding', 'aws-chunked, gzip'],
    ['cache-control', ''],
    ['x-amz-meta-caf\xc3\xa9', ''],
    ['x-amz-meta-a', 'b\xe9'],
    ['x-amz-acl', 'private'],
    ['x-amz-tagging', 'a=b+c&d'],
    ['x-amz-date', 'no metadata'],
  ])
  fields.delete('x-amz-meta-caf\xc3\xa9')
  const told = describe(fields)
  t.same(told, {
    headers: { 'content-encoding': 'gzip', 'content-type': 'text/x' },
    meta: { a: 'b\xe9' },
    tags: [
      ['a', 'b c'],
      ['d', ''],
    ],
  })
  t.same(descriptionHeaders(told).slice(-4), ['x-amz-meta-a', 'b\xe9', 'x-amz-tagging-count', '2'])
  const big = (size: number) => new Map([['x-amz-meta-a', 'x'.repeat(size)]])
  t.ok(describe(big(2047)))
  t.equal(
    codeOf(() => describe(big(2048))),
    'MetadataTooLarge',
  )
  const refused: ReadonlyArray<readonly [string, string, string]> = [
    ['x-amz-acl', 'public-read', 'AccessControlListNotSupported'],
    ['x-amz-grant-read', 'id=x', 'AccessControlListNotSupported'],
    ['x-amz-storage-class', 'GLACIER', 'InvalidStorageClass'],
    ['x-amz-server-side-encryption', 'AES256', 'NotImplemented'],
    ['x-amz-object-lock-mode', 'GOVERNANCE', 'NotImplemented'],
    ['x-amz-write-offset-bytes', '0', 'NotImplemented'],
    ['x-amz-meta-a', 'a\nb', 'InvalidArgument'],
    ['x-amz-tagging', 'a=1&a=2', 'InvalidTag'],
    ['x-amz-tagging', 'a=%ff', 'InvalidArgument'],
  ]
  for (const [name, value, code] of refused)
    t.equal(
      codeOf(() => describe(new Map([[name, value]]))),
      code,
      name,
    )
})

t.test('tags are bounded', async (t) => {
  const set = (tags: ReadonlyArray<readonly [string, string]>) =>
    tagsIn(parseRoot(Buffer.from(`<Tagging>${tagSet(tags)}</Tagging>`), 'Tagging'))
  t.same(
    set([
      ['a', 'b'],
      ['c', ''],
    ]),
    [
      ['a', 'b'],
      ['c', ''],
    ],
  )
  t.same(set([]), [])
  t.ok(set([['k'.repeat(128), 'v'.repeat(256)]]))
  t.equal(
    codeOf(() => set([['k'.repeat(129), 'v']])),
    'InvalidTag',
  )
  t.equal(
    codeOf(() => set([['k', 'v'.repeat(257)]])),
    'InvalidTag',
  )
  t.equal(
    codeOf(() =>
      set([
        ['k', '1'],
        ['k', '2'],
      ]),
    ),
    'InvalidTag',
  )
  t.equal(
    codeOf(() => set([['', '1']])),
    'InvalidTag',
  )
  t.equal(
    codeOf(() => set([['aws:x', '1']])),
    'InvalidTag',
  )
  t.equal(
    codeOf(() => set([['a<b', '1']])),
    'InvalidTag',
  )
  t.equal(
    codeOf(() => set(Array.from({ length: 11 }, (_, index) => [String(index), '']))),
    'BadRequest',
  )
  t.equal(
    codeOf(() => tagsIn(parseRoot(Buffer.from('<Tagging/>'), 'Tagging'))),
    'MalformedXML',
  )
  t.same(parseTagging(undefined), [])
})

t.test('one range counts; what is none is passed over', async (t) => {
  t.same(rangeOf('bytes=0-9', 100), { start: 0, end: 10 })
  t.same(rangeOf('bytes=90-', 100), { start: 90, end: 100 })
  t.same(rangeOf('bytes=90-1000', 100), { start: 90, end: 100 })
  t.same(rangeOf('bytes=-10', 100), { start: 90, end: 100 })
  t.same(rangeOf('bytes=-1000', 100), { start: 0, end: 100 })
  for (const header of [undefined, 'bytes=5-4', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=', 'bytes=-', 'bytes=a-b']) {
    t.equal(rangeOf(header, 100), undefined, String(header))
  }
  t.equal(rangeOf('bytes=-5', 0), undefined, 'the end of nothing')
  for (const header of ['bytes=100-', 'bytes=100-200', 'bytes=-0']) {
    t.equal(
      codeOf(() => rangeOf(header, 100)),
      'InvalidRange',
      header,
    )
    t.equal(hintOf(header, 100), undefined)
  }
  t.equal(
    codeOf(() => rangeOf('bytes=0-', 0)),
    'InvalidRange',
  )
  t.same(sourceRangeOf('bytes=0-4', 5), { start: 0, end: 5 })
  for (const header of ['bytes=0-5', 'bytes=0-', 'bytes=-1', 'bytes=3-2', '0-4']) {
    t.equal(
      codeOf(() => sourceRangeOf(header, 5)),
      'InvalidArgument',
      header,
    )
  }
})
