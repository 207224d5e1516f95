/**
 * NFSv4 access control lists: the model of RFC 8881, section 6.2.
 *
 * Evaluation is in evaluate.ts, inheritance in inherit.ts, modes in mode.ts, dialects in dialects.ts.
 */

/** Bits of the ACE mask (RFC 8881, section 6.2.1.3); one bit has a file name and a directory name. */
export const right = {
  readData: 0x1,
  listDirectory: 0x1,
  writeData: 0x2,
  addFile: 0x2,
  appendData: 0x4,
  addSubdirectory: 0x4,
  readNamedAttributes: 0x8,
  writeNamedAttributes: 0x10,
  execute: 0x20,
  traverse: 0x20,
  deleteChild: 0x40,
  readAttributes: 0x80,
  writeAttributes: 0x100,
  writeRetention: 0x200,
  writeRetentionHold: 0x400,
  delete: 0x10000,
  readAcl: 0x20000,
  writeAcl: 0x40000,
  writeOwner: 0x80000,
  synchronize: 0x100000,
} as const

/** A set of rights, as an ACE mask. */
export type Rights = number

/** Bits of the ACE flag (RFC 8881, section 6.2.1.4). */
export const aceFlag = {
  fileInherit: 0x1,
  directoryInherit: 0x2,
  noPropagateInherit: 0x4,
  inheritOnly: 0x8,
  successfulAccess: 0x10,
  failedAccess: 0x20,
  identifierGroup: 0x40,
  inherited: 0x80,
} as const

export type AceType = 'allow' | 'deny' | 'audit' | 'alarm'

/** Special identifiers (RFC 8881, section 6.2.1.5) that Portolan evaluates. */
export type SpecialWho = 'OWNER@' | 'GROUP@' | 'EVERYONE@' | 'ANONYMOUS@' | 'AUTHENTICATED@'

/**
 * Whom an entry speaks about. A name of decimal digits is a uid or gid and matches a principal by
 * `posix`; `unknown` is a special identifier that nobody here matches (INTERACTIVE@ and its kin).
 */
export type Who = SpecialWho | { readonly user: string } | { readonly group: string } | { readonly unknown: string }

export interface Ace {
  readonly type: AceType
  /** Bits of `aceFlag`. identifierGroup is set exactly where `who` has `group`. */
  readonly flags: number
  readonly mask: Rights
  readonly who: Who
}

/** Whose rules apply beside the walk over the list: the owner's standing rights, the meaning of silence. */
export type Dialect = 'rfc8881' | 'gpfs' | 'posix' | 'dcache'

export interface Acl {
  /** NFSv4 name or decimal uid of the object's owner; undefined when it cannot be told, which matches nobody. */
  readonly owner: string | undefined
  readonly group: string | undefined
  readonly aces: readonly Ace[]
  readonly dialect: Dialect
  /** na41_flag of a dacl (RFC 8881, section 6.4.3.2): 1 auto-inherit, 2 protected, 4 defaulted. */
  readonly flags?: number
}

/** Largest number of entries accepted from anywhere (Linux NFS_ACL_MAX is 170, GPFS holds 638, TrueNAS 1024). */
export const maxAces = 1024
