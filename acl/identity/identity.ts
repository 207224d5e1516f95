/** From a credential to a Principal: the contract that front ends and the composition root rely on. */

import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'

export type Credential =
  | { readonly kind: 'none' }
  | { readonly kind: 'bearer'; readonly token: Secret }
  /** `from` is the caller's address: guessing is slowed down for each account and address. */
  | { readonly kind: 'basic'; readonly user: string; readonly password: Secret; readonly from?: string }

export interface Identity {
  /**
   * Throws StorageError `unauthenticated` (bad credential) or `denied` (good one, no account) with a
   * Reason. `none` gives `anonymous`; whether a mount admits it is decided by Storage.
   * Results are cached by credential hash, never longer than the credential lives.
   */
  authenticate(credential: Credential): Promise<Principal>
  /** The principal an account would be, without bounds of a credential; undefined if there is none. For explain. */
  principalOf(user: string): Promise<Principal | undefined>
}
