/**
 * How the endpoints of an issuer are spoken to when people sign in there: at origins of the configuration alone, over
 * TLS with the issuer's own authorities, without following a redirect, bounded in time and size.
 */

import http from 'node:http'
import https from 'node:https'
import type { CustomFetch, CustomFetchOptions } from 'openid-client'
import type { StorageError } from '../../gateway/core/errors.ts'
import { mayFetch } from './check-options.ts'
import { readAnchors, unavailable } from './fetch.ts'
import { maxKeySetBytes } from './limits.ts'
import type { IssuerOptions } from './options.ts'

/** Whether this address is at an origin that is spoken to, and is so over TLS (where the issuer is insecure: or on loopback). */
export function mayReach(address: string, issuer: IssuerOptions, origins: readonly string[]): boolean {
  const origin = URL.parse(address)?.origin
  const isAllowed = [issuer.issuer, ...origins].some((each) => URL.parse(each)?.origin === origin)
  return origin !== undefined && isAllowed && mayFetch(address, issuer)
}

/** Rejects with `unavailable` for what is not at one of these origins, for what does not answer, and for too long an answer. */
export function fetchFrom(issuer: IssuerOptions, origins: readonly string[]): CustomFetch {
  return async (address, options) => {
    if (!mayReach(address, issuer, origins)) throw foreignEndpoint()
    const ca = issuer.ca === undefined ? undefined : await readAnchors(issuer.ca)
    return exchange(new URL(address), options, ca)
  }
}

/** `unavailable` for metadata that lead elsewhere. */
export function foreignEndpoint(): StorageError {
  return unavailable('its metadata names an endpoint that is not at an origin of the configuration')
}

function exchange(url: URL, { method, headers, body, signal }: CustomFetchOptions, ca: Buffer | undefined) {
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const fail = (cause: unknown) => reject(unavailable('it cannot be reached, or does not answer in time', cause))
  const text = bodyOf(body)
  const settings = {
    method,
    // A connection of its own: nothing is left open between sign-ins.
    agent: false,
    headers: { ...headers, ...(text !== undefined && { 'content-length': Buffer.byteLength(text) }) },
    ...(signal && { signal }),
    ...(ca !== undefined && { ca }),
  }
  const request = (url.protocol === 'https:' ? https : http).request(url, settings)
  request.on('error', fail).on('response', (response) => void read(response).then(resolve, reject))
  request.end(text)
  return promise
}

/** The library sends forms, and nothing else. */
function bodyOf(body: CustomFetchOptions['body']): string | undefined {
  if (body === undefined || body === null) return undefined
  if (typeof body === 'string' || body instanceof URLSearchParams) return body.toString()
  throw unavailable('a request of a kind that is not known here')
}

async function read(response: http.IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    // Leaving the loop destroys the response, so a huge answer is not read to its end.
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxKeySetBytes) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw unavailable('its answer ended early', cause)
  }
  if (size > maxKeySetBytes) throw unavailable(`its answer is larger than ${maxKeySetBytes} bytes`)
  const status = response.statusCode ?? 0
  if (status < 200 || status > 599) throw unavailable('its answer is no HTTP')
  const headers = Object.entries(response.headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  )
  const bodiless = status === 204 || status === 205 || status === 304
  return new Response(bodiless ? null : Buffer.concat(chunks), { status, headers })
}
