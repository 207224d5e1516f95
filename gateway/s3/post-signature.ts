/** Who signed the policy of a form (Amazon S3 API Reference, "Authenticating Requests: Browser-Based Uploads Using POST"). */

import { anonymous, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { unsupportedVersion } from './authorization.ts'
import { S3Error } from './error.ts'
import { findKey, type KeyLookup, readableToken } from './key-lookup.ts'
import type { FormFields } from './post-policy.ts'
import { refusedFormSignature } from './refusal.ts'
import {
  algorithm,
  type CredentialScope,
  defaultRegion,
  deriveSigningKey,
  isSameSignature,
  parseAmzDate,
  parseCredential,
  signatureOf,
} from './sigv4.ts'

export interface FormSigner {
  readonly principal: Principal
  /** Absent where nobody signed: then there is no policy either. */
  readonly policy: string | undefined
}

export interface FormSignatureOptions {
  readonly key: KeyLookup
  readonly region: string
  /** As for requests that are signed in their heads. */
  readonly isPrivate: boolean
}

const needed = ['policy', 'x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature'] as const

/** `anonymous` for a form without any of the fields of a signature. Throws S3Error for one that is not right. */
export async function authenticateForm(fields: FormFields, options: FormSignatureOptions): Promise<FormSigner> {
  if (fields.has('awsaccesskeyid') || fields.has('signature')) throw unsupportedVersion()
  if (!needed.some((name) => fields.has(name))) return { principal: anonymous, policy: undefined }
  const { policy, signature } = requireFields(fields)
  const scope = scopeOf(fields, options.region)
  const token = fields.get('x-amz-security-token')
  if (token !== undefined && !options.isPrivate) throw readableToken()
  const sessionToken = token === undefined ? undefined : new Secret(token)
  const found = await findKey(options.key, scope.accessKeyId, sessionToken)
  // The days of forms are not bounded by the clock: their keys are not worth remembering.
  const expected = signatureOf(deriveSigningKey(found.secret, scope), policy)
  if (!isSameSignature(expected, signature)) throw refusedFormSignature(scope.accessKeyId, policy, signature)
  return { principal: found.principal, policy }
}

function requireFields(fields: FormFields): { readonly policy: string; readonly signature: string } {
  const absent = needed.find((name) => !fields.get(name))
  if (absent !== undefined) throw wrong(absent, `Bucket POST must contain a field named '${absent}'.`)
  if (fields.get('x-amz-algorithm') !== algorithm) {
    throw wrong('x-amz-algorithm', `X-Amz-Algorithm only supports "${algorithm}".`)
  }
  return { policy: fields.get('policy') ?? '', signature: fields.get('x-amz-signature') ?? '' }
}

function scopeOf(fields: FormFields, region: string): CredentialScope {
  const scope = parseCredential(fields.get('x-amz-credential') ?? '')
  if (scope?.service !== 's3') throw wrong('x-amz-credential', 'The credential of the form is malformed.')
  if (scope.region !== region && scope.region !== defaultRegion) {
    throw wrong('x-amz-credential', `The region of the credential is wrong; expecting '${region}'.`)
  }
  const date = fields.get('x-amz-date') ?? ''
  if (parseAmzDate(date) !== undefined && date.slice(0, 8) === scope.day) return scope
  throw wrong('x-amz-date', 'The date of the form is malformed, or not that of its credential.')
}

function wrong(field: string, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { elements: { ArgumentName: field } })
}
