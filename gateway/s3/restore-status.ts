/** Storage class and restore of an object: whether its bytes are on tape, and whether they have been asked for. */

import type { Entry } from '../../backends/backend.ts'
import type { Path } from '../core/path.ts'
import type { StagingFile } from '../core/staging.ts'
import { httpDate } from '../http/dates.ts'
import type { S3Request } from './s3-request.ts'

/** Of what is on tape. Others have the class that nobody names. */
export const tapeClass = 'GLACIER'

export interface RestoreStatus {
  readonly ongoing: boolean
  /** ms since 1970, where it is over and the storage was told how long to keep it. */
  readonly expires: number | undefined
}

/** By this the request to the tape queue is found again: one for each caller and file. */
export function restoreKey(path: Path): string {
  return `s3-restore:${path}`
}

/** What has become of the caller's own RestoreObject; undefined where there is none that still counts. */
export async function restoreStatus(
  { x, call }: Pick<S3Request, 'x' | 'call'>,
  path: Path,
  { locality }: Pick<Entry, 'locality'>,
): Promise<RestoreStatus | undefined> {
  if (locality !== 'tape' && locality !== 'disk-and-tape') return undefined
  // A courtesy: what is known of the queue must not keep the object back.
  const progress = await x.door.storage.staging.find(call, restoreKey(path)).catch(() => undefined)
  const file = progress?.files[0]
  if (!file) return undefined
  if (isWaiting(file)) return { ongoing: true, expires: undefined }
  const { finished, lifetime, state } = file
  if (state !== 'completed' || finished === undefined || lifetime === undefined) return undefined
  const expires = finished + lifetime * 1000
  return expires > Date.now() ? { ongoing: false, expires } : undefined
}

/** Whether a request for this file is still on its way. */
export function isWaiting({ state }: StagingFile): boolean {
  return state === 'submitted' || state === 'started'
}

/** The storage class; undefined for STANDARD, which is not told. */
export function storageClassOf(
  { locality }: Pick<Entry, 'locality'>,
  status: RestoreStatus | undefined,
): typeof tapeClass | undefined {
  return locality === 'tape' || (locality === 'disk-and-tape' && status) ? tapeClass : undefined
}

/** x-amz-storage-class and x-amz-restore: name, value, name, value. */
export function restoreHeaders(entry: Pick<Entry, 'locality'>, status: RestoreStatus | undefined): string[] {
  const storageClass = storageClassOf(entry, status)
  const headers = storageClass ? ['x-amz-storage-class', storageClass] : []
  if (status?.ongoing) headers.push('x-amz-restore', 'ongoing-request="true"')
  else if (status?.expires !== undefined) {
    const until = httpDate(Math.floor(status.expires / 1000))
    headers.push('x-amz-restore', `ongoing-request="false", expiry-date="${until}"`)
  }
  return headers
}
