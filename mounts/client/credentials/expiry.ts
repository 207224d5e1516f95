/** When a token ends, as far as it says so itself. For messages and for renewing in time; nothing is decided by it. */

import type { Secret } from '../../../acl/secret.ts'

/** Milliseconds since 1970; undefined for what is no JWT (RFC 7519) with an end. */
export function expiryOf(token: Secret): number | undefined {
  const [, payload, , more] = token.reveal().split('.')
  if (payload === undefined || more !== undefined) return undefined
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
    const { exp } = claims as { readonly exp?: unknown }
    // Later than the year 9999 there is no date to be shown.
    return typeof exp === 'number' && exp > 0 && exp < 253_402_300_800 ? exp * 1000 : undefined
  } catch {
    // It is a token of another kind.
    return undefined
  }
}
