/** How a stand-in is set up. All of it is plain JSON, so that a program can be told on its standard input. */

import type { JSONWebKeySet } from 'jose'

export interface UserOptions {
  readonly name: string
  readonly uid: number
  /** The primary one first. */
  readonly gids: readonly number[]
  readonly password?: string
  /** Opaque bearer tokens of this user. */
  readonly tokens?: readonly string[]
  /** Subjects of JWTs, by the name of their issuer's provider below: `{ "WLCG": "alice" }`. */
  readonly subjects?: Readonly<Record<string, string>>
  readonly home?: string
  /** What the user sees as "/". */
  readonly root?: string
  readonly isAdmin?: boolean
}

/** As `gplazma.oidc.provider!NAME` of the dCache Book, "gPlazma", plugin oidc. */
export interface ProviderOptions {
  readonly name: string
  readonly issuer: string
  readonly jwks: JSONWebKeySet
  readonly audiences: readonly string[]
  /** `oidc` looks at no scopes. */
  readonly profile: 'oidc' | 'wlcg'
  /** Where the paths of scopes begin. */
  readonly prefix?: string
  /** gid of each wlcg.groups, by name. */
  readonly groups?: Readonly<Record<string, number>>
  /** Whom tokens without a mapping of their subject become, for those whose groups have a gid. */
  readonly fallback?: string
}

/** An object to begin with; directories above are made. */
export interface SeedOptions {
  readonly path: string
  readonly directory?: boolean
  /** UTF-8 text. */
  readonly text?: string
  /** Instead of `text`: so many bytes of a repeated pattern. */
  readonly size?: number
  readonly owner?: string
  readonly group?: number
  readonly mode?: number
  /** As `USER:1000:+rx:fd`. */
  readonly acl?: readonly string[]
  readonly xattrs?: Readonly<Record<string, string>>
  readonly labels?: readonly string[]
  /** Where the bytes are: on disk if absent. */
  readonly locality?: 'ONLINE' | 'NEARLINE' | 'ONLINE_AND_NEARLINE' | 'UNAVAILABLE' | 'LOST'
  /** No checksum is known of it. */
  readonly unsummed?: boolean
}

export interface QuotaOptions {
  readonly type: 'user' | 'group'
  readonly id: number
  readonly custodialLimit?: number
  readonly replicaLimit?: number
}

export interface DcacheDoubleOptions {
  /** Where the doors listen; any free port if absent. */
  readonly ports?: { readonly door: number; readonly frontend: number }
  /** Of a certificate for the host "localhost": doors then speak https, as do pools unless `plainPools`. */
  readonly tls?: { readonly key: string; readonly cert: string }
  /** Pools speak http though doors speak https: webdav.redirect.allow-https = false. */
  readonly plainPools?: boolean
  readonly pools?: number
  readonly users?: readonly UserOptions[]
  readonly providers?: readonly ProviderOptions[]
  readonly seed?: readonly SeedOptions[]
  /** webdav.enable.overwrite. */
  readonly overwrite?: boolean
  /** webdav.redirect.on-read, webdav.redirect.on-write; both true if absent. */
  readonly redirectReads?: boolean
  readonly redirectWrites?: boolean
  /** webdav.authz.anonymous-operations. */
  readonly anonymous?: 'NONE' | 'READONLY' | 'FULL'
  /** 403 for what an authenticated user may not do, as newer releases; 401 otherwise. */
  readonly forbids?: boolean
  /** PNFS manager: ACLs are looked at. True if absent. */
  readonly acls?: boolean
  /** Milliseconds from asking for a file on tape until it is on disk. */
  readonly recallDelay?: number
  /** Mount of macaroons: milliseconds, dcache.macaroons.max-lifetime and default-lifetime. */
  readonly macaroons?: { readonly maxLifetime?: number; readonly defaultLifetime?: number } | false
  /** DELETE at the WebDAV door refuses a directory that holds something. Otherwise all in it goes with it. */
  readonly keepsFullDirectories?: boolean
  /** PROPPATCH says 404 of properties it did change. */
  readonly vaguePatch?: boolean
  /** Macaroons are given out over http too, which no release does. */
  readonly plainMacaroons?: boolean
  /** Files of uploads larger than this are kept in a temporary file; 4 MiB if absent. */
  readonly memory?: number
  /** Bytes of uploads larger than this are thrown away, and made up on reading; never if absent. */
  readonly forget?: number
  readonly quotas?: readonly QuotaOptions[]
  readonly spaces?: readonly { readonly description: string; readonly size: number; readonly used?: number }[]
  /** Active bulk requests a user may have. */
  readonly maxBulk?: number
  /** Paths that one archiveinfo answers at most. */
  readonly maxArchiveInfo?: number
  /** Milliseconds until a bulk request is looked at. */
  readonly bulkDelay?: number
  /** Events a subscription holds before it overflows; 1000 if absent. */
  readonly eventQueue?: number
  /** Events kept for readers that come back; 16384 if absent. */
  readonly eventsKept?: number
  /** Milliseconds between performance markers of third-party transfers; 5000 if absent. */
  readonly markerPeriod?: number
  /** webdav.third-party-transfers.requiring-verification-by-default; true if absent. */
  readonly requireVerification?: boolean
}
