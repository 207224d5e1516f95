/** Which operation a request is for: by method, by what it names, by its parameters (Amazon S3 API Reference, "Actions"). */

import { abortMultipartUpload } from './abort-multipart.ts'
import { getObjectAttributes } from './attributes.ts'
import {
  cannedAbsence,
  cannedDocument,
  getBucketAcl,
  getObjectAcl,
  getOwnershipControls,
  putBucketAcl,
  putObjectAcl,
} from './canned.ts'
import { completeMultipartUpload } from './complete-multipart.ts'
import { copyObject } from './copy-object.ts'
import { getBucketCors } from './cors.ts'
import { createMultipartUpload } from './create-multipart.ts'
import { deleteBucket } from './delete-bucket.ts'
import { deleteObject } from './delete-object.ts'
import { deleteObjects } from './delete-objects.ts'
import { S3Error } from './error.ts'
import { getObject, headObject } from './get-object.ts'
import { listObjectsV1, listObjectsV2, listObjectVersions } from './list-objects.ts'
import { listParts } from './list-parts.ts'
import { listMultipartUploads } from './list-uploads.ts'
import { notAForm } from './post-object.ts'
import { putObject } from './put-object.ts'
import { restoreObject } from './restore.ts'
import type { BucketRequest, ObjectRequest, Operation, S3Query, S3Request } from './s3-request.ts'
import { getBucketLocation, headBucket, listBuckets } from './service.ts'
import { deleteTagging, getTagging, putTagging } from './tagging.ts'
import { uploadPart } from './upload-part.ts'
import { uploadPartCopy } from './upload-part-copy.ts'

/** An operation and its name in the API Reference, for metrics. */
export type Chosen<R extends S3Request> = readonly [name: string, run: Operation<R>]

/** What decides besides method, bucket and key. */
export interface Parameters {
  readonly query: S3Query
  header(name: string): string | undefined
}

/** Parameter names that name a part of a bucket or object; the first that is there decides. */
type Table<R extends S3Request> = Readonly<Record<string, Chosen<R>>>

const bucketReads: Table<BucketRequest> = {
  location: ['GetBucketLocation', getBucketLocation],
  uploads: ['ListMultipartUploads', listMultipartUploads],
  versions: ['ListObjectVersions', listObjectVersions],
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

/** Parts of buckets that nothing can be done with here. */
const otherBucketParts = [
  'inventory',
  'analytics',
  'metrics',
  'intelligent-tiering',
  'metadataTable',
  'metadataConfiguration',
  'metadataAnnotationTable',
  'metadataInventoryTable',
  'metadataJournalTable',
  'session',
  'abac',
]
const bucketParts = [...Object.keys(bucketReads), ...otherBucketParts]

const objectReads: Table<ObjectRequest> = {
  uploadId: ['ListParts', listParts],
  tagging: ['GetObjectTagging', getTagging],
  acl: ['GetObjectAcl', getObjectAcl],
  attributes: ['GetObjectAttributes', getObjectAttributes],
}

const objectWrites: Table<ObjectRequest> = {
  tagging: ['PutObjectTagging', putTagging],
  acl: ['PutObjectAcl', putObjectAcl],
}

const objectDeletes: Table<ObjectRequest> = {
  uploadId: ['AbortMultipartUpload', abortMultipartUpload],
  tagging: ['DeleteObjectTagging', deleteTagging],
}

const objectPosts: Table<ObjectRequest> = {
  uploads: ['CreateMultipartUpload', createMultipartUpload],
  uploadId: ['CompleteMultipartUpload', completeMultipartUpload],
  restore: ['RestoreObject', restoreObject],
}

/** Parts of objects that nothing can be done with here. */
const otherObjectParts = ['retention', 'legal-hold', 'torrent', 'select', 'renameObject', 'encryption', 'annotation']

const allMethods = 'GET, HEAD, PUT, POST, DELETE'

/** Throws MethodNotAllowed. */
export function serviceOperation(method: string): Chosen<S3Request> {
  if (method === 'GET') return ['ListBuckets', listBuckets]
  throw notAllowed(method, 'SERVICE', 'GET')
}

/** Whether PUT of a bucket makes it. */
export function isCreation(query: S3Query): boolean {
  return !bucketParts.some((part) => query.has(part)) && !namesPart(query)
}

/**
 * Whether there is a parameter that looks like the name of a part, one that nobody here knows: it must not become a
 * change of the whole. Known ones are looked for before.
 */
function namesPart(query: S3Query): boolean {
  for (const name of query.keys()) {
    if (query.get(name) === '' && name !== 'versionId' && !/^x-/i.test(name)) return true
  }
  return false
}

function unlessPart<R extends S3Request>(query: S3Query, chosen: Chosen<R>): Chosen<R> {
  return namesPart(query) ? unimplemented() : chosen
}

/** All but CreateBucket, which is for a bucket that is not there. Throws NotImplemented, MethodNotAllowed. */
export function bucketOperation(method: string, { query }: Parameters): Chosen<BucketRequest> {
  switch (method) {
    case 'HEAD':
      return ['HeadBucket', headBucket]
    case 'GET':
      return partOf(bucketReads, query, otherBucketParts) ?? listing(query)
    case 'PUT':
      return partOf(bucketWrites, query, bucketParts) ?? unimplemented()
    case 'DELETE':
      return partOf({}, query, bucketParts) ?? unlessPart(query, ['DeleteBucket', deleteBucket])
    case 'POST':
      if (query.has('delete')) return ['DeleteObjects', deleteObjects]
      if (bucketParts.some((part) => query.has(part))) return unimplemented()
      throw notAForm()
    default:
      throw notAllowed(method, 'BUCKET', allMethods)
  }
}

function listing(query: S3Query): Chosen<BucketRequest> {
  const type = query.get('list-type')
  if (type === undefined) return ['ListObjects', listObjectsV1]
  if (type === '2') return ['ListObjectsV2', listObjectsV2]
  const elements = { ArgumentName: 'list-type', ArgumentValue: type }
  throw new S3Error('InvalidArgument', 'Invalid List Type specified in Request', { elements })
}

/** Throws NotImplemented, MethodNotAllowed. */
export function objectOperation(method: string, parameters: Parameters): Chosen<ObjectRequest> {
  const { query } = parameters
  switch (method) {
    case 'GET':
      return partOf(objectReads, query, otherObjectParts) ?? ['GetObject', getObject]
    case 'HEAD':
      return ['HeadObject', headObject]
    case 'PUT':
      return partOf(objectWrites, query, otherObjectParts) ?? upload(parameters)
    case 'DELETE':
      return partOf(objectDeletes, query, otherObjectParts) ?? unlessPart(query, ['DeleteObject', deleteObject])
    case 'POST': {
      const chosen = partOf(objectPosts, query, otherObjectParts)
      if (chosen) return chosen
      throw notAllowed(method, 'OBJECT', 'GET, HEAD, PUT, DELETE')
    }
    default:
      throw notAllowed(method, 'OBJECT', allMethods)
  }
}

function upload({ query, header }: Parameters): Chosen<ObjectRequest> {
  const isCopy = header('x-amz-copy-source') !== undefined
  const isPart = query.has('uploadId') || query.has('partNumber')
  if (isPart) return isCopy ? ['UploadPartCopy', uploadPartCopy] : ['UploadPart', uploadPart]
  return unlessPart(query, isCopy ? ['CopyObject', copyObject] : ['PutObject', putObject])
}

function partOf<R extends S3Request>(
  table: Table<R>,
  query: S3Query,
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
