/** Tokens that are bound to a certificate of their holder (RFC 8705, section 3). */

import { timingSafeEqual } from 'node:crypto'
import { refuse } from './refusal.ts'

/**
 * Throws `unauthenticated` for a token that is bound to another certificate than came with the request; both are SHA-256
 * in base64url. It is no matter who issued the certificate: what counts is that its key was there.
 */
export function requireBinding(boundTo: string | undefined, certificate: string | undefined): void {
  if (boundTo === undefined) return
  if (certificate === undefined) {
    throw refuse('token-binding', 'cnf binds the token to a client certificate, and none came with the request')
  }
  const [expected, shown] = [Buffer.from(boundTo), Buffer.from(certificate)]
  if (expected.length === shown.length && timingSafeEqual(expected, shown)) return
  throw refuse('token-binding', 'cnf binds the token to another client certificate than came with the request')
}
