/** Bytes of a Reading to the caller: whole, one range, or several as multipart/byteranges. */

import { once } from 'node:events'
import type { Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Reading } from '../core/storage.ts'
import { mayBeDirect, sendDirectly } from './direct.ts'
import type { Exchange } from './exchange.ts'

/** Bytes that are read before a long file is sent directly. */
const firstPiece = 64 * 1024

export type BytesReading = Extract<Reading, { kind: 'bytes' }>

/** What is told of the file whatever part of it is sent; name, value, name, value. */
export interface FileHeaders {
  readonly type: string
  readonly others: readonly string[]
}

/** Sends the response and closes the reading, in every case. */
export async function sendReading(exchange: Exchange, reading: BytesReading, headers: FileHeaders): Promise<void> {
  const sent = { bytes: 0 }
  try {
    if (reading.ranges === undefined) await sendWhole(exchange, reading, headers, sent)
    else if (reading.ranges.length === 1) await sendRange(exchange, reading, headers, sent)
    else await sendParts(exchange, reading, reading.ranges, headers, sent)
  } catch (thrown) {
    const error = exchange.failureOf(thrown)
    await reading.close({ bytes: sent.bytes, error })
    throw error
  }
  await reading.close(sent)
}

export interface Sent {
  bytes: number
}

/** Where bytes come from. */
export type Source = Pick<BytesReading, 'content' | 'stream'>

async function sendWhole(x: Exchange, reading: BytesReading, { type, others }: FileHeaders, sent: Sent): Promise<void> {
  const { size } = reading.entry
  const head = ['Content-Type', type, 'Content-Length', String(size), ...others]
  if (x.request.method === 'HEAD' || size === 0) {
    x.response.writeHead(200, head)
    x.response.end()
    return
  }
  if (reading.content) {
    x.response.writeHead(200, head)
    x.response.end(reading.content)
    sent.bytes = size
    return
  }
  await sendSpan(x, reading, { start: 0, end: size }, { status: 200, head }, sent)
  x.response.end()
}

async function sendRange(x: Exchange, reading: BytesReading, { type, others }: FileHeaders, sent: Sent): Promise<void> {
  const range = reading.ranges?.[0] ?? { start: 0, end: reading.entry.size }
  const length = String(range.end - range.start)
  const where = contentRange(range, reading.entry.size)
  const head = ['Content-Type', type, 'Content-Length', length, 'Content-Range', where, ...others]
  await sendSpan(x, reading, range, { status: 206, head }, sent)
  x.response.end()
}

/** RFC 9110, section 14.6, with an exact Content-Length. */
async function sendParts(
  x: Exchange,
  reading: BytesReading,
  ranges: readonly Range[],
  { type, others }: FileHeaders,
  sent: Sent,
): Promise<void> {
  const boundary = `portolan-${x.id}`
  const intros = ranges.map((range, index) => {
    const where = contentRange(range, reading.entry.size)
    return `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${where}\r\n\r\n`
  })
  const end = `\r\n--${boundary}--\r\n`
  let length = end.length
  for (const [index, range] of ranges.entries()) length += range.end - range.start + (intros[index]?.length ?? 0)
  const head = [
    'Content-Type',
    `multipart/byteranges; boundary=${boundary}`,
    'Content-Length',
    String(length),
    ...others,
  ]
  for (const [index, range] of ranges.entries()) {
    await sendSpan(x, reading, range, { status: 206, head, intro: intros[index] ?? '' }, sent)
  }
  x.response.end(end)
}

/** Of the answer that bytes are sent in. */
export interface SpanHead {
  readonly status: number
  readonly head: readonly string[]
  /** Written between the head and the bytes. */
  readonly intro?: string
}

/**
 * The head goes out with the first bytes, so that a file that cannot be read still gets an honest status. Ending the
 * response is the caller's. Throws `stale` where there are fewer bytes than that.
 */
export async function sendSpan(x: Exchange, reading: Source, range: Range, span: SpanHead, sent: Sent): Promise<void> {
  const { response } = x
  const expected = range.end - range.start
  if (reading.content) {
    begin(x, span)
    const whole = expected === reading.content.length
    response.write(whole ? reading.content : reading.content.subarray(range.start, range.end))
    sent.bytes += expected
    return
  }
  if (!mayBeDirect(x, expected)) return pump(x, reading, range, span, sent)
  // The first bytes take the ordinary way: they tell whether the file can be read at all.
  const start = range.start + firstPiece
  await pump(x, reading, { start: range.start, end: start }, span, sent, range.end)
  const stream = (piece: Range) => reading.stream(piece, range.end)
  const count = (bytes: number) => {
    sent.bytes += bytes
  }
  const reached = await sendDirectly(x, { start, end: range.end }, { stream, sent: count })
  if (reached < range.end) await pump(x, reading, { start: reached, end: range.end }, { ...span, intro: '' }, sent)
}

/** Bytes through this process, no faster than the caller takes them. */
async function pump(
  x: Exchange,
  reading: Source,
  range: Range,
  span: SpanHead,
  sent: Sent,
  until = range.end,
): Promise<void> {
  const { response } = x
  const stream = reading.stream(range, until)
  let left = range.end - range.start
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (left === range.end - range.start) begin(x, span)
      left -= chunk.length
      sent.bytes += chunk.length
      const room = response.write(chunk, () => stream.recycle?.(chunk))
      if (!room) await once(response, 'drain', { signal: x.call.signal })
    }
  } finally {
    stream.destroy()
  }
  // Fewer bytes than announced would make the next response a part of this one.
  if (left !== 0) throw new StorageError('stale', 'the file changed while it was read')
}

function begin(x: Exchange, span: SpanHead): void {
  if (!x.response.headersSent) x.response.writeHead(span.status, [...span.head])
  if (span.intro) x.response.write(span.intro)
}

function contentRange(range: Range, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}

/**
 * Text of unknown length, piece by piece and no faster than the caller takes it. The head goes out
 * with the first piece. A source that fails later cuts the connection, so that nobody takes the part for the whole.
 */
export async function sendText(
  x: Exchange,
  head: { readonly status: number; readonly headers: readonly string[] },
  pieces: AsyncIterable<string>,
): Promise<void> {
  const { response } = x
  for await (const piece of pieces) {
    if (!response.headersSent) response.writeHead(head.status, [...head.headers])
    if (x.request.method === 'HEAD') break
    // Encoded at once: a string would be measured first, and then encoded.
    if (!response.write(Buffer.from(piece))) await once(response, 'drain', { signal: x.call.signal })
  }
  if (!response.headersSent) response.writeHead(head.status, [...head.headers])
  response.end()
}
