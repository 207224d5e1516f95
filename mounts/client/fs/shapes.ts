/** Objects as the gateway describes them, read with suspicion: a missing or strange member is `unavailable`. */

import { checkName } from '../../../gateway/core/path.ts'
import { list, members, optional, strange, text } from '../members.ts'
import type { Attributes, Change, HeldRights, ListedEntry, LockRange, ObjectType, Space } from './remote.ts'
import { names, whole } from './session.ts'

const types: ReadonlySet<unknown> = new Set<ObjectType>(['file', 'directory', 'symlink', 'other'])
const kinds: ReadonlySet<unknown> = new Set<Change['kind']>(['content', 'attributes', 'entry', 'tree', 'all'])
const time = /^-?\d{1,20}$/

export function readAttributes(value: unknown): Attributes {
  const at = members(value)
  if (!types.has(at.type)) throw strange('type')
  const { mode, links, allocated, owner, group, target, locality, accessed } = at
  return {
    type: at.type as ObjectType,
    size: whole(at.size, 'size'),
    modified: instant(at.modified, 'modified'),
    changed: instant(at.changed, 'changed'),
    ...(accessed !== undefined && { accessed: instant(accessed, 'accessed') }),
    ...(mode !== undefined && { mode: whole(mode, 'mode', 0, 0o7777) }),
    ...(links !== undefined && { links: whole(links, 'links') }),
    ...(allocated !== undefined && { allocated: whole(allocated, 'allocated') }),
    ...(typeof owner === 'string' && { owner }),
    ...(typeof group === 'string' && { group }),
    mine: at.mine === true,
    version: text(at.version, 'version'),
    id: text(at.id, 'id'),
    ...(typeof target === 'string' && { target }),
    ...(typeof locality === 'string' && { locality }),
  }
}

function instant(value: unknown, what: string): bigint {
  if (typeof value !== 'string' || !time.test(value)) throw strange(what)
  return BigInt(value)
}

export function readListing(value: unknown): {
  readonly entries: readonly ListedEntry[]
  readonly cursor: string | undefined
} {
  const at = members(value)
  const entries = list(at.entries, 'entries').map((each) => {
    const name = text(members(each).name, 'name')
    try {
      checkName(name)
    } catch (cause) {
      throw strange('name', cause)
    }
    return { name, attributes: readAttributes(each) }
  })
  return { entries, cursor: optional(at.cursor) }
}

export function readHeldRights(value: unknown): HeldRights {
  const { rights, actions } = members(value)
  return {
    rights: rights === 'unknown' ? rights : whole(rights, 'rights', 0, 0xffff_ffff),
    actions: names(actions, 'actions'),
  }
}

export function readSpace(value: unknown): Space {
  const { used, available, limit, files } = members(value)
  const at = files === undefined || files === null ? undefined : members(files)
  return {
    used: whole(used, 'used'),
    available: wholeOrNone(available, 'available'),
    limit: wholeOrNone(limit, 'limit'),
    ...(at && { files: { used: whole(at.used, 'files'), limit: wholeOrNone(at.limit, 'files') } }),
  }
}

export function readLock(value: unknown): (LockRange & { readonly pid: number }) | undefined {
  const { lock } = members(value)
  if (lock === undefined || lock === null) return undefined
  const { start, end, type, pid } = members(lock)
  if (type !== 'shared' && type !== 'exclusive') throw strange('lock')
  return { start: whole(start, 'start'), end: wholeOrNone(end, 'end'), type, pid: whole(pid ?? 0, 'pid') }
}

/** Digests by name. */
export function readChecksums(value: unknown): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(members(value)).map(([name, digits]) => {
      const hex = text(digits, 'checksum')
      if (!/^[a-z0-9-]{1,32}$/.test(name) || !/^[0-9a-f]{1,256}$/i.test(hex)) throw strange('checksum')
      return [name, hex]
    }),
  )
}

/** Of a stream of changes: undefined for what only says that it is alive, or is of a kind from the future. */
export function readChange(value: unknown): { readonly path: string; readonly kind: Change['kind'] } | undefined {
  const { path, kind } = members(value)
  if (path === undefined) return undefined
  // Better to forget too much.
  return { path: text(path, 'path'), kind: kinds.has(kind) ? (kind as Change['kind']) : 'all' }
}

function wholeOrNone(value: unknown, what: string): number | undefined {
  return value === undefined || value === null ? undefined : whole(value, what)
}
