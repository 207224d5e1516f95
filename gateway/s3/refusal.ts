/** What a sender is told whose signature is wrong, so that it can be put right: nothing that opens anything. */

import type { Claim } from './authorization.ts'
import type { HeadFields } from './canonical.ts'
import { S3Error } from './error.ts'

const mismatch =
  'The request signature we calculated does not match the signature you provided. Check your key and signing method.'
const reason = { rule: 'signature', text: 'the signature is not that of the access key' }

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

/** `request` and `text`: what was signed as it was understood here. Credentials are taken out. */
export function refusedSignature(claim: Claim, request: string, text: string): S3Error {
  const elements: Record<string, string> = {
    AWSAccessKeyId: printable(claim.scope.accessKeyId),
    StringToSign: printable(text),
    SignatureProvided: printable(claim.signature),
    StringToSignBytes: bytesOf(text),
  }
  const shown = withoutCredentials(request)
  if (shown.length <= maxEchoed) {
    elements.CanonicalRequest = printable(shown)
    elements.CanonicalRequestBytes = bytesOf(shown)
  }
  return new S3Error('SignatureDoesNotMatch', mismatch, { elements, reason })
}

/** Of a form, whose policy is all that is signed. */
export function refusedFormSignature(accessKeyId: string, policy: string, signature: string): S3Error {
  const elements = {
    AWSAccessKeyId: printable(accessKeyId),
    SignatureProvided: printable(signature),
    ...(policy.length <= maxEchoed && { StringToSign: printable(policy) }),
  }
  return new S3Error('SignatureDoesNotMatch', mismatch, { elements, reason })
}

/** A browser, or a proxy, may have added headers that the page, or the sender, cannot read: whoever names them as signed is not told them. */
function withoutCredentials(request: string): string {
  return request
    .replace(/^(x-amz-security-token|authorization|proxy-authorization|cookie):.*$/gm, '$1:[secret]')
    .replace(/(X-Amz-Security-Token)=[^&\n]*/gi, '$1=[secret]')
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'latin1')
    .toString('hex')
    .replace(/..(?!$)/g, '$& ')
}

/** Without octets that XML may not be able to hold. */
export function printable(text: string): string {
  return text.replace(/[^\n\x20-\x7e]/g, '?')
}
