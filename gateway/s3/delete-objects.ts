/** DeleteObjects (Amazon S3 API Reference): many keys with one request, each for itself. */

import { BodyBudget } from '../http/body-budget.ts'
import { xmlLimits } from '../http/xml.ts'
import { type DeleteConditions, deleteAt, deleteConditions } from './delete-object.ts'
import { s3ErrorOf } from './errors.ts'
import { placeOf } from './keys.ts'
import { requireVersion } from './object-version.ts'
import type { BucketRequest, Operation } from './s3-request.ts'
import { verifiedWhole } from './verified-body.ts'
import { childrenOf, leaf, malformed, parseRoot, sendXml, tag, textIn, type XmlElement } from './xml.ts'

/** Keys of one request. */
const most = 1000
/** Bytes of a body: a thousand keys with every character escaped. */
const maxBody = 8 * 1024 * 1024
/** All bodies at one time, and those of one caller. */
const budget = new BodyBudget(64 * 1024 * 1024, 16 * 1024 * 1024)
/** Removals of one request at a time. */
const width = 16

interface Wish {
  readonly key: string
  readonly version: string | undefined
  readonly conditions: DeleteConditions | undefined
}

export const deleteObjects: Operation<BucketRequest> = async (request) => {
  budget.reserve(request.x, maxBody)
  const bytes = await verifiedWhole(request, maxBody)
  const root = parseRoot(bytes, 'Delete', { ...xmlLimits, bytes: maxBody, elements: 10 * most })
  const isQuiet = textIn(root, 'Quiet')?.trim().toLowerCase() === 'true'
  const objects = childrenOf(root, 'Object')
  if (objects.length === 0 || objects.length > most) throw malformed(`it names 1 to ${most} objects`)
  const wishes = objects.map(wishOf)
  const told = new Array<string>(wishes.length)
  for (const turn of turnsOf(wishes)) {
    const queue = turn.values()
    const work = async () => {
      for (const [index, wish] of queue) told[index] = await fulfil(request, wish, isQuiet)
    }
    await Promise.all(Array.from({ length: Math.min(width, turn.length) }, work))
  }
  await sendXml(request.x, 'DeleteResult', told.join(''))
}

function wishOf(object: XmlElement): Wish {
  const key = textIn(object, 'Key')
  if (key === undefined || key === '') throw malformed('an Object has a Key')
  const [etag, size, modified] = ['ETag', 'Size', 'LastModifiedTime'].map((name) => textIn(object, name)?.trim())
  return { key, version: textIn(object, 'VersionId'), conditions: deleteConditions({ etag, size, modified }) }
}

/** Those that may be fulfilled at the same time, turn by turn: what is in a directory goes before it. */
function turnsOf(wishes: readonly Wish[]): ReadonlyArray<ReadonlyArray<readonly [index: number, wish: Wish]>> {
  const depthOf = (key: string) => (key.endsWith('/') ? key.split('/').length : Number.MAX_SAFE_INTEGER)
  const turns = Map.groupBy(wishes.entries(), ([, { key }]) => depthOf(key))
  return [...turns].toSorted(([a], [b]) => b - a).map(([, turn]) => turn)
}

/** What is told of it. A caller that is gone is told nothing, and nothing more is removed for it. */
async function fulfil(request: BucketRequest, { key, version, conditions }: Wish, isQuiet: boolean): Promise<string> {
  const { x, call, bucket } = request
  call.signal.throwIfAborted()
  try {
    requireVersion(version)
    const { path, asDirectory } = placeOf(bucket, key)
    await deleteAt({ x, call, path, asDirectory }, conditions)
    return isQuiet ? '' : tag('Deleted', leaf('Key', key))
  } catch (thrown) {
    const { s3Code, message } = s3ErrorOf(x.failureOf(thrown), { bucket: bucket.name, key }, 'DELETE')
    return tag('Error', leaf('Key', key) + leaf('Code', s3Code) + leaf('Message', message))
  }
}
