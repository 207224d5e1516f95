/**
 * A JWT access token from text to trusted claims, in the order of RFC 8725 and the WLCG profile
 * (section 4.2): form, header, issuer, key, signature, kind, times, audience. Nothing is fetched for
 * an issuer that is not configured, and nothing that a token names is ever fetched.
 */

import { compactVerify } from 'jose'
import { StorageError } from '../../gateway/core/errors.ts'
import { type JsonObject, member, parseObject } from '../json.ts'
import { type Claims, checkClaims } from './claims.ts'
import type { Gate } from './gate.ts'
import type { Keys } from './keys.ts'
import { maxKeyIdLength, maxTokenLength } from './limits.ts'
import type { Algorithm, IssuerOptions } from './options.ts'
import { quoted, refuse } from './refusal.ts'

export interface TrustedIssuer {
  readonly options: IssuerOptions
  readonly keys: Keys
  /** Bounds signature checks: they use threads that reading files needs too, and anyone can cause them. */
  readonly verifying: Gate
}

export interface VerifiedToken extends Claims {
  readonly issuer: TrustedIssuer
  /** All claims of the payload. */
  readonly payload: JsonObject
}

/** Told of each check that was passed, for explanations. */
export type Trace = (step: string, text: string) => void

export interface VerifyContext {
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  /** Milliseconds since 1970. */
  readonly now: number
  readonly trace: Trace
}

/** Throws `unauthenticated` with the rule that refused, or `unavailable` when keys cannot be had. */
export async function verifyToken(token: string, context: VerifyContext): Promise<VerifiedToken> {
  const { header, payload, issuer } = await verifySignature(token, context)
  const claims = checkClaims(header, payload, issuer.options, context.now / 1000)
  const until = new Date(claims.expires * 1000).toISOString()
  context.trace('claims', `kind, times and audience are right; valid until ${until}`)
  return { ...claims, issuer, payload }
}

export interface SignedToken {
  readonly header: JsonObject
  readonly payload: JsonObject
  readonly issuer: TrustedIssuer
}

/** Form, issuer, key and signature: what says who wrote it, but not yet what for. Throws as `verifyToken`. */
export async function verifySignature(token: string, context: Omit<VerifyContext, 'now'>): Promise<SignedToken> {
  const { trace } = context
  const { header, payload } = readParts(token)
  trace('form', 'a signed JWT of acceptable size')
  refuseUnsafeHeader(header)
  const issuer = findIssuer(payload, context.issuers)
  trace('issuer', `iss is issuer ${issuer.options.name}`)
  const { algorithm, kid } = readHeader(header, issuer.options)
  trace('algorithm', `${algorithm} is allowed for this issuer`)
  const key = await issuer.keys.find(kid, algorithm)
  trace('key', `kid ${quoted(kid)} is a key of this issuer`)
  try {
    await issuer.verifying(() => compactVerify(token, key, { algorithms: [algorithm] }))
  } catch (error) {
    if (error instanceof StorageError) throw error
    throw refuse('token-signature', 'the signature does not verify with the key of this kid', error)
  }
  trace('signature', 'the signature verifies')
  return { header, payload, issuer }
}

/** The parts of a token without any judgement, for showing it to its holder; undefined when it is no signed JWT. */
export function decodeToken(token: string): { readonly header: JsonObject; readonly payload: JsonObject } | undefined {
  try {
    return readParts(token)
  } catch {
    // The reason is told by verifyToken.
    return undefined
  }
}

function readParts(token: string): { header: JsonObject; payload: JsonObject } {
  if (token.length > maxTokenLength) throw refuse('token-size', `the token is longer than ${maxTokenLength} characters`)
  const parts = token.split('.')
  if (parts.length === 5) throw refuse('token-format', 'encrypted tokens are not supported')
  const [header, payload, signature] = parts
  if (header === undefined || payload === undefined || signature === undefined || parts.length !== 3) {
    throw refuse('token-format', 'a JWT of three parts was expected')
  }
  const read = { header: readPart(header, 'header'), payload: readPart(payload, 'payload') }
  // An unsigned token has an empty third part; its `alg` is what it is refused for.
  if (signature !== '') decodePart(signature, 'signature')
  return read
}

function readPart(part: string, name: string): JsonObject {
  const { object, problem } = parseObject(decodePart(part, name))
  if (object === undefined) throw refuse('token-format', `the ${name} ${problem}`)
  return object
}

/** Base64url without padding in its one canonical form (RFC 7515, section 2): no second spelling of a token passes. */
function decodePart(part: string, name: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (part === '' || bytes.toString('base64url') !== part) throw refuse('token-format', `the ${name} is not base64url`)
  return bytes
}

/** What no issuer's configuration can allow; told apart before the issuer is looked up. */
function refuseUnsafeHeader(header: JsonObject): void {
  const algorithm = member(header, 'alg')
  if (typeof algorithm !== 'string') throw refuse('token-algorithm', 'alg is missing')
  if (/^none$/i.test(algorithm)) throw refuse('token-algorithm', 'alg none: the token is not signed')
  if (/^hs/i.test(algorithm))
    throw refuse('token-algorithm', 'alg is a shared-secret algorithm, which no issuer may use')
  // RFC 7515, section 4.1.11: an extension that is not understood makes the token invalid; none is.
  if (Object.hasOwn(header, 'crit')) throw refuse('token-format', 'crit names extensions that are not supported')
}

function findIssuer(payload: JsonObject, issuers: ReadonlyMap<string, TrustedIssuer>): TrustedIssuer {
  const iss = member(payload, 'iss')
  if (typeof iss !== 'string') throw refuse('token-issuer', 'iss is missing')
  const issuer = issuers.get(iss)
  if (issuer === undefined) throw refuse('token-issuer', `iss ${quoted(iss)} is not a configured issuer, byte by byte`)
  return issuer
}

const defaultAlgorithms: readonly Algorithm[] = ['RS256', 'ES256']

function readHeader(header: JsonObject, issuer: IssuerOptions): { algorithm: Algorithm; kid: string } {
  const alg = member(header, 'alg')
  const allowed = issuer.algorithms ?? defaultAlgorithms
  const algorithm = allowed.find((name) => name === alg)
  if (algorithm === undefined) {
    throw refuse('token-algorithm', `alg ${quoted(alg)} is not one of ${allowed.join(', ')} of issuer ${issuer.name}`)
  }
  const kid = member(header, 'kid')
  if (typeof kid !== 'string' || kid === '') throw refuse('token-key', 'kid is missing')
  if (kid.length > maxKeyIdLength) throw refuse('token-key', `kid is longer than ${maxKeyIdLength} characters`)
  return { algorithm, kid }
}
