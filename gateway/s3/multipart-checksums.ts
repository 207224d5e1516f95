/**
 * Checksums and ETags of objects in parts (Amazon S3 User Guide, "Checking object integrity", "Multipart uploads"):
 * composite ones are made of the parts' checksums, those of full objects are what the whole would have.
 */

import type { Digest, Digests } from '../../backends/backend.ts'
import { type Crc, combineCrc, DigestSet } from '../core/digests.ts'
import type { PartState } from '../core/parts.ts'
import {
  type AnnouncedChecksum,
  algorithmOf,
  base64,
  type Checksum,
  type ChecksumAlgorithm,
  type ChecksumType,
  checksumAlgorithms,
  checksumTypes,
  digestOf,
  elementOf,
  headerOf,
  lengthOf,
  parseChecksum,
} from './checksums.ts'
import { S3Error } from './error.ts'
import type { S3Request } from './s3-request.ts'
import { leaf } from './xml.ts'

/** What CreateMultipartUpload has chosen for the whole. */
export interface ChecksumPlan {
  readonly algorithm: ChecksumAlgorithm
  readonly type: ChecksumType
}

type Headers = Pick<S3Request, 'header'>

const possible: Readonly<Record<ChecksumAlgorithm, readonly [usual: ChecksumType, other?: ChecksumType]>> = {
  CRC32: ['COMPOSITE', 'FULL_OBJECT'],
  CRC32C: ['COMPOSITE', 'FULL_OBJECT'],
  CRC64NVME: ['FULL_OBJECT'],
  SHA1: ['COMPOSITE'],
  SHA256: ['COMPOSITE'],
}

/** Which algorithm an XML element like ChecksumCRC32 is of. */
export const algorithmOfElement: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  checksumAlgorithms.map((algorithm) => [elementOf(algorithm), algorithm]),
)

/** Of the headers of CreateMultipartUpload. Throws InvalidRequest for what does not go together. */
export function planOf(request: Headers): ChecksumPlan | undefined {
  const named = request.header('x-amz-checksum-algorithm')
  const type = typeOf(request)
  if (named === undefined) {
    if (type === undefined) return undefined
    throw invalid('The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.')
  }
  const algorithm = algorithmOf(named)
  if (!algorithm) {
    throw invalid(
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${checksumAlgorithms.join(', ')}]`,
    )
  }
  const types = possible[algorithm]
  if (type !== undefined && !types.includes(type)) {
    throw invalid(`The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`)
  }
  return { algorithm, type: type ?? types[0] }
}

function typeOf(request: Headers): ChecksumType | undefined {
  const text = request.header('x-amz-checksum-type')
  if (text === undefined) return undefined
  const type = checksumTypes.find((each) => each === text.trim().toUpperCase())
  if (!type) throw invalid('Value for x-amz-checksum-type header is invalid.')
  return type
}

/**
 * What is computed of a part: its MD5 and what makes the checksum of the whole. Throws InvalidRequest where the sender has
 * announced another checksum, or none though the whole is made of those of the parts.
 */
export function digestsOfPart(
  plan: ChecksumPlan | undefined,
  announced: Pick<AnnouncedChecksum, 'algorithm'> | undefined,
): readonly Digest[] {
  const isMissing = plan?.type === 'COMPOSITE' && !announced
  if (plan && (isMissing || (announced && announced.algorithm !== plan.algorithm))) {
    throw mismatch(plan, announced?.algorithm)
  }
  return kindsOf(plan?.algorithm ?? announced?.algorithm)
}

/** The same of a part that we copy ourselves. */
export function digestsOfCopy(plan: ChecksumPlan | undefined): readonly Digest[] {
  return kindsOf(plan?.algorithm)
}

function kindsOf(algorithm: ChecksumAlgorithm | undefined): readonly Digest[] {
  return algorithm ? ['md5', digestOf(algorithm)] : ['md5']
}

/** Without quotes. */
export function etagOfPart({ digests: { md5 } }: { readonly digests: Digests }): string {
  return Buffer.from(md5 ?? []).toString('hex')
}

/** Without quotes: the MD5 of the MD5s, and how many there were. */
export function etagOfParts(etags: readonly string[]): string {
  const whole = hash(
    'md5',
    etags.map((etag) => Buffer.from(etag, 'hex')),
  )
  return `${Buffer.from(whole ?? []).toString('hex')}-${etags.length}`
}

/** The checksum of the whole; undefined where none was chosen, or a part has none. */
export function checksumOfParts(
  plan: ChecksumPlan | undefined,
  parts: ReadonlyArray<Pick<PartState, 'digests' | 'size'>>,
): Checksum | undefined {
  if (!plan) return undefined
  const kind = digestOf(plan.algorithm)
  const found = parts.map(({ digests, size }) => ({ digest: digests[kind], size }))
  const all = found.flatMap(({ digest, size }) => (digest ? [{ digest, size }] : []))
  if (all.length < parts.length) return undefined
  if (plan.type === 'FULL_OBJECT') return { ...plan, value: base64(combined(kind, all)) }
  const whole = hash(
    kind,
    all.map(({ digest }) => digest),
  )
  return whole && { ...plan, value: `${base64(whole)}-${parts.length}` }
}

/** The checksums of the parts one after the other, for the record of the object. */
export function checksumsAlong(
  plan: ChecksumPlan | undefined,
  parts: ReadonlyArray<Pick<PartState, 'digests'>>,
): Uint8Array | undefined {
  if (!plan) return undefined
  const kind = digestOf(plan.algorithm)
  const all = parts.flatMap(({ digests }) => digests[kind] ?? [])
  return all.length < parts.length ? undefined : Buffer.concat(parts.map(({ digests }) => digests[kind] ?? Buffer.of()))
}

function combined(kind: Digest, parts: ReadonlyArray<{ readonly digest: Uint8Array; readonly size: number }>) {
  return parts
    .map(({ digest }) => digest)
    .reduce((sum, digest, at) => combineCrc(kind as Crc, sum, digest, parts[at]?.size ?? 0))
}

function hash(kind: Digest, pieces: readonly Uint8Array[]): Uint8Array | undefined {
  const running = new DigestSet([kind])
  for (const piece of pieces) running.update(piece)
  return running.finish()[kind]
}

/** Throws InvalidRequest where CompleteMultipartUpload speaks of another checksum than was chosen. */
export function requirePlan(request: Headers, plan: ChecksumPlan | undefined): void {
  const type = typeOf(request)
  if (type !== undefined && type !== plan?.type) {
    throw invalid(
      `The upload was created using the ${plan?.type ?? 'null'} checksum mode. The complete request must use the same checksum mode.`,
    )
  }
  const sent = sentAlgorithms(request)
  if (sent.length > 1) {
    throw invalid('Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.')
  }
  if (sent[0] && sent[0] !== plan?.algorithm) throw mismatch(plan, sent[0])
}

/** Throws BadDigest where the caller expects another checksum of the whole, and InvalidRequest where it cannot be one. */
export function requireWhole(request: Headers, checksum: Checksum | undefined): void {
  const [algorithm] = sentAlgorithms(request)
  if (!algorithm) return
  const name = headerOf(algorithm)
  const [expected = '', count] = (request.header(name) ?? '').trim().split('-')
  parseChecksum(algorithm, expected)
  const [found, parts] = checksum?.value.split('-') ?? []
  if (expected === found && (count === undefined || count === parts)) return
  throw new S3Error(
    'BadDigest',
    `The ${algorithm.toLowerCase()} you specified did not match the calculated checksum.`,
    {
      elements: { ExpectedDigest: expected, CalculatedDigest: found ?? '' },
    },
  )
}

function sentAlgorithms(request: Headers): ChecksumAlgorithm[] {
  return checksumAlgorithms.filter((algorithm) => request.header(headerOf(algorithm)) !== undefined)
}

/** The element with the checksum of a part; nothing where there is none of this algorithm. */
export function partChecksumXml(algorithm: ChecksumAlgorithm | undefined, digests: Digests): string {
  const digest = algorithm && digests[digestOf(algorithm)]
  return algorithm && digest ? leaf(elementOf(algorithm), base64(digest)) : ''
}

/** The elements that tell what was chosen. */
export function planXml(plan: ChecksumPlan | undefined): string {
  return leaf('ChecksumAlgorithm', plan?.algorithm) + leaf('ChecksumType', plan?.type)
}

/** Whether the checksums that a part is listed with are those of the part. */
export function isListedRight(
  listed: Readonly<Partial<Record<ChecksumAlgorithm, string>>>,
  { digests }: Pick<PartState, 'digests'>,
): boolean {
  return checksumAlgorithms.every((algorithm) => {
    const text = listed[algorithm]
    const digest = digests[digestOf(algorithm)]
    return text === undefined || (digest?.length === lengthOf(algorithm) && base64(digest) === text)
  })
}

function mismatch(plan: ChecksumPlan | undefined, actual: ChecksumAlgorithm | undefined): S3Error {
  const word = (algorithm: ChecksumAlgorithm | undefined) => algorithm?.toLowerCase() ?? 'null'
  return invalid(
    `Checksum Type mismatch occurred, expected checksum Type: ${word(plan?.algorithm)}, actual checksum Type: ${word(actual)}`,
  )
}

function invalid(text: string): S3Error {
  return new S3Error('InvalidRequest', text)
}
