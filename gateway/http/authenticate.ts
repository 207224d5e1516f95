/** The Authorization header (RFC 9110, section 11.6.2; RFC 6750; RFC 7617) as a Credential. */

import type { Credential } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'

const none: Credential = { kind: 'none' }

/**
 * Throws `invalid` for a header that does not follow its grammar (also two of them, which arrive
 * joined by a comma); `unauthenticated` for a scheme that is not spoken here.
 */
export function parseAuthorization(header: string | undefined): Credential {
  if (header === undefined) return none
  const space = header.indexOf(' ')
  const scheme = (space < 0 ? header : header.slice(0, space)).toLowerCase()
  const rest = space < 0 ? '' : header.slice(space + 1).trim()
  if (scheme === 'bearer') return parseBearer(rest)
  if (scheme === 'basic') return parseBasic(rest)
  throw new StorageError('unauthenticated', 'this kind of credential is not accepted', {
    reason: {
      rule: 'unknown-scheme',
      text: 'the Authorization header names a scheme other than Bearer, Basic and Negotiate',
    },
  })
}

/** RFC 6750, section 2: a client uses one way of sending a token. Throws `invalid` when the URL holds one beside the header. */
export function requireOneCredential(query: string): void {
  if (query === '') return
  const parameters = new URLSearchParams(query)
  if (parameters.has('access_token') || parameters.has('authz')) {
    throw new StorageError('invalid', 'more than one credential was sent')
  }
}

function parseBearer(token: string): Credential {
  if (!isB64Token(token)) {
    const headers = ['WWW-Authenticate', 'Bearer realm="portolan", error="invalid_request"']
    throw new HttpError(400, 'invalid', 'the bearer token does not follow its grammar', { headers })
  }
  return { kind: 'bearer', token: new Secret(token) }
}

/** 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (RFC 6750, section 2.1). */
function isB64Token(text: string): boolean {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 61) end--
  if (end === 0) return false
  for (let at = 0; at < end; at++) {
    const code = text.charCodeAt(at)
    const letter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 45 && code <= 57)
    // 45 to 57 are - . / 0…9; beside them + _ ~.
    if (!letter && code !== 95 && code !== 43 && code !== 126) return false
  }
  return true
}

function parseBasic(encoded: string): Credential {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw new StorageError('invalid', 'the Basic credential is not base64')
  const text = decodeUtf8(Buffer.from(encoded, 'base64'))
  const colon = text.indexOf(':')
  // RFC 7617, section 2: neither part may hold control characters.
  if (colon < 1 || /[\x00-\x1f\x7f]/.test(text)) throw new StorageError('invalid', 'the Basic credential is malformed')
  return { kind: 'basic', user: text.slice(0, colon), password: new Secret(text.slice(colon + 1)) }
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new StorageError('invalid', 'the Basic credential is not UTF-8', { cause })
  }
}
