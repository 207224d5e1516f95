/** What `x-amz-content-sha256` says of a body. */

import { S3Error } from './error.ts'

/** What the chunks of a signed body are verified with. */
export interface ChunkSigning {
  readonly key: Buffer
  /** `YYYYMMDD'T'HHMMSS'Z'`. */
  readonly date: string
  readonly scope: string
  /** The signature of the head, which that of the first chunk follows. */
  readonly seed: string
}

export type Payload =
  /** As it is; `sha256` in hexadecimal digits where its sender says so. */
  | { readonly kind: 'plain'; readonly sha256: string | undefined }
  /** In chunks, which are signed or not; with a trailer behind the last or not. */
  | { readonly kind: 'chunked'; readonly signing: ChunkSigning | undefined; readonly hasTrailer: boolean }

export const unsignedPayload = 'UNSIGNED-PAYLOAD'

/** Throws `InvalidArgument` for what is no such value, `NotImplemented` for kinds of signatures that are not spoken here. */
export function parsePayload(value: string, signing: ChunkSigning | undefined): Payload {
  if (value === unsignedPayload) return { kind: 'plain', sha256: undefined }
  if (/^[0-9a-fA-F]{64}$/.test(value)) return { kind: 'plain', sha256: value.toLowerCase() }
  if (value === 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') return { kind: 'chunked', signing: undefined, hasTrailer: true }
  const signed = /^STREAMING-AWS4-HMAC-SHA256-PAYLOAD(-TRAILER)?$/.exec(value)
  if (signed && signing) return { kind: 'chunked', signing, hasTrailer: signed[1] !== undefined }
  if (/^STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD(-TRAILER)?$/.test(value)) {
    throw new S3Error('NotImplemented', 'Signatures of Version 4A are not spoken here.')
  }
  const name = 'x-amz-content-sha256'
  const elements = { ArgumentName: name }
  throw new S3Error('InvalidArgument', `${name} must be a digest or one of the values that name a kind of body`, {
    elements,
  })
}
