/**
 * Answers about what a tree has none of, as clients expect them (Amazon S3 API Reference): access control lists beside our
 * own, versions, policies, encryption, life cycles. Who may not see the bucket or object gets none of them.
 */

import { respond } from '../http/respond.ts'
import { requireBucket } from './buckets.ts'
import { objectEntry } from './current-object.ts'
import { S3Error, type S3ErrorCode } from './error.ts'
import { ownerElement, ownerId, ownerNames } from './owner.ts'
import type { BucketRequest, ObjectRequest, Operation } from './s3-request.ts'
import { childrenOf, leaf, parseRoot, sendXml, tag, textIn } from './xml.ts'

const maxAcl = 64 * 1024

/** Documents without content of their own: root elements and what is in them. */
const documents = {
  versioning: ['VersioningConfiguration', ''],
  accelerate: ['AccelerateConfiguration', ''],
  logging: ['BucketLoggingStatus', ''],
  notification: ['NotificationConfiguration', ''],
  requestPayment: ['RequestPaymentConfiguration', leaf('Payer', 'BucketOwner')],
  policyStatus: ['PolicyStatus', leaf('IsPublic', false)],
} as const

const absences = {
  policy: ['NoSuchBucketPolicy', 'The bucket policy does not exist'],
  lifecycle: ['NoSuchLifecycleConfiguration', 'The lifecycle configuration does not exist'],
  tagging: ['NoSuchTagSet', 'The TagSet does not exist'],
  encryption: [
    'ServerSideEncryptionConfigurationNotFoundError',
    'The server side encryption configuration was not found',
  ],
  'object-lock': ['ObjectLockConfigurationNotFoundError', 'Object Lock configuration does not exist for this bucket'],
  website: ['NoSuchWebsiteConfiguration', 'The specified bucket does not have a website configuration'],
  replication: ['ReplicationConfigurationNotFoundError', 'The replication configuration was not found'],
  publicAccessBlock: ['NoSuchPublicAccessBlockConfiguration', 'The public access block configuration was not found'],
} as const satisfies Readonly<Record<string, readonly [S3ErrorCode, string]>>

export type CannedDocument = keyof typeof documents
export type CannedAbsence = keyof typeof absences

/** An operation that answers with a document that is always the same. */
export function cannedDocument(name: CannedDocument): Operation<BucketRequest> {
  const [root, content] = documents[name]
  return async (request) => {
    await requireBucket(request)
    await sendXml(request.x, root, content)
  }
}

/** An operation that answers that this was never configured. */
export function cannedAbsence(name: CannedAbsence): Operation<BucketRequest> {
  const [code, message] = absences[name]
  return async (request) => {
    await requireBucket(request)
    throw new S3Error(code, message, { elements: { BucketName: request.bucket.name } })
  }
}

/** GetBucketOwnershipControls: access is never given by ACLs of S3. */
export const getOwnershipControls: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  await sendXml(request.x, 'OwnershipControls', tag('Rule', leaf('ObjectOwnership', 'BucketOwnerEnforced')))
}

/** GetBucketAcl */
export const getBucketAcl: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  await sendAcl(request)
}

/** GetObjectAcl */
export const getObjectAcl: Operation<ObjectRequest> = async (request) => {
  await objectEntry(request)
  await sendAcl(request)
}

/** PutBucketAcl */
export const putBucketAcl: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  await keepAcl(request)
}

/** PutObjectAcl */
export const putObjectAcl: Operation<ObjectRequest> = async (request) => {
  await objectEntry(request)
  await keepAcl(request)
}

/** Throws AccessControlListNotSupported for a canned ACL that would give something to somebody. */
export function requirePrivate(name: string | undefined): void {
  if (name === undefined || name === 'private' || name === 'bucket-owner-full-control') return
  throw notSupported()
}

const schema = 'http://www.w3.org/2001/XMLSchema-instance'

function sendAcl({ x }: BucketRequest): Promise<void> {
  const grantee = `<Grantee xmlns:xsi="${schema}" xsi:type="CanonicalUser">${ownerNames}</Grantee>`
  const grant = tag('Grant', grantee + leaf('Permission', 'FULL_CONTROL'))
  return sendXml(x, 'AccessControlPolicy', ownerElement('Owner') + tag('AccessControlList', grant))
}

/** Takes an ACL that is what it is anyway. */
async function keepAcl(request: BucketRequest): Promise<void> {
  const { x, body } = request
  requirePrivate(request.header('x-amz-acl'))
  const grants = ['read', 'write', 'read-acp', 'write-acp', 'full-control']
  if (grants.some((name) => request.header(`x-amz-grant-${name}`) !== undefined)) throw notSupported()
  const bytes = await body.whole(maxAcl)
  if (bytes.length > 0) requireOwnersAlone(bytes)
  await respond(x, 200, [])
}

function requireOwnersAlone(bytes: Uint8Array): void {
  const lists = childrenOf(parseRoot(bytes, 'AccessControlPolicy'), 'AccessControlList')
  for (const grant of lists.flatMap((list) => childrenOf(list, 'Grant'))) {
    const [grantee] = childrenOf(grant, 'Grantee')
    const isOwner = grantee !== undefined && textIn(grantee, 'ID') === ownerId
    if (!isOwner || textIn(grant, 'Permission') !== 'FULL_CONTROL') throw notSupported()
  }
}

function notSupported(): S3Error {
  return new S3Error('AccessControlListNotSupported', 'The bucket does not allow ACLs')
}
