/** A new object from the payload of a request: of PutObject, and of forms. */

import type { Digest, Digests, Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { WriteOptions, Written } from '../core/storage.ts'
import {
  type AnnouncedChecksum,
  announcedChecksum,
  base64,
  type Checksum,
  digestOf,
  headerOf,
  parseChecksum,
  parseContentMd5,
} from './checksums.ts'
import { conditionsOf, writeCondition } from './conditions.ts'
import { storeDirectory } from './directory-object.ts'
import { S3Error } from './error.ts'
import { emptyEtag } from './etags.ts'
import { type Description, describe, fieldsOf } from './metadata.ts'
import { receivePayload, tooLarge } from './receive.ts'
import { encodeRecord } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'
import { requireDigest } from './verified-body.ts'

export interface SizeBounds {
  /** Bytes. Fewer are EntityTooSmall. */
  readonly least?: number
  /** Bytes. More are EntityTooLarge. */
  readonly most?: number
}

export interface StoredObject {
  readonly entry: Entry
  /** Without quotes. */
  readonly etag: string
  /** The one that the sender gave. */
  readonly checksum: Checksum | undefined
}

/**
 * Writes the payload to the key, with the headers as metadata. Nothing of it is seen before signature, length and
 * checksums are found to be right. A key with a slash at its end makes a directory.
 */
export async function storeObject(request: ObjectRequest, bounds: SizeBounds = {}): Promise<StoredObject> {
  const { x, body } = request
  const fields = fieldsOf(request)
  const plan: Plan = {
    description: describe(fields),
    condition: writeCondition(fields),
    checksum: announcedChecksum(fields, body.trailer),
    md5: parseContentMd5(fields.get('content-md5')),
    bounds: { ...bounds, most: Math.min(x.door.maxUpload, bounds.most ?? Number.POSITIVE_INFINITY) },
  }
  requireSize(plan, body.length)
  if (request.asDirectory) {
    const check = () => requireNothing(request, plan)
    const entry = await storeDirectory(request, plan.description, plan.condition, check)
    return { entry, etag: emptyEtag, checksum: undefined }
  }
  return storeFile(request, plan)
}

interface Plan {
  readonly description: Description
  readonly condition: ReturnType<typeof writeCondition>
  readonly checksum: AnnouncedChecksum | undefined
  readonly md5: Uint8Array | undefined
  readonly bounds: SizeBounds & { readonly most: number }
}

async function storeFile(request: ObjectRequest, plan: Plan): Promise<StoredObject> {
  const { x, call, path, body } = request
  const conditions = await conditionsOf(request, plan.condition)
  const options: WriteOptions = {
    createParents: true,
    digests: plan.checksum ? ['md5', digestOf(plan.checksum.algorithm)] : ['md5'],
    expected: expectedOf(plan),
    ...(conditions && { conditions }),
    ...(body.length !== undefined && { size: body.length }),
  }
  const writing = await x.door.storage.write(call, path, options)
  let written: Written
  try {
    requireSize(plan, await receivePayload(request, writing.body, plan.bounds.most))
    // What follows the announced bytes is no request: the sender and its Content-Length disagree.
    if (x.connection.broken) throw new S3Error('IncompleteBody', 'The body is not as long as announced.')
    writing.announce({ expected: trailingOf(request, plan) })
    written = await writing.commit({ record: (digests) => recordOf(plan, digests) })
  } catch (error) {
    await writing.discard(error)
    throw error
  }
  const { entry, digests } = written
  return { entry, etag: md5Of(digests), checksum: checksumOf(plan, digests) }
}

function expectedOf({ checksum, md5 }: Plan): Digests {
  const expected: Partial<Record<Digest, Uint8Array>> = {}
  if (md5) expected.md5 = md5
  if (checksum?.value) expected[digestOf(checksum.algorithm)] = checksum.value
  return expected
}

/** A checksum that came behind the payload, to be compared like one that came before. */
function trailingOf({ body }: ObjectRequest, { checksum }: Plan): Digests {
  if (!checksum || checksum.value) return {}
  const text = body.trailers.get(headerOf(checksum.algorithm))
  if (text === undefined) throw new S3Error('MalformedTrailerError', 'The trailer that was announced is missing.')
  return { [digestOf(checksum.algorithm)]: parseChecksum(checksum.algorithm, text) }
}

/** The checksums of a payload that had no bytes. */
function requireNothing(request: ObjectRequest, plan: Plan): void {
  const expected = { ...expectedOf(plan), ...trailingOf(request, plan) }
  for (const [kind, digest] of Object.entries(expected) as [Digest, Uint8Array][]) {
    requireDigest(kind, new Uint8Array(), digest)
  }
}

function recordOf(plan: Plan, digests: Digests): string | undefined {
  const checksum = checksumOf(plan, digests)
  return encodeRecord({ etag: md5Of(digests), ...plan.description, ...(checksum && { checksum }) })
}

function checksumOf({ checksum }: Plan, digests: Digests): Checksum | undefined {
  const bytes = checksum && digests[digestOf(checksum.algorithm)]
  return bytes && { algorithm: checksum.algorithm, type: 'FULL_OBJECT', value: base64(bytes) }
}

function md5Of({ md5 }: Digests): string {
  if (!md5) throw new StorageError('internal', 'a digest was not computed')
  return Buffer.from(md5.buffer, md5.byteOffset, md5.byteLength).toString('hex')
}

function requireSize({ bounds: { least = 0, most } }: Plan, size: number | undefined): void {
  if (size === undefined) return
  if (size > most) throw tooLarge(size, most)
  if (size >= least) return
  throw new S3Error('EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', {
    elements: { ProposedSize: String(size), MinSizeAllowed: String(least) },
  })
}
