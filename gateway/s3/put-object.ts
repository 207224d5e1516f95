/** PutObject (Amazon S3 API Reference). */

import { respond } from '../http/respond.ts'
import { checksumHeaders } from './checksums.ts'
import { S3Error } from './error.ts'
import { quoted } from './etags.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { storeObject } from './store-object.ts'

export const putObject: Operation<ObjectRequest> = async (request) => {
  const { headers } = request.x.request
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) {
    throw new S3Error('MissingContentLength', 'You must provide the Content-Length HTTP header.')
  }
  const { etag, checksum } = await storeObject(request)
  await respond(request.x, 200, ['ETag', quoted(etag), ...(checksum ? checksumHeaders(checksum) : [])])
}
