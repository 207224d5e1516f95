/** GetObjectTagging, PutObjectTagging, DeleteObjectTagging (Amazon S3 API Reference). */

import { respond } from '../http/respond.ts'
import { changeRecord, currentObject } from './current-object.ts'
import { withTags } from './metadata.ts'
import { requireOnlyVersion } from './object-version.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { tagSet, tagsIn } from './tag-set.ts'
import { verifiedWhole } from './verified-body.ts'
import { parseRoot, sendXml } from './xml.ts'

/** Bytes of a body: ten tags, escaped, are a third of it. */
const maxBody = 64 * 1024

export const getTagging: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  const { record } = await currentObject(request)
  await sendXml(request.x, 'Tagging', tagSet(record?.tags ?? []))
}

export const putTagging: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  const tags = tagsIn(parseRoot(await verifiedWhole(request, maxBody), 'Tagging'))
  await changeRecord(request, ({ record }) => withTags(record, tags))
  await respond(request.x, 200, [])
}

export const deleteTagging: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  await changeRecord(request, ({ record }) => withTags(record, []))
  await respond(request.x, 204, [])
}
