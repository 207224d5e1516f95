/** `versionId`: objects have one version here, whose name is `null` (Amazon S3 User Guide, "Using versioning"). */

import { S3Error } from './error.ts'
import type { S3Query } from './s3-request.ts'

/** Throws NoSuchVersion for every other version. */
export function requireOnlyVersion(query: S3Query): void {
  requireVersion(query.get('versionId'))
}

/** The same of a version that is named elsewhere. */
export function requireVersion(version: string | undefined): void {
  if (version === undefined || version === '' || version === 'null') return
  throw new S3Error('NoSuchVersion', 'The specified version does not exist.', { elements: { VersionId: version } })
}
