/** A request by somebody with a certificate of his own. */

import { once } from 'node:events'
import http, { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import https from 'node:https'
import { buffer } from 'node:stream/consumers'
import type { Json } from '../gateway/http.ts'
import type { Certified } from '../peers/certificate-authority.ts'

export interface Certifying {
  readonly port: number
  /** PEM of the gateway's authority; plain HTTP without. */
  readonly ca?: string
  readonly by?: Certified
  readonly method?: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  /** Where the connection comes from. */
  readonly from?: string
  /** Connections that are used again; a new one if absent. */
  readonly agent?: https.Agent
}

export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  json(): Json
}

export async function ask({
  port,
  ca,
  by,
  method = 'GET',
  path,
  headers = {},
  body,
  from,
  agent,
}: Certifying): Promise<Answered> {
  const request = (ca === undefined ? http : https).request({
    ...{ host: '127.0.0.1', port, method, path, agent: agent ?? false, headers },
    // Whatever name the request is for.
    ...(ca !== undefined && { ca, servername: 'localhost', ...by }),
    ...(from !== undefined && { localAddress: from }),
    signal: AbortSignal.timeout(30_000),
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const text = (await buffer(response)).toString()
  return { status: response.statusCode ?? 0, headers: response.headers, text, json: () => JSON.parse(text) }
}

/** The value of a `Client-Cert` header (RFC 9440, section 2.1). */
export function headerOf({ cert }: Certified): string {
  const [, body = ''] = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/.exec(cert) ?? []
  return `:${body.replace(/\s/g, '')}:`
}
