/** Which credential a call takes to dCache, and whether dCache then decides about the caller itself. */

import type { Principal } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { ExchangeOptions } from './exchange.ts'

/** What a macaroon may be used for (dCache User Guide, "Macaroons", caveat `activity`). */
export type Activity = 'LIST' | 'DOWNLOAD' | 'UPLOAD' | 'DELETE' | 'MANAGE' | 'READ_METADATA' | 'UPDATE_METADATA'

export interface Credentials {
  /** Whether dCache itself decides about this caller: then Storage leaves the ACLs to it. */
  enforces(principal: Principal): boolean
  /**
   * Value of the Authorization header for these acts on `path`, in dCache's terms; undefined where none is to be
   * sent, for a caller without a credential. Throws `denied` (rule `credential`) where the caller's credential
   * cannot be used and no other may be.
   */
  authorize(call: Call, activities: readonly Activity[], path: string): Promise<Secret | undefined>
  /** dCache refused what `authorize` gave: it is not given again. True where another try with a fresh one is worth it. */
  refused(call: Call, authorization: Secret): boolean
  close(): Promise<void>
}

export interface DelegationOptions {
  /** Which tokens dCache accepts as they are: issuer, and one of these audiences (or any token that carries it). */
  readonly accepts: readonly { readonly issuer: string; readonly audiences: readonly string[] }[]
  /** `forward`: the token itself. `macaroon`: a macaroon asked for with it, attenuated to path, activity and minutes. */
  readonly send: 'forward' | 'macaroon'
  /** Where tokens that dCache does not accept, or that hold storage scopes, are exchanged for one that it does. */
  readonly exchange?: ExchangeOptions
  /** Tokens with storage scopes make dCache skip its ACLs: sent only when `forward`. */
  readonly capabilities: 'never' | 'forward'
  /** What happens to callers whose credential dCache cannot be sent. */
  readonly otherwise: 'refuse' | 'service'
  /** The gateway's own login, for `otherwise: service`; read when used. */
  readonly service?: () => Promise<{ readonly scheme: 'Bearer' | 'Basic'; readonly secret: Secret }>
}
