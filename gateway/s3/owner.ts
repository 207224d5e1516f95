/** Who everything belongs to, in the words of S3. Owners of files are told by their ACLs, through other doors. */

import { S3Error } from './error.ts'
import type { S3Request } from './s3-request.ts'
import { leaf, tag } from './xml.ts'

/** The number of the one account that there is, in ARNs and as an expected owner. */
export const account = '000000000000'
export const ownerId = 'portolan'

/** An element with the owner's two names. */
export function ownerElement(name: 'Owner' | 'Initiator'): string {
  return tag(name, ownerNames)
}

export const ownerNames = leaf('ID', ownerId) + leaf('DisplayName', ownerId)

const expectations = ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner'] as const

/** Throws AccessDenied where the caller expects buckets to be somebody else's. */
export function requireExpectedOwner(request: Pick<S3Request, 'header'>): void {
  for (const name of expectations) {
    const expected = request.header(name)
    if (expected !== undefined && expected !== account) throw new S3Error('AccessDenied', 'Access Denied')
  }
}
