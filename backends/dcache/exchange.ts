/** Exchanging the caller's token for one that dCache accepts (RFC 8693). */

import type { Secret } from '../../acl/secret.ts'

export interface ExchangeOptions {
  /** The token endpoint: https, or http on loopback. */
  readonly endpoint: URL
  /** The gateway's own client at the authorization server; read when used. */
  readonly client: () => Promise<{ readonly id: string; readonly secret: Secret }>
  /** For whom the new token shall be: one that dCache accepts. */
  readonly audience?: string
  /** Blank separated; must not hold storage scopes. */
  readonly scope?: string
  readonly resource?: string
  /** Issuers whose tokens are exchanged; others are left alone. */
  readonly issuers: readonly string[]
  /** PEM trusted besides nothing else; the system's if absent. */
  readonly ca?: string | undefined
  /** Milliseconds; default 10,000. */
  readonly deadline?: number
}
