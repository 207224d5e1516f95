/**
 * What a GPFS back end asks of IBM Storage Scale beside the mounted file system: ACLs by path, and what the file
 * system knows about itself. Implemented by the mm commands (commands.ts) and by the management REST API (rest.ts).
 *
 * All of them fail with StorageError only, which never carries what Scale printed. `unavailable`: no answer, a broken
 * one, or one that took too long, so that the outcome of a write is unknown; `busy`: too many calls wait already;
 * `cancelled`: the signal was raised; `not-found`: no such object or fileset; `denied`: Scale refuses the gateway
 * itself; `invalid`: Scale refuses what it was given; `unsupported`: Scale has no word for it.
 */

import type { Acl } from '../../acl/acl.ts'
import type { HeldObject } from '../posix/path-acls.ts'

export interface StoredAcl {
  readonly acl: Acl
  /** False when something in the list was not understood: it may be judged by, but not written back. */
  readonly writable: boolean
}

/**
 * Reads and writes ACLs by path, with the gateway's great rights. Neither is tied to an inode by itself: who reads
 * compares the object before and after, and who writes holds the object or knows that its name stays.
 */
export interface AclProvider {
  readonly kind: 'commands' | 'rest'
  /**
   * The NFSv4 ACL of the object at `path`, an absolute path on this machine without links in it. For an object that
   * has only a traditional ACL or mode bits it is their translation by Scale.
   */
  read(path: string, signal: AbortSignal): Promise<StoredAcl>
  /** Replaces the whole list. Owner and group of `acl` are not written. `unsupported` for what GPFS cannot store. */
  write(path: string, acl: Acl, signal: AbortSignal): Promise<void>
  /**
   * The same for an object that this process holds open. It is let go of when nobody looks at the descriptor any more,
   * however the call ends. Absent for what works on another machine.
   */
  writeHeld?(object: HeldObject, acl: Acl, signal: AbortSignal): Promise<void>
}

/** What one file system says about itself. */
export interface FileSystemInfo {
  settings(signal: AbortSignal): Promise<FileSystemSettings>
  /** Linked filesets with their junctions, in no particular order. */
  filesets(signal: AbortSignal): Promise<readonly Fileset[]>
  /** Undefined where no quota is kept for the subject. */
  quotas(subject: QuotaSubject, signal: AbortSignal): Promise<Quota | undefined>
  /** Snapshots of an independent fileset by its name, or with undefined those of the whole file system. */
  snapshots(fileset: string | undefined, signal: AbortSignal): Promise<readonly Snapshot[]>
}

/** Both, by one way. */
export interface Scale {
  readonly acls: AclProvider
  readonly info: FileSystemInfo
  /** Ends what is running. Calls after it fail with `unavailable`. */
  close(): Promise<void>
}

export interface FileSystemSettings {
  /** The -k setting: which kinds of ACL can be stored. Undefined where it is not told. */
  readonly aclSemantics: 'nfs4' | 'posix' | 'all' | undefined
  /** Where Scale mounts it by default; absolute. */
  readonly mountPoint: string | undefined
}

export interface Fileset {
  readonly name: string
  /** Absolute path of the directory that is its root. */
  readonly junction: string
  /** It owns its inode space, and so may have snapshots of its own. */
  readonly independent: boolean
}

export interface QuotaSubject {
  readonly type: 'user' | 'group' | 'fileset'
  /** Name without a domain, or a decimal uid or gid. */
  readonly name: string
  /** For a user or group, where quotas are kept for each fileset: the fileset. */
  readonly fileset?: string
}

export interface Quota {
  readonly bytes: QuotaNumbers
  readonly files: QuotaNumbers
}

/** Numbers are bytes or files. A limit that is not set is undefined. */
export interface QuotaNumbers {
  readonly used: number
  readonly softLimit: number | undefined
  readonly hardLimit: number | undefined
  /** Handed out to nodes and not reported back: what is truly used lies between `used` and `used + inDoubt`. */
  readonly inDoubt: number
}

export interface Snapshot {
  /** Name of its directory below `.snapshots`. */
  readonly name: string
  /** ns since 1970. */
  readonly created: bigint
}

/**
 * ACLs by descriptor, for an I/O thread that runs as the user: the file system decides about both calls. What
 * backends/posix takes as the source of its AclReader; libgpfs.ts makes one.
 */
export interface ThreadAclSource {
  /** Undefined for an object without an NFSv4 ACL, or on another file system. Throws StorageError otherwise. */
  read(fd: number): Acl | undefined
  write(fd: number, acl: Acl): void
}
