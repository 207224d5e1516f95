/** From a credential to a Principal: the contract that front ends and the composition root rely on. */

import type { Path } from '../../gateway/core/path.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import type { S3Keys } from './s3.ts'
import type { AppPasswords, Sessions, SignIn } from './sign-in.ts'

export type { S3Key, S3KeyInfo, S3KeyOrder, S3Keys, S3Session, S3SessionOrder } from './s3.ts'
export type {
  AppPassword,
  AppPasswordOrder,
  AppPasswords,
  PendingSignIn,
  Session,
  Sessions,
  SignIn,
} from './sign-in.ts'

export type Credential =
  | { readonly kind: 'none' }
  | { readonly kind: 'bearer'; readonly token: Secret }
  /** `from` is the caller's address: guessing is slowed down for each account and address. */
  | { readonly kind: 'basic'; readonly user: string; readonly password: Secret; readonly from?: string }
  /** What a session's cookie holds. */
  | { readonly kind: 'session'; readonly secret: Secret }

/** One step on the way from a credential to whom it stands for. */
export interface JudgeStep {
  /** What was checked, or the rule that refused. */
  readonly step: string
  readonly passed: boolean
  readonly text: string
}

export interface Identity {
  /**
   * Throws StorageError `unauthenticated` (bad credential) or `denied` (good one, no account) with a
   * Reason. `none` gives `anonymous`; whether a mount admits it is decided by Storage.
   * Results are cached by credential hash, never longer than the credential lives.
   */
  authenticate(credential: Credential): Promise<Principal>
  /** The principal an account would be, without bounds of a credential; undefined if there is none. For explain. */
  principalOf(user: string): Promise<Principal | undefined>
  /**
   * How somebody whom `authenticate` let in came to be who he is: kind of credential, issuer, mapping, account, groups,
   * bounds. For himself alone. Holds no secret.
   */
  explainCredential?(principal: Principal): Promise<readonly JudgeStep[]>
  /** Whether the credential of somebody whom `authenticate` let in was banned or revoked since. */
  isRevoked?(principal: Principal): boolean
  /** Absent where no macaroons are made. */
  readonly macaroons?: Macaroons | undefined
  readonly shares?: Shares | undefined
  /** Absent where none are kept. */
  readonly bans?: Bans | undefined
  /** These three are absent where there is no state store. */
  readonly signIn?: SignIn | undefined
  readonly sessions?: Sessions | undefined
  readonly appPasswords?: AppPasswords | undefined
  /** Absent where there is no state store, or no master key. */
  readonly s3?: S3Keys | undefined
}

/** What a macaroon is to be good for. */
export interface MacaroonOrder {
  /** This and what lies below. */
  readonly path: Path
  /** `KEY:VALUE`, see caveats.ts; paths in them are relative to `path`. */
  readonly caveats: readonly string[]
  /** Seconds; as long as is usual if absent, and never longer than is allowed or the caller's own credential lives. */
  readonly validity?: number
  /** A link for people: told apart in the audit log, and bounded in time as links are. */
  readonly link?: boolean
}

export interface IssuedMacaroon {
  /** Names it, and all that are made from it, in the audit log and for revocation. */
  readonly id: string
  readonly macaroon: Secret
  /** Milliseconds since 1970. */
  readonly expires: number
}

export interface Macaroons {
  /**
   * Never wider than the caller's credential and never longer-lived. Throws `unauthenticated` for a caller without a
   * credential, `denied` for a path that a macaroon does not reach, `invalid` for caveats that are not understood.
   */
  issue(principal: Principal, order: MacaroonOrder): Promise<IssuedMacaroon>
  /** What a genuine macaroon of ours is called, and when the last one made from it ends (ms since 1970). Throws `invalid` for any other. */
  identify(macaroon: Secret): Promise<{ readonly id: string; readonly expires: number }>
  /** Makes further ones with a new key. `atOnce`: all made so far are worth nothing from now on. */
  rotate(atOnce: boolean): Promise<{ readonly epoch: string }>
  /** This one and all made from it are worth nothing from now on. `expires`: when they are not anyway. */
  revoke(id: string, by: Principal, expires: number): Promise<void>
}

export interface ShareOrder {
  readonly path: Path
  /** As in an `activity` caveat. */
  readonly activities: readonly string[]
  /** Where it may be opened from; anywhere if empty. */
  readonly networks: readonly string[]
  /** Seconds; see MacaroonOrder. */
  readonly validity?: number
  /** What the issuer remembers it by. */
  readonly note?: string
}

/** A link that was made. Times are milliseconds since 1970. */
export interface Share {
  readonly id: string
  /** `Principal.id` and `Principal.user` of its issuer. */
  readonly principal: string
  readonly user: string
  readonly path: Path
  readonly activities: readonly string[]
  readonly networks: readonly string[]
  readonly note?: string
  readonly created: number
  readonly expires: number
}

export interface Shares {
  /** What opens the link is told here and nowhere else. Throws as `Macaroons.issue`; `busy` for too many. */
  create(principal: Principal, order: ShareOrder): Promise<Share & { readonly macaroon: Secret }>
  /** Those of the caller, the newest first; `all` for administrators. */
  list(principal: Principal, all: boolean): Promise<readonly Share[]>
  /** One of the caller's, or an administrator's to take away. Throws `not-found` for those of others. */
  revoke(principal: Principal, id: string): Promise<Share>
}

/** Times are milliseconds since 1970. */
export interface Ban {
  /** "user:NAME@DOMAIN", "principal:ID", "token:ISSUER|JTI", "macaroon:ID" or "s3-key:ID". */
  readonly name: string
  /** Who made it. */
  readonly principal: string
  readonly note: string
  readonly added: number
  /** Undefined: for good. */
  readonly until: number | undefined
}

/** For administrators; what a caller may is for the door to check. Holds in all processes within two seconds. */
export interface Bans {
  list(): Promise<readonly Ban[]>
  /** Throws `invalid` for what is no name. */
  add(by: Principal, ban: Pick<Ban, 'name' | 'note' | 'until'>): Promise<void>
  /** Throws `not-found`. */
  remove(name: string): Promise<void>
}
