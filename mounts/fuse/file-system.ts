/** The file system that the kernel sees: a gateway's namespace behind `Operations`. */

import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { type Path, root } from '../../gateway/core/path.ts'
import type { RemoteFs } from '../client/fs/remote.ts'
import type { Ownership } from './attributes.ts'
import { changingOperations } from './changing.ts'
import { type Common, openFlag, type Parts, pathOrNone } from './common.ts'
import { directoryOperations } from './directories.ts'
import { Errno } from './errno.ts'
import type { FileStore } from './files/data.ts'
import { linesIn, SwitchedJournal } from './journal.ts'
import { lockOperations } from './locking.ts'
import { namingOperations } from './naming.ts'
import { NodeTable } from './nodes.ts'
import { OpenFiles } from './open-files.ts'
import { openingOperations } from './opening.ts'
import type { Context, Notifier, Operations } from './operations.ts'
import { RecentChanges } from './recent.ts'
import { resume } from './resuming.ts'
import { Teller } from './telling.ts'
import { usingOperations } from './using.ts'
import { View } from './view.ts'
import { xattrOperations } from './xattrs.ts'

export interface FileSystemOptions {
  readonly ownership: Ownership
  /** What opening a file does whose bytes are on tape only: brings them, or fails with ENODATA. */
  readonly nearline: 'wait' | 'fail'
  /** Where in the namespace the mount begins. */
  readonly top?: Path
  /** Directory of this machine that it is mounted on, without symbolic links, where that is known. */
  readonly mountpoint?: string | undefined
  readonly readOnly?: boolean
  /** The kernel was served by another process before: no number of its objects and files is used again. */
  readonly isResumed?: boolean
  /** A file without a name, for the process that takes over from this one; with what the one before wrote. */
  readonly journal?: number | undefined
  /** Bytes after which it is written anew. */
  readonly journalLength?: number
  /** One line for people, without its end. */
  readonly log: (line: string) => void
  /** Milliseconds of a clock that is not set. */
  readonly now?: () => number
}

/** One identity for all who use the mount. */
export interface OneIdentity {
  readonly remote: RemoteFs
  readonly files: FileStore
  /** Whose things are its own; those of the mount's options if absent. */
  readonly mine?: Ownership['mine']
}

/** For whoever knows identities: how the mount sees the namespace with one, and whether something is open by it. */
export interface Making {
  viewFor(identity: OneIdentity): View
  isUsed(view: View): boolean
}

/** An identity for each process that asks. The kernel remembers nothing for them: what it knows, all would. */
export interface ManyIdentities {
  /** EACCES for a process that has none. */
  viewOf(context: Context, making: Making): View | Promise<View>
  /** Closes all views. */
  close(): Promise<void>
}

/** The mount's operations. They close what they were given. */
export function createFileSystem(
  identity: OneIdentity | ManyIdentities,
  notifier: Notifier,
  options: FileSystemOptions,
): Operations {
  const now = options.now ?? (() => performance.now())
  const journal = new SwitchedJournal(options.journal)
  const nodes = new NodeTable(options.top ?? root, journal)
  const isShared = 'viewOf' in identity
  const common: Common = {
    nodes,
    views: new Set(),
    open: new OpenFiles(nodes, journal),
    recent: new RecentChanges(now),
    notifier,
    isShared,
    now,
  }
  const viewFor = ({ remote, files, mine = options.ownership.mine }: OneIdentity) =>
    new View(common, remote, files, { ...options.ownership, mine })
  const only = isShared ? undefined : viewFor(identity)
  // Milliseconds since 2020: whatever served before has not given out a thousand numbers in each.
  const first = options.isResumed ? (Date.now() - Date.UTC(2020)) * 1024 : undefined
  const lines = options.isResumed && options.journal !== undefined ? linesIn(options.journal) : []
  const ready = resume(common, only, lines, options.log)
  journal.begin(function* () {
    yield* nodes.lines()
    yield* common.open.lines()
  }, options.journalLength)
  if (first !== undefined) {
    nodes.beginAt(first)
    common.open.beginAt(first)
  }
  const making: Making = { viewFor, isUsed: (view) => common.open.isUsed(view) || isListing(view) }
  const viewOf = (context: Context): View | Promise<View> =>
    only ?? (isShared ? identity.viewOf(context, making) : Promise.reject(new Errno('EACCES')))
  const teller = new Teller(options.log, now, isShared)
  const { mountpoint, top = root, nearline } = options
  const localName = (path: Path) => mountpoint && join(mountpoint, path.slice(top === root ? 0 : top.length))
  const parts: Parts = { ...common, viewOf, nearline, teller, localName }
  const locks = lockOperations(parts)
  const { closeDirectories, isListing, ...directories } = directoryOperations(parts, first)
  const { releasePosix: _posix, releaseFlock: _flock, ...locking } = locks
  const operations: Operations = {
    ...namingOperations(parts),
    ...openingOperations(parts),
    ...usingOperations(parts, locks),
    ...changingOperations(parts, options.ownership),
    ...xattrOperations(parts),
    ...directories,
    ...locking,
    async close() {
      closeDirectories()
      await only?.close()
      if (isShared) await identity.close()
    },
  }
  const guarded = options.readOnly ? { ...operations, ...readOnly(operations) } : operations
  return told(guarded, { teller, ready, pathOf: (nodeid) => pathOrNone(common, nodeid) })
}

/** What changes anything is refused, also where the kernel did not. */
function readOnly(operations: Operations): Partial<Operations> {
  const refuse = () => Promise.reject(new Errno('EROFS'))
  const writing = openFlag.writeOnly | openFlag.readWrite | openFlag.truncate
  return {
    setattr: refuse,
    symlink: refuse,
    mknod: refuse,
    mkdir: refuse,
    unlink: refuse,
    rmdir: refuse,
    rename: refuse,
    link: refuse,
    create: refuse,
    write: refuse,
    setxattr: refuse,
    removexattr: refuse,
    fallocate: refuse,
    copyFileRange: refuse,
    open: (context, flags) => ((flags & writing) === 0 ? operations.open(context, flags) : refuse()),
    access: (context, mask) => ((mask & 2) === 0 ? operations.access(context, mask) : refuse()),
  }
}

interface Telling {
  readonly teller: Teller
  /** Kept when files that were open before are open again. */
  readonly ready: Promise<void>
  readonly pathOf: (nodeid: number) => string | undefined
}

type Operation<Words extends readonly unknown[], Result> = (context: Context, ...words: Words) => Promise<Result>

/** Each failure of an operation that has a context goes through the log. */
function told(of: Operations, { teller, ready, pathOf }: Telling): Operations {
  let isReady = false
  ready.then(() => {
    isReady = true
  })
  const tell =
    <Words extends readonly unknown[], Result>(name: string, operation: Operation<Words, Result>) =>
    async (context: Context, ...words: Words): Promise<Result> => {
      try {
        if (!isReady) await ready
        return await operation(context, ...words)
      } catch (error) {
        teller.tell(name, error, () => pathOf(context.nodeid), context)
        throw error
      }
    }
  return {
    ...of,
    lookup: tell('lookup', of.lookup),
    getattr: tell('getattr', of.getattr),
    setattr: tell('setattr', of.setattr),
    readlink: tell('readlink', of.readlink),
    symlink: tell('symlink', of.symlink),
    mknod: tell('mknod', of.mknod),
    mkdir: tell('mkdir', of.mkdir),
    unlink: tell('unlink', of.unlink),
    rmdir: tell('rmdir', of.rmdir),
    rename: tell('rename', of.rename),
    link: tell('link', of.link),
    open: tell('open', of.open),
    create: tell('create', of.create),
    read: tell('read', of.read),
    write: tell('write', of.write),
    flush: tell('flush', of.flush),
    fsync: tell('fsync', of.fsync),
    release: tell('release', of.release),
    opendir: tell('opendir', of.opendir),
    readdir: tell('readdir', of.readdir),
    releasedir: tell('releasedir', of.releasedir),
    fsyncdir: tell('fsyncdir', of.fsyncdir),
    statfs: tell('statfs', of.statfs),
    getxattr: tell('getxattr', of.getxattr),
    listxattr: tell('listxattr', of.listxattr),
    setxattr: tell('setxattr', of.setxattr),
    removexattr: tell('removexattr', of.removexattr),
    access: tell('access', of.access),
    getlk: tell('getlk', of.getlk),
    setlk: tell('setlk', of.setlk),
    fallocate: tell('fallocate', of.fallocate),
    lseek: tell('lseek', of.lseek),
    copyFileRange: tell('copyFileRange', of.copyFileRange),
  }
}
