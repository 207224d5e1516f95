/** A plain HTTP client for tests of the stand-in: follows nothing, and can wait for "100 Continue". */

import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { request as requestTls } from 'node:https'

export interface Reply {
  readonly status: number
  readonly reason: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The server has asked for the body. */
  readonly continued: boolean
}

export interface Asking {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Sends "Expect: 100-continue" and the body only when it is asked for. */
  readonly expect?: boolean
  readonly ca?: string | undefined
}

export async function ask(url: URL | string, asking: Asking = {}): Promise<Reply> {
  const { method = 'GET', body, expect, ca } = asking
  const target = new URL(url)
  const headers: Record<string, string> = { ...asking.headers }
  if (body !== undefined) headers['Content-Length'] = `${Buffer.byteLength(body)}`
  if (expect) headers.Expect = '100-continue'
  const make = target.protocol === 'https:' ? requestTls : request
  const sent = make(target, { method, headers, agent: false, ...(ca === undefined ? {} : { ca }) })
  let continued = false
  sent.once('continue', () => {
    continued = true
    sent.end(body)
  })
  if (expect) sent.flushHeaders()
  else sent.end(body)
  // What happens after the headers shows in the body.
  sent.on('error', () => {})
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const bytes = Buffer.concat((await response.toArray()) as Buffer[])
  const { statusCode = 0, statusMessage = '', headers: answered } = response
  sent.destroy()
  return { status: statusCode, reason: statusMessage, headers: answered, body: bytes, continued }
}

export function basic(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

export function bearer(token: string): Record<string, string> {
  return { Authorization: `Bearer ${token}` }
}

export function jsonOf(reply: Reply): Record<string, unknown> {
  return JSON.parse(reply.body.toString()) as Record<string, unknown>
}
