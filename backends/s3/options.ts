/** Settings of an S3 back end. */

import type { Acl } from '../../acl/acl.ts'
import type { Secret } from '../../acl/secret.ts'

/** The gateway's own key. */
export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
}

export interface S3Options {
  /** For logs and metrics; default `s3:` and the bucket with its prefix. */
  readonly name?: string
  /** Scheme, host and port; https, or http on loopback. */
  readonly endpoint: URL
  readonly region: string
  readonly bucket: string
  /** Only keys below it: `lab/data`; empty for the whole bucket. */
  readonly prefix: string
  /** Read at the first request and again every ten minutes or so. Nothing in the environment counts. */
  readonly credentials: () => Promise<S3Credentials>
  /** Bucket in the path rather than in the host name. */
  readonly pathStyle: boolean
  /** PEM trusted besides nothing else; the system's if absent. */
  readonly ca?: string | undefined
  /** Bytes of a part of an upload, 5 MiB at least; what is smaller is sent at once. Default 16 MiB. */
  readonly partSize?: number
  /** At most so many connections for metadata and as many for bytes; default 64. */
  readonly connections?: number
  /** Milliseconds without a byte in a transfer; default 60,000. */
  readonly stall?: number
  /** Milliseconds for a request that moves no bytes of files; default 20,000. */
  readonly deadline?: number
  /** ACL of the top while none is kept for it; without one nobody may do anything. */
  readonly rootAcl?: Acl
  readonly log?: (message: string, cause?: unknown) => void
}

export const defaults = {
  partSize: 16 * 2 ** 20,
  connections: 64,
  stall: 60_000,
  deadline: 20_000,
} as const

/** Least size of a part that is not the last (Amazon S3 User Guide, "Multipart upload limits"). */
export const leastPart = 5 * 2 ** 20
/** Longest key in bytes of UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects"). */
export const longestKey = 1024
