/** What an issuer says of a token (RFC 7662, section 2.2), checked as the claims of a signed one are. */

import { type JsonObject, member } from '../../json.ts'
import { bindingOf, type Claims, checkAudience, checkTimes, nameClaim } from '../claims.ts'
import type { IntrospectionOptions, IssuerOptions } from '../options.ts'
import { quoted, refuse } from '../refusal.ts'

export interface Vouched extends Claims {
  /** The answer, with an end where it named none. */
  readonly payload: JsonObject
}

/**
 * Throws `unauthenticated`. `now` and `until` are seconds since 1970; `until`: how long the answer is believed, and so
 * the end of a token for which the issuer names none.
 */
export function readAnswer(
  answer: JsonObject,
  issuer: IssuerOptions,
  { withoutAudience }: Pick<IntrospectionOptions, 'withoutAudience'>,
  { now, until }: { readonly now: number; readonly until: number },
): Vouched {
  const iss = member(answer, 'iss')
  if (iss !== undefined && iss !== issuer.issuer) {
    throw refuse('token-issuer', `its issuer says that it is of ${quoted(iss)}`)
  }
  requireAccessToken(answer)
  const payload = member(answer, 'exp') === undefined ? { ...answer, exp: until } : answer
  const expires = checkTimes(payload, issuer, now)
  if (!(withoutAudience && member(answer, 'aud') === undefined)) checkAudience(payload, issuer)
  const boundTo = bindingOf(payload)
  const subject = nameClaim(payload, 'sub')
  if (subject === undefined && issuer.profile !== 'scitokens') throw refuse('token-profile', 'sub is missing')
  const tokenId = nameClaim(payload, 'jti')
  return { subject, tokenId, expires, payload, ...(boundTo !== undefined && { boundTo }) }
}

/** An endpoint may know refresh tokens too (RFC 7662, section 2.1); products tell the kinds apart by one of these. */
function requireAccessToken(answer: JsonObject): void {
  const use = member(answer, 'token_type')
  if (use !== undefined && !(typeof use === 'string' && /^(?:bearer|access_token)$/i.test(use))) {
    throw refuse('token-type', `token_type ${quoted(use)} is not that of a bearer token`)
  }
  const typ = member(answer, 'typ')
  if (typ !== undefined && !(typeof typ === 'string' && /^(?:bearer|jwt|at\+jwt)$/i.test(typ))) {
    throw refuse('token-type', `typ ${quoted(typ)} is not that of an access token`)
  }
  const purpose = member(answer, 'token_use')
  if (purpose !== undefined && purpose !== 'access_token' && purpose !== 'access') {
    throw refuse('token-type', `token_use ${quoted(purpose)} is not that of an access token`)
  }
}

/**
 * A signed token's own claims, with those that its issuer adds when asked. What both say must be the same, and what the
 * signature covers is never widened. Throws `unauthenticated`.
 */
export function joinClaims(payload: JsonObject, answer: JsonObject): JsonObject {
  for (const name of ['iss', 'sub', 'jti']) {
    const [own, told] = [member(payload, name), member(answer, name)]
    if (told !== undefined && told !== own) throw refuse('token-inactive', `its issuer speaks of another ${name}`)
  }
  const told = member(answer, 'scope')
  if (told !== undefined && !isWithinScope(member(payload, 'scope'), told)) {
    throw refuse('token-scope', 'its issuer says that its scope is narrower')
  }
  return withMore(payload, answer)
}

/**
 * `own`, with claims of `more` that it lacks. Whether an address is verified is said of the address beside it (OpenID
 * Connect Core 1.0, section 5.1) and of no other.
 */
export function withMore(own: JsonObject, more: JsonObject): JsonObject {
  const isAddressed = Object.hasOwn(own, 'email') || Object.hasOwn(own, 'email_verified')
  const { email, email_verified: verified, ...rest } = more
  return isAddressed ? { ...rest, ...own } : { ...more, ...own }
}

/** A token without a scope is not narrowed by one: what the issuer says is taken over then. */
function isWithinScope(own: unknown, told: unknown): boolean {
  if (own === undefined) return true
  if (typeof own !== 'string' || typeof told !== 'string') return false
  const allowed = new Set(told.split(' '))
  return own.split(' ').every((scope) => allowed.has(scope))
}
