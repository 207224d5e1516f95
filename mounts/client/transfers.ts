/** What is asked and told of files that are sent and fetched. */

import type { Readable } from 'node:stream'

export interface GetOptions {
  /** First byte wanted, 0 by default. */
  readonly start?: number
  /** Byte after the last one wanted; the end of the file by default. */
  readonly end?: number
  /** Only if the file still has this entity tag. */
  readonly ifMatch?: string
  readonly signal?: AbortSignal
}

export interface Download {
  readonly etag: string | undefined
  /** Offset of the first byte of `body` in the file. */
  readonly start: number
  /** Bytes in `body`. */
  readonly length: number | undefined
  /** Bytes of the whole file. */
  readonly size: number | undefined
  /** Must be read to its end or destroyed. */
  readonly body: Readable
}

export interface PutOptions {
  /** Bytes of the body, if known. */
  readonly size?: number
  /** Only over this entity tag. */
  readonly ifMatch?: string
  /** Only where there is no file. */
  readonly onlyNew?: boolean
  readonly signal?: AbortSignal
}

export interface Uploaded {
  readonly created: boolean
  readonly etag: string | undefined
}
