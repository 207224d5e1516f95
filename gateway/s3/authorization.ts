/** What a signed request says of its signature: in the Authorization header (AWS Signature Version 4). */

import { Secret } from '../../acl/secret.ts'
import { parseHttpDate } from '../http/dates.ts'
import type { HeadFields } from './canonical.ts'
import { S3Error } from './error.ts'
import { algorithm, amzDate, type CredentialScope, parseAmzDate, parseCredential } from './sigv4.ts'

/** A signature, and what it is said to cover. Nothing of it has been verified. */
export interface Claim {
  readonly scope: CredentialScope
  /** As sent. */
  readonly signedHeaders: string
  /** In lower case. */
  readonly signedNames: readonly string[]
  readonly signature: string
  /** As in the string to sign. */
  readonly date: string
  /** The same in milliseconds since 1970. */
  readonly time: number
  readonly sessionToken: Secret | undefined
  /** In the query; then how many seconds it is good for. */
  readonly presigned: { readonly expires: number; readonly payloadHash: string | undefined } | undefined
}

/** The claim of an Authorization header that is there. Throws S3Error for what is no claim of a kind that is spoken here. */
export function parseAuthorizationHeader(header: string, fields: HeadFields): Claim {
  const parameters = parametersOf(header)
  const scope = parseCredential(required(parameters, 'Credential'))
  if (!scope) throw malformed('The Credential does not have the form KEY/YYYYMMDD/REGION/SERVICE/aws4_request.')
  const signedHeaders = required(parameters, 'SignedHeaders')
  const signedNames = parseSignedHeaders(signedHeaders)
  if (!signedNames) throw malformed('The list of signed headers is malformed.')
  const signature = required(parameters, 'Signature')
  const { date, time } = dateOf(fields)
  if (date.slice(0, 8) !== scope.day) throw malformed('The date of the Credential is not the date of the request.')
  const token = fields.get('x-amz-security-token')
  const sessionToken = token === undefined ? undefined : new Secret(token)
  return { scope, signedHeaders, signedNames, signature, date, time, sessionToken, presigned: undefined }
}

/** Undefined for what is no list of names in lower case, each of them once. */
export function parseSignedHeaders(text: string): readonly string[] | undefined {
  if (!/^[a-z0-9!#$%&'*+.^_`|~;-]+$/.test(text)) return undefined
  const names = text.split(';')
  if (names.includes('')) return undefined
  return new Set(names).size === names.length ? names : undefined
}

/** The answer to Signature Version 2, wherever it comes. */
export function unsupportedVersion(): S3Error {
  const message = `The authorization mechanism you have provided is not supported. Please use ${algorithm}.`
  return new S3Error('InvalidRequest', message)
}

export function malformed(message: string, elements: Readonly<Record<string, string>> = {}): S3Error {
  return new S3Error('AuthorizationHeaderMalformed', `The authorization header is malformed. ${message}`, { elements })
}

function parametersOf(header: string): ReadonlyMap<string, string> {
  const space = header.indexOf(' ')
  const scheme = space < 0 ? header : header.slice(0, space)
  if (header === '') throw new S3Error('AccessDenied', 'The request has an empty authorization header.')
  if (scheme === 'AWS') throw unsupportedVersion()
  if (scheme === 'AWS4-ECDSA-P256-SHA256') {
    throw new S3Error('NotImplemented', 'Signatures of Version 4A are not spoken here.')
  }
  if (scheme !== algorithm) {
    const elements = { ArgumentName: 'Authorization' }
    throw new S3Error('InvalidArgument', 'This kind of authorization is not spoken here.', { elements })
  }
  const found = new Map<string, string>()
  for (const part of header.slice(scheme.length).split(',')) {
    const equals = part.indexOf('=')
    const name = part.slice(0, Math.max(equals, 0)).trim()
    // Two headers arrive joined: the second has no place here.
    if (equals < 0 || found.has(name)) throw malformed('Its parameters cannot be read.')
    found.set(name, part.slice(equals + 1).trim())
  }
  return found
}

function required(parameters: ReadonlyMap<string, string>, name: string): string {
  const value = parameters.get(name)
  if (!value) throw malformed(`The ${name} is missing.`)
  return value
}

function dateOf(fields: HeadFields): { readonly date: string; readonly time: number } {
  const own = fields.get('x-amz-date')
  const text = own ?? fields.get('date') ?? ''
  const time = parseAmzDate(text)
  if (time !== undefined) return { date: text, time }
  const seconds = own === undefined ? parseHttpDate(text) : undefined
  if (seconds === undefined) throw new S3Error('AccessDenied', 'The request needs a valid Date or x-amz-date header.')
  return { date: amzDate(seconds * 1000), time: seconds * 1000 }
}
