/**
 * Bodies in the framing `aws-chunked` (AWS Signature Version 4, "Signature calculations for the Authorization header:
 * transferring payload in multiple chunks", with and without trailing headers): each chunk is verified as soon as it is
 * whole, and handed on as it comes, without being copied. Whoever takes it keeps nothing before the end was told.
 */

import { createHash, type Hash, hash } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import { S3Error } from './error.ts'
import type { ChunkSigning } from './payload-mode.ts'
import { emptyHash, isSameSignature, signatureOf } from './sigv4.ts'

export interface ChunkedOptions {
  /** Of all chunks together, in bytes. */
  readonly length: number
  /** Absent: the chunks are not signed. */
  readonly signing: ChunkSigning | undefined
  /** There is a trailer behind the last chunk. */
  readonly hasTrailer: boolean
  /** The one field that the trailer may and must have, in lower case. */
  readonly trailer: string | undefined
}

/** Characters of one line of the framing. */
const maxLine = 1024
/** Pieces of one packet that are handed on one by one; more are put together, small as they must be. */
const maxPieces = 8
const ahead = 256 * 1024
const trailerSignature = 'x-amz-trailer-signature'

/** In what part of the framing the next byte lies. */
type State = 'size' | 'data' | 'data end' | 'trailer' | 'done'

/**
 * Takes the body as sent, gives what is in its chunks. Fails with S3Error `SignatureDoesNotMatch`, `IncompleteBody`
 * (also for what does not follow the framing, or is longer than announced) or `MalformedTrailerError` in place of the end.
 */
export class ChunkedDecoder extends Transform {
  readonly #options: ChunkedOptions
  readonly #trailers = new Map<string, string>()
  #state: State = 'size'
  /** The beginning of a line whose end has not come. */
  #partial = ''
  #received = 0
  /** Of the chunk at hand: bytes that are still to come, what it is said to be signed with, and its digest so far. */
  #remaining = 0
  #claimed = ''
  #hash: Hash | undefined
  /** The last signature that was right. */
  #previous: string
  #trailerText = ''
  #trailerClaim: string | undefined
  #blanks = 0

  constructor(options: ChunkedOptions) {
    super({ highWaterMark: ahead })
    this.#options = options
    this.#previous = options.signing?.seed ?? ''
  }

  /** Complete when the end was told. */
  get trailers(): ReadonlyMap<string, string> {
    return this.#trailers
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      const pieces = this.#take(chunk)
      for (const piece of pieces.length > maxPieces ? [Buffer.concat(pieces)] : pieces) this.push(piece)
    } catch (error) {
      done(error instanceof Error ? error : new S3Error('InternalError', 'a body could not be read', { cause: error }))
      return
    }
    done()
  }

  override _flush(done: TransformCallback): void {
    done(this.#state === 'done' && this.#partial === '' ? null : incomplete())
  }

  #take(chunk: Buffer): readonly Buffer[] {
    const pieces: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#state === 'data') {
        const piece = chunk.subarray(at, at + this.#remaining)
        pieces.push(piece)
        this.#hash?.update(piece)
        this.#remaining -= piece.length
        at += piece.length
        if (this.#remaining === 0) this.#endData()
        continue
      }
      const end = chunk.indexOf(10, at)
      this.#partial += chunk.toString('latin1', at, Math.min(end < 0 ? chunk.length : end, at + maxLine + 1))
      if (this.#partial.length > maxLine) throw incomplete()
      if (end < 0) break
      const line = this.#partial
      this.#partial = ''
      at = end + 1
      this.#takeLine(line)
    }
    return pieces
  }

  /** `line`: without its LF. */
  #takeLine(line: string): void {
    if (this.#state === 'trailer' && this.#options.hasTrailer) {
      this.#takeTrailer(line.endsWith('\r') ? line.slice(0, -1) : line)
      return
    }
    if (!line.endsWith('\r')) throw incomplete()
    if (this.#state === 'size') {
      this.#begin(line.slice(0, -1))
      return
    }
    // Chunks, the last chunk and, with some clients, the trailer are followed by an empty line.
    if (line !== '\r' || (this.#state === 'done' && this.#blanks++ > 0)) throw incomplete()
    this.#state = this.#state === 'data end' ? 'size' : 'done'
  }

  #begin(line: string): void {
    const [, digits, claimed] = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-zA-Z]*))?$/.exec(line) ?? []
    const isSigned = this.#options.signing !== undefined
    if (digits === undefined || isSigned !== (claimed !== undefined)) throw incomplete()
    this.#claimed = claimed ?? ''
    this.#remaining = Number.parseInt(digits, 16)
    this.#received += this.#remaining
    if (this.#received > this.#options.length) throw incomplete()
    if (this.#remaining > 0) {
      this.#hash = isSigned ? createHash('sha256') : undefined
      this.#state = 'data'
      return
    }
    if (this.#received !== this.#options.length) throw incomplete()
    this.#verify('PAYLOAD', `${emptyHash}\n${emptyHash}`, this.#claimed)
    this.#state = 'trailer'
  }

  #endData(): void {
    if (this.#hash) this.#verify('PAYLOAD', `${emptyHash}\n${this.#hash.digest('hex')}`, this.#claimed)
    this.#state = 'data end'
  }

  #takeTrailer(line: string): void {
    const { signing, trailer } = this.#options
    if (line === '') {
      const isEarly = signing !== undefined && this.#trailerClaim === undefined
      if (!isEarly) this.#endTrailer()
      // Some clients set the signature apart.
      else if (this.#trailers.size === 0 || this.#blanks++ > 0) throw malformedTrailer()
      return
    }
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (this.#trailerClaim !== undefined) throw malformedTrailer()
    if (signing && name === trailerSignature) {
      this.#trailerClaim = value
    } else if (name !== '' && name === trailer && !this.#trailers.has(name)) {
      this.#trailers.set(name, value)
      this.#trailerText += `${name}:${value}\n`
    } else {
      throw malformedTrailer()
    }
  }

  #endTrailer(): void {
    const { trailer } = this.#options
    if (trailer !== undefined && !this.#trailers.has(trailer)) throw malformedTrailer()
    const digest = hash('sha256', Buffer.from(this.#trailerText, 'latin1'), 'hex')
    this.#verify('TRAILER', digest, this.#trailerClaim ?? '')
    this.#blanks = 0
    this.#state = 'done'
  }

  #verify(kind: 'PAYLOAD' | 'TRAILER', digests: string, claimed: string): void {
    const { signing } = this.#options
    if (!signing) return
    const text = `AWS4-HMAC-SHA256-${kind}\n${signing.date}\n${signing.scope}\n${this.#previous}\n${digests}`
    const expected = signatureOf(signing.key, text)
    if (!isSameSignature(expected, claimed)) {
      const message = 'The signature of a chunk of the body, or of its trailer, is not that of the key.'
      throw new S3Error('SignatureDoesNotMatch', message)
    }
    this.#previous = expected
  }
}

/** The body is not what its head announces: shorter, longer, or not in this framing. */
export function incomplete(cause?: unknown): S3Error {
  return new S3Error('IncompleteBody', 'The request body terminated unexpectedly', { cause })
}

export function malformedTrailer(): S3Error {
  const message =
    'The request contained trailing data that was not well-formed or did not conform to our published schema.'
  return new S3Error('MalformedTrailerError', message)
}
