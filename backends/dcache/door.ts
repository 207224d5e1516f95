/**
 * One door of dCache, WebDAV or REST: requests over connections that are kept, with deadlines, a stall watch and a
 * breaker. Redirects are followed to pools only, and no credential goes there.
 */

import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { Activity } from './credentials.ts'

export type Method =
  | 'GET'
  | 'HEAD'
  | 'PUT'
  | 'POST'
  | 'PATCH'
  | 'DELETE'
  | 'OPTIONS'
  | 'PROPFIND'
  | 'PROPPATCH'
  | 'MKCOL'
  | 'MOVE'
  | 'COPY'

export interface DoorRequest {
  readonly method: Method
  /** In the door's terms, not encoded, beginning with "/": it is added to the path of the door's URL. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  /** Small ones only; uploads have their own way. */
  readonly body?: string | Uint8Array
  readonly call: Call
  /** What the request is for, to choose the credential by. */
  readonly activities: readonly Activity[]
  /** Where the credential must be good for, in dCache's terms, if not `path`: the REST path holds more than the file's. */
  readonly object?: string
  /** Value of the Authorization header, instead of the one that `activities` choose; `none`: none at all. */
  readonly authorization?: Secret | 'none'
  /** GET alone: a redirect leads to a pool, which is asked for the bytes. Other redirects are `unavailable`. */
  readonly follow?: 'pool' | 'none'
  /** May be sent a second time over a fresh connection when the first got no answer. */
  readonly idempotent: boolean
  /** Milliseconds until the head of the answer; the door's if absent. */
  readonly deadline?: number
  /** Milliseconds without a byte of the body of the answer; the door's if absent. */
  readonly stall?: number
}

export interface DoorResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Fails with StorageError: `unavailable` when it breaks off or stalls, the call's own reason when that is aborted. */
  readonly body: Readable
  /** The whole body as bytes; `unavailable` when it is longer than `limit`. Within the deadline of a request. */
  bytes(limit?: number): Promise<Buffer>
  /** The whole body, parsed; `unavailable` when it is no JSON. */
  json(limit?: number): Promise<unknown>
  /** Lets go of a body that nobody reads; the connection is kept where that is cheap. */
  discard(): void
}

/** Any status is an answer; thrown is what made one impossible, mostly `unavailable`. */
export interface Door {
  /** Origin and path that request paths are added to. */
  readonly url: URL
  request(request: DoorRequest): Promise<DoorResponse>
  /** Running requests fail with `unavailable`. */
  close(): Promise<void>
}
