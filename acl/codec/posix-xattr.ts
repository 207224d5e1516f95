/** The binary POSIX ACL of Linux: system.posix_acl_access and system.posix_acl_default, little-endian, version 2. */

import { StorageError } from '../../gateway/core/errors.ts'
import { maxAces } from '../acl.ts'
import type { PosixAcl, PosixNamed } from '../posix.ts'

const version = 2
const undefinedId = 0xffffffff
const tags = { owner: 0x01, user: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const

/**
 * Reads one POSIX ACL. Throws `invalid` unless it is one that the kernel would store: tags in order,
 * owner, group and other exactly once, a mask where anyone is named, nobody named twice.
 */
export function decodePosixAcl(bytes: Uint8Array): PosixAcl {
  const count = (bytes.length - 4) / 8
  if (!Number.isInteger(count) || count < 3 || count > maxAces) throw malformed('its length is wrong')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== version) throw malformed('it is not of version 2')
  const single = new Map<number, number>()
  const users = new Map<number, PosixNamed>()
  const groups = new Map<number, PosixNamed>()
  let last = 0
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = view.getUint16(at, true)
    const permission = view.getUint16(at + 2, true)
    const id = view.getUint32(at + 4, true)
    if (permission > 7) throw malformed('a permission is none')
    if (tag < last) throw malformed('its entries are not in order')
    last = tag
    const named = tag === tags.user ? users : tag === tags.namedGroup ? groups : undefined
    if (named) {
      if (id === undefinedId || named.has(id)) throw malformed('it names someone twice or nobody')
      named.set(id, { id, permission })
    } else {
      if (id !== undefinedId || single.has(tag)) throw malformed('an entry is there twice or has an id')
      single.set(tag, permission)
    }
  }
  return assemble(single, [...users.values()], [...groups.values()])
}

/** The bytes of one POSIX ACL, entries in the kernel's order, named ones by id. Throws `too-large`, `invalid`. */
export function encodePosixAcl(acl: PosixAcl): Buffer {
  const named = acl.users.length + acl.groups.length
  if (named + 4 > maxAces) throw new StorageError('too-large', 'the ACL is too long to be stored')
  if (named > 0 && acl.mask === undefined) throw new StorageError('invalid', 'a POSIX ACL that names anyone has a mask')
  const byId = (a: PosixNamed, b: PosixNamed) => a.id - b.id
  const entries: Array<readonly [tag: number, permission: number, id: number]> = [
    [tags.owner, acl.owner, undefinedId],
    ...acl.users.toSorted(byId).map(({ id, permission }) => [tags.user, permission, id] as const),
    [tags.group, acl.group, undefinedId],
    ...acl.groups.toSorted(byId).map(({ id, permission }) => [tags.namedGroup, permission, id] as const),
    ...(acl.mask === undefined ? [] : [[tags.mask, acl.mask, undefinedId] as const]),
    [tags.other, acl.other, undefinedId],
  ]
  const bytes = Buffer.alloc(4 + entries.length * 8)
  bytes.writeUInt32LE(version, 0)
  for (const [i, [tag, permission, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + i * 8)
    bytes.writeUInt16LE(permission & 7, 6 + i * 8)
    bytes.writeUInt32LE(id, 8 + i * 8)
  }
  return bytes
}

function assemble(
  single: ReadonlyMap<number, number>,
  users: readonly PosixNamed[],
  groups: readonly PosixNamed[],
): PosixAcl {
  const owner = single.get(tags.owner)
  const group = single.get(tags.group)
  const other = single.get(tags.other)
  const mask = single.get(tags.mask)
  const known = mask === undefined ? 3 : 4
  if (owner === undefined || group === undefined || other === undefined || single.size !== known) {
    throw malformed('owner, group or other is missing, or a tag is none')
  }
  if (users.length + groups.length > 0 && mask === undefined) throw malformed('it names someone and has no mask')
  return { owner, users, group, groups, ...(mask !== undefined && { mask }), other }
}

function malformed(what: string): StorageError {
  return new StorageError('invalid', `the POSIX ACL is malformed: ${what}`)
}
