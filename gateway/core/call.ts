/** What every layer needs to know about a request, and nothing about its wire format. */

import type { Principal } from '../../acl/principal.ts'

export type Protocol = 'http' | 'api' | 's3' | 'nfs' | 'fuse' | 'internal'

export interface Call {
  /** Shown to the caller in errors and written to the audit log. */
  readonly id: string
  readonly principal: Principal
  readonly protocol: Protocol
  /** The caller's address as far as trusted proxies tell it; for audit and address caveats. */
  readonly from: string
  /** Aborts when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal
  /** Tokens of locks that the caller says it holds (RFC 4918, section 10.4.1). They count only where they are its own. */
  readonly lockTokens?: readonly string[]
}
