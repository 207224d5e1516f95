/** What the I/O threads say of objects, in few and plain values, since every value is cloned for each call. */

import type { Acl } from '../../acl/acl.ts'
import type { Path } from '../../gateway/core/path.ts'

/** Index into the types of `Entry`. */
export const wireTypes = ['file', 'directory', 'symlink', 'other'] as const

/**
 * An Entry: `acl` is the number under which the thread told the ACL, 0 for none. `accessed` is not told of directories
 * on the way, which are remembered, nor of what nobody may look at. `generation` is told where ACLs come by path, `uid`
 * and `gid` where no ACL tells whose the object is.
 */
export type EntryWire = readonly [
  name: string,
  type: number,
  size: number,
  modified: bigint,
  changed: bigint,
  version: string,
  id: string,
  mode: number,
  links: number,
  acl: number,
  accessed?: bigint | undefined,
  allocated?: number | undefined,
  target?: string | undefined,
  generation?: string | undefined,
  uid?: number | undefined,
  gid?: number | undefined,
]

/** The same without its ACL. */
export function withoutList(wire: EntryWire): EntryWire {
  return wire.with(9, 0) as unknown as EntryWire
}

/** The same without the time of the last reading. */
export function withoutAccess(wire: EntryWire): EntryWire {
  return wire.with(10, undefined) as unknown as EntryWire
}

/** What a number stands for from now on. Told with the first result that uses it. */
export type Definition = readonly [number: number, meaning: Acl | EntryWire]

/** Numbers are a thread's own. */
export interface Numbered {
  /** Which thread's numbers these are. */
  readonly table: number
  readonly fresh?: readonly Definition[]
}

/** Result of every look. Absent fields keep the message short. */
export interface Looked extends Numbered {
  /** Directories from the root down, each by number or, when too young to be remembered, in full. */
  readonly above: ReadonlyArray<number | EntryWire>
  readonly parentExists: boolean
  readonly entry?: EntryWire
  readonly resolved?: Path
  /** Descriptors that the receiver must adopt: of the parent directory, and of the object. */
  readonly parentFd?: number
  readonly fd?: number
  /** The last name of the object below `parentFd`. */
  readonly name?: string
  /** The directory lies on a file system with NFSv4 ACLs of its own. */
  readonly nfs4?: boolean
  /** As `EntryMaker.wayTo` tells it, with `parentFd`. */
  readonly way?: string | undefined
  /** What went wrong with ACLs on the way, as stable words. */
  readonly trouble?: readonly string[]
}

/** What an act expects to find under a name. */
export interface Expected {
  readonly id: string
  readonly changed: bigint
}

/** The ACL of an object about to be made, in the forms it may be stored in. */
export interface AclBytes {
  /** Value of our own attribute. */
  readonly stored: Uint8Array
  /** Value of system.nfs4_acl. */
  readonly nfs4: Uint8Array
  /** The list itself, where neither is written but a library or a path leads to the ACL. */
  readonly list?: Acl
}
