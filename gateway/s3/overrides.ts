/** Headers of an answer that the request asks for instead of the object's own: parameters named `response-…`. */

import { S3Error } from './error.ts'
import { fieldValue } from './metadata.ts'
import type { ContentHeader, ContentHeaders } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'

const overridable: readonly ContentHeader[] = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
]

/** Throws InvalidRequest for callers that have signed nothing, and InvalidArgument for what no header can hold. */
export function overridesOf({ query, signed }: Pick<ObjectRequest, 'query' | 'signed'>): ContentHeaders {
  const found: Partial<Record<ContentHeader, string>> = {}
  for (const name of overridable) {
    const parameter = `response-${name}`
    const value = query.get(parameter)
    if (value === undefined) continue
    if (!signed)
      throw new S3Error(
        'InvalidRequest',
        'Request specific response headers cannot be used for anonymous GET requests.',
      )
    found[name] = fieldValue(parameter, Buffer.from(value).toString('latin1'))
  }
  return found
}
