/**
 * Flags of Linux system calls, and the numbers of those that have no C library wrapper (or whose
 * wrapper would act on all threads of the process). x86-64 and 64-bit ARM.
 */

import { constants } from 'node:fs'

// Some O_ flags differ between processors; Node knows those of this one.
export const O_RDONLY = constants.O_RDONLY
export const O_WRONLY = constants.O_WRONLY
export const O_RDWR = constants.O_RDWR
export const O_CREAT = constants.O_CREAT
export const O_EXCL = constants.O_EXCL
export const O_TRUNC = constants.O_TRUNC
export const O_NONBLOCK = constants.O_NONBLOCK
export const O_DIRECTORY = constants.O_DIRECTORY
export const O_NOFOLLOW = constants.O_NOFOLLOW
export const O_NOATIME = constants.O_NOATIME
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
export const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY

export const RESOLVE_NO_XDEV = 0x01
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10
export const RESOLVE_CACHED = 0x20

export const AT_FDCWD = -100
export const AT_SYMLINK_NOFOLLOW = 0x100
export const AT_EACCESS = 0x200
export const AT_REMOVEDIR = 0x200
export const AT_SYMLINK_FOLLOW = 0x400
export const AT_EMPTY_PATH = 0x1000

export const RENAME_NOREPLACE = 1
export const RENAME_EXCHANGE = 2

export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2

export const F_OK = 0
export const X_OK = 1
export const W_OK = 2
export const R_OK = 4

export const FALLOC_FL_KEEP_SIZE = 1
export const FALLOC_FL_PUNCH_HOLE = 2
export const FALLOC_FL_ZERO_RANGE = 16

export const LOCK_SH = 1
export const LOCK_EX = 2
export const LOCK_NB = 4
export const LOCK_UN = 8

export const SEEK_SET = 0
export const SEEK_CUR = 1
export const SEEK_END = 2
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

/** Values of `DirectoryEntry.type`. Some file systems answer DT_UNKNOWN for everything. */
export const DT_UNKNOWN = 0
export const DT_DIR = 4
export const DT_REG = 8
export const DT_LNK = 10

export const S_IFMT = 0o170000
export const S_IFDIR = 0o040000
export const S_IFREG = 0o100000
export const S_IFLNK = 0o120000

/** `utimensat`: this time is left as it is. */
export const UTIME_OMIT = 'omit'
/** `utimensat`: this time becomes the kernel's now. */
export const UTIME_NOW = 'now'

/** Values of `FileSystem.type` whose real ACL may be hidden from the mode bits, and a few others. */
export const fileSystemTypes = {
  nfs: 0x6969,
  gpfs: 0x47504653,
  lustre: 0x0bd00bd0,
  ceph: 0x00c36400,
  cifs: 0xff534d42,
  smb2: 0xfe534d42,
  fuse: 0x65735546,
  ext4: 0xef53,
  xfs: 0x58465342,
  btrfs: 0x9123683e,
  tmpfs: 0x01021994,
  overlay: 0x794c7630,
} as const

/** Capability numbers (linux/capability.h). */
export const capabilities = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_DAC_READ_SEARCH: 2,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_LINUX_IMMUTABLE: 9,
  CAP_SYS_ADMIN: 21,
  CAP_MKNOD: 27,
  CAP_MAC_OVERRIDE: 32,
} as const

interface CallNumbers {
  readonly setgroups: number
  readonly getgroups: number
  readonly setfsuid: number
  readonly setfsgid: number
  readonly setresuid: number
  readonly setresgid: number
  readonly capget: number
  readonly capset: number
}

const byProcessor: Readonly<Record<string, CallNumbers>> = {
  x64: {
    setgroups: 116,
    getgroups: 115,
    setfsuid: 122,
    setfsgid: 123,
    setresuid: 117,
    setresgid: 119,
    capget: 125,
    capset: 126,
  },
  arm64: {
    setgroups: 159,
    getgroups: 158,
    setfsuid: 151,
    setfsgid: 152,
    setresuid: 147,
    setresgid: 149,
    capget: 90,
    capset: 91,
  },
}

/** Undefined on a processor that nobody has tried. */
export const callNumbers = byProcessor[process.arch]

/** The same on every processor. */
export const SYS_openat2 = 437
export const SYS_faccessat2 = 439
