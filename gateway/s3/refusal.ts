/** What a sender is told whose signature is wrong, so that it can be put right: nothing that the sender has not sent. */

import { StorageError } from '../core/errors.ts'
import type { Claim } from './authorization.ts'
import type { HeadFields } from './canonical.ts'
import { S3Error, type S3ErrorDetails } from './error.ts'

/** Characters of a canonical request that are sent back. */
const maxEchoed = 4096

/** Every header that S3 gives a meaning to has to be signed: nobody on the way may add one. Throws `AccessDenied`. */
export function requireAllSigned(fields: HeadFields, signedNames: readonly string[]): void {
  const signed = new Set(signedNames)
  const missing = signed.has('host') ? [] : ['host']
  for (const name of fields.names()) {
    if (name.startsWith('x-amz-') && !signed.has(name)) missing.push(name)
  }
  if (missing.length === 0) return
  const elements = { HeadersNotSigned: missing.join(', ') }
  throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', { elements })
}

/** What the look-up of a key has thrown, in the words of S3; what is no fault of the sender stays as it is. */
export function refusedKey(accessKeyId: string, error: StorageError): StorageError {
  const reason = StorageError.reasonOf(error)
  const details = { cause: error, reason }
  if (reason?.rule === 'key-expired') return new S3Error('ExpiredToken', 'The provided token has expired.', details)
  if (reason?.rule === 'token-malformed') {
    return new S3Error('InvalidToken', 'The provided token is malformed or otherwise invalid.', details)
  }
  return error.code === 'unauthenticated' ? unknownKey(accessKeyId, details) : error
}

/** Keys that are disabled are as good as none. */
export function unknownKey(accessKeyId: string, details: S3ErrorDetails = {}): S3Error {
  const message = 'The AWS Access Key Id you provided does not exist in our records.'
  const elements = { AWSAccessKeyId: printable(accessKeyId) }
  const reason = details.reason ?? { rule: 'key-unknown', text: 'nobody knows an access key of this name' }
  return new S3Error('InvalidAccessKeyId', message, { ...details, reason, elements })
}

/** `request` and `text`: what was signed as it was understood here. Session tokens are taken out. */
export function refusedSignature(claim: Claim, request: string, text: string): S3Error {
  const message =
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.'
  const elements: Record<string, string> = {
    AWSAccessKeyId: printable(claim.scope.accessKeyId),
    StringToSign: printable(text),
    SignatureProvided: printable(claim.signature),
    StringToSignBytes: bytesOf(text),
  }
  const shown = claim.sessionToken ? withoutToken(request) : request
  if (shown.length <= maxEchoed) {
    elements.CanonicalRequest = printable(shown)
    elements.CanonicalRequestBytes = bytesOf(shown)
  }
  const reason = { rule: 'signature', text: 'the signature is not that of the access key' }
  return new S3Error('SignatureDoesNotMatch', message, { elements, reason })
}

function withoutToken(request: string): string {
  return request
    .replace(/^x-amz-security-token:.*$/m, 'x-amz-security-token:[secret]')
    .replace(/(X-Amz-Security-Token)=[^&\n]*/i, '$1=[secret]')
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'latin1')
    .toString('hex')
    .replace(/..(?!$)/g, '$& ')
}

/** Octets that XML may not be able to hold. */
function printable(text: string): string {
  return text.replace(/[^\n\x20-\x7e]/g, '?')
}
