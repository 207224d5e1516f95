/** Requests that begin together, and uploads in parts, by raw requests to a gateway of its own processes. */

import { createHash } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { TestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import type { UserName } from '../gateway/people.ts'

/** With quotes. */
export function etagOf(content: string | Uint8Array): string {
  return `"${createHash('md5').update(content).digest('hex')}"`
}

/** As a completed upload in parts has it, with quotes. */
export function etagOfParts(parts: readonly (string | Uint8Array)[]): string {
  const digests = parts.map((part) => createHash('md5').update(part).digest())
  return `"${createHash('md5').update(Buffer.concat(digests)).digest('hex')}-${parts.length}"`
}

/** Opens when as many have arrived as were expected. */
export class Barrier {
  readonly #opened = Promise.withResolvers<void>()
  #missing: number

  constructor(expected: number) {
    this.#missing = expected
  }

  get open(): Promise<void> {
    return this.#opened.promise
  }

  arrive(): void {
    this.#missing--
    if (this.#missing === 0) this.#opened.resolve()
  }
}

export interface Racer {
  readonly door: 's3' | 'http'
  readonly method?: string
  readonly path: string
  readonly content: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Sends the head of a request, and its content when the barrier opens; it has arrived there when the gateway asks for
 * the content or answers without.
 */
export async function race(gateway: TestGateway, user: UserName, barrier: Barrier, racer: Racer): Promise<Answer> {
  const { door, method = 'PUT', path, content, headers } = racer
  const body = new PassThrough()
  let arrived = false
  const arrive = () => {
    if (!arrived) barrier.arrive()
    arrived = true
  }
  void barrier.open.then(() => body.end(content))
  const length = String(Buffer.byteLength(content))
  const asked = { 'content-length': length, expect: '100-continue', ...headers }
  const sent = { method, path, user, body, headers: asked, asked: arrive }
  try {
    return await (door === 's3' ? gateway.s3(sent) : gateway.request(sent))
  } finally {
    arrive()
  }
}

export interface Upload {
  /** Of the object. */
  readonly path: string
  readonly id: string
}

export async function beginUpload(
  gateway: TestGateway,
  user: UserName,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Upload> {
  const { status, text } = await gateway.s3({ method: 'POST', path: `${path}?uploads`, user, headers })
  const id = /<UploadId>([^<]+)</.exec(text)?.[1]
  if (id === undefined) throw new Error(`the upload could not be begun: ${status} ${text}`)
  return { path, id }
}

export function sendPart(
  gateway: TestGateway,
  user: UserName,
  { path, id }: Upload,
  number: number,
  body: string | Buffer,
): Promise<Answer> {
  return gateway.s3({ method: 'PUT', path: `${path}?partNumber=${number}&uploadId=${id}`, user, body, timeout: 60_000 })
}

/** `etags` of parts 1, 2 and so on. */
export function completeUpload(
  gateway: TestGateway,
  user: UserName,
  { path, id }: Upload,
  etags: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const parts = etags.map((etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
  const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
  return gateway.s3({ method: 'POST', path: `${path}?uploadId=${id}`, user, body, headers, timeout: 60_000 })
}

/** The error code of an answer, or its status. */
export function codeOf({ status, text }: Answer): string {
  return /<Code>(\w+)</.exec(text)?.[1] ?? String(status)
}
