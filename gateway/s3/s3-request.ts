/** One S3 request whose sender is known: what every operation is given. */

import type { Readable } from 'node:stream'
import type { Call } from '../core/call.ts'
import type { Path } from '../core/path.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Buckets } from './buckets.ts'

/** A name that leads to a place in the namespace. */
export interface Bucket {
  readonly name: string
  /** The caller's own, where the configuration has a template. */
  readonly path: Path
}

/** What all S3 requests share. */
export interface S3Settings {
  readonly region: string
  /** Signs continuation tokens: the same in all processes. */
  readonly tokenKey: Uint8Array
  /** Origins of pages that browsers let read answers; `*` is any. */
  readonly origins: readonly string[]
  /** Which there are, and how they are made. */
  readonly buckets: Buckets
  /** The bucket of this name as this caller has it; undefined if there is none. Throws as `stat`. */
  bucket(call: Call, name: string): Promise<Bucket | undefined>
}

/** Decoded parameters; names are as sent. The first of several values counts. */
export interface S3Query {
  has(name: string): boolean
  get(name: string): string | undefined
  keys(): Iterable<string>
}

/**
 * The payload as its signature says. All ways to read it verify it while they do, and throw S3Error
 * (SignatureDoesNotMatch, IncompleteBody, XAmzContentSHA256Mismatch, MalformedTrailerError …) instead of telling its end.
 */
export interface S3Body {
  /** Decoded bytes, where they are announced. */
  readonly length: number | undefined
  /** Sends 100 Continue where the caller waits for it; to be called once. */
  stream(): Readable
  /** `x-amz-checksum-*` fields behind the payload, names in lower case; complete only after its end. */
  readonly trailers: ReadonlyMap<string, string>
  /** The name that `x-amz-trailer` announces. */
  readonly trailer: string | undefined
  /** A small body as a whole; `MaxMessageLengthExceeded` where it is longer than `limit`. */
  whole(limit: number): Promise<Uint8Array>
}

export interface S3Request {
  readonly x: Exchange
  readonly call: Call
  readonly settings: S3Settings
  /** GET, HEAD, PUT, POST, DELETE or OPTIONS. */
  readonly method: string
  readonly query: S3Query
  /** A header as sent; several of one name are joined by a comma. Names in lower case. Values are latin-1. */
  header(name: string): string | undefined
  /** Of all headers, in lower case: metadata have names of the caller's choice. Fields of a form and signed parameters of a URL count as headers. */
  headerNames(): Iterable<string>
  /** The caller signed the request: anonymous callers may not override headers of the answer. */
  readonly signed: boolean
  readonly body: S3Body
}

export interface BucketRequest extends S3Request {
  readonly bucket: Bucket
}

export interface ObjectRequest extends BucketRequest {
  /** Decoded: 1 to 1,024 bytes of UTF-8 without NUL, without empty, `.` and `..` segments. */
  readonly key: string
  /** The key ends in a slash. */
  readonly asDirectory: boolean
  /** Of bucket and key. */
  readonly path: Path
}

/** Answers the whole request, or throws S3Error or StorageError before the first byte of it. */
export type Operation<R extends S3Request = S3Request> = (request: R) => Promise<void>
