/** ListParts (Amazon S3 API Reference). */

import type { PartState } from '../core/parts.ts'
import { isoDate } from '../http/dates.ts'
import { quoted } from './etags.ts'
import { etagOfPart, partChecksumXml, planXml } from './multipart-checksums.ts'
import { countOf, type FoundUpload, knowing, limitOf, uploadOf } from './multipart-note.ts'
import { ownerElement } from './owner.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { leaf, sendXml, tag } from './xml.ts'

export const listParts: Operation<ObjectRequest> = async (request) => {
  const { x, query, bucket, key } = request
  const limit = limitOf(query, 'max-parts', 1000)
  const marker = countOf(query, 'part-number-marker') ?? 0
  const found = await uploadOf(request)
  const { state, plan } = found
  const some = await partsAfter(request, found, marker, limit)
  const parts = some.slice(0, limit)
  const truncated = some.length > parts.length
  await sendXml(
    x,
    'ListPartsResult',
    [
      leaf('Bucket', bucket.name),
      leaf('Key', key),
      leaf('UploadId', state.id),
      ownerElement('Initiator'),
      ownerElement('Owner'),
      leaf('StorageClass', 'STANDARD'),
      leaf('PartNumberMarker', marker),
      leaf('NextPartNumberMarker', parts.at(-1)?.number ?? (truncated ? marker : 0)),
      leaf('MaxParts', limit),
      leaf('IsTruncated', truncated),
      planXml(plan),
      ...parts.map((part) => partXml(part, found)),
    ].join(''),
  )
}

/** One more than asked for, where there is one. */
async function partsAfter({ x, call }: ObjectRequest, { state }: FoundUpload, after: number, limit: number) {
  if (limit === 0) return []
  return knowing(state.id, x.door.storage.parts.list(call, state.id, { after, limit: limit + 1 }))
}

function partXml(part: PartState, { plan }: FoundUpload): string {
  return tag(
    'Part',
    [
      leaf('PartNumber', part.number),
      leaf('LastModified', isoDate(BigInt(part.modified) * 1_000_000n)),
      leaf('ETag', quoted(etagOfPart(part))),
      leaf('Size', part.size),
      partChecksumXml(plan?.algorithm, part.digests),
    ].join(''),
  )
}
