/** The first exchange with the kernel: which version is spoken, and what both sides can do (fuse_init_in, fuse_init_out). */

import { Errno } from '../errno.ts'
import type { Body } from './decode.ts'
import { type InitFlag, initFlag, largestTransfer, major, minor, oldestMinor, size } from './protocol.ts'

/** What was agreed on. Plain data: a process that takes a mount over is given it by the one before. */
export interface Agreement {
  readonly minor: number
  readonly flags: readonly InitFlag[]
  readonly maxReadahead: number
  readonly maxWrite: number
}

export interface Offer {
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: bigint
}

export function readInit(body: Body): Offer {
  const [theirMajor, theirMinor, maxReadahead, low] = [body.u32(), body.u32(), body.u32(), body.u32()]
  // Kernels before 5.17 send no flags2.
  const high = (low >>> initFlag.initExtension) & 1 && body.left >= 4 ? body.u32() : 0
  return { major: theirMajor, minor: theirMinor, maxReadahead, flags: BigInt(low) | (BigInt(high) << 32n) }
}

/**
 * What is taken of what a kernel offers. Not among them: WRITEBACK_CACHE, with which the kernel would know better than the
 * storage how long a file is; POSIX_ACL, since rights are the gateway's; AUTO_INVAL_DATA, since pages are dropped on word from
 * the gateway (EXPLICIT_INVAL_DATA), and every change of our own would drop them too.
 */
const wanted: readonly InitFlag[] = [
  'asyncRead',
  'posixLocks',
  'atomicTruncate',
  'bigWrites',
  'dontMask',
  'flockLocks',
  'readdirplus',
  'readdirplusAuto',
  'asyncDirect',
  'parallelDirectories',
  'abortError',
  'maxPages',
  'cacheSymlinks',
  'explicitInvalidate',
  'killPrivileges2',
  'extendedSetxattr',
  'initExtension',
  'expireOnly',
  'resend',
]

/** What the kernel would remember of one user and show to another, who is not asked for again. */
const remembering: ReadonlySet<InitFlag> = new Set(['cacheSymlinks'])

/** Throws EPROTO for a kernel that is too old. `isShared`: several identities use the mount. */
export function agree(offer: Offer, { isShared = false }: { readonly isShared?: boolean } = {}): Agreement {
  if (offer.major !== major || offer.minor < oldestMinor) throw new Errno('EPROTO')
  const taken = isShared ? wanted.filter((flag) => !remembering.has(flag)) : wanted
  const flags = taken.filter((flag) => (offer.flags >> BigInt(initFlag[flag])) & 1n)
  return {
    minor: Math.min(minor, offer.minor),
    flags,
    maxReadahead: offer.maxReadahead,
    // Without MAX_PAGES no request is of more than 32 pages.
    maxWrite: flags.includes('maxPages') ? largestTransfer : 128 * 1024,
  }
}

/** Requests that the kernel may have under way on its own account (read-ahead); 12 by default. */
const maxBackground = 128

/** fuse_init_out. */
export function putInit(into: Buffer, agreement: Agreement, at: number): void {
  into.fill(0, at, at + size.initReply)
  const flags = agreement.flags.reduce((sum, flag) => sum | (1n << BigInt(initFlag[flag])), 0n)
  into.writeUInt32LE(major, at)
  into.writeUInt32LE(agreement.minor, at + 4)
  into.writeUInt32LE(agreement.maxReadahead, at + 8)
  into.writeUInt32LE(Number(flags & 0xffff_ffffn), at + 12)
  into.writeUInt16LE(maxBackground, at + 16)
  into.writeUInt16LE((maxBackground * 3) / 4, at + 18)
  into.writeUInt32LE(agreement.maxWrite, at + 20)
  // Granularity of times in nanoseconds.
  into.writeUInt32LE(1, at + 24)
  into.writeUInt16LE(agreement.maxWrite / 4096, at + 28)
  into.writeUInt32LE(Number(flags >> 32n), at + 32)
}
