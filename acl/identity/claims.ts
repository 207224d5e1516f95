/** The claims that every profile shares, checked after the signature: kind of token, times, audience, subject. */

import { isObject, type JsonObject, member } from '../json.ts'
import {
  defaultLeeway,
  defaultMaxLifetime,
  latestDate,
  maxAudiences,
  maxNameLength,
  wlcgMaxLifetime,
} from './limits.ts'
import type { IssuerOptions } from './options.ts'
import { quoted, refuse } from './refusal.ts'

export interface Claims {
  /** Absent only in SciTokens. */
  readonly subject: string | undefined
  /** `jti`. */
  readonly tokenId: string | undefined
  /** `exp`, in seconds since 1970. */
  readonly expires: number
  /** SHA-256 in base64url of the certificate that it must be shown with (`cnf`, RFC 8705, section 3.1). */
  readonly boundTo?: string
}

/** Throws `unauthenticated`. `now` is in seconds. */
export function checkClaims(header: JsonObject, payload: JsonObject, issuer: IssuerOptions, now: number): Claims {
  checkKind(header, payload, issuer)
  const expires = checkTimes(payload, issuer, now)
  checkAudience(payload, issuer)
  const boundTo = bindingOf(payload)
  const subject = nameClaim(payload, 'sub')
  if (subject === undefined && issuer.profile !== 'scitokens') throw refuse('token-profile', 'sub is missing')
  const tokenId = nameClaim(payload, 'jti')
  return { subject, tokenId, expires, ...(boundTo !== undefined && { boundTo }) }
}

/**
 * The certificate that a token is bound to (RFC 8705, section 3.1); whoever lets it in compares. A token bound in another
 * way, such as to a key (RFC 9449), is worth nothing without its proof, which no door takes: it is refused.
 */
export function bindingOf(payload: JsonObject): string | undefined {
  const confirmation = member(payload, 'cnf')
  if (confirmation === undefined) return undefined
  const thumbprint = isObject(confirmation) ? member(confirmation, 'x5t#S256') : undefined
  const isAlone = isObject(confirmation) && Object.keys(confirmation).length === 1
  if (isAlone && typeof thumbprint === 'string' && /^[A-Za-z0-9_-]{43}$/.test(thumbprint)) return thumbprint
  throw refuse('token-binding', 'cnf binds the token in a way that is not supported; x5t#S256 alone is')
}

/** A claim that is printable ASCII of at most 255 characters; undefined when it is not there. */
export function nameClaim(payload: JsonObject, name: string): string | undefined {
  const value = member(payload, name)
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value === '' || value.length > maxNameLength || !/^[\x20-\x7e]+$/.test(value)) {
    throw refuse('token-profile', `${name} is not a string of 1 to ${maxNameLength} ASCII characters`)
  }
  return value
}

/** Access tokens only: no ID, refresh or logout tokens (RFC 9068, section 5; RFC 8725, section 3.12). */
function checkKind(header: JsonObject, payload: JsonObject, issuer: IssuerOptions): void {
  const typ = member(header, 'typ')
  const kind = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  const accepted: readonly unknown[] = issuer.types ?? [undefined, 'jwt', 'at+jwt']
  if (!accepted.includes(kind)) throw refuse('token-type', `typ ${quoted(typ)} is not the type of an access token`)
  // Keycloak tells its kinds of token apart by a claim.
  const inner = member(payload, 'typ')
  if (inner !== undefined && !(typeof inner === 'string' && /^(bearer|jwt|at\+jwt)$/i.test(inner))) {
    throw refuse('token-type', `claim typ ${quoted(inner)} is not the type of an access token`)
  }
  for (const name of ['at_hash', 'c_hash', 's_hash', 'events']) {
    if (Object.hasOwn(payload, name)) throw refuse('token-type', `${name} is a claim of ID or logout tokens`)
  }
  const saysAccess = kind === 'at+jwt' || inner !== undefined || Object.hasOwn(payload, 'scope')
  if (saysAccess) return
  if (Object.hasOwn(payload, 'nonce')) throw refuse('token-type', 'nonce is a claim of ID tokens')
  const client = member(payload, 'azp') ?? member(payload, 'client_id')
  const audience = member(payload, 'aud')
  const only = Array.isArray(audience) && audience.length === 1 ? audience[0] : audience
  if (client !== undefined && client === only) throw refuse('token-type', 'aud is the client, as in ID tokens')
}

/** Returns `exp`. There is no leeway at the end of a life; at its start clocks may differ a little. */
export function checkTimes(payload: JsonObject, issuer: IssuerOptions, now: number): number {
  const leeway = issuer.leeway ?? defaultLeeway
  const exp = dateClaim(payload, 'exp')
  const nbf = dateClaim(payload, 'nbf')
  const iat = dateClaim(payload, 'iat')
  if (exp === undefined) throw refuse('token-expired', 'exp is missing')
  if (now >= exp) throw refuse('token-expired', `exp ${new Date(exp * 1000).toISOString()} has passed`)
  if (nbf !== undefined && now + leeway < nbf) {
    throw refuse('token-not-yet-valid', `nbf ${new Date(nbf * 1000).toISOString()} has not come (leeway ${leeway} s)`)
  }
  if (iat === undefined && issuer.profile === 'wlcg') throw refuse('token-profile', 'iat is missing')
  if (iat !== undefined && now + leeway < iat) throw refuse('token-not-yet-valid', 'iat lies in the future')
  const longest = issuer.maxLifetime ?? (issuer.profile === 'wlcg' ? wlcgMaxLifetime : defaultMaxLifetime)
  if (exp - (iat ?? now) > longest) throw refuse('token-lifetime', `exp lies more than ${longest} s after iat`)
  return exp
}

/** A NumericDate (RFC 7519, section 2) of this age: a number of seconds, not text and not milliseconds. */
function dateClaim(payload: JsonObject, name: string): number | undefined {
  const value = member(payload, name)
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || value >= latestDate) {
    throw refuse('token-profile', `${name} is not a time in seconds`)
  }
  return value
}

/** Throws `unauthenticated` for what is not meant for us. */
export function checkAudience(payload: JsonObject, issuer: IssuerOptions): void {
  const aud = member(payload, 'aud')
  if (aud === undefined) throw refuse('token-audience', 'aud is missing')
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (named.length > maxAudiences || named.some((name) => typeof name !== 'string')) {
    throw refuse('token-profile', `aud is not a string or a list of at most ${maxAudiences} strings`)
  }
  const takesAny = issuer.profile === 'scitokens' && issuer.anyAudience !== false
  const accepted: readonly unknown[] = takesAny ? [...issuer.audiences, 'ANY'] : issuer.audiences
  if (!named.some((name) => accepted.includes(name))) {
    throw refuse('token-audience', `aud ${quoted(aud)} is none of ${quoted(issuer.audiences)}`)
  }
}

/** Whom a token is for, as checked. */
export function audiencesOf(payload: JsonObject): readonly string[] {
  const aud = member(payload, 'aud')
  return (Array.isArray(aud) ? aud : [aud]).filter((name) => typeof name === 'string')
}
