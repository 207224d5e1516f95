/** GetObjectAttributes (Amazon S3 API Reference). */

import { lastModified } from '../http/dates.ts'
import { base64, checksumElements, elementOf, lengthOf } from './checksums.ts'
import { type CurrentObject, currentObject } from './current-object.ts'
import { S3Error } from './error.ts'
import { etagOf } from './etags.ts'
import { requireOnlyVersion } from './object-version.ts'
import { countParts, type ObjectRecord, spanOf } from './record.ts'
import { restoreStatus, storageClassOf } from './restore-status.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { leaf, sendXml, tag } from './xml.ts'

/** In the order of the answer. */
const attributes = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const
type Attribute = (typeof attributes)[number]

const mostParts = 1000

export const getObjectAttributes: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  const wanted = wantedOf(request)
  const page = pageOf(request)
  const current = await currentObject(request)
  const { entry } = current
  const storageClass = wanted.has('StorageClass') ? await classOf(request, current) : ''
  const told: Readonly<Record<Attribute, () => string>> = {
    ETag: () => leaf('ETag', etagOf(entry, current.record)),
    Checksum: () => checksumOf(current.record),
    ObjectParts: () => partsOf(current.record, page),
    StorageClass: () => leaf('StorageClass', storageClass),
    ObjectSize: () => leaf('ObjectSize', entry.size),
  }
  const content = attributes.filter((each) => wanted.has(each)).map((each) => told[each]())
  const headers = ['Last-Modified', lastModified(entry.modified)]
  await sendXml(request.x, 'GetObjectAttributesResponse', content.join(''), { headers })
}

function wantedOf({ header }: ObjectRequest): ReadonlySet<Attribute> {
  const name = 'x-amz-object-attributes'
  const asked = (header(name) ?? '').split(',').map((each) => each.trim())
  const given = asked.filter((each) => each !== '')
  if (given.length === 0) throw new S3Error('InvalidRequest', `Missing required header for this request: ${name}`)
  const known = new Set<Attribute>()
  for (const each of given) {
    const attribute = attributes.find((one) => one === each)
    if (!attribute) {
      throw new S3Error('InvalidArgument', 'Invalid attribute name specified.', {
        elements: { ArgumentName: name, ArgumentValue: each },
      })
    }
    known.add(attribute)
  }
  return known
}

interface PartPage {
  /** Parts up to this one are left out. */
  readonly after: number
  readonly limit: number
}

function pageOf({ header }: ObjectRequest): PartPage {
  const numberOf = (name: string, usual: number) => {
    const text = header(name)
    if (text === undefined) return usual
    if (/^\d{1,9}$/.test(text)) return Number(text)
    throw new S3Error('InvalidArgument', `Provided ${name} not an integer or within integer range`, {
      elements: { ArgumentName: name, ArgumentValue: text },
    })
  }
  return {
    after: numberOf('x-amz-part-number-marker', 0),
    limit: Math.min(mostParts, numberOf('x-amz-max-parts', mostParts)),
  }
}

async function classOf(request: ObjectRequest, { entry }: CurrentObject): Promise<string> {
  return storageClassOf(entry, await restoreStatus(request, request.path, entry)) ?? 'STANDARD'
}

function checksumOf(record: ObjectRecord | undefined): string {
  const { checksum } = record ?? {}
  if (!checksum) return ''
  return tag(
    'Checksum',
    checksumElements(checksum)
      .map(([name, value]) => leaf(name, value))
      .join(''),
  )
}

/** None for an object that came in one piece. Parts are told one by one where their checksums are kept. */
function partsOf({ parts, checksum }: Partial<ObjectRecord> = {}, { after, limit }: PartPage): string {
  if (!parts) return ''
  const count = countParts(parts)
  const total = leaf('PartsCount', count)
  const sums = parts.checksums
  if (!sums || !checksum) return tag('ObjectParts', total)
  const length = lengthOf(checksum.algorithm)
  const last = Math.min(count, after + limit)
  const listed: string[] = []
  for (let number = after + 1; number <= last; number++) {
    const { start, end } = spanOf(parts, number) ?? { start: 0, end: 0 }
    const sum = base64(sums.subarray((number - 1) * length, number * length))
    listed.push(
      tag('Part', leaf('PartNumber', number) + leaf('Size', end - start) + leaf(elementOf(checksum.algorithm), sum)),
    )
  }
  const paging = [
    leaf('PartNumberMarker', after),
    leaf('NextPartNumberMarker', listed.length > 0 ? last : after),
    leaf('MaxParts', limit),
    leaf('IsTruncated', last < count),
  ]
  return tag('ObjectParts', [total, ...paging, ...listed].join(''))
}
