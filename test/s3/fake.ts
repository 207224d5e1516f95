/**
 * An S3 store in memory over node:http, for faults that a real server does not show. It follows the Amazon S3 API Reference
 * (GetObject, HeadObject, PutObject, CopyObject, DeleteObject, ListObjectsV2, multipart uploads) as far as the back end asks for it.
 */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export interface Asked {
  readonly method: string
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** Answers in the store's place; false leaves it to the store. */
export type Fault = (asked: Asked, response: ServerResponse, store: Fake) => boolean

interface Stored {
  readonly bytes: Buffer
  readonly etag: string
  readonly time: Date
}

export interface Fake {
  readonly endpoint: URL
  readonly objects: Map<string, Stored>
  /** All requests so far, such as "PUT file". */
  readonly asked: string[]
  /** What is asked before the store answers; replaced at will. */
  fault: Fault
  /** The store's clock. */
  clock: () => Date
  put(key: string, bytes: Buffer | string): Stored
  close(): Promise<void>
}

export const bucket = 'bucket'

export async function startFake(tls?: { readonly key: Buffer; readonly cert: Buffer }): Promise<Fake> {
  const handler = (request: IncomingMessage, response: ServerResponse) => {
    answer(fake, request, response).catch(() => response.destroy())
  }
  const server = tls ? createTlsServer(tls, handler) : createServer(handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const objects = new Map<string, Stored>()
  const fake: Fake = {
    endpoint: new URL(`${tls ? 'https' : 'http'}://127.0.0.1:${port}`),
    objects,
    asked: [],
    fault: () => false,
    clock: () => new Date(),
    put: (key, given) => {
      const bytes = Buffer.from(given)
      const stored = { bytes, etag: `"${createHash('md5').update(bytes).digest('hex')}"`, time: fake.clock() }
      objects.set(key, stored)
      return stored
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return fake
}

async function answer(fake: Fake, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '', search = ''] = (request.url ?? '').split('?')
  const key = decodeURIComponent(path.slice(bucket.length + 2))
  const { method = '', headers } = request
  const asked = { method, key, query: new URLSearchParams(search), headers, body: await buffer(request) }
  fake.asked.push(`${method} ${key}`)
  if (fake.fault(asked, response, fake)) return
  if (key === '') list(fake, asked.query, response)
  else if (method === 'POST') upload(fake, asked, response)
  else if (method === 'PUT') put(fake, asked, response)
  else if (method === 'DELETE') {
    fake.objects.delete(key)
    response.writeHead(204).end()
  } else get(fake, asked, response)
}

/** An error document. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'Content-Type': 'application/xml', ...headers })
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`)
}

function put(fake: Fake, { key, headers, query, body }: Asked, response: ServerResponse) {
  const old = fake.objects.get(key)
  if (headers['if-none-match'] === '*' && old) return refuse(response, 412, 'PreconditionFailed')
  if (headers['if-match'] !== undefined && headers['if-match'] !== old?.etag) {
    return refuse(response, 412, 'PreconditionFailed')
  }
  const source = headers['x-amz-copy-source']
  if (typeof source === 'string') {
    const from = fake.objects.get(decodeURIComponent(source).slice(bucket.length + 1))
    if (!from || headers['x-amz-copy-source-if-match'] !== from.etag) {
      return refuse(response, 412, 'PreconditionFailed')
    }
    response.end(`<CopyObjectResult><ETag>${fake.put(key, from.bytes).etag}</ETag></CopyObjectResult>`)
    return
  }
  const name = query.has('partNumber') ? `part ${query.get('partNumber')} of ${key}` : key
  response.writeHead(200, { ETag: fake.put(name, body).etag }).end()
}

function upload(fake: Fake, { key, query, headers, body }: Asked, response: ServerResponse) {
  if (query.has('uploads')) {
    const names = `<Bucket>${bucket}</Bucket><Key>key</Key><UploadId>one</UploadId>`
    response.end(`<InitiateMultipartUploadResult>${names}</InitiateMultipartUploadResult>`)
    return
  }
  if (headers['if-none-match'] === '*' && fake.objects.has(key)) return refuse(response, 412, 'PreconditionFailed')
  const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => number)
  const parts = numbers.map((number) => fake.objects.get(`part ${number} of ${key}`)?.bytes ?? Buffer.alloc(0))
  for (const number of numbers) fake.objects.delete(`part ${number} of ${key}`)
  const { etag } = fake.put(key, Buffer.concat(parts))
  response.end(`<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>`)
}

function get(fake: Fake, { method, key, headers }: Asked, response: ServerResponse) {
  const found = fake.objects.get(key)
  if (!found) {
    if (method === 'HEAD') response.writeHead(404).end()
    else refuse(response, 404, 'NoSuchKey')
    return
  }
  const { bytes, etag, time } = found
  if (headers['if-none-match'] === etag) {
    response.writeHead(304).end()
    return
  }
  if (headers['if-match'] !== undefined && headers['if-match'] !== etag)
    return refuse(response, 412, 'PreconditionFailed')
  const about = { ETag: etag, 'Last-Modified': time.toUTCString() }
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
  if (start === undefined || method === 'HEAD') {
    response.writeHead(200, { ...about, 'Content-Length': bytes.length }).end(method === 'HEAD' ? undefined : bytes)
    return
  }
  if (Number(start) >= bytes.length) return refuse(response, 416, 'InvalidRange')
  const part = bytes.subarray(Number(start), Number(end) + 1)
  const range = `bytes ${start}-${Number(start) + part.length - 1}/${bytes.length}`
  response.writeHead(206, { ...about, 'Content-Range': range, 'Content-Length': part.length }).end(part)
}

function list(fake: Fake, query: URLSearchParams, response: ServerResponse): void {
  const prefix = query.get('prefix') ?? ''
  const after = query.get('continuation-token') ?? query.get('start-after') ?? ''
  const length = Number(query.get('max-keys') ?? 1000)
  const isCommon = (key: string) => query.get('delimiter') === '/' && key.slice(prefix.length).includes('/')
  const told = [...fake.objects.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => (isCommon(key) ? key.slice(0, key.indexOf('/', prefix.length) + 1) : key))
  const rest = [...new Set(told)].filter((key) => key > after).sort()
  const page = rest.slice(0, length)
  const items = page.map((key) =>
    isCommon(key)
      ? `<CommonPrefixes><Prefix>${encodeURIComponent(key)}</Prefix></CommonPrefixes>`
      : item(key, fake.objects.get(key)),
  )
  // Elements of one name stand together.
  items.sort((one, other) => Number(one.startsWith('<Common')) - Number(other.startsWith('<Common')))
  response.end(listing(items.join(''), rest.length > length ? page.at(-1) : undefined))
}

/** One key of a listing. */
export function item(key: string, stored?: Stored): string {
  const { etag, bytes, time } = stored ?? { etag: '"x"', bytes: Buffer.alloc(0), time: new Date() }
  const about = `<LastModified>${time.toISOString()}</LastModified><ETag>${etag}</ETag><Size>${bytes.length}</Size>`
  return `<Contents><Key>${encodeURIComponent(key)}</Key>${about}</Contents>`
}

/** The document of ListObjectsV2. */
export function listing(items: string, token?: string): string {
  const more = token === undefined ? '' : `<NextContinuationToken>${token}</NextContinuationToken>`
  const head = `<IsTruncated>${token !== undefined}</IsTruncated><EncodingType>url</EncodingType>${more}`
  return `<?xml version="1.0"?><ListBucketResult>${head}${items}</ListBucketResult>`
}
