/** Who is calling, as told by the credential and the identity map, whatever the protocol. */

import type { Path } from '../gateway/core/path.ts'
import type { Secret } from './secret.ts'

export type GrantKind = 'read' | 'create' | 'modify' | 'stage' | 'poll'

/** One capability of a credential, its path already moved from the issuer's area into the namespace. */
export interface Grant {
  readonly kind: GrantKind
  readonly path: Path
  /** The scope ended in "/": it names a directory and never a file of that name. */
  readonly directoryOnly: boolean
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
  readonly posix?: PosixIds
  /** May explain and inspect others. Gives no right on data. */
  readonly administrator?: boolean
  /** Seconds since 1970 after which the credential is void; undefined for one without an end. */
  readonly expires?: number
  /** What a back end that checks callers itself may forward. */
  readonly credential?: Forwardable
}

/** A credential that others than the gateway may accept. */
export interface Forwardable {
  readonly kind: 'bearer' | 'kerberos'
  /** Prints as [secret]. */
  readonly secret: Secret
  /** Who issued a token and whom it is for, verified; a back end is sent only what is meant for it. */
  readonly issuer?: string
  readonly audiences?: readonly string[]
}

/** A caller without any credential. Whether a mount admits it is for the mount to say. */
export const anonymous: Principal = { id: 'anonymous', user: undefined, groups: new Set(), grants: 'unbounded' }
