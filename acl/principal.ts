/** Who is calling, as told by the credential and the identity map, whatever the protocol. */

import { StorageError } from '../gateway/core/errors.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Secret } from './secret.ts'

/** The first five are scopes of tokens (WLCG profile, section 2.2.1), the others what a macaroon's activities and a session's policy come to. */
export type GrantKind =
  | 'read'
  | 'create'
  | 'modify'
  | 'stage'
  | 'poll'
  | 'look'
  | 'list'
  | 'download'
  | 'upload'
  | 'overwrite'
  | 'delete'
  | 'manage'
  | 'describe'

/** One capability of a credential, its path already moved from the issuer's area into the namespace. */
export interface Grant {
  readonly kind: GrantKind
  readonly path: Path
  /** The scope ended in "/": it names a directory and never a file of that name. */
  readonly directoryOnly: boolean
  /** It is for the file at the path alone and for nothing below, as policies of sessions may have it. */
  readonly exact?: boolean
  /** What it does not reach, though it lies below the path. */
  readonly except?: readonly Path[]
}

/** Numeric identity for file systems. Never taken from a client. */
export interface PosixIds {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, without limit of 16. */
  readonly gids: readonly number[]
}

export interface Principal {
  /** Stable name for audit: "https://iss|sub", "alice@DESY.DE", "s3:AKIA...", "anonymous". */
  readonly id: string
  /** NFSv4 user name such as "alice@desy.de"; undefined for anonymous, which matches EVERYONE@ and ANONYMOUS@ only. */
  readonly user: string | undefined
  /** NFSv4 group names, those of an issuer kept apart as "group@issuer" until a mapping line says otherwise. */
  readonly groups: ReadonlySet<string>
  /** A credential without capabilities (Kerberos, a group token) is bounded by ACLs alone. */
  readonly grants: readonly Grant[] | 'unbounded'
  /** Of a derived credential: what its issuer's own allowed. It bounds together with `grants`. */
  readonly within?: readonly Grant[]
  /** The addresses it may call from; any if absent. */
  readonly addresses?: AddressBound
  /** Bytes of each upload. */
  readonly maxUpload?: number
  readonly posix?: PosixIds
  /** May explain and inspect others. Gives no right on data. */
  readonly administrator?: boolean
  /** Seconds since 1970 after which the credential is void; undefined for one without an end. */
  readonly expires?: number
  /** What a back end that checks callers itself may forward. */
  readonly credential?: Forwardable
  /** The macaroon that he came with: what he hands on is made from it, so it cannot be wider. */
  readonly macaroon?: Secret
  /** The link between an identity and the account by which alone it came to it; what is made with it ends with that. */
  readonly link?: string
  /** When that link is of no account any more (milliseconds since 1970), unless it is proven anew; absent: never. */
  readonly linkEnds?: number
  /** The id of the session whose cookie spoke for it: such a credential a browser adds to requests by itself. */
  readonly session?: string
  /** Whom the limits of calls, connections and staged bytes count it for, where that is not `id`. */
  readonly counted?: string
  /** Whoever has a certain link: many may, who have nothing to do with each other. */
  readonly guest?: boolean
}

export interface AddressBound {
  /** As networks in CIDR notation; the caller must be in one of each list. */
  readonly networks: ReadonlyArray<readonly string[]>
  includes(address: string): boolean
}

/** A credential that others than the gateway may accept. */
export interface Forwardable {
  readonly kind: 'bearer' | 'kerberos'
  /** Prints as [secret]. */
  readonly secret: Secret
  /** Who issued a token and whom it is for, verified; a back end is sent only what is meant for it. */
  readonly issuer?: string
  readonly audiences?: readonly string[]
  /** Bound to a key that its holder has and we have not: a back end cannot be sent it. */
  readonly bound?: boolean
}

/** A caller without any credential. Whether a mount admits it is for the mount to say. */
export const anonymous: Principal = { id: 'anonymous', user: undefined, groups: new Set(), grants: 'unbounded' }

/** What callers are told of their own `id`: of a link its name alone, since that of its maker is in front. */
export function ownId({ id, guest }: Principal): string {
  return guest ? id.slice(id.lastIndexOf('#') + 1) : id
}

/** Throws `unauthenticated` for a caller without a credential, who may be an administrator with one; else `denied`. */
export function requireAdministrator({ administrator, user }: Principal): void {
  if (administrator) return
  if (user === undefined) {
    throw new StorageError('unauthenticated', 'a credential is needed', {
      reason: { rule: 'anonymous', text: 'callers without a credential are no administrators' },
    })
  }
  throw new StorageError('denied', 'this is for administrators', {
    reason: { rule: 'administrator', text: 'the caller is not an administrator' },
  })
}
