/** UploadPart (Amazon S3 API Reference). */

import type { Digest, Digests } from '../../backends/backend.ts'
import { maxParts, type PartState, type PartWriting } from '../core/parts.ts'
import { respond } from '../http/respond.ts'
import {
  type AnnouncedChecksum,
  announcedChecksum,
  base64,
  digestOf,
  headerOf,
  parseChecksum,
  parseContentMd5,
} from './checksums.ts'
import { S3Error } from './error.ts'
import { quoted } from './etags.ts'
import { fieldsOf, requireUnderstood } from './metadata.ts'
import { digestsOfPart, etagOfPart } from './multipart-checksums.ts'
import { knowing, uploadOf } from './multipart-note.ts'
import { receivePayload, tooLarge } from './receive.ts'
import type { ObjectRequest, Operation, S3Query } from './s3-request.ts'

/** Bytes of a part (Amazon S3 User Guide, "Amazon S3 multipart upload limits"). */
export const largestPart = 5 * 1024 ** 3

interface Plan {
  readonly number: number
  readonly size: number
  readonly checksum: AnnouncedChecksum | undefined
  readonly md5: Uint8Array | undefined
}

export const uploadPart: Operation<ObjectRequest> = async (request) => {
  const plan = planOf(request)
  const part = await store(request, plan)
  await respond(request.x, 200, ['ETag', quoted(etagOfPart(part)), ...checksumHeader(plan, part.digests)])
}

/** 1 to 10,000. Throws InvalidArgument. */
export function partNumberOf(query: S3Query): number {
  const text = query.get('partNumber') ?? ''
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= maxParts) return number
  throw new S3Error('InvalidArgument', `Part number must be an integer between 1 and ${maxParts}, inclusive`, {
    elements: { ArgumentName: 'partNumber', ArgumentValue: text },
  })
}

function planOf(request: ObjectRequest): Plan {
  const { query, body } = request
  const fields = fieldsOf(request)
  const number = partNumberOf(query)
  requireUnderstood(fields)
  const checksum = announcedChecksum(fields, body.trailer)
  const md5 = parseContentMd5(fields.get('content-md5'))
  const { length } = body
  if (length === undefined) {
    throw new S3Error('MissingContentLength', 'You must provide the Content-Length HTTP header.')
  }
  if (length > largestPart) throw tooLarge(length, largestPart)
  return { number, size: length, checksum, md5 }
}

async function store(request: ObjectRequest, plan: Plan): Promise<PartState> {
  const { x, call } = request
  const { number, size, checksum } = plan
  const { state, plan: chosen } = await uploadOf(request)
  const options = { size, digests: digestsOfPart(chosen, checksum), expected: expectedOf(plan) }
  const writing = await knowing(state.id, x.door.storage.parts.write(call, state.id, number, options))
  try {
    await receivePayload(request, writing.body, Math.min(x.door.maxUpload, size))
    // What follows the announced bytes is no request: the sender and its Content-Length disagree.
    if (x.connection.broken) throw new S3Error('IncompleteBody', 'The body is not as long as announced.')
    announceTrailer(request, plan, writing)
    return await knowing(state.id, writing.commit())
  } catch (error) {
    await writing.discard(error)
    throw error
  }
}

function expectedOf({ checksum, md5 }: Plan): Digests {
  const expected: Partial<Record<Digest, Uint8Array>> = {}
  if (md5) expected.md5 = md5
  if (checksum?.value) expected[digestOf(checksum.algorithm)] = checksum.value
  return expected
}

/** A checksum that came behind the payload is compared like one that came before. */
function announceTrailer({ body }: ObjectRequest, { checksum }: Plan, writing: PartWriting): void {
  if (!checksum || checksum.value) return
  const text = body.trailers.get(headerOf(checksum.algorithm))
  if (text === undefined) throw new S3Error('MalformedTrailerError', 'The trailer that was announced is missing.')
  writing.announce({ expected: { [digestOf(checksum.algorithm)]: parseChecksum(checksum.algorithm, text) } })
}

function checksumHeader({ checksum }: Plan, digests: Digests): string[] {
  const bytes = checksum && digests[digestOf(checksum.algorithm)]
  return checksum && bytes ? [headerOf(checksum.algorithm), base64(bytes)] : []
}
