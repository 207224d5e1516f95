/**
 * Fetching a small JSON document from an address of the configuration: bounded in time and size,
 * redirected within one origin at most, without credentials, cookies or proxies.
 */

import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import http from 'node:http'
import https from 'node:https'
import { StorageError } from '../../gateway/core/errors.ts'
import { maxKeySetBytes } from './limits.ts'

export interface FetchOptions {
  /** File of PEM certificates trusted instead of the system's. */
  readonly ca?: string | undefined
  readonly signal: AbortSignal
}

export interface Fetched {
  readonly body: Buffer
  /** The server's clock in milliseconds since 1970, if it told. */
  readonly date: number | undefined
}

const maxRedirects = 2

/** The caller has checked scheme and host. Throws `unavailable`, with what was wrong in the reason. */
export async function fetchDocument(address: string, options: FetchOptions): Promise<Fetched> {
  const ca = options.ca === undefined ? undefined : await readAnchors(options.ca)
  let url = new URL(address)
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const answer = await get(url, ca, options.signal)
    if (answer.redirect === undefined) return answer
    const target = URL.parse(answer.redirect, url)
    if (target === null || target.origin !== url.origin) throw unavailable('it redirects to another origin')
    url = target
  }
  throw unavailable('it redirects too often')
}

/** `unavailable` for keys that cannot be had; `text` tells why and becomes the reason. */
export function unavailable(text: string, cause?: unknown): StorageError {
  const reason = { rule: 'token-key', text }
  return new StorageError('unavailable', 'the keys of the token issuer cannot be had', {
    retryAfter: 10,
    reason,
    cause,
  })
}

type Answer = Fetched & { readonly redirect?: string }

/** PEM certificates. Throws `unavailable`. */
export async function readAnchors(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw unavailable('the file of trusted certificates cannot be read', error)
  }
}

function get(url: URL, ca: Buffer | undefined, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => reject(StorageError.from(translate(cause)))
    const module = url.protocol === 'https:' ? https : http
    const settings = {
      // A connection of its own: nothing is left open between fetches that lie hours apart.
      agent: false,
      headers: { accept: 'application/json' },
      signal,
      ...(ca !== undefined && { ca }),
    }
    module.get(url, settings, (response) => void read(response).then(resolve, fail)).on('error', fail)
  })
}

async function read(response: IncomingMessage): Promise<Answer> {
  const date = Date.parse(response.headers.date ?? '')
  const told = { date: Number.isNaN(date) ? undefined : date }
  const status = response.statusCode ?? 0
  if ([301, 302, 303, 307, 308].includes(status)) {
    response.destroy()
    return { ...told, body: Buffer.alloc(0), redirect: response.headers.location ?? '' }
  }
  if (status !== 200) {
    response.destroy()
    throw unavailable(`it answers with status ${status}`)
  }
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop destroys the response, so a huge answer is not read to its end.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxKeySetBytes) throw unavailable(`its answer is larger than ${maxKeySetBytes} bytes`)
    chunks.push(chunk)
  }
  return { ...told, body: Buffer.concat(chunks) }
}

function translate(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const error = cause as { readonly code?: unknown; readonly name?: unknown } | null
  const isLate = error?.name === 'AbortError' || error?.name === 'TimeoutError' || error?.code === 'ABORT_ERR'
  return unavailable(isLate ? 'it does not answer in time' : `it cannot be reached (${String(error?.code)})`, cause)
}
