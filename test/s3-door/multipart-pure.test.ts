/** Uploads in parts, without a server: the list of parts, checksums and ETags, what is noted, sources of copies. */

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import t from 'tap'
import type { Digest, Digests } from '../../backends/backend.ts'
import { DigestSet } from '../../gateway/core/digests.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { maxCompleteXml, parseComplete } from '../../gateway/s3/complete-xml.ts'
import { parseCopySource } from '../../gateway/s3/copy-source.ts'
import { S3Error, type S3ErrorCode } from '../../gateway/s3/error.ts'
import {
  type ChecksumPlan,
  checksumOfParts,
  checksumsAlong,
  digestsOfPart,
  etagOfPart,
  etagOfParts,
  isListedRight,
  planOf,
  requirePlan,
  requireWhole,
} from '../../gateway/s3/multipart-checksums.ts'
import { countOf, limitOf, readNote, writeNote } from '../../gateway/s3/multipart-note.ts'
import { partNumberOf } from '../../gateway/s3/upload-part.ts'

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'
const etag = '5d41402abc4b2a76b9719d911017c592'

function codeOf(work: () => unknown): S3ErrorCode | 'nothing' {
  try {
    work()
  } catch (error) {
    if (error instanceof S3Error) return error.s3Code
    throw error
  }
  return 'nothing'
}

function complete(parts: string, attributes = ''): Uint8Array {
  return Buffer.from(`<CompleteMultipartUpload${attributes}>${parts}</CompleteMultipartUpload>`)
}

function headers(fields: Readonly<Record<string, string>>) {
  return { header: (name: string) => fields[name] }
}

function query(fields: Readonly<Record<string, string>>) {
  return { has: (name: string) => name in fields, get: (name: string) => fields[name], keys: () => Object.keys(fields) }
}

function digested(text: string): { readonly digests: Digests; readonly size: number } {
  const kinds: readonly Digest[] = ['md5', 'crc32', 'crc32c', 'crc64nvme', 'sha-1', 'sha-256']
  const set = new DigestSet(kinds)
  set.update(Buffer.from(text))
  return { digests: set.finish(), size: text.length }
}

t.test('lists of parts are read in every form that clients send', async (t) => {
  const quoted = `<Part><ETag>"${etag}"</ETag><PartNumber>1</PartNumber></Part>`
  const forms = [
    complete(quoted, ` xmlns="${namespace}"`),
    complete(`<Part><PartNumber>1</PartNumber><ETag>&quot;${etag}&quot;</ETag></Part>`),
    complete(`\n  <Part>\n <PartNumber> 1 </PartNumber> <ETag>&#34;${etag}&#34;</ETag> </Part>\n`),
    complete(`<Part><PartNumber>1</PartNumber><ETag>&#x22;${etag}&#x22;</ETag></Part>`),
    complete(`<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part>`, ` xmlns='${namespace}'`),
    complete(`<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag><Unknown><a/></Unknown></Part><Other/>`),
    Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${complete(quoted)}\n`),
    Buffer.from(
      `<s3:CompleteMultipartUpload xmlns:s3="${namespace}"><s3:Part><s3:PartNumber>1</s3:PartNumber><s3:ETag>${etag}</s3:ETag></s3:Part></s3:CompleteMultipartUpload>`,
    ),
  ]
  for (const form of forms) t.same(parseComplete(form), [{ number: 1, etag, checksums: {} }], form.toString())
  const withSums = `<Part><PartNumber>7</PartNumber><ETag>${etag}</ETag><ChecksumCRC32>NhCmhg==</ChecksumCRC32><ChecksumSHA256>x</ChecksumSHA256></Part>`
  t.same(parseComplete(complete(withSums)), [{ number: 7, etag, checksums: { CRC32: 'NhCmhg==', SHA256: 'x' } }])
  const many = Array.from(
    { length: 10_000 },
    (_, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>"${etag}"</ETag></Part>`,
  )
  t.equal(parseComplete(complete(many.join(''))).length, 10_000)
})

t.test('lists of parts that are none are refused by name', async (t) => {
  const part = (number: number | string, tag = etag) =>
    `<Part><PartNumber>${number}</PartNumber><ETag>${tag}</ETag></Part>`
  const refused: ReadonlyArray<readonly [body: Uint8Array, code: S3ErrorCode]> = [
    [Buffer.from(''), 'MalformedXML'],
    [complete(''), 'MalformedXML'],
    [Buffer.from('<CompleteMultipartUpload/>'), 'MalformedXML'],
    [Buffer.from('<Other/>'), 'MalformedXML'],
    [Buffer.from('{}'), 'MalformedXML'],
    [complete(part('one')), 'MalformedXML'],
    [complete(part('-1')), 'MalformedXML'],
    [complete(part('1.5')), 'MalformedXML'],
    [complete(`<Part><PartNumber>1</PartNumber></Part>`), 'MalformedXML'],
    [complete(`<Part><ETag>${etag}</ETag></Part>`), 'MalformedXML'],
    [complete(`<Part><PartNumber>1</PartNumber><PartNumber>2</PartNumber><ETag>${etag}</ETag></Part>`), 'MalformedXML'],
    [complete(`<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag>`), 'MalformedXML'],
    [Buffer.concat([complete(part(1)), Buffer.from('<more/>')]), 'MalformedXML'],
    [complete(part(0)), 'InvalidArgument'],
    [complete(part(10_001)), 'InvalidArgument'],
    [complete(part(2) + part(1)), 'InvalidPartOrder'],
    [complete(part(1) + part(1)), 'InvalidPartOrder'],
    [complete('<Part>'.repeat(50_000)), 'MalformedXML'],
    [complete('<a>b</a>'.repeat(200_000)), 'MalformedXML'],
    [complete(`<Part>${'<a>b</a>'.repeat(200_000)}</Part>`), 'MalformedXML'],
    [Buffer.alloc(maxCompleteXml + 1, ' '), 'MalformedXML'],
    [
      Buffer.from(
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><CompleteMultipartUpload><Part><ETag>&b;</ETag></Part></CompleteMultipartUpload>',
      ),
      'MalformedXML',
    ],
    [Buffer.from([0x3c, 0xff, 0xfe]), 'MalformedXML'],
  ]
  for (const [body, code] of refused) {
    t.equal(
      codeOf(() => parseComplete(body)),
      code,
      Buffer.from(body.subarray(0, 120)).toString(),
    )
  }
  const many = Array.from({ length: 10_001 }, (_, at) => part(at + 1))
  t.equal(
    codeOf(() => parseComplete(complete(many.join('')))),
    'MalformedXML',
  )
})

t.test('the ETag of parts is the MD5 of their MD5s', async (t) => {
  const parts = [digested('hello'), digested(' world')]
  t.same(parts.map(etagOfPart), [etag, 'b7913aa15c43be7d534b4eec6e99e8a0'])
  t.equal(etagOfParts(parts.map(etagOfPart)), 'a56979024342128ecebc884e3442121b-2')
  t.equal(etagOfParts([etag]), `${createHash('md5').update(Buffer.from(etag, 'hex')).digest('hex')}-1`)
})

t.test('checksums of the whole are made of those of the parts', async (t) => {
  const parts = [digested('hello'), digested(' world')]
  const value = (plan: ChecksumPlan) => checksumOfParts(plan, parts)?.value
  t.equal(value({ algorithm: 'CRC32', type: 'COMPOSITE' }), 'otMqCw==-2')
  t.equal(value({ algorithm: 'SHA256', type: 'COMPOSITE' }), 'wpQQjqgKlhF49FQdoVTheIiiSjfvtKR+G5kBEF28Vf0=-2')
  t.equal(value({ algorithm: 'CRC32', type: 'FULL_OBJECT' }), 'DUoRhQ==')
  t.equal(value({ algorithm: 'CRC64NVME', type: 'FULL_OBJECT' }), 'jSnVw/bqjr4=')
  const whole = Buffer.alloc(4)
  whole.writeUInt32BE(crc32('hello world'))
  t.equal(value({ algorithm: 'CRC32', type: 'FULL_OBJECT' }), whole.toString('base64'))
  const castagnoli = Buffer.from(digested('hello world').digests.crc32c ?? []).toString('base64')
  t.equal(value({ algorithm: 'CRC32C', type: 'FULL_OBJECT' }), castagnoli)
  const sha1 = createHash('sha1')
  for (const { digests } of parts) sha1.update(digests['sha-1'] ?? '')
  t.equal(value({ algorithm: 'SHA1', type: 'COMPOSITE' }), `${sha1.digest('base64')}-2`)
  t.equal(checksumOfParts(undefined, parts), undefined)
  t.equal(checksumOfParts({ algorithm: 'SHA1', type: 'COMPOSITE' }, [{ digests: {}, size: 1 }]), undefined)
  t.equal(checksumsAlong({ algorithm: 'SHA1', type: 'COMPOSITE' }, parts)?.length, 40)
  t.equal(checksumsAlong(undefined, parts), undefined)
})

t.test('an upload is begun with an algorithm and a type that go together', async (t) => {
  const plan = (algorithm?: string, type?: string) =>
    planOf(
      headers({
        ...(algorithm !== undefined && { 'x-amz-checksum-algorithm': algorithm }),
        ...(type !== undefined && { 'x-amz-checksum-type': type }),
      }),
    )
  t.equal(plan(), undefined)
  t.same(plan('crc32'), { algorithm: 'CRC32', type: 'COMPOSITE' })
  t.same(plan('CRC32C', 'FULL_OBJECT'), { algorithm: 'CRC32C', type: 'FULL_OBJECT' })
  t.same(plan('CRC64NVME'), { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' })
  t.same(plan('SHA1'), { algorithm: 'SHA1', type: 'COMPOSITE' })
  for (const [algorithm, type] of [
    [undefined, 'COMPOSITE'],
    ['MD5', undefined],
    ['XXHASH3', undefined],
    ['CRC32', 'HALF'],
    ['CRC64NVME', 'COMPOSITE'],
    ['SHA1', 'FULL_OBJECT'],
    ['SHA256', 'FULL_OBJECT'],
  ] as const) {
    t.equal(
      codeOf(() => plan(algorithm, type)),
      'InvalidRequest',
      `${algorithm} ${type}`,
    )
  }
})

t.test('a part brings the checksum that the upload was begun with', async (t) => {
  const composite: ChecksumPlan = { algorithm: 'SHA256', type: 'COMPOSITE' }
  const full: ChecksumPlan = { algorithm: 'CRC32', type: 'FULL_OBJECT' }
  t.same(digestsOfPart(undefined, undefined), ['md5'])
  t.same(digestsOfPart(undefined, { algorithm: 'CRC32' }), ['md5', 'crc32'])
  t.same(digestsOfPart(composite, { algorithm: 'SHA256' }), ['md5', 'sha-256'])
  t.same(digestsOfPart(full, undefined), ['md5', 'crc32'], 'it is computed here')
  for (const work of [
    () => digestsOfPart(composite, undefined),
    () => digestsOfPart(composite, { algorithm: 'CRC32' }),
    () => digestsOfPart(full, { algorithm: 'CRC32C' }),
  ])
    t.equal(codeOf(work), 'InvalidRequest')
  const { digests } = digested('hello')
  t.ok(isListedRight({}, { digests }))
  t.ok(isListedRight({ CRC32: 'NhCmhg==' }, { digests }))
  t.notOk(isListedRight({ CRC32: 'AAAAAA==' }, { digests }))
  t.notOk(isListedRight({ CRC32: 'NhCmhg==' }, { digests: {} }))
})

t.test('what is expected of the whole is compared', async (t) => {
  const composite: ChecksumPlan = { algorithm: 'CRC32', type: 'COMPOSITE' }
  const checksum = { ...composite, value: 'otMqCw==-2' }
  const sent = (value: string) => headers({ 'x-amz-checksum-crc32': value })
  requirePlan(headers({ 'x-amz-checksum-type': 'COMPOSITE' }), composite)
  requirePlan(sent('otMqCw==-2'), composite)
  requireWhole(sent('otMqCw==-2'), checksum)
  requireWhole(sent('otMqCw=='), checksum)
  requireWhole(headers({}), undefined)
  for (const [work, code] of [
    [() => requirePlan(headers({ 'x-amz-checksum-type': 'FULL_OBJECT' }), composite), 'InvalidRequest'],
    [() => requirePlan(headers({ 'x-amz-checksum-type': 'COMPOSITE' }), undefined), 'InvalidRequest'],
    [() => requirePlan(headers({ 'x-amz-checksum-sha1': 'x' }), composite), 'InvalidRequest'],
    [
      () => requirePlan(headers({ 'x-amz-checksum-sha1': 'x', 'x-amz-checksum-crc32': 'x' }), composite),
      'InvalidRequest',
    ],
    [() => requireWhole(sent('NhCmhg=='), checksum), 'BadDigest'],
    [() => requireWhole(sent('otMqCw==-3'), checksum), 'BadDigest'],
    [() => requireWhole(sent('nonsense'), checksum), 'InvalidRequest'],
  ] as const)
    t.equal(codeOf(work), code)
})

t.test('what an upload was begun with is told again', async (t) => {
  const description = {
    headers: { 'content-type': 'text/plain' },
    meta: { colour: 'gr\xfcn' },
    tags: [['a', 'b'] as const],
  }
  const plan: ChecksumPlan = { algorithm: 'CRC32', type: 'FULL_OBJECT' }
  t.same(readNote({ note: writeNote({ plan, description }) }), { plan, description })
  const empty = { headers: {}, meta: {}, tags: [] }
  t.same(readNote({ note: writeNote({ plan: undefined, description: empty }) }), {
    plan: undefined,
    description: empty,
  })
  for (const note of [undefined, '', '{', '{}', '7', '[1,2,3]', '["CRC32"]']) {
    t.same(readNote({ note }), { plan: undefined, description: empty })
  }
  const long = { ...empty, meta: { a: 'x'.repeat(9000) } }
  t.equal(
    codeOf(() => writeNote({ plan, description: long })),
    'MetadataTooLarge',
  )
})

t.test('numbers in a query are numbers', async (t) => {
  t.equal(limitOf(query({}), 'max-parts', 1000), 1000)
  t.equal(limitOf(query({ 'max-parts': '5000' }), 'max-parts', 1000), 1000)
  t.equal(limitOf(query({ 'max-parts': '0' }), 'max-parts', 1000), 0)
  t.equal(countOf(query({ marker: '' }), 'marker'), undefined)
  for (const text of ['-1', 'x', '1e3', '99999999999', '2147483648']) {
    t.equal(
      codeOf(() => countOf(query({ marker: text }), 'marker')),
      'InvalidArgument',
      text,
    )
  }
  t.equal(partNumberOf(query({ partNumber: '10000' })), 10_000)
  for (const text of ['0', '10001', '-1', '', 'one', '1.0']) {
    t.equal(
      codeOf(() => partNumberOf(query({ partNumber: text }))),
      'InvalidArgument',
      text,
    )
  }
})

t.test('sources of copies are read as clients encode them', async (t) => {
  for (const [header, bucket, key] of [
    ['b/a%20b/%C3%A9.txt', 'b', 'a b/é.txt'],
    ['/b/a', 'b', 'a'],
    ['b%2Fdir%2Fa+b', 'b', 'dir/a+b'],
    ['b/a?versionId=null', 'b', 'a'],
    ['b/a%3FversionId=1', 'b', 'a?versionId=1'],
    ['b/\xc3\xa9', 'b', 'é'],
    ['b/dir/', 'b', 'dir/'],
    ['b/100%', 'b', '100%'],
  ] as const)
    t.same(parseCopySource(header), { bucket, key }, header)
  for (const [header, code] of [
    ['', 'InvalidArgument'],
    ['b', 'InvalidArgument'],
    ['b/', 'InvalidArgument'],
    ['//b/a', 'InvalidArgument'],
    ['b/%ff', 'InvalidArgument'],
    ['b/a?versionId=1', 'NoSuchVersion'],
  ] as const)
    t.equal(
      codeOf(() => parseCopySource(header)),
      code,
      header,
    )
  t.ok(new S3Error('NoSuchUpload', '') instanceof StorageError)
})
