/**
 * What the kernel asks of a file system (the FUSE protocol, version 7.45 and earlier ones from 7.31), without its wire
 * format. Errors are thrown: an `Errno`, or a StorageError, which errors.ts translates.
 */

/** Who asks. Requests that the kernel makes on its own account (write-back, release) carry zeros. */
export interface Context {
  /** The object asked about; 1 is the root. */
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  /** 0 where the process is in a pid namespace that we do not see. */
  readonly pid: number
  /** Aborts when a signal interrupts the caller (throw EINTR then), when the time limit passes, and at the end. */
  readonly signal: AbortSignal
  /** Lifts the time limit of this request, which waits for a tape. It can still be interrupted. */
  readonly mayTakeLong?: () => void
  /** A process before this one was asked for it, and nobody knows whether it was done (repeated.ts). */
  readonly isRepeated?: boolean
}

/** fuse_attr. Times are nanoseconds since 1970. */
export interface NodeAttributes {
  readonly ino: bigint
  readonly size: number
  /** Units of 512 bytes. */
  readonly blocks: number
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
  /** With the bits of the type. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly blksize: number
}

/** fuse_entry_out. A nodeid of 0 says that there is nothing of that name, for `entryValid` milliseconds. */
export interface EntryReply {
  readonly nodeid: number
  readonly generation: number
  /** Milliseconds. */
  readonly entryValid: number
  readonly attrValid: number
  readonly attributes: NodeAttributes
}

export interface AttributesReply {
  /** Milliseconds. */
  readonly attrValid: number
  readonly attributes: NodeAttributes
}

export interface OpenReply {
  readonly fh: number
  /** FOPEN_* bits. */
  readonly flags: number
}

/** fuse_setattr_in: only what is to be changed. */
export interface SetAttributes {
  readonly fh?: number
  readonly size?: number
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly atime?: bigint | 'now'
  readonly mtime?: bigint | 'now'
  readonly killSuidGid: boolean
}

export interface KernelLock {
  /** Inclusive, as the kernel has it; the end of all files is 0x7fffffffffffffff. */
  readonly start: bigint
  readonly end: bigint
  readonly type: 'read' | 'write' | 'unlock'
  readonly pid: number
}

export interface DirectoryEntry {
  readonly name: string
  readonly ino: bigint
  /** DT_*: the type's bits of a mode, shifted right by 12. */
  readonly type: number
  /** What READDIR is given as offset to go on after this entry; never 0. */
  readonly cookie: bigint
  /** Of READDIRPLUS; counts as a look-up once it is sent. Undefined for `.`, `..` and where nothing is known. */
  readonly entry?: EntryReply
}

/** Takes entries until the answer is full. */
export interface DirectoryFiller {
  /** False: no room, this entry was not taken. */
  add(entry: DirectoryEntry): boolean
}

export interface FileSystemSpace {
  /** Units of `frsize` bytes. */
  readonly blocks: number
  readonly bfree: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
  readonly bsize: number
  readonly frsize: number
  readonly namelen: number
}

export interface WriteRequest {
  readonly fh: number
  readonly offset: number
  /** It may be kept, also after the answer. */
  readonly data: Buffer
  /** To be called when nobody looks at `data` any more: its memory is used again. Otherwise it is not. */
  readonly done?: () => void
  /** O_* of the open file. */
  readonly flags: number
  /** FUSE_WRITE_KILL_SUIDGID. */
  readonly killSuidGid: boolean
}

/** One per request; names are valid UTF-8 without NUL and slash, of at most 255 bytes (others are refused before). */
export interface Operations {
  lookup(context: Context, name: string): Promise<EntryReply>
  forget(nodeid: number, lookups: number): void
  getattr(context: Context, fh: number | undefined): Promise<AttributesReply>
  setattr(context: Context, changes: SetAttributes): Promise<AttributesReply>
  readlink(context: Context): Promise<string>
  symlink(context: Context, name: string, target: string): Promise<EntryReply>
  mknod(context: Context, name: string, mode: number, rdev: number, umask: number): Promise<EntryReply>
  mkdir(context: Context, name: string, mode: number, umask: number): Promise<EntryReply>
  unlink(context: Context, name: string): Promise<void>
  rmdir(context: Context, name: string): Promise<void>
  /** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename(context: Context, name: string, newDirectory: number, newName: string, flags: number): Promise<void>
  link(context: Context, nodeid: number, newName: string): Promise<EntryReply>
  open(context: Context, flags: number): Promise<OpenReply>
  create(context: Context, name: string, flags: number, mode: number, umask: number): Promise<EntryReply & OpenReply>
  /** Chunks that together are at most `size` bytes; fewer only at the end of the file. */
  read(context: Context, fh: number, offset: number, size: number): Promise<readonly Uint8Array[]>
  write(context: Context, request: WriteRequest): Promise<number>
  /** Each close(2) of a descriptor; its error is told there. */
  flush(context: Context, fh: number, lockOwner: bigint): Promise<void>
  fsync(context: Context, fh: number, dataOnly: boolean): Promise<void>
  /** The last descriptor is gone. `lockOwner`: flock(2) locks of it are to be let go of. */
  release(context: Context, fh: number, lockOwner: bigint | undefined): Promise<void>
  opendir(context: Context): Promise<OpenReply>
  readdir(context: Context, fh: number, cookie: bigint, filler: DirectoryFiller, plus: boolean): Promise<void>
  releasedir(context: Context, fh: number): Promise<void>
  fsyncdir(context: Context, fh: number): Promise<void>
  statfs(context: Context): Promise<FileSystemSpace>
  /** Full names (`user.x`, `system.nfs4_acl`). Throws ENODATA. */
  getxattr(context: Context, name: string): Promise<Uint8Array>
  listxattr(context: Context): Promise<readonly string[]>
  setxattr(context: Context, name: string, value: Buffer, flags: number): Promise<void>
  removexattr(context: Context, name: string): Promise<void>
  /** R 4, W 2, X 1; throws EACCES. */
  access(context: Context, mask: number): Promise<void>
  /** What is in the way; type `unlock` where nothing is. */
  getlk(context: Context, fh: number, owner: bigint, lock: KernelLock, flock: boolean): Promise<KernelLock>
  setlk(context: Context, fh: number, owner: bigint, lock: KernelLock, flock: boolean, wait: boolean): Promise<void>
  fallocate(context: Context, fh: number, offset: number, length: number, mode: number): Promise<void>
  /** `whence`: SEEK_DATA 3, SEEK_HOLE 4. */
  lseek(context: Context, fh: number, offset: number, whence: number): Promise<number>
  copyFileRange(
    context: Context,
    from: { readonly fh: number; readonly offset: number },
    to: { readonly nodeid: number; readonly fh: number; readonly offset: number },
    length: number,
  ): Promise<number>
  /** The mount is over. */
  close(): Promise<void>
}

/** How a file system tells the kernel to forget; sent after the answers that are under way. */
export interface Notifier {
  /** `content`: also the pages. ENOENT of the kernel is no error. */
  invalidateNode(nodeid: number, content: boolean): void
  invalidateEntry(directory: number, name: string): void
  /** Resolves when the kernel has taken all that was told before. Never fails. */
  settled?(): Promise<void>
}
