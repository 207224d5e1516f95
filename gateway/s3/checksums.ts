/** Checksums of S3 (Amazon S3 User Guide, "Checking object integrity"), and Content-MD5. */

import type { Digest } from '../../backends/backend.ts'
import { S3Error } from './error.ts'

export const checksumAlgorithms = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number]
export const checksumTypes = ['COMPOSITE', 'FULL_OBJECT'] as const
export type ChecksumType = (typeof checksumTypes)[number]

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: ChecksumType
  /** Base64 of the big-endian bytes; a composite one ends in the number of parts. */
  readonly value: string
}

interface Traits {
  readonly kind: Digest
  readonly header: string
  readonly element: string
  /** Bytes. */
  readonly length: number
}

const traits: Readonly<Record<ChecksumAlgorithm, Traits>> = {
  CRC32: { kind: 'crc32', header: 'x-amz-checksum-crc32', element: 'ChecksumCRC32', length: 4 },
  CRC32C: { kind: 'crc32c', header: 'x-amz-checksum-crc32c', element: 'ChecksumCRC32C', length: 4 },
  CRC64NVME: { kind: 'crc64nvme', header: 'x-amz-checksum-crc64nvme', element: 'ChecksumCRC64NVME', length: 8 },
  SHA1: { kind: 'sha-1', header: 'x-amz-checksum-sha1', element: 'ChecksumSHA1', length: 20 },
  SHA256: { kind: 'sha-256', header: 'x-amz-checksum-sha256', element: 'ChecksumSHA256', length: 32 },
}

/** Others that clients may send: not computed here, and so never taken for verified. */
const others = ['md5', 'sha512', 'xxhash64', 'xxhash3', 'xxhash128'].map((name) => `x-amz-checksum-${name}`)

/** The core's name for it. */
export function digestOf(algorithm: ChecksumAlgorithm): Digest {
  return traits[algorithm].kind
}

/** The header that carries it, in lower case. */
export function headerOf(algorithm: ChecksumAlgorithm): string {
  return traits[algorithm].header
}

/** The XML element that carries it. */
export function elementOf(algorithm: ChecksumAlgorithm): string {
  return traits[algorithm].element
}

/** Bytes of it. */
export function lengthOf(algorithm: ChecksumAlgorithm): number {
  return traits[algorithm].length
}

/** By the name of an algorithm as headers carry it, in any case; undefined for others. */
export function algorithmOf(name: string): ChecksumAlgorithm | undefined {
  const upper = name.trim().toUpperCase()
  return checksumAlgorithms.find((each) => each === upper)
}

/** By the name of a header that carries a value, in lower case. */
export function algorithmOfHeader(header: string): ChecksumAlgorithm | undefined {
  return checksumAlgorithms.find((each) => traits[each].header === header)
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** What is sent as a checksum. Throws InvalidRequest for what cannot be one. */
export function parseChecksum(algorithm: ChecksumAlgorithm, text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === lengthOf(algorithm) && bytes.toString('base64') === text.trim()) return bytes
  throw invalid(`Value for ${headerOf(algorithm)} header is invalid.`)
}

/** Content-MD5 (RFC 1864); undefined where there is none. Throws InvalidDigest. */
export function parseContentMd5(header: string | undefined): Uint8Array | undefined {
  if (header === undefined) return undefined
  const bytes = Buffer.from(header, 'base64')
  if (bytes.length === 16 && bytes.toString('base64') === header.trim()) return bytes
  throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.', {
    elements: { 'Content-MD5': header },
  })
}

/** Headers of one request, or the fields of a form: by names in lower case. */
export interface Fields {
  get(name: string): string | undefined
}

/** What the sender tells of the checksum of what it sends. */
export interface AnnouncedChecksum {
  readonly algorithm: ChecksumAlgorithm
  /** Undefined: it comes behind the body. */
  readonly value: Uint8Array | undefined
}

/** The checksum that comes with a body. `trailer`: the field announced to come behind it. Throws InvalidRequest. */
export function announcedChecksum(fields: Fields, trailer?: string): AnnouncedChecksum | undefined {
  const unknown = others.find((name) => fields.get(name) !== undefined || name === trailer)
  if (unknown !== undefined) {
    throw new S3Error('NotImplemented', 'This checksum algorithm is not implemented.', {
      elements: { Header: unknown },
    })
  }
  const sent = checksumAlgorithms.filter((each) => fields.get(headerOf(each)) !== undefined)
  const late = trailer === undefined ? undefined : algorithmOfHeader(trailer)
  if (trailer !== undefined && !late) throw invalid('The value specified in the x-amz-trailer header is not supported.')
  const [algorithm = late, ...more] = sent
  if (more.length > 0 || (late && sent.length > 0)) {
    throw invalid('Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.')
  }
  requireAnnounced(fields.get('x-amz-sdk-checksum-algorithm'), algorithm)
  if (!algorithm) return undefined
  const text = fields.get(headerOf(algorithm))
  return { algorithm, value: text === undefined ? undefined : parseChecksum(algorithm, text) }
}

function requireAnnounced(named: string | undefined, algorithm: ChecksumAlgorithm | undefined): void {
  if (named === undefined) return
  const wanted = algorithmOf(named)
  if (!wanted) throw invalid('Value for x-amz-sdk-checksum-algorithm header is invalid.')
  if (!algorithm) {
    throw invalid(
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  }
  if (algorithm !== wanted) throw invalid('Value for x-amz-sdk-checksum-algorithm header is invalid.')
}

/** Headers that tell a checksum: name, value, name, value. */
export function checksumHeaders({ algorithm, type, value }: Checksum): string[] {
  return [headerOf(algorithm), value, 'x-amz-checksum-type', type]
}

/** Elements that tell a checksum, by name; without the type where that is told elsewhere. */
export function checksumElements({ algorithm, type, value }: Checksum): ReadonlyArray<readonly [string, string]> {
  return [
    [elementOf(algorithm), value],
    ['ChecksumType', type],
  ]
}

function invalid(text: string): S3Error {
  return new S3Error('InvalidRequest', text)
}
