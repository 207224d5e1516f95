/** Signing in as a person: the contract that front ends rely on. Part of identity.ts. Times are milliseconds since 1970. */

import type { Path } from '../../gateway/core/path.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'

/** What an administrator wants to see of a list of all; no more than ten thousand at once. */
export interface ListPart {
  /** Of this one. */
  readonly user?: string | undefined
  readonly most?: number
  /** Behind this one, which was the last of another part. */
  readonly after?: { readonly created: number; readonly id: string } | undefined
}

export interface SignIn {
  /** What people choose from now; it may change with the configuration. */
  readonly ways: {
    /** Issuers that they are sent to. */
    readonly issuers: ReadonlyArray<{ readonly name: string; readonly label: string }>
    /** Accounts have passwords, and a form may ask for them. */
    readonly passwords: boolean
    /** A ticket that the browser has (RFC 4559). */
    readonly kerberos?: boolean
  }
  /**
   * Where to send the browser, and what to remember until it comes back to `redirectUri`. Throws `not-found` for an
   * issuer that is not among the ways, `unavailable` when it cannot be reached.
   */
  start(issuer: string, redirectUri: string): Promise<{ readonly url: URL; readonly pending: PendingSignIn }>
  /**
   * Who came back, at the address `answer`. Throws `unauthenticated` for anything that is not the answer to `pending`,
   * `denied` for somebody who has no account here, `unavailable` when the issuer cannot be asked, `busy` when it is asked
   * too often.
   */
  finish(pending: PendingSignIn, answer: URL): Promise<Principal>
}

/** Between leaving for an issuer and coming back. To be kept by that browser alone, unread and unchanged. */
export interface PendingSignIn {
  /** Its short name. */
  readonly issuer: string
  readonly state: string
  readonly nonce: string
  /** PKCE (RFC 7636). */
  readonly verifier: string
}

export interface Session {
  readonly id: string
  readonly user: string
  /** What the browser calls itself, and where it called from first. Hostile text. */
  readonly agent: string
  readonly from: string
  readonly created: number
  /** To the minute. */
  readonly used: number
  readonly expires: number
}

export interface Sessions {
  /**
   * A new session for somebody who has just signed in with his password or at an issuer. Throws `denied` for any other
   * credential. What opens it is told here and nowhere else.
   */
  begin(
    principal: Principal,
    browser: { readonly agent: string; readonly from: string },
  ): Promise<Session & { readonly secret: Secret }>
  /** Those of the caller, the newest first; none for a credential with bounds. `all`, or a part of all, for administrators. */
  list(principal: Principal, all?: boolean, part?: ListPart): Promise<readonly Session[]>
  /** One of the caller's, or an administrator's to end. Throws `not-found` for those of others. Holds in all processes within two seconds. */
  end(principal: Principal, id: string): Promise<Session>
}

export interface AppPasswordOrder {
  /** What its owner knows it by; no other of his has it. */
  readonly name: string
  /** This and what lies below; everything if absent. */
  readonly path?: Path
  /** As in an `activity` caveat; everything if absent. */
  readonly activities?: readonly string[]
  /** Where it may be used from; anywhere if empty. */
  readonly networks: readonly string[]
  /** Seconds; as long as is usual if absent, and never longer than is allowed. */
  readonly validity?: number
}

export interface AppPassword {
  readonly id: string
  readonly user: string
  readonly name: string
  readonly path: Path
  readonly activities: readonly string[] | 'all'
  readonly networks: readonly string[]
  readonly created: number
  /** To the minute; undefined: never. */
  readonly used: number | undefined
  readonly expires: number
}

export interface AppPasswords {
  /**
   * Never wider than the caller's credential, and never longer-lived than a token. Throws `denied` for a caller who did
   * not sign in himself, `exists` for a name that is taken, `invalid` for bounds that are not understood, `busy` for too
   * many. The password is told here and nowhere else.
   */
  create(principal: Principal, order: AppPasswordOrder): Promise<AppPassword & { readonly password: Secret }>
  /** Those of the caller, the newest first; `all`, or a part of all, for administrators. */
  list(principal: Principal, all: boolean, part?: ListPart): Promise<readonly AppPassword[]>
  /** One of the caller's, or an administrator's to take away. Throws `not-found` for those of others. */
  revoke(principal: Principal, id: string): Promise<AppPassword>
}
