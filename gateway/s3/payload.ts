/** The body of a request, verified as its signature says while it is read. */

import { createHash } from 'node:crypto'
import { type Readable, Transform, type TransformCallback, Writable } from 'node:stream'
import { StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { sendContinue } from '../http/receive.ts'
import type { Authenticated } from './authentication.ts'
import { checksumAlgorithms, headerOf } from './checksums.ts'
import { ChunkedDecoder, incomplete } from './chunked.ts'
import { S3Error } from './error.ts'
import { receivePayload } from './receive.ts'
import type { S3Body } from './s3-request.ts'

const none: ReadonlyMap<string, string> = new Map()
const ahead = 256 * 1024

/** Fields that may come behind a body, in lower case. */
const trailerFields: ReadonlySet<string> = new Set(checksumAlgorithms.map(headerOf))

/** Throws S3Error for a head that says about its body what cannot be. Reads nothing of it. */
export function bodyOf(x: Exchange, { payload, header }: Pick<Authenticated, 'payload' | 'header'>): S3Body {
  const trailer = trailerOf(header('x-amz-trailer'))
  if (trailer !== undefined && !(payload.kind === 'chunked' && payload.hasTrailer)) {
    throw new S3Error('InvalidRequest', 'x-amz-trailer needs a body that has a trailer.')
  }
  if (payload.kind === 'chunked') {
    const length = decodedLength(header('x-amz-decoded-content-length'))
    const decoder = new ChunkedDecoder({ ...payload, length, trailer })
    return new SignedBody(x, { length, trailer, trailers: decoder.trailers, through: decoder })
  }
  const { sha256 } = payload
  return new SignedBody(x, {
    length: plainLength(x),
    trailer: undefined,
    trailers: none,
    through: sha256 === undefined ? undefined : new DigestCheck(sha256),
  })
}

interface BodyParts {
  readonly length: number | undefined
  readonly trailer: string | undefined
  readonly trailers: ReadonlyMap<string, string>
  /** What verifies the bytes on their way. */
  readonly through: Transform | undefined
}

class SignedBody implements S3Body {
  readonly length: number | undefined
  readonly trailer: string | undefined
  readonly trailers: ReadonlyMap<string, string>
  readonly #x: Exchange
  readonly #through: Transform | undefined

  constructor(x: Exchange, { length, trailer, trailers, through }: BodyParts) {
    this.length = length
    this.trailer = trailer
    this.trailers = trailers
    this.#x = x
    this.#through = through
  }

  stream(): Readable {
    const { request, connection } = this.#x
    const through = this.#through
    sendContinue(this.#x)
    if (!through) return request
    // The request outlives what is wrong with its body: it has to be answered.
    const gone = () => {
      if (request.readableEnded) return
      through.destroy(connection.broken ? incomplete() : new StorageError('cancelled', 'the sender went away'))
    }
    request.on('error', gone).once('close', gone)
    return request.pipe(through)
  }

  async whole(limit: number): Promise<Uint8Array> {
    if ((this.length ?? 0) > limit) throw tooLong(limit)
    const chunks: Buffer[] = []
    const into = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk)
        done()
      },
    })
    try {
      await receivePayload({ x: this.#x, body: this }, into, limit)
    } catch (error) {
      throw error instanceof S3Error && error.s3Code === 'EntityTooLarge' ? tooLong(limit) : error
    }
    return Buffer.concat(chunks)
  }
}

/** Hands on what comes, and fails in place of the end where it was not what its sender has signed. */
class DigestCheck extends Transform {
  readonly #expected: string
  readonly #hash = createHash('sha256')

  constructor(expected: string) {
    super({ highWaterMark: ahead })
    this.#expected = expected
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk)
    done(null, chunk)
  }

  override _flush(done: TransformCallback): void {
    const computed = this.#hash.digest('hex')
    if (computed === this.#expected) {
      done()
      return
    }
    const elements = { ClientComputedContentSHA256: this.#expected, S3ComputedContentSHA256: computed }
    const message = "The provided 'x-amz-content-sha256' header does not match what was computed."
    done(new S3Error('XAmzContentSHA256Mismatch', message, { elements }))
  }
}

function plainLength(x: Exchange): number | undefined {
  const length = x.request.headers['content-length']
  if (length !== undefined) return Number(length)
  return x.hasBody ? undefined : 0
}

function decodedLength(text: string | undefined): number {
  if (text === undefined || text === '') {
    throw new S3Error('MissingContentLength', 'You must provide the x-amz-decoded-content-length HTTP header.')
  }
  if (/^\d{1,15}$/.test(text)) return Number(text)
  const elements = { ArgumentName: 'x-amz-decoded-content-length' }
  throw new S3Error('InvalidArgument', 'The decoded length of the body must be a number.', { elements })
}

function trailerOf(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  const name = text.toLowerCase()
  if (trailerFields.has(name)) return name
  throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported.')
}

function tooLong(limit: number): S3Error {
  return new S3Error('MaxMessageLengthExceeded', `Your request was too big. At most ${limit} bytes are taken.`)
}
