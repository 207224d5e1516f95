/** From a credential to a Principal: the contract that front ends and the composition root rely on. */

import type { Path } from '../../gateway/core/path.ts'
import type { ClientCertificate } from '../client-certificate.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import type { SourceState } from './accounts.ts'
import type { Links } from './links/links.ts'
import type { S3Keys } from './s3.ts'
import type { AppPasswords, ListPart, Sessions, SignIn } from './sign-in.ts'

export type { Link, Links, ProvenIdentity } from './links/links.ts'
export type { S3Key, S3KeyInfo, S3KeyOrder, S3Keys, S3Session, S3SessionOrder } from './s3.ts'
export type {
  AppPassword,
  AppPasswordOrder,
  AppPasswords,
  ListPart,
  PendingSignIn,
  Session,
  Sessions,
  SignIn,
} from './sign-in.ts'

export type Credential =
  | { readonly kind: 'none' }
  /**
   * `from` is the caller's address: guessing tokens that are no JWTs is slowed down for each. `certificate`: SHA-256 in
   * base64url of the certificate that came with the request, for tokens that are bound to one.
   */
  | { readonly kind: 'bearer'; readonly token: Secret; readonly from?: string; readonly certificate?: string }
  /** `from` is the caller's address: guessing is slowed down for each account and address. */
  | { readonly kind: 'basic'; readonly user: string; readonly password: Secret; readonly from?: string }
  /** What a session's cookie holds. */
  | { readonly kind: 'session'; readonly secret: Secret }
  /** What the cookie holds that stands for a Kerberos ticket. */
  | { readonly kind: 'ticket'; readonly secret: Secret }
  | { readonly kind: 'certificate'; readonly certificate: ClientCertificate }

/** One step on the way from a credential to whom it stands for. */
export interface JudgeStep {
  /** What was checked, or the rule that refused. */
  readonly step: string
  readonly passed: boolean
  readonly text: string
}

export interface People {
  /** Throws `unavailable`, or `busy` when there are too many. */
  readonly principals: AsyncIterable<Principal>
  /** Account sources that cannot list theirs. */
  readonly unlisted: readonly string[]
}

/** Where a program without a browser gets a token that is accepted here (RFC 8628). */
export interface DeviceClient {
  readonly issuer: string
  /** Short, for people. */
  readonly name: string
  readonly clientId: string
  readonly scopes: readonly string[]
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
  /** Everybody whom the account sources list, as `principalOf` gives them. Absent where there are no accounts. */
  people?(): People
  /** Whether the sources of accounts that others answer for can be asked now. */
  sources?(): readonly SourceState[]
  /** Whether the credential of somebody whom `authenticate` let in was banned or revoked since. */
  isRevoked?(principal: Principal): boolean
  /** Told to everybody: where programs get tokens. */
  readonly deviceClients?: readonly DeviceClient[]
  /** Absent where no tickets are accepted. */
  readonly kerberos?: Negotiation | undefined
  /** Absent where no macaroons are made. */
  readonly macaroons?: Macaroons | undefined
  readonly shares?: Shares | undefined
  /** Absent where none are kept. */
  readonly bans?: Bans | undefined
  /** These three are absent where there is no state store. */
  readonly signIn?: SignIn | undefined
  readonly sessions?: Sessions | undefined
  readonly appPasswords?: AppPasswords | undefined
  /** Absent where there is no state store. */
  readonly links?: Links | undefined
  /** Absent where there is no state store, or no master key. */
  readonly s3?: S3Keys | undefined
}

/** Kerberos on HTTP (RFC 4559). */
export interface Negotiation {
  /**
   * Whom a token of `Negotiate` stands for: one leg is enough for Kerberos, and further ones are refused. Throws
   * `unauthenticated` for a ticket that is not good, was shown before or is for another service; `denied` for somebody who
   * has no account here; `busy` for too many, or too many bad ones from `from`, the caller's address.
   */
  accept(token: Buffer, from?: string): Promise<Negotiated>
}

export interface Negotiated {
  readonly principal: Principal
  /** Proves to the caller that it is us; absent where he has not asked. */
  readonly answer: Buffer | undefined
  /** Stands for the ticket until `expires` (ms since 1970); absent where none are given out. */
  readonly cookie?: { readonly secret: Secret; readonly expires: number }
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
  /** Those of the caller, the newest first; `all`, or a part of all, for administrators. */
  list(principal: Principal, all: boolean, part?: ListPart): Promise<readonly Share[]>
  /** One of the caller's, or an administrator's to take away. Throws `not-found` for those of others. */
  revoke(principal: Principal, id: string): Promise<Share>
}

/** Times are milliseconds since 1970. */
export interface Ban {
  /** "user:NAME@DOMAIN", "group:NAME@DOMAIN", "principal:ID", "token:ISSUER|JTI", "macaroon:ID" or "s3-key:ID". */
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
  /** In order of their names; those behind `after`, `most` at most, and where to go on. */
  list(part?: { readonly after?: string | undefined; readonly most?: number }): Promise<{
    readonly bans: readonly Ban[]
    readonly next: string | undefined
  }>
  /**
   * Under which name a credential that somebody has in hand is banned, and when it ends anyway (ms since 1970): a token
   * with a `jti`, a macaroon or link, temporary keys of S3. Throws `invalid` for what has no such name.
   */
  nameOf(credential: Secret): Promise<{ readonly name: string; readonly until: number | undefined }>
  /** Throws `invalid` for what is no name. */
  add(by: Principal, ban: Pick<Ban, 'name' | 'note' | 'until'>): Promise<void>
  /** Throws `not-found`. */
  remove(name: string): Promise<void>
}
