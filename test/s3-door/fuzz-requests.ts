/** Requests of S3 clients, and what can be made of them that no client would send. */

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type Dice, mutated } from '../dice.ts'
import { boundary, formOf, signedFields } from './forms.ts'
import { framed } from './framing.ts'
import { presign, sign } from './signing.ts'
import { keyOf, type UserName } from './world.ts'

type Choices = readonly [string, ...string[]]
type Fields = Readonly<Record<string, string>>

/** What earlier answers have told. */
export interface Known {
  uploadId: string
  etag: string
  token: string
}

export interface Made {
  /** The operation it was made from. */
  readonly what: string
  readonly method: string
  readonly target: string
  readonly headers: Fields
  readonly body: Buffer<ArrayBuffer> | undefined
}

interface Sort {
  readonly what: string
  readonly method: string
  readonly bucket?: string
  /** Undefined: the bucket itself; otherwise one of these. */
  readonly keys?: Choices
  readonly query?: Fields
  readonly headers?: Fields
  readonly body?: readonly [string, ...string[]]
}

const keys = ['a', 'd/b', 'd/', 'd/e/f', 'none', '%F0%9F%A6%91', 'a/b', '%20x', '%2B', 'd'] as const
const badKeys = [
  ...['..', 'a/../b', '%2e%2e/x', '.', 'a//b', '/', '//a', 'a%00b', '%ff', '%c0%af', '%ed%a0%80', '%zz', '%', 'a%2Fb'],
  ...['%0A', '%0d%0aX:%20y', '%5C..%5Cx', '.portolan-x', `${'k'.repeat(256)}`, `${'k/'.repeat(600)}`, 'x'.repeat(1025)],
  ...['%EF%BF%BF', '%01', 'con', 'a;b', 'a?b', '~', '$', "'()*!", '%f0%9f', `${'%F0%9F%A6%91'.repeat(63)}`],
] as const

/** Values of parameters and headers, some of them right. */
const numbers = [
  ...['0', '1', '2', '3', '1000', '1001', '10000', '10001', '-1', '+1', '01', '1.5', '1e3', '0x1', 'NaN', '', 'x'],
  ...['9007199254740993', '99999999999999999999', ' 1', '1,2', '%00', '\xb2'],
] as const
const texts = [
  '',
  'a',
  'd/',
  '/',
  '%2F',
  '%F0%9F%A6%91',
  '%ff',
  '%00',
  'd%2Fb',
  '%',
  '\xe9',
  'x'.repeat(3000),
  '%26',
] as const
const sums = ['AAAAAA==', 'NhCmhg==', 'AAAA', '=', '', '!!!!', 'AAAAAAAAAAA=', 'NhCmhg==-2', 'A'.repeat(5000)] as const
const tags = ['"x"', '*', 'x', '', '"', 'W/"x"', 'ETAG', 'ETAG', '"a","b"', 'ETAG, *'] as const
const dates = ['Wed, 01 Jan 2020 00:00:00 GMT', 'Fri, 01 Jan 2100 00:00:00 GMT', 'now', '', '0', '-1'] as const

const queryValues: Readonly<Record<string, Choices>> = {
  'list-type': ['2', '1', '', '3'],
  prefix: texts,
  delimiter: texts,
  marker: texts,
  'start-after': texts,
  'key-marker': texts,
  'upload-id-marker': ['ID', ...texts],
  'version-id-marker': texts,
  'continuation-token': ['TOKEN', 'TOKEN', ...texts],
  'max-keys': numbers,
  'max-uploads': numbers,
  'max-parts': numbers,
  'max-buckets': numbers,
  'part-number-marker': numbers,
  partNumber: ['1', '1', '2', ...numbers],
  uploadId: ['ID', 'ID', 'ID', ...texts],
  uploads: texts,
  versions: texts,
  versionId: ['null', 'x', ''],
  'fetch-owner': ['true', 'x'],
  'encoding-type': ['url', 'x', ''],
  tagging: texts,
  attributes: texts,
  acl: texts,
  delete: texts,
  restore: texts,
  location: texts,
  policy: texts,
  lifecycle: texts,
  torrent: texts,
  retention: texts,
  'response-content-type': ['text%2Fplain', '%0d%0aX-Y:z', '\xff', ...texts],
  'response-content-disposition': ['attachment', '%0a', '%E2%82%AC'],
  'response-expires': ['x', '%00'],
  'x-id': ['GetObject', ''],
  'X-Amz-Algorithm': ['AWS4-HMAC-SHA256', 'x'],
  'X-Amz-Expires': numbers,
  'X-Amz-Security-Token': texts,
  Action: ['AssumeRoleWithWebIdentity', 'GetCallerIdentity', 'x'],
  '%63onstructor': ['x'],
  '%5F_proto__': ['x'],
}

const headerValues: Readonly<Record<string, Choices>> = {
  range: ['bytes=0-1', 'bytes=-1', 'bytes=-0', 'bytes=1-', 'bytes=9-1', 'bytes=0-0,2-3', 'bytes=', 'x', 'bytes=99-'],
  'if-match': tags,
  'if-none-match': tags,
  'if-modified-since': dates,
  'if-unmodified-since': dates,
  'content-md5': ['XUFAKrxLKna5cZ2REBfFkg==', 'AAAAAAAAAAAAAAAAAAAAAA==', 'AAAA', '', 'x'],
  'content-type': ['text/plain', '', ';', '\xff', 'multipart/form-data', 'application/x-www-form-urlencoded', 'a/b; c'],
  'content-encoding': ['aws-chunked', 'gzip', 'aws-chunked,aws-chunked', ',', 'gzip, aws-chunked,'],
  'cache-control': ['no-store', '\xe9', ''],
  'content-disposition': ['attachment; filename="\xe9"', ''],
  expires: [...dates],
  'x-amz-acl': ['private', 'public-read', ''],
  'x-amz-grant-read': ['id=1', ''],
  'x-amz-meta-a': ['b', '', '\xe9', '=?UTF-8?Q?=E4?=', '=?UTF-8?B?!?=', 'x'.repeat(3000)],
  'x-amz-meta-': ['b'],
  'x-amz-meta-__proto__': ['b'],
  'x-amz-tagging': ['a=b', 'a=1&a=2', '&', '=', '%ff=1', 'a=%', 'a'.repeat(200), 'a=b&'.repeat(30)],
  'x-amz-tagging-directive': ['COPY', 'REPLACE', 'x'],
  'x-amz-metadata-directive': ['COPY', 'REPLACE', 'x'],
  'x-amz-storage-class': ['STANDARD', 'GLACIER', 'x', ''],
  'x-amz-checksum-crc32': sums,
  'x-amz-checksum-crc32c': sums,
  'x-amz-checksum-crc64nvme': sums,
  'x-amz-checksum-sha1': sums,
  'x-amz-checksum-sha256': sums,
  'x-amz-checksum-md5': sums,
  'x-amz-checksum-algorithm': ['CRC32', 'CRC64NVME', 'SHA1', 'MD5', '', 'x'],
  'x-amz-checksum-type': ['COMPOSITE', 'FULL_OBJECT', 'x'],
  'x-amz-checksum-mode': ['ENABLED', 'x'],
  'x-amz-sdk-checksum-algorithm': ['CRC32', 'SHA256', 'x'],
  'x-amz-trailer': ['x-amz-checksum-crc32', 'x-amz-checksum-sha1', 'x-amz-meta-a', ''],
  'x-amz-decoded-content-length': numbers,
  'x-amz-copy-source': [
    'data/a',
    ...[
      'data/a',
      '/data/a',
      'data/d%2Fb',
      'data/',
      'data',
      '',
      '/',
      '//',
      'none/a',
      'data/a?versionId=null',
      'data/%ff',
    ],
    ...[
      'data/../open/x',
      'data%2Fa',
      'data/a?versionId=',
      'arn:aws:s3:us-east-1:1:accesspoint/x/object/y',
      '%',
      '\xff/a',
    ],
  ],
  'x-amz-copy-source-range': ['bytes=0-1', 'bytes=0-', 'bytes=9-1', 'bytes=0-99999999', 'x', ''],
  'x-amz-copy-source-if-match': tags,
  'x-amz-copy-source-if-none-match': tags,
  'x-amz-copy-source-if-modified-since': dates,
  'x-amz-copy-source-if-unmodified-since': dates,
  'x-amz-object-attributes': ['ETag', 'ETag,Checksum,ObjectParts,StorageClass,ObjectSize', 'x', ''],
  'x-amz-max-parts': numbers,
  'x-amz-part-number-marker': numbers,
  'x-amz-mp-object-size': numbers,
  'x-amz-if-match-size': numbers,
  'x-amz-if-match-last-modified-time': dates,
  'x-amz-expected-bucket-owner': ['000000000000', '1', ''],
  'x-amz-server-side-encryption': ['AES256', 'aws:kms'],
  'x-amz-website-redirect-location': ['/x'],
  'x-amz-write-offset-bytes': numbers,
  'x-amz-optional-object-attributes': ['RestoreStatus', 'x'],
  'x-amz-security-token': texts,
  'x-amz-request-payer': ['requester'],
  origin: ['https://page.example', 'null', ''],
  'access-control-request-method': ['PUT', 'x', ''],
  'access-control-request-headers': ['x-amz-date', ','],
  'x-forwarded-proto': ['https', 'x'],
  expect: ['100-continue', '100-Continue', 'x'],
  host: [
    's3.lab.example',
    'data.s3.lab.example',
    'x.y.s3.lab.example',
    '.s3.lab.example',
    'lab.example',
    '',
    '[',
    '\xff',
  ],
}

const xml = (root: string, inside: string) =>
  `<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inside}</${root}>`
const partOf = (number: number, etag = 'ETAG') => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`
const sessionForm = (action: string) =>
  `Action=${action}&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/x/gw&RoleSessionName=me&WebIdentityToken=x.y.z`
const formType = { 'content-type': 'application/x-www-form-urlencoded' }
const withMd5 = { 'content-md5': 'MD5' }

/** What clients send. MD5, CRC, ETAG, ID and TOKEN stand for what fits. */
const sorts: readonly [Sort, ...Sort[]] = [
  {
    what: 'PutObject',
    method: 'PUT',
    keys,
    headers: { 'x-amz-meta-a': 'b', 'content-type': 'text/plain' },
    body: ['hello', ''],
  },
  {
    what: 'PutObject',
    method: 'PUT',
    keys,
    headers: { 'x-amz-checksum-crc32': 'CRC' },
    body: ['hello', 'hello world'],
  },
  { what: 'GetObject', method: 'GET', keys, headers: { 'x-amz-checksum-mode': 'ENABLED' } },
  { what: 'GetObject', method: 'GET', keys, headers: { range: 'bytes=0-1' } },
  { what: 'HeadObject', method: 'HEAD', keys },
  { what: 'DeleteObject', method: 'DELETE', keys },
  { what: 'CopyObject', method: 'PUT', keys, headers: { 'x-amz-copy-source': 'data/a' } },
  { what: 'ListObjectsV2', method: 'GET', query: { 'list-type': '2', delimiter: '%2F', 'max-keys': '2' } },
  { what: 'ListObjectsV2', method: 'GET', query: { 'list-type': '2', 'continuation-token': 'TOKEN' } },
  { what: 'ListObjects', method: 'GET', query: { prefix: '', 'encoding-type': 'url' } },
  { what: 'ListObjectVersions', method: 'GET', query: { versions: '' } },
  { what: 'HeadBucket', method: 'HEAD' },
  { what: 'GetBucketLocation', method: 'GET', query: { location: '' } },
  { what: 'ListBuckets', method: 'GET', bucket: '' },
  {
    ...{ what: 'DeleteObjects', method: 'POST', query: { delete: '' }, headers: withMd5 },
    body: [xml('Delete', '<Object><Key>a</Key></Object><Object><Key>d/b</Key></Object><Quiet>true</Quiet>')],
  },
  {
    ...{ what: 'PutObjectTagging', method: 'PUT', keys, query: { tagging: '' }, headers: withMd5 },
    body: [xml('Tagging', '<TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet>')],
  },
  { what: 'GetObjectTagging', method: 'GET', keys, query: { tagging: '' } },
  { what: 'DeleteObjectTagging', method: 'DELETE', keys, query: { tagging: '' } },
  {
    what: 'GetObjectAttributes',
    method: 'GET',
    keys,
    query: { attributes: '' },
    headers: { 'x-amz-object-attributes': 'ETag' },
  },
  { what: 'CreateMultipartUpload', method: 'POST', keys, query: { uploads: '' }, headers: { 'x-amz-meta-a': 'b' } },
  {
    what: 'UploadPart',
    method: 'PUT',
    keys: ['a'],
    query: { partNumber: '1', uploadId: 'ID' },
    body: ['hello', 'other'],
  },
  {
    ...{ what: 'UploadPartCopy', method: 'PUT', keys: ['a'], query: { partNumber: '2', uploadId: 'ID' } },
    headers: { 'x-amz-copy-source': 'data/a', 'x-amz-copy-source-range': 'bytes=0-1' },
  },
  {
    ...{ what: 'CompleteMultipartUpload', method: 'POST', keys: ['a'], query: { uploadId: 'ID' } },
    body: [xml('CompleteMultipartUpload', partOf(1)), xml('CompleteMultipartUpload', partOf(1) + partOf(2, '"x"'))],
  },
  { what: 'AbortMultipartUpload', method: 'DELETE', keys: ['a'], query: { uploadId: 'ID' } },
  { what: 'ListParts', method: 'GET', keys: ['a'], query: { uploadId: 'ID', 'max-parts': '1' } },
  { what: 'ListMultipartUploads', method: 'GET', query: { uploads: '', 'max-uploads': '1' } },
  {
    ...{ what: 'RestoreObject', method: 'POST', keys, query: { restore: '' } },
    body: [xml('RestoreRequest', '<Days>1</Days><GlacierJobParameters><Tier>Standard</Tier></GlacierJobParameters>')],
  },
  { what: 'PutObjectAcl', method: 'PUT', keys, query: { acl: '' }, headers: { 'x-amz-acl': 'private' } },
  {
    ...{ what: 'PutBucketAcl', method: 'PUT', query: { acl: '' } },
    body: [
      xml('AccessControlPolicy', '<AccessControlList><Grant><Grantee><ID>x</ID></Grantee></Grant></AccessControlList>'),
    ],
  },
  {
    ...{ what: 'CreateBucket', method: 'PUT', bucket: 'fresh' },
    body: [xml('CreateBucketConfiguration', '<LocationConstraint>us-east-1</LocationConstraint>'), ''],
  },
  { what: 'DeleteBucket', method: 'DELETE', bucket: 'fresh' },
  {
    what: 'Preflight',
    method: 'OPTIONS',
    keys,
    headers: { origin: 'https://page.example', 'access-control-request-method': 'PUT' },
  },
  {
    what: 'STS',
    method: 'POST',
    bucket: '',
    headers: formType,
    body: [sessionForm('AssumeRoleWithWebIdentity'), 'Action=GetCallerIdentity'],
  },
]

/** What is put into texts and bodies. */
const pieces: Choices = [
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  ...['&b;', '&#x0;', '&#xD800;', '<![CDATA[', ']]>', '<?x y?>', '<!--', '\u0000'],
  ...[
    '\ufeff',
    '</Key>',
    '<a:b/>',
    '\u{1f991}',
    '"',
    '\xff',
    '<a>'.repeat(50),
    '\r\n',
    '0\r\n\r\n',
    '5\r\n',
    ';',
    '%00',
  ],
  ...['ffffffffffffffff\r\n', '-1\r\n', '../', `--${boundary}`, `--${boundary}--\r\n`, '{"a":[', '[[[[[[[[[[', '1e999'],
]

const streaming = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const payloads: Choices = [
  'UNSIGNED-PAYLOAD',
  streaming,
  `${streaming}-TRAILER`,
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  'x',
  '',
]

export class Requests {
  readonly #dice: Dice
  readonly #host: string
  readonly #known: Known

  constructor(dice: Dice, host: string, known: Known) {
    this.#dice = dice
    this.#host = host
    this.#known = known
  }

  next(): Made {
    if (this.#one(12)) return this.#form()
    const sort = this.#dice.of(sorts)
    const { what, method } = sort
    const target = this.#targetOf(sort)
    const body = this.#bodyOf(sort)
    const headers = this.#headersOf(sort, body)
    if (this.#one(12)) return { what, method, target: this.#presigned(method, target), headers, body }
    if (body && this.#one(method === 'PUT' ? 3 : 10)) return this.#chunked({ what, method, target, headers, body })
    return { what, method, target, headers: this.#signed(method, target, headers, body), body }
  }

  /** True once in so many times. */
  #one(times: number): boolean {
    return this.#dice.below(times) === 0
  }

  #told(text: string): string {
    const { uploadId, etag, token } = this.#known
    return text.replaceAll('ETAG', etag).replaceAll('ID', uploadId).replaceAll('TOKEN', token)
  }

  #targetOf({ bucket = 'data', keys, query = {} }: Sort): string {
    const where = this.#one(40)
      ? this.#dice.of(['', 'none', 'open', 'home', 'x', 'No_Name', '%00', '..', '%2e%2e'])
      : bucket
    const key = keys && (this.#one(10) ? this.#dice.of(badKeys) : this.#dice.of(keys))
    const parameters = Object.entries(query).filter(() => !this.#one(20))
    const all = parameters.map(([name, value]) => [
      name,
      this.#one(10) ? this.#dice.of(queryValues[name] ?? texts) : value,
    ])
    for (let more = this.#one(4) ? this.#dice.below(3) : 0; more > 0; more--) {
      const name = this.#dice.of(Object.keys(queryValues) as [string])
      all.push([name, this.#dice.of(queryValues[name] ?? texts)])
    }
    const text = all.map(([name, value]) =>
      value === '' && this.#one(2) ? name : `${name}=${this.#told(value ?? '')}`,
    )
    const target = `/${where}${key === undefined ? '' : `/${key}`}${text.length > 0 ? `?${text.join('&')}` : ''}`
    const spoiled = this.#one(12) ? mutated(target, this.#dice, pieces).toString('latin1') : target
    return requestTarget(spoiled)
  }

  #bodyOf({ body }: Sort): Buffer<ArrayBuffer> | undefined {
    if (!body) return this.#one(40) ? Buffer.from('unasked') : undefined
    const text = this.#told(this.#dice.of(body))
    return this.#one(3) ? mutated(text, this.#dice, pieces) : Buffer.from(text)
  }

  #headersOf({ headers = {} }: Sort, body: Buffer | undefined): Record<string, string> {
    const found: Record<string, string> = { host: this.#host }
    for (const [name, value] of Object.entries(headers)) {
      if (!this.#one(20)) found[name] = this.#one(8) ? this.#dice.of(headerValues[name] ?? texts) : value
    }
    for (let more = this.#one(3) ? this.#dice.below(4) : 0; more > 0; more--) {
      const name = this.#dice.of(Object.keys(headerValues) as [string])
      found[name] = this.#dice.of(headerValues[name] ?? texts)
    }
    for (const [name, value] of Object.entries(found)) found[name] = this.#fieldOf(this.#filled(value, body))
    if (body) found['content-length'] = String(body.length)
    return found
  }

  #filled(value: string, body: Buffer = Buffer.alloc(0)): string {
    if (value === 'MD5') return createHash('md5').update(body).digest('base64')
    if (value === 'CRC') return base64Crc(body)
    return this.#told(value)
  }

  /** Header fields cannot hold everything; what they can hold arrives. */
  #fieldOf(value: string): string {
    const text = this.#one(30) ? mutated(value, this.#dice, pieces).toString('latin1') : value
    return text.replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
  }

  #signed(method: string, target: string, headers: Fields, body: Buffer | undefined): Record<string, string> {
    if (this.#one(25)) return { ...headers }
    const payload = this.#one(4) ? (this.#one(4) ? this.#dice.of(payloads) : 'UNSIGNED-PAYLOAD') : undefined
    const at = Date.now() + (this.#one(50) ? (this.#dice.below(3) - 1) * 1_000_000 : 0)
    const region = this.#one(50) ? this.#dice.of(['eu-west-1', '', 'x/y']) : 'us-east-1'
    const more = payload === undefined ? {} : { payload }
    const signed = sign({ method, target, headers, body, key: keyOf(this.#user()), at, region, ...more })
    return this.#spoiled(signed.headers)
  }

  #user(): UserName {
    return this.#one(10) ? 'bob' : 'alice'
  }

  /** Now and then what was signed is not what is sent. */
  #spoiled(headers: Fields): Record<string, string> {
    if (!this.#one(12)) return { ...headers }
    const name = this.#dice.of(Object.keys(headers) as [string])
    const value = mutated(headers[name] ?? '', this.#dice, pieces).toString('latin1')
    return { ...headers, [name]: name === 'content-length' ? (headers[name] ?? '') : this.#fieldOf(value) }
  }

  #presigned(method: string, target: string): string {
    const [path = '', query = ''] = target.split(/\?(.*)/s)
    const parameters = query.split('&').filter((part) => part !== '')
    const more = Object.fromEntries(parameters.map((part) => part.split(/=(.*)/s).slice(0, 2)))
    const expires = this.#one(10) ? this.#dice.of(numbers) : 600
    const url = presign({ method, path, host: this.#host, key: keyOf(this.#user()), query: more, expires })
    const whole = url.replaceAll('=undefined', '=')
    return requestTarget(this.#one(3) ? mutated(whole, this.#dice, pieces).toString('latin1') : whole)
  }

  #chunked({ what, method, target, headers, body }: Made): Made {
    const data = body?.toString('latin1') ?? ''
    const cut = this.#dice.below(data.length + 1)
    const payload = this.#dice.of([streaming, `${streaming}-TRAILER`, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'])
    const trailer = payload === streaming ? {} : { trailer: `x-amz-checksum-crc32:${base64Crc(Buffer.from(data))}` }
    const chunks = [data.slice(0, cut), data.slice(cut)].filter((part) => part !== '')
    const { 'content-length': _, ...kept } = headers
    const all = {
      ...kept,
      'x-amz-decoded-content-length': this.#one(10) ? this.#dice.of(numbers) : String(data.length),
      ...('trailer' in trailer && { 'x-amz-trailer': 'x-amz-checksum-crc32' }),
    }
    const signed = sign({ method, target, headers: all, payload, key: keyOf('alice') })
    const bytes = Buffer.from(
      framed({ chunks, ...trailer, signed: payload.startsWith(streaming) ? signed : undefined }),
      'latin1',
    )
    const sent = this.#one(2) ? mutated(bytes, this.#dice, pieces) : bytes
    return {
      what: `${what} in chunks`,
      method,
      target,
      headers: { ...signed.headers, 'content-length': String(sent.length) },
      body: sent,
    }
  }

  #form(): Made {
    const conditions = [
      ['starts-with', '$key', ''],
      ['starts-with', '$x-amz-meta-a', ''],
      ...(this.#one(4) ? [this.#condition()] : []),
    ]
    const expiration = this.#one(20) ? { expiration: this.#dice.of(dates) } : {}
    const fields = signedFields({ user: this.#one(10) ? 'bob' : 'alice', conditions, ...expiration })
    const key = decodeKey(this.#dice.of(this.#one(5) ? badKeys : keys))
    const text = formOf([...fields, ['key', key], ['x-amz-meta-a', 'b'], ['file', 'hello', 'f.txt']])
    const body = this.#one(2) ? mutated(text, this.#dice, pieces) : Buffer.from(text)
    const headers = {
      host: this.#host,
      'content-type': this.#one(20) ? 'multipart/form-data' : `multipart/form-data; boundary=${boundary}`,
      'content-length': String(body.length),
    }
    return { what: 'PostObject', method: 'POST', target: '/data', headers, body }
  }

  #condition(): unknown {
    return this.#dice.of<unknown>([
      ['content-length-range', 0, 10],
      ['content-length-range', -1, Number.POSITIVE_INFINITY],
      ['content-length-range', '1', {}],
      { bucket: 'data' },
      { __proto__: 'x', constructor: 1 },
      ['eq', '$key'],
      ['eq', '$key', 'a', 'b'],
      [],
      null,
      'x',
    ])
  }
}

/** What a request line can hold of it. */
function requestTarget(text: string): string {
  return `/${text.slice(1).replace(/[^\x21-\x7e\x80-\xff]/g, '')}`
}

function base64Crc(body: Buffer): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64')
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}
