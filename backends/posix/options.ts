/** What a mount of the POSIX back end is configured with. */

import type { PathAcls } from './path-acls.ts'

/**
 * Where an object's ACL may be found: `system.nfs4_acl`, an attribute of our own, POSIX ACL and mode. `path`: not by
 * a descriptor at all; then `pathAcls` fetches it.
 */
export type AclSource = 'nfs4' | 'xattr' | 'posix' | 'path'

export interface PosixOptions {
  /** For logs and metrics; "posix:" and the root by default. */
  readonly name?: string
  /** The tree's top: an absolute path, or an inherited descriptor of a directory that only root may reach. */
  readonly root: string | number
  /** `native`: the kernel decides as the caller. `gateway`: the ACLs seen are reported and Storage decides. */
  readonly grade: 'native' | 'gateway'
  /** Tried in this order; the first that has an ACL counts. `posix` is never used on NFS and GPFS. */
  readonly acl?: readonly AclSource[]
  /**
   * Module that exports `createAclSource(): ThreadAclSource`. The I/O threads ask it first, under the caller's
   * identity, and store ACLs by it.
   */
  readonly aclModule?: string
  /** Fetches ACLs where `acl` is `['path']`. Needs a tree without links that are followed. */
  readonly pathAcls?: PathAcls
  /** `within`: links are followed as far as they stay in the tree. Default `none`. */
  readonly symlinks?: 'none' | 'within'
  /** Whether other file systems mounted inside the tree belong to it. Default false. */
  readonly crossMounts?: boolean
  /** Names that do not exist for any operation, such as `.snapshots`. Our staging names always are. */
  readonly reserved?: readonly string[]
  /** `always` (default): file and directory are on disk before an answer. */
  readonly sync?: 'always' | 'never'
  /**
   * What happens to a file whose owner, group or ACL a new file cannot be given: `keep` (default) copies the
   * new bytes into it, which readers may see half done; `refuse` is `denied`.
   */
  readonly replace?: 'keep' | 'refuse'
  /** I/O threads for metadata. Default 4. */
  readonly threads?: number
  /** Reads and writes of data under way at a time. Default 4. */
  readonly dataThreads?: number
  /** ms that a call to the file system may take. Default 20 s. */
  readonly deadline?: number
  /** ms that putting a file's bytes on disk may take. Default 5 minutes. */
  readonly syncDeadline?: number
  /** Uids and gids below it are refused in the `native` grade. Default 1000. */
  readonly minUid?: number
  /** Name space of our own attributes; `trusted` needs CAP_SYS_ADMIN. Default `user`. */
  readonly xattrNamespace?: 'user' | 'trusted'
  /** Taken off the mode of new objects where their directory says nothing. Default 0o022 (`native`), 0o027 (`gateway`). */
  readonly umask?: number
  /**
   * ms after which a hidden file is nobody's any more, such as one whose directory was moved: a listing that meets
   * it takes it away. Longer than any upload is kept. Never if absent.
   */
  readonly abandoned?: number
  /** Told of what no caller hears of. Holds no caller's data. */
  readonly log?: (message: string, cause?: unknown) => void
  /** Module that exports `createOperations`, instead of operations.ts; for tests. */
  readonly operationsModule?: string
}

/** What the I/O threads need of the options; survives structured cloning. */
export interface PosixSetup {
  readonly root: string | number
  readonly native: boolean
  readonly acl: readonly AclSource[]
  readonly aclModule?: string
  readonly followLinks: boolean
  readonly crossMounts: boolean
  readonly reserved: readonly string[]
  readonly sync: boolean
  readonly replaceInPlace: boolean
  readonly xattrNamespace: 'user' | 'trusted'
  readonly umask: number
  readonly abandoned?: number
  /** Claims on descriptors, see handles.ts. */
  readonly claims: SharedArrayBuffer
}

/** First bytes of the names of our own hidden files. */
export const stagingPrefix = '.portolan-stage-'

const ours = /^\.portolan-stage-[0-9a-f]{24}$/

/** A hidden name as they are made for drafts and for what is to appear at once. */
export function isOurs(name: string): boolean {
  return ours.test(name)
}

/** What an NFS client calls files that were removed while they were open. */
const removed = /^\.nfs[0-9a-f]{24}$/

/** Names of nobody's files: our own hidden ones, and what an NFS client has yet to remove. */
export function isHidden(name: string): boolean {
  return name.charCodeAt(0) === 46 && (name.startsWith(stagingPrefix) || removed.test(name))
}

/** Defaults filled in. */
export function setupOf(options: PosixOptions, claims: SharedArrayBuffer): PosixSetup {
  const native = options.grade === 'native'
  return {
    root: options.root,
    native,
    acl: options.acl ?? ['nfs4', 'xattr', 'posix'],
    ...(options.aclModule !== undefined && { aclModule: options.aclModule }),
    followLinks: options.symlinks === 'within',
    crossMounts: options.crossMounts ?? false,
    reserved: options.reserved ?? [],
    sync: options.sync !== 'never',
    replaceInPlace: options.replace !== 'refuse',
    xattrNamespace: options.xattrNamespace ?? 'user',
    umask: options.umask ?? (native ? 0o022 : 0o027),
    ...(options.abandoned !== undefined && { abandoned: options.abandoned }),
    claims,
  }
}
