/** One HTTP request, sent as it is: nothing is normalised, followed, retried or decoded. */

import http, { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body as UTF-8. */
  readonly text: string
  /** The body as JSON; throws when it is none. */
  json(): Json
}

/** What tests look into; they say themselves what they expect. */
// biome-ignore lint/suspicious/noExplicitAny: the value of a test's expectation, compared and never trusted
export type Json = any

export interface Sent {
  readonly method?: string
  /** The request-target, as it goes over the wire. */
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  /** A stream is sent chunked unless headers hold its length. */
  readonly body?: string | Buffer | Readable
  /** Milliseconds to the end of the answer; 30 s by default. */
  readonly timeout?: number
  /** PEM of who has to have signed the certificate of the gateway: over TLS. */
  readonly ca?: string
  /** With `Expect: 100-continue`: called when the body is asked for. */
  readonly asked?: () => void
}

/** Over a connection of its own, so that worker processes take turns. */
export async function send(port: number, sent: Sent): Promise<Answer> {
  const response = await open(port, sent)
  const parts: Buffer[] = []
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  const body = Buffer.concat(parts)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    text: body.toString(),
    json: () => JSON.parse(body.toString()),
  }
}

/** The answer with its body unread. Destroy it or read it to its end. */
export function open(
  port: number,
  { method = 'GET', path, headers = {}, body, timeout, ca, asked }: Sent,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const length = typeof body === 'string' || Buffer.isBuffer(body) ? { 'Content-Length': Buffer.byteLength(body) } : {}
  const call = (ca === undefined ? http : https).request({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent: false,
    ...(ca !== undefined && { ca }),
    headers: { ...length, ...headers },
    signal: AbortSignal.timeout(timeout ?? 30_000),
  })
  call.once('response', resolve)
  if (asked) call.once('continue', asked)
  // After an answer the rest of a body that nobody wanted may fail to go out.
  call.on('error', reject)
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) call.end(body)
  else body.pipe(call)
  return promise
}
