/** Small bodies whose digest must come with them (Amazon S3 API Reference, DeleteObjects and others). */

import type { Digest } from '../../backends/backend.ts'
import { DigestSet, sameDigest } from '../core/digests.ts'
import { announcedChecksum, base64, digestOf, headerOf, parseChecksum, parseContentMd5 } from './checksums.ts'
import { S3Error } from './error.ts'
import type { S3Request } from './s3-request.ts'

/**
 * The whole body, found to be what its Content-MD5 or checksum says. Throws InvalidRequest where there is none of the two
 * and `required`, BadDigest, and as `S3Body.whole`.
 */
export async function verifiedWhole(request: S3Request, limit: number, required = true): Promise<Uint8Array> {
  const { body, header } = request
  const md5 = parseContentMd5(header('content-md5'))
  const checksum = announcedChecksum({ get: header }, body.trailer)
  if (required && !md5 && !checksum) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*')
  }
  const bytes = await body.whole(limit)
  if (md5) requireDigest('md5', bytes, md5)
  if (checksum) {
    const { algorithm, value = parseChecksum(algorithm, body.trailers.get(headerOf(algorithm)) ?? '') } = checksum
    requireDigest(digestOf(algorithm), bytes, value)
  }
  return bytes
}

/** Throws BadDigest. */
export function requireDigest(kind: Digest, bytes: Uint8Array, expected: Uint8Array): void {
  const digests = new DigestSet([kind])
  digests.update(bytes)
  const computed = digests.finish()[kind] ?? new Uint8Array()
  if (sameDigest(computed, expected)) return
  throw new S3Error('BadDigest', `The ${kind} you specified did not match what we received.`, {
    elements: { ExpectedDigest: base64(expected), CalculatedDigest: base64(computed) },
  })
}
