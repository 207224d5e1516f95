/** Identities of issuers that people link to their accounts: the contract that front ends rely on. Part of identity.ts. */

import type { Principal } from '../../principal.ts'
import type { ListPart, PendingSignIn } from '../sign-in.ts'

/** Times are milliseconds since 1970. */
export interface Link {
  readonly id: string
  /** As in `iss` and `sub`: the two together are one identity. */
  readonly issuer: string
  readonly subject: string
  /** What people know the issuer by; undefined: its links are of no account now. */
  readonly label: string | undefined
  readonly user: string
  /** `Principal.id` by which its owner was known when he linked them. */
  readonly by: string
  /** What its owner knows it by. Hostile text. */
  readonly note: string
  readonly created: number
  /** When both were proven, the last time. */
  readonly proven: number
  /** When it is of no account any more unless it is proven anew; undefined: never. */
  readonly expires: number | undefined
}

/** An identity that somebody has just shown to be his. */
export interface ProvenIdentity {
  readonly issuer: string
  readonly subject: string
  readonly label: string
}

export interface Links {
  /** Issuers whose identities can be linked now; none where this is switched off. */
  readonly ways: ReadonlyArray<{ readonly name: string; readonly label: string }>
  /**
   * As `SignIn.start`. Throws `denied` for somebody who did not sign in himself with a browser, or did so by nothing but
   * another link; `not-found` for an issuer that is not among the ways.
   */
  start(
    principal: Principal,
    issuer: string,
    redirectUri: string,
  ): Promise<{ readonly url: URL; readonly pending: PendingSignIn }>
  /**
   * Which identity came back, for the caller to confirm. Throws as `SignIn.finish` and `start`; `exists` for one that
   * stands for an account already.
   */
  prove(principal: Principal, pending: PendingSignIn, answer: URL): Promise<ProvenIdentity>
  /** Links what `prove` gave to the caller's account; once more prolongs it. Throws as `start`; `exists` for one that is another account's by now, `busy` for too many. */
  add(principal: Principal, proven: ProvenIdentity, note: string): Promise<Link>
  /** Those of the caller, the newest first; `all`, or a part of all, for administrators. */
  list(principal: Principal, all: boolean, part?: ListPart): Promise<readonly Link[]>
  /**
   * One of the caller's, or an administrator's to take away; with everything that was made by it. Throws `not-found` for
   * those of others. Holds in all processes within two seconds.
   */
  remove(principal: Principal, id: string): Promise<Link>
}
