/** What the operations of the namespace take and give. */

import type { Writable } from 'node:stream'
import type { Acl } from '../../acl/acl.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Digest, Digests, Entry, FileStream, Kept, Range } from '../../backends/backend.ts'
import type { Reason } from './errors.ts'
import type { Path } from './path.ts'

/** Content versions and times the caller already knows (RFC 9110, section 13). Front ends parse, Storage decides. */
export interface Conditions {
  /** If-Match: versions compared strongly, or `*`. */
  readonly ifMatch?: readonly string[] | '*'
  /** If-None-Match: versions, or `*`. */
  readonly ifNoneMatch?: readonly string[] | '*'
  /** Whole seconds since 1970. */
  readonly ifUnmodifiedSince?: number
  readonly ifModifiedSince?: number
}

export interface StatOptions {
  /** Whoever may go there but not see the attributes is told name and type, with an empty version and id, and what he may do. */
  readonly closedToo?: boolean
}

export interface ReadOptions {
  readonly conditions?: Conditions
  /**
   * Sees the entry, so that "the last 500 bytes" and If-Range need no stat of their own; undefined: the
   * whole file. Several ranges are read one after the other through `Reading.stream`. May throw `range`.
   */
  readonly ranges?: (entry: Entry) => readonly Range[] | undefined
  /** The front end can send the caller elsewhere for the bytes. */
  readonly mayRedirect?: boolean
  /** HEAD: attributes and decision of a read, no bytes. */
  readonly headOnly?: boolean
  /** An earlier state, as `versions` names it, instead of the file as it is. */
  readonly version?: string
  /** What is kept with the file is wanted too: `Reading.kept`. */
  readonly kept?: boolean
}

export type Reading =
  | {
      readonly kind: 'bytes'
      readonly entry: Entry
      /** As chosen by `ReadOptions.ranges`; undefined for the whole file. */
      readonly ranges: readonly Range[] | undefined
      /** The whole file where it is small: then no stream is needed. `close` is still called. */
      readonly content: Uint8Array | undefined
      /** Where `ReadOptions.kept` asked for it; nothing is in it where the mount keeps nothing. */
      readonly kept: Kept | undefined
      /** One forward pass over a range; call it for one range at a time. `until`: as in OpenFile.stream. */
      stream(range: Range, until?: number): FileStream
      /** Must be called once when done, in every case: it closes the file and writes the audit line. */
      close(outcome?: { readonly bytes: number; readonly error?: unknown }): Promise<void>
    }
  | { readonly kind: 'unmodified'; readonly entry: Entry }
  | { readonly kind: 'directory'; readonly entry: Entry }
  | { readonly kind: 'elsewhere'; readonly entry: Entry; readonly url: URL }

export interface WriteOptions {
  readonly conditions?: Conditions
  /** Announced bytes; more or fewer than that is `invalid` at commit. */
  readonly size?: number
  /** Digests to compute in the same pass and keep. */
  readonly digests?: readonly Digest[]
  /** What the sender says they are; a mismatch is `bad-checksum` and nothing is committed. */
  readonly expected?: Digests
  /** Kept with the new bytes; see `Kept.record`. May be told as late as with the commit. */
  readonly record?: string
  /** ns since 1970. */
  readonly modified?: bigint
  /** Make missing parents, each under the caller's rights; the mount may do so anyway. */
  readonly createParents?: boolean
}

export interface Written {
  readonly entry: Entry
  readonly created: boolean
  readonly digests: Digests
}

/** What has become known of an upload after it was allowed; as in WriteOptions. */
export interface Announced {
  readonly size?: number
  /** Besides those of the options. */
  readonly digests?: readonly Digest[]
  readonly expected?: Digests
}

export interface Writing {
  /** Errors of the back end (no space, quota) surface here as StorageError. */
  readonly body: Writable
  /** What the commit will replace, as seen when the write was allowed. */
  readonly replaces: Entry | undefined
  /**
   * For senders who say only later what they send. Before the first byte: anything. After it: `expected` of kinds
   * that are being computed; others are `invalid`. Throws `too-large` or `busy` for a size that is too much.
   */
  announce(announced: Announced): void
  /** `record`: as WriteOptions.record, given the digests of what was written. */
  commit(options?: { readonly record?: (digests: Digests) => string | undefined }): Promise<Written>
  /** Leaves no trace. Also called after a failed commit; harmless twice. */
  discard(error?: unknown): Promise<void>
}

export interface ListingOptions {
  /** `native`: the back end's own order. `name`: by UTF-8 bytes, through a sort that spills to disk. */
  readonly order?: 'native' | 'name'
  /** Leave out ACLs of entries (they cost a look each). Attributes are shown as far as READ_ATTRIBUTES goes. */
  readonly names?: boolean
  /** Give ACLs of entries also where the storage decides itself. */
  readonly acls?: boolean
}

export interface MoveOptions {
  /** False: fail with `exists` when the target is there. */
  readonly overwrite?: boolean
  /**
   * What is at the target gives way as a whole, a directory with everything in it, instead of being merged with, or
   * in the way (RFC 4918, sections 9.8.4 and 9.9.3). It takes the right to remove it, and to make the new one.
   */
  readonly replaceWhole?: boolean
}

/** The entry of an ACL that decided: for who may read that ACL. */
export interface ExplainedEntry {
  /** The object whose ACL it is in. */
  readonly path: Path
  /** From 0. */
  readonly index: number
  /** As nfs4_getfacl writes it. */
  readonly text: string
  /** By its flag; not every storage sets it. */
  readonly inherited: boolean
  /** The directory whose own entry it came from, where that can be told. */
  readonly from?: Path
}

/** A directory on the way. */
export interface ExplainedDirectory {
  readonly path: Path
  readonly allowed: boolean
  readonly reason: Reason
  readonly entry?: ExplainedEntry
}

/** One step of an explanation, in the order of the checks. */
export interface ExplainedStep {
  readonly check: 'credential' | 'scope' | 'mount' | 'traverse' | 'acl' | 'back end'
  readonly allowed: boolean | 'not reached' | 'decided elsewhere'
  readonly reason: Reason
  readonly entry?: ExplainedEntry
  /** Of `traverse`: those that were passed, and the first one that is closed. */
  readonly directories?: readonly ExplainedDirectory[]
}

export interface Explanation {
  readonly principal: { readonly id: string; readonly user: string | undefined; readonly groups: readonly string[] }
  readonly action: Action
  readonly path: Path
  readonly allowed: boolean | 'unknown'
  readonly steps: readonly ExplainedStep[]
  /** What can be done about it, in one sentence. */
  readonly advice?: string
}

/** What one look at an object tells of everybody's rights. */
export interface Effective {
  readonly action: Action
  readonly path: Path
  readonly type: Entry['type'] | undefined
  /** NFSv4 names, or decimal numbers. */
  readonly owner: string | undefined
  readonly group: string | undefined
  /** False where the storage decides and the ACLs that it shows are all there is to go by. */
  readonly exact: boolean
  /** Groups that entries on the way and here name: whoever brings one of them has what they give. */
  readonly groups: readonly string[]
  /** Whether callers without a credential are let in here. */
  readonly anonymous: boolean
  /** Of somebody without bounds of a credential. The deciding entry is in the reason where the asker may read its ACL. */
  judge(principal: Principal): { readonly allowed: boolean; readonly reason: Reason; readonly entry?: ExplainedEntry }
}

export interface AclView {
  readonly entry: Entry
  readonly acl: Acl
}
