/** Which operation a request is for: by method, by what it names, by its parameters (Amazon S3 API Reference, "Actions"). */

import {
  cannedAbsence,
  cannedDocument,
  getBucketAcl,
  getObjectAcl,
  getOwnershipControls,
  putBucketAcl,
  putObjectAcl,
} from './canned.ts'
import { getBucketCors } from './cors.ts'
import { S3Error } from './error.ts'
import type { BucketRequest, ObjectRequest, Operation, S3Query, S3Request } from './s3-request.ts'
import { deleteBucket, getBucketLocation, headBucket, listBuckets } from './service.ts'

/** An operation and its name in the API Reference, for metrics. */
export type Chosen<R extends S3Request> = readonly [name: string, run: Operation<R>]

/** What decides besides method, bucket and key. */
export interface Parameters {
  readonly query: Pick<S3Query, 'has' | 'get'>
  header(name: string): string | undefined
}

/** Parameter names that name a part of a bucket or object; the first that is there decides. */
type Table<R extends S3Request> = Readonly<Record<string, Chosen<R>>>

const bucketReads: Table<BucketRequest> = {
  location: ['GetBucketLocation', getBucketLocation],
  versioning: ['GetBucketVersioning', cannedDocument('versioning')],
  acl: ['GetBucketAcl', getBucketAcl],
  policy: ['GetBucketPolicy', cannedAbsence('policy')],
  policyStatus: ['GetBucketPolicyStatus', cannedDocument('policyStatus')],
  lifecycle: ['GetBucketLifecycleConfiguration', cannedAbsence('lifecycle')],
  cors: ['GetBucketCors', getBucketCors],
  tagging: ['GetBucketTagging', cannedAbsence('tagging')],
  encryption: ['GetBucketEncryption', cannedAbsence('encryption')],
  'object-lock': ['GetObjectLockConfiguration', cannedAbsence('object-lock')],
  website: ['GetBucketWebsite', cannedAbsence('website')],
  notification: ['GetBucketNotificationConfiguration', cannedDocument('notification')],
  logging: ['GetBucketLogging', cannedDocument('logging')],
  replication: ['GetBucketReplication', cannedAbsence('replication')],
  requestPayment: ['GetBucketRequestPayment', cannedDocument('requestPayment')],
  accelerate: ['GetBucketAccelerateConfiguration', cannedDocument('accelerate')],
  ownershipControls: ['GetBucketOwnershipControls', getOwnershipControls],
  publicAccessBlock: ['GetPublicAccessBlock', cannedAbsence('publicAccessBlock')],
}

const bucketWrites: Table<BucketRequest> = {
  acl: ['PutBucketAcl', putBucketAcl],
}

/** Parts of buckets that nothing can be done with here, beside those above. */
const otherParts = ['inventory', 'analytics', 'metrics', 'intelligent-tiering', 'metadataTable', 'session']

const objectReads: Table<ObjectRequest> = {
  acl: ['GetObjectAcl', getObjectAcl],
}

const objectWrites: Table<ObjectRequest> = {
  acl: ['PutObjectAcl', putObjectAcl],
}

const objectDeletes: Table<ObjectRequest> = {}

/** Parts of objects that nothing can be done with here. */
const otherObjectParts = ['retention', 'legal-hold', 'torrent', 'select', 'renameObject', 'encryption', 'annotation']

/** Throws MethodNotAllowed. */
export function serviceOperation(method: string): Chosen<S3Request> {
  if (method === 'GET') return ['ListBuckets', listBuckets]
  throw notAllowed(method, 'SERVICE', 'GET')
}

/** All but CreateBucket, which is for a bucket that is not there. Throws NotImplemented, MethodNotAllowed. */
export function bucketOperation(method: string, parameters: Parameters): Chosen<BucketRequest> {
  const { query } = parameters
  switch (method) {
    case 'HEAD':
      return ['HeadBucket', headBucket]
    case 'GET':
      return partOf(bucketReads, query, otherParts) ?? listing(query)
    case 'PUT':
      return partOf(bucketWrites, query, bucketParts) ?? unimplemented()
    case 'DELETE':
      return partOf({}, query, bucketParts) ?? ['DeleteBucket', deleteBucket]
    case 'POST':
      return bucketPost(query)
    default:
      throw notAllowed(method, 'BUCKET', 'GET, HEAD, PUT, POST, DELETE')
  }
}

const bucketParts = [...Object.keys(bucketReads), ...otherParts, 'uploads', 'versions']

function listing(_query: Parameters['query']): Chosen<BucketRequest> {
  return unimplemented()
}

function bucketPost(_query: Parameters['query']): Chosen<BucketRequest> {
  return unimplemented()
}

/** Whether PUT of a bucket makes it. */
export function isCreation(query: Parameters['query']): boolean {
  return !bucketParts.some((part) => query.has(part))
}

/** Throws NotImplemented, MethodNotAllowed. */
export function objectOperation(method: string, { query }: Parameters): Chosen<ObjectRequest> {
  switch (method) {
    case 'GET':
      return partOf(objectReads, query, otherObjectParts) ?? unimplemented()
    case 'HEAD':
      return unimplemented()
    case 'PUT':
      return partOf(objectWrites, query, otherObjectParts) ?? unimplemented()
    case 'DELETE':
      return partOf(objectDeletes, query, otherObjectParts) ?? unimplemented()
    case 'POST':
      return unimplemented()
    default:
      throw notAllowed(method, 'OBJECT', 'GET, HEAD, PUT, POST, DELETE')
  }
}

function partOf<R extends S3Request>(
  table: Table<R>,
  query: Parameters['query'],
  others: readonly string[],
): Chosen<R> | undefined {
  const part = Object.keys(table).find((name) => query.has(name))
  if (part !== undefined) return table[part]
  if (others.some((name) => query.has(name))) return unimplemented()
  return undefined
}

function unimplemented(): never {
  throw new S3Error(
    'NotImplemented',
    'A header or parameter you provided implies functionality that is not implemented.',
  )
}

function notAllowed(method: string, kind: string, allowed: string): S3Error {
  return new S3Error('MethodNotAllowed', 'The specified method is not allowed against this resource.', {
    elements: { Method: method, ResourceType: kind },
    headers: ['Allow', allowed],
  })
}
