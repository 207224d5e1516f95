/** Where the owner of an access key can ask, signed in with a browser, why a request was refused. */

import type { Action } from '../../acl/needs.ts'
import type { ErrorCode, StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { explainHref, explainPage } from '../http/problem.ts'

/** What operations are tried for, by their name in the API Reference. */
const actionOf: Readonly<Record<string, Action>> = {
  AbortMultipartUpload: 'create',
  CompleteMultipartUpload: 'create',
  CopyObject: 'create',
  CreateMultipartUpload: 'create',
  DeleteBucket: 'remove',
  DeleteObject: 'remove',
  DeleteObjectTagging: 'write-properties',
  GetBucketAcl: 'read-acl',
  GetObject: 'read',
  GetObjectAcl: 'read-acl',
  GetObjectAttributes: 'read',
  GetObjectTagging: 'read-properties',
  HeadBucket: 'list',
  HeadObject: 'read',
  ListMultipartUploads: 'list',
  ListObjects: 'list',
  ListObjectVersions: 'list',
  ListObjectsV2: 'list',
  ListParts: 'create',
  PutObject: 'create',
  PutObjectTagging: 'write-properties',
  RestoreObject: 'stage',
  UploadPart: 'create',
  UploadPartCopy: 'create',
}

const explained: ReadonlySet<ErrorCode> = new Set(['denied', 'not-owner', 'read-only'])

/** Undefined for other errors than refusals, and for who is nobody's: paths of the namespace are not for everybody. */
export function explainLink(x: Exchange, error: StorageError, operation: string): string | undefined {
  if (!explained.has(error.code) || x.principal.user === undefined || !Object.hasOwn(actionOf, operation)) {
    return undefined
  }
  const { door, path } = x
  return explainHref({ door, path, action: actionOf[operation] }, explainPage)
}
