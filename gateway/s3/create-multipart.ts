/** CreateMultipartUpload (Amazon S3 API Reference). */

import { S3Error } from './error.ts'
import { describe, fieldsOf } from './metadata.ts'
import { planOf } from './multipart-checksums.ts'
import { writeNote } from './multipart-note.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { leaf, sendXml } from './xml.ts'

/** Refuses what could not be completed: keys of directories, and what the caller may not write. */
export const createMultipartUpload: Operation<ObjectRequest> = async (request) => {
  const { x, call, bucket, key, path } = request
  if (request.asDirectory) {
    throw new S3Error('DirectoryObjectContainsData', 'Directory object contains data payload.')
  }
  const plan = planOf(request)
  const note = writeNote({ plan, description: describe(fieldsOf(request)) })
  const { id } = await x.door.storage.parts.create(call, path, { createParents: true, note })
  const headers = plan ? ['x-amz-checksum-algorithm', plan.algorithm, 'x-amz-checksum-type', plan.type] : []
  const content = leaf('Bucket', bucket.name) + leaf('Key', key) + leaf('UploadId', id)
  await sendXml(x, 'InitiateMultipartUploadResult', content, { headers })
}
