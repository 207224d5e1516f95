/** Keys that requests are signed with (AWS Signature Version 4): the contract that front ends rely on. Part of identity.ts. */

import type { Path } from '../../gateway/core/path.ts'
import type { Grant, Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import type { ListPart } from './sign-in.ts'

/** A key that is good now, and whom it stands for. */
export interface S3Key {
  readonly accessKeyId: string
  /** Prints as [secret]. */
  readonly secret: Secret
  readonly principal: Principal
}

export interface S3KeyOrder {
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

/** What is shown of a key. Times are milliseconds since 1970. */
export interface S3KeyInfo {
  /** The access key id. */
  readonly id: string
  readonly user: string
  readonly name: string
  readonly enabled: boolean
  readonly path: Path
  readonly activities: readonly string[] | 'all'
  readonly networks: readonly string[]
  readonly created: number
  /** To the minute; undefined: never. */
  readonly used: number | undefined
  readonly expires: number
}

export interface S3SessionOrder {
  /** Seconds; shorter where the token ends before. */
  readonly duration: number
  /** What a session policy leaves, besides what the token allows. */
  readonly grants?: readonly Grant[]
}

/** Temporary credentials. Nothing is kept of them: the session token holds, sealed, whom they stand for. */
export interface S3Session {
  readonly accessKeyId: string
  readonly secret: Secret
  readonly sessionToken: Secret
  /** Milliseconds since 1970. */
  readonly expires: number
  /** How full the session token is, in percent. */
  readonly packed: number
}

export interface S3Keys {
  /**
   * Whom this key stands for, and the secret to verify a signature with; undefined for one that is not known, has ended,
   * or is a temporary one without its token. Throws `unauthenticated`, rule `token-malformed` (a session token that is
   * not genuine or not of this key), `key-expired` (of temporary ones), `key-disabled` or another; `denied` where the
   * account is gone or was banned. Nothing says yet that the caller has the secret.
   */
  key(accessKeyId: string, sessionToken: string | undefined): Promise<S3Key | undefined>
  /** A signature made with it was right: for the time of its last use. Never fails for what cannot be written down. */
  noteUse(key: S3Key): Promise<void>
  /**
   * Never wider than the caller's credential, and never longer-lived than a token. Throws `denied` for a caller who did
   * not sign in himself, `exists` for a name that is taken, `invalid` for bounds that are not understood, `busy` for too
   * many. The secret is told here and nowhere else.
   */
  create(principal: Principal, order: S3KeyOrder): Promise<S3KeyInfo & { readonly secret: Secret }>
  /** Those of the caller, the newest first; `all`, or a part of all, for administrators. */
  list(principal: Principal, all: boolean, part?: ListPart): Promise<readonly S3KeyInfo[]>
  /** One of the caller's, or an administrator's to switch. Throws `not-found` for those of others, `denied` for a capability that would switch one on. Holds in all processes within two seconds. */
  setEnabled(principal: Principal, id: string, enabled: boolean): Promise<S3KeyInfo>
  /** As `setEnabled`, for good. */
  remove(principal: Principal, id: string): Promise<S3KeyInfo>
  /**
   * Temporary credentials for whoever came with a token of an issuer: never wider, never longer-lived. Throws `denied`
   * for any other credential, `invalid` where the token ends now, `too-large` when there is too much to pack.
   */
  assume(principal: Principal, order: S3SessionOrder): Promise<S3Session>
  /** Ends temporary credentials: whoever has the session token may, as with macaroons. Gives their access key id. Throws `invalid` for what is no session token of ours. */
  endSession(principal: Principal, sessionToken: Secret): Promise<string>
}
