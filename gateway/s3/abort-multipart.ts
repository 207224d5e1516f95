/** AbortMultipartUpload (Amazon S3 API Reference). */

import { respond } from '../http/respond.ts'
import { knowing, uploadOf } from './multipart-note.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'

export const abortMultipartUpload: Operation<ObjectRequest> = async (request) => {
  const { x, call } = request
  const { state } = await uploadOf(request)
  await knowing(state.id, x.door.storage.parts.abort(call, state.id))
  await respond(x, 204, [])
}
