/** Buckets as a whole: listing, looking, making and removing them. */

import { StorageError } from '../core/errors.ts'
import { isoDate } from '../http/dates.ts'
import { respond } from '../http/respond.ts'
import { isBucketName, requireBucket, unlessHidden } from './buckets.ts'
import { requirePrivate } from './canned.ts'
import { S3Error } from './error.ts'
import { ownerElement } from './owner.ts'
import type { BucketRequest, Operation, S3Request } from './s3-request.ts'
import { leaf, parseRoot, sendXml, tag, textIn } from './xml.ts'

const maxBuckets = 10_000
const maxConfiguration = 64 * 1024

/** ListBuckets */
export const listBuckets: Operation = async ({ x, call, settings, query }) => {
  const limit = pageSize(query.get('max-buckets'))
  const prefix = query.get('prefix')
  const token = query.get('continuation-token')
  const region = query.get('bucket-region')
  const after = token === undefined ? '' : nameIn(token)
  const isOurs = region === undefined || region === settings.region
  // One more tells whether there are more.
  const options = { after, limit: limit + 1, ...(prefix !== undefined && { prefix }) }
  const found = isOurs ? await settings.buckets.list(call, options) : []
  const shown = found.slice(0, limit)
  const last = found.length > limit ? shown.at(-1) : undefined
  const buckets = shown.map(({ name, entry }) => {
    const more = leaf('BucketRegion', settings.region)
    return tag('Bucket', leaf('Name', name) + leaf('CreationDate', isoDate(entry.modified)) + more)
  })
  const next = last && Buffer.from(last.name).toString('base64url')
  const content = `<Buckets>${buckets.join('')}</Buckets>${leaf('ContinuationToken', next)}${leaf('Prefix', prefix)}`
  await sendXml(x, 'ListAllMyBucketsResult', ownerElement('Owner') + content)
}

function pageSize(given: string | undefined): number {
  if (given === undefined) return maxBuckets
  const size = /^\d{1,9}$/.test(given) ? Number(given) : 0
  if (size >= 1 && size <= maxBuckets) return size
  const elements = { ArgumentName: 'max-buckets', ArgumentValue: given }
  throw new S3Error('InvalidArgument', `max-buckets must be a number from 1 to ${maxBuckets}`, { elements })
}

function nameIn(token: string): string {
  const name = Buffer.from(token, 'base64url').toString('latin1')
  if (isBucketName(name) && Buffer.from(name).toString('base64url') === token) return name
  const elements = { ArgumentName: 'continuation-token' }
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', { elements })
}

/** HeadBucket */
export const headBucket: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  const { x, settings } = request
  const facts = ['x-amz-bucket-region', settings.region, 'x-amz-access-point-alias', 'false']
  await respond(x, 200, ['Content-Type', 'application/xml', ...facts])
}

/** GetBucketLocation. An empty one is us-east-1 (Amazon S3 API Reference, "GetBucketLocation"). */
export const getBucketLocation: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  const { region } = request.settings
  await sendXml(request.x, 'LocationConstraint', region === 'us-east-1' ? '' : region)
}

/** CreateBucket. Of one that the caller has already it succeeds, as in us-east-1: tools ask for it before they upload. */
export async function createBucket(request: S3Request, name: string): Promise<void> {
  const { x, call, settings } = request
  const { buckets } = settings
  requirePrivate(request.header('x-amz-acl'))
  if (request.header('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true') {
    throw new S3Error('NotImplemented', 'Object Lock is not implemented here.')
  }
  if (!buckets.isFixed(name) && !isBucketName(name)) {
    throw new S3Error('InvalidBucketName', 'The specified bucket is not valid.', { elements: { BucketName: name } })
  }
  await requireRegion(request)
  const path = buckets.placeFor(name)
  if (!path) {
    if (await buckets.see(call, name)) return created(request, name)
    throw new S3Error('AccessDenied', 'Buckets are made by the configuration here.')
  }
  x.path = path
  try {
    await x.door.storage.mkdir(call, path)
  } catch (error) {
    if (StorageError.from(error).code !== 'exists') throw error
    const seen = await buckets.see(call, name).catch(unlessHidden)
    // Who owns it is not always told.
    const owner = seen?.entry.acl?.owner ?? call.principal.user
    if (!seen || owner !== call.principal.user) {
      throw new S3Error('BucketAlreadyExists', 'The requested bucket name is not available.', { cause: error })
    }
  }
  await created(request, name)
}

function created({ x }: S3Request, name: string): Promise<void> {
  return respond(x, 200, ['Location', `/${name}`])
}

async function requireRegion({ body, settings }: S3Request): Promise<void> {
  const bytes = await body.whole(maxConfiguration)
  if (bytes.length === 0) return
  const constraint = textIn(parseRoot(bytes, 'CreateBucketConfiguration'), 'LocationConstraint')?.trim() ?? ''
  if (constraint === '' || constraint === settings.region) return
  const elements = { LocationConstraint: constraint }
  throw new S3Error('InvalidLocationConstraint', 'The specified location-constraint is not valid.', { elements })
}
