/**
 * Numbers of the kernel's FUSE protocol (Linux, include/uapi/linux/fuse.h, version 7.45 and the earlier ones from 7.31).
 * All integers are in the host's byte order, which is little-endian on every machine that Portolan runs on.
 */

export const major = 7
/** The newest minor version that is spoken; the kernel takes what both know. */
export const minor = 45
/** Linux 5.4, the oldest kernel that is still maintained. */
export const oldestMinor = 31

export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  notifyReply: 41,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const

/** Flags of INIT, by bit. Those from 32 on travel in `flags2`. */
export const initFlag = {
  asyncRead: 0,
  posixLocks: 1,
  atomicTruncate: 3,
  bigWrites: 5,
  dontMask: 6,
  flockLocks: 10,
  readdirplus: 13,
  readdirplusAuto: 14,
  asyncDirect: 15,
  parallelDirectories: 18,
  abortError: 21,
  maxPages: 22,
  cacheSymlinks: 23,
  explicitInvalidate: 25,
  killPrivileges2: 28,
  extendedSetxattr: 29,
  initExtension: 30,
  expireOnly: 35,
  resend: 39,
} as const

export type InitFlag = keyof typeof initFlag

export const notice = { invalidateNode: 2, invalidateEntry: 3, resend: 7, newEpoch: 8 } as const

/** Bytes of structures. */
export const size = {
  inHeader: 40,
  outHeader: 16,
  attributes: 88,
  entry: 128,
  attributesReply: 104,
  openReply: 16,
  initReply: 64,
  directoryEntry: 24,
  statfsReply: 80,
  lock: 24,
} as const

/** Longest data of one WRITE and READ. */
export const largestTransfer = 1024 * 1024
/** The kernel reads a header, an operation's own structure and the data; all but the data fits here. */
export const requestOverhead = 4096
/** SETXATTR: a name of 255 bytes and a value of XATTR_SIZE_MAX come in one request. */
export const requestBuffer = largestTransfer + requestOverhead

/** Bits of fuse_setattr_in.valid. */
export const setattrBit = {
  mode: 0x1,
  uid: 0x2,
  gid: 0x4,
  size: 0x8,
  atime: 0x10,
  mtime: 0x20,
  fh: 0x40,
  atimeNow: 0x80,
  mtimeNow: 0x100,
  killSuidGid: 0x800,
} as const

/** Bits of fuse_open_out.open_flags. */
export const openFlag = { directIo: 1, keepCache: 2, nonSeekable: 4, cacheDirectory: 8 } as const

/** The name's bytes that a path component has at most; the kernel itself does not hold to it. */
export const longestName = 255
