/** What can be read in a token that somebody else has verified or will verify. Nothing here is proof of anything. */

/** Longest token in characters that is looked into. */
const maxLength = 16 * 1024

export interface Claims {
  readonly iss?: unknown
  readonly sub?: unknown
  readonly exp?: unknown
  readonly scope?: unknown
  readonly aud?: unknown
  readonly act?: unknown
}

/** The claims of a JWT; undefined for what is none, such as an opaque token. */
export function claimsOf(token: string): Claims | undefined {
  const parts = token.split('.')
  if (parts.length !== 3 || token.length > maxLength) return undefined
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString())
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? claims : undefined
  } catch {
    // Not JSON, so not a JWT.
    return undefined
  }
}

/** Scopes that give rights on data, in the WLCG profile (storage.read:/p) or SciTokens' (read:/p). */
const storageScope = /^(?:storage\.\w+|read|write)(?::|$)/

/** Whether a `scope` holds rights on data; such a token makes dCache look at the scopes and not at its ACLs. */
export function hasStorageScope(scope: unknown): boolean {
  const words = Array.isArray(scope) ? scope.map(String) : typeof scope === 'string' ? scope.split(/\s+/) : []
  return words.some((word) => storageScope.test(word))
}
