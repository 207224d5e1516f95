/** What the SDK says of a refusal. */

import { S3ServiceException } from '@aws-sdk/client-s3'

/** Status and code of what `work` rejects with, as in "404 NoSuchKey"; HEAD has no code. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error
    return `${error.$metadata.httpStatusCode} ${error.name}`
  }
}
