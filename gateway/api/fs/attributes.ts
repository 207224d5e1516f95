/** Attributes of objects, as a mount is told them. */

import { isOwner } from '../../../acl/evaluate.ts'
import type { Principal } from '../../../acl/principal.ts'
import type { Entry } from '../../../backends/backend.ts'
import type { Path } from '../../core/path.ts'

/** Members that are not known are left out. Times are nanoseconds since 1970, as decimal digits. */
export interface JsonAttributes {
  readonly type: Entry['type']
  readonly size: number
  readonly modified: string
  readonly changed: string
  readonly accessed?: string | undefined
  readonly mode?: number | undefined
  readonly links?: number | undefined
  readonly allocated?: number | undefined
  readonly owner?: string | undefined
  readonly group?: string | undefined
  /** Whether the caller owns it. */
  readonly mine: boolean
  /** Empty where attributes are closed to the caller. */
  readonly version: string
  /** Stays with the object over renames; differs between all objects of the namespace. */
  readonly id: string
  readonly target?: string | undefined
  readonly locality?: string | undefined
}

/** Where an object was seen, for ids that differ between storages. */
export interface Where {
  readonly path: Path
  /** Names the storage among those of the namespace. */
  readonly storage: string
}

/** `where` is that of the object itself. */
export function attributesOf(entry: Entry, principal: Principal, where: Where): JsonAttributes {
  const { acl } = entry
  return {
    type: entry.type,
    size: entry.size,
    modified: String(entry.modified),
    changed: String(entry.changed),
    accessed: entry.accessed === undefined ? undefined : String(entry.accessed),
    mode: entry.mode,
    links: entry.links,
    allocated: entry.allocated,
    owner: acl?.owner ?? entry.owner,
    group: acl?.group ?? entry.group,
    mine: isMine(entry, principal),
    version: entry.version,
    id: idOf(entry, where),
    target: entry.target,
    locality: entry.locality,
  }
}

/** What is closed to the caller has no id of its own: its path has to do. */
function idOf({ id }: Entry, { path, storage }: Where): string {
  return id === '' ? `path ${path}` : `${storage} ${id}`
}

/** The id that the storage knows the object by; undefined where the text is none of that storage's. */
export function storageId(id: string, { storage }: Pick<Where, 'storage'>): string | undefined {
  return id.startsWith(`${storage} `) ? id.slice(storage.length + 1) : undefined
}

/** Names that are numbers stand for accounts that have no name. */
function isMine({ acl, owner }: Entry, principal: Principal): boolean {
  if (principal.user === undefined) return false
  if (acl?.owner !== undefined) return isOwner(acl, principal)
  if (owner === undefined) return false
  return owner === principal.user || (principal.posix !== undefined && owner === String(principal.posix.uid))
}
