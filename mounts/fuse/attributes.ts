/** How an object looks on this machine: inode number, mode, owner. */

import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { numericId } from '../../acl/who.ts'
import type { Attributes, ObjectType } from '../client/fs/remote.ts'
import type { NodeAttributes } from './operations.ts'

/** Whose things are shown to be. */
export interface Ownership {
  /** Of what the caller owns. */
  readonly mine: { readonly uid: number; readonly gid: number }
  /** Of everything else. */
  readonly others: { readonly uid: number; readonly gid: number }
  /** Decimal ids of the storage are shown as they are: for machines that know the same accounts. */
  readonly numeric: boolean
}

const typeBits: Readonly<Record<ObjectType, number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  // Nothing can be done with it through this mount; as a socket nobody waits for it, as for a pipe.
  other: 0o140000,
}

/** Shown where the storage has no mode; who may do what is the gateway's matter. */
const plainMode: Readonly<Record<ObjectType, number>> = {
  file: 0o644,
  directory: 0o755,
  symlink: 0o777,
  other: 0o644,
}

/** Copying programs take pieces of this size. */
const preferredBlock = 1024 * 1024
const lowest63 = (1n << 63n) - 1n

/** Those that were asked for lately: a file that is made is told of several times. */
const inodes = new Map<string, bigint>()
const mostInodes = 4096

/** The same over all mounts of the namespace: 63 bits of SHA-256 of the object's id. Neither 0 nor 1, which is the top. */
export function inodeOf(id: string): bigint {
  const known = inodes.get(id)
  if (known !== undefined) return known
  const bits = hash('sha256', id, 'buffer').readBigUInt64LE(0) & lowest63
  const inode = bits < 2n ? bits + 2n : bits
  if (inodes.size >= mostInodes) inodes.clear()
  inodes.set(id, inode)
  return inode
}

/** DT_*. */
export function directoryType(type: ObjectType): number {
  return typeBits[type] >> 12
}

/** S_IFMT bits and the low twelve. */
export function modeOf({ type, mode }: Pick<Attributes, 'type' | 'mode'>): number {
  return typeBits[type] | ((mode ?? plainMode[type]) & 0o7777)
}

/** Ids that mean something in this process's user namespace (user_namespaces(7)): the kernel takes no others. */
function mapped(file: string): (id: number) => boolean {
  let ranges: readonly (readonly [number, number])[] = [[0, 2 ** 32 - 1]]
  try {
    const lines = readFileSync(file, 'latin1').trim().split('\n')
    ranges = lines.map((line) => {
      const [inside = 0, , length = 0] = line.trim().split(/ +/).map(Number)
      return [inside, inside + length]
    })
  } catch {
    // A kernel without user namespaces maps all of them.
  }
  return (id) => ranges.some(([from, to]) => id >= from && id < to)
}

const isUid = mapped('/proc/self/uid_map')
const isGid = mapped('/proc/self/gid_map')

export function ownerOf(
  { mine, owner, group }: Pick<Attributes, 'mine' | 'owner' | 'group'>,
  as: Ownership,
): { readonly uid: number; readonly gid: number } {
  const ids = mine ? as.mine : as.others
  if (!as.numeric) return ids
  const [uid, gid] = [numericId(owner ?? ''), numericId(group ?? '')]
  return {
    uid: uid !== undefined && isUid(uid) ? uid : ids.uid,
    gid: gid !== undefined && isGid(gid) ? gid : ids.gid,
  }
}

export function nodeAttributes(seen: Attributes, ino: bigint, as: Ownership): NodeAttributes {
  const size = seen.type === 'symlink' ? Buffer.byteLength(seen.target ?? '') : seen.size
  return {
    ino,
    size,
    blocks: Math.ceil((seen.allocated ?? size) / 512),
    atime: seen.accessed ?? seen.modified,
    mtime: seen.modified,
    ctime: seen.changed,
    mode: modeOf(seen),
    nlink: seen.links ?? 1,
    ...ownerOf(seen, as),
    blksize: preferredBlock,
  }
}
