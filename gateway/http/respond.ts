/** Small answers, and how to end a request whose body nobody is going to read. */

import { once } from 'node:events'
import type { Exchange } from './exchange.ts'

/** A body this small is read and dropped, so that the connection can be used again. */
export const worthReading = 64 * 1024
/** How long and how much a sender may go on after its answer: closing at once would reset what it has not read yet. */
const lingerTime = 2000
const lingerBytes = 4 * 1024 * 1024

/**
 * Sends a complete response; `headers` is name, value, name, value, without Content-Length. HEAD gets
 * the headers alone. Where the request's body was left unread, the connection is closed after the answer.
 */
export async function respond(
  exchange: Exchange,
  status: number,
  headers: readonly string[],
  body: string | Uint8Array = '',
): Promise<void> {
  const { response, request } = exchange
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const bodiless = status === 204 || status === 304
  const all = [...headers, 'X-Request-Id', exchange.id]
  if (!bodiless) all.push('Content-Length', String(bytes.length))
  const content = bodiless || request.method === 'HEAD' ? undefined : bytes
  // Nothing more is to come from whoever was too slow (RFC 9110, section 15.5.9).
  if (status === 408) response.shouldKeepAlive = false
  if (status === 408 || !leavesBody(exchange)) {
    response.writeHead(status, all)
    response.end(content)
    return
  }
  response.shouldKeepAlive = false
  response.writeHead(status, all)
  if (content?.length) response.write(content)
  else response.flushHeaders()
  await linger(exchange)
  response.end()
}

/** The body has not arrived in full, and reading the rest only to drop it is not worth while. */
function leavesBody(exchange: Exchange): boolean {
  const { request, awaitsContinue, connection } = exchange
  if (connection.broken) return true
  if (request.complete || !exchange.hasBody) return false
  if (awaitsContinue || connection.cut) return true
  const length = request.headers['content-length']
  return length === undefined || Number(length) > worthReading
}

/** Drops what still comes, until the sender stops, or time or patience ends. */
async function linger({ request, connection }: Exchange): Promise<void> {
  if (request.destroyed || connection.broken) return
  const done = new AbortController()
  const timer = setTimeout(() => done.abort(), lingerTime)
  let dropped = 0
  const drop = (chunk: Buffer) => {
    dropped += chunk.length
    if (dropped > lingerBytes) done.abort()
  }
  // Whoever gave the body up may have stopped the reading of it.
  request.on('data', drop).resume()
  try {
    await once(request, 'close', { signal: done.signal })
  } catch {
    // Aborted, or the sender went away: either way the lingering is over.
  } finally {
    clearTimeout(timer)
    request.off('data', drop)
  }
}
