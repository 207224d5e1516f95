/** PutObject (Amazon S3 API Reference). */

import { respond } from '../http/respond.ts'
import { checksumHeaders } from './checksums.ts'
import { quoted } from './etags.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { storeObject } from './store-object.ts'

export const putObject: Operation<ObjectRequest> = async (request) => {
  const { etag, checksum } = await storeObject(request)
  await respond(request.x, 200, ['ETag', quoted(etag), ...(checksum ? checksumHeaders(checksum) : [])])
}
