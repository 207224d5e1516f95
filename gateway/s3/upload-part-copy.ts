/** UploadPartCopy (Amazon S3 API Reference). */

import type { Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { PartState } from '../core/parts.ts'
import { isoDate } from '../http/dates.ts'
import { failed } from './conditions.ts'
import { type CopySource, copySourceOf, sourceError } from './copy-source.ts'
import { S3Error } from './error.ts'
import { quoted } from './etags.ts'
import { answerLasting } from './keep-alive.ts'
import { fieldsOf, requireUnderstood } from './metadata.ts'
import { digestsOfCopy, etagOfPart, partChecksumXml } from './multipart-checksums.ts'
import { type FoundUpload, uploadOf } from './multipart-note.ts'
import { sourceRangeOf } from './ranges.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { largestPart, partNumberOf } from './upload-part.ts'
import { leaf } from './xml.ts'

export const uploadPartCopy: Operation<ObjectRequest> = async (request) => {
  const number = partNumberOf(request.query)
  const fields = fieldsOf(request)
  requireUnderstood(fields)
  const upload = await uploadOf(request)
  const source = await copySourceOf(request, fields)
  if (source.asDirectory) throw new S3Error('InvalidRequest', 'A directory cannot be a part of an object.')
  const text = fields.get('x-amz-copy-source-range')
  const range = text === undefined ? undefined : sourceRangeOf(text, source.entry.size)
  const size = range ? range.end - range.start : source.entry.size
  if (size > largestPart) {
    throw new S3Error(
      'InvalidRequest',
      `The specified copy source is larger than the maximum allowable size for a copy source: ${largestPart}`,
    )
  }
  await answerLasting(request, 'CopyPartResult', async () => {
    const part = await copy(request, upload, number, source, range)
    return [
      leaf('LastModified', isoDate(BigInt(part.modified) * 1_000_000n)),
      leaf('ETag', quoted(etagOfPart(part))),
      partChecksumXml(upload.plan?.algorithm, part.digests),
    ].join('')
  })
}

async function copy(
  request: ObjectRequest,
  { state, plan }: FoundUpload,
  number: number,
  { key, path, entry }: CopySource,
  range: Range | undefined,
): Promise<PartState> {
  const { x, call } = request
  const options = { digests: digestsOfCopy(plan), version: entry.version }
  try {
    return await x.door.storage.parts.copy(call, state.id, number, path, range, options)
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code === 'stale') throw failed('x-amz-copy-source-If-Match')
    // One of the two has gone meanwhile.
    if (code === 'not-found') await uploadOf(request)
    throw sourceError(key, error)
  }
}
