/** Signatures in the query of a URL (AWS Signature Version 4, "Using query parameters"). */

import { Secret } from '../../acl/secret.ts'
import { type Claim, parseSignedHeaders, unsupportedVersion } from './authorization.ts'
import { S3Error } from './error.ts'
import { algorithm, parseAmzDate, parseCredential } from './sigv4.ts'

/** The parameter that is not signed itself, in lower case. */
export const signatureParameter = 'x-amz-signature'

/** Seconds that a URL may be good for. */
const maxExpires = 604_800

/** Parameters of the signature itself: they never count as headers of the request. */
const own: ReadonlySet<string> = new Set([
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-signedheaders',
  'x-amz-content-sha256',
  'x-amz-security-token',
  signatureParameter,
])

/** Parameters that begin with `x-amz-`, by their names in lower case. */
export type AmzParameters = ReadonlyMap<string, string>

/** Throws `AuthorizationQueryParametersError` where one comes twice: nobody could tell which of them counts. */
export function amzParameters(query: ReadonlyMap<string, string>): AmzParameters {
  const found = new Map<string, string>()
  for (const [name, value] of query) {
    const key = name.toLowerCase()
    if (!key.startsWith('x-amz-')) continue
    if (found.has(key)) throw wrong(`The parameter ${key} comes in two ways of writing it.`)
    found.set(key, value)
  }
  return found
}

/** The URL says that it is signed. Throws `InvalidRequest` for Signature Version 2. */
export function isPresigned(parameters: AmzParameters, query: ReadonlyMap<string, string>): boolean {
  if (['x-amz-algorithm', 'x-amz-credential', signatureParameter].some((name) => parameters.has(name))) return true
  if (query.has('AWSAccessKeyId') && query.has('Signature')) throw unsupportedVersion()
  return false
}

/** Headers that the URL brings with it: what is signed in it and begins with `x-amz-`. */
export function headersInQuery(parameters: AmzParameters): AmzParameters {
  return new Map([...parameters].filter(([name]) => !own.has(name)))
}

/** Throws `AuthorizationQueryParametersError`. Whether it has expired is not looked at. */
export function parsePresigned(parameters: AmzParameters): Claim {
  const named = ['algorithm', 'credential', 'signature', 'date', 'signedheaders', 'expires']
  const absent = named.find((name) => !parameters.get(`x-amz-${name}`))
  if (absent !== undefined) throw wrong(`Query-string authentication needs the parameter X-Amz-${absent}.`)
  const text = (name: string) => parameters.get(`x-amz-${name}`) ?? ''
  if (text('algorithm') !== algorithm) throw wrong(`X-Amz-Algorithm only supports "${algorithm}".`)
  const scope = parseCredential(text('credential'))
  if (!scope) throw wrong('X-Amz-Credential does not have the form KEY/YYYYMMDD/REGION/SERVICE/aws4_request.')
  const date = text('date')
  const time = parseAmzDate(date)
  if (time === undefined) throw wrong("X-Amz-Date must be in the ISO8601 long format \"yyyyMMdd'T'HHmmss'Z'\".")
  if (date.slice(0, 8) !== scope.day) throw wrong('The date of X-Amz-Credential is not that of X-Amz-Date.')
  const signedHeaders = text('signedheaders')
  const signedNames = parseSignedHeaders(signedHeaders)
  if (!signedNames) throw wrong('X-Amz-SignedHeaders is malformed.')
  const token = parameters.get('x-amz-security-token')
  const sessionToken = token === undefined ? undefined : new Secret(token)
  const presigned = { expires: parseExpires(text('expires')), payloadHash: parameters.get('x-amz-content-sha256') }
  return { scope, signedHeaders, signedNames, signature: text('signature'), date, time, sessionToken, presigned }
}

/** Throws `AccessDenied` outside of the time that the URL is good for. Times are milliseconds since 1970. */
export function requireInTime(time: number, expires: number, now: number, skew: number): void {
  if (time - now > skew) throw new S3Error('AccessDenied', 'Request is not yet valid')
  const end = time + expires * 1000
  if (now <= end) return
  const elements = {
    'X-Amz-Expires': String(expires),
    Expires: new Date(end).toISOString(),
    ServerTime: new Date(now).toISOString(),
  }
  throw new S3Error('AccessDenied', 'Request has expired', { elements })
}

export function wrong(message: string, elements: Readonly<Record<string, string>> = {}): S3Error {
  return new S3Error('AuthorizationQueryParametersError', message, { elements })
}

function parseExpires(text: string): number {
  if (!/^-?\d+$/.test(text)) throw wrong('X-Amz-Expires should be a number.')
  const seconds = Number(text)
  if (seconds < 0) throw wrong('X-Amz-Expires must be non-negative.')
  if (seconds > maxExpires) throw wrong(`X-Amz-Expires must be less than a week (in seconds) that is ${maxExpires}.`)
  return seconds
}
