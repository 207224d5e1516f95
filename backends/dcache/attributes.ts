/** From the frontend's JSON to entries (dCache's JsonFileAttributes). Every member is checked: it comes from outside. */

import type { Acl } from '../../acl/acl.ts'
import { parseDcacheJson } from '../../acl/codec/dcache-text.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { checkName } from '../../gateway/core/path.ts'
import type { Entry, Locality } from '../backend.ts'
import { unavailable } from './errors.ts'

export type Json = Readonly<Record<string, unknown>>

const types: Readonly<Record<string, Entry['type']>> = { DIR: 'directory', REGULAR: 'file', LINK: 'symlink' }

const localities: Readonly<Record<string, Locality>> = {
  ONLINE: 'disk',
  NEARLINE: 'tape',
  ONLINE_AND_NEARLINE: 'disk-and-tape',
  UNAVAILABLE: 'unavailable',
  LOST: 'lost',
  NONE: 'none',
}

/**
 * The entry of an object. Throws `unavailable` for what is no description of one. With `acls` it has an ACL where its
 * owner was told and the list could be read: an empty list is one that leaves everything to the mode bits.
 *
 * The version is the PNFS-ID with the size: a file of dCache does not change once it is written, new bytes are a new
 * id. The time of change is the modification time, the only one that a listing tells too.
 */
export function entryOf(name: string, json: Json, { acls }: { readonly acls: boolean }): Entry {
  const { pnfsId, fileType, size, mtime, mode, nlink, fileLocality } = json
  if (typeof pnfsId !== 'string' || !/^[0-9A-Za-z]{1,64}$/.test(pnfsId) || typeof fileType !== 'string') {
    throw unavailable('the storage described an object as none is')
  }
  const type = types[fileType] ?? 'other'
  const bytes = type === 'file' && isCount(size) ? size : 0
  const modified = isCount(mtime) ? BigInt(mtime) * 1_000_000n : 0n
  const locality = type === 'file' && typeof fileLocality === 'string' ? localities[fileLocality] : undefined
  const acl = acls ? aclOf(json) : undefined
  // One after the other and not spread: a listing makes thousands of them.
  const entry: { -readonly [Key in keyof Entry]: Entry[Key] } = {
    name,
    type,
    size: bytes,
    modified,
    changed: modified,
    version: `${pnfsId}-${bytes.toString(16)}`,
    id: pnfsId,
  }
  if (isCount(mode)) entry.mode = mode & 0o7777
  if (isCount(nlink)) entry.links = nlink
  if (acl) entry.acl = acl
  if (locality) entry.locality = locality
  return entry
}

/** Entries of a listing, without those that have no name of ours. */
export function childOf(json: unknown, options: { readonly acls: boolean }): Entry | undefined {
  if (!isRecord(json)) throw unavailable('the storage described an object as none is')
  const { fileName } = json
  return typeof fileName === 'string' && isName(fileName) ? entryOf(fileName, json, options) : undefined
}

export function localityOf(value: unknown): Locality | undefined {
  return typeof value === 'string' ? localities[value] : undefined
}

export function isName(name: string): boolean {
  try {
    checkName(name)
    return true
  } catch {
    // Whatever is wrong with it, no operation could take it.
    return false
  }
}

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Undefined where it could not be read: then nobody is allowed anything. */
function aclOf({ owner, group, acl }: Json): Acl | undefined {
  if (!isCount(owner) || !isCount(group)) return undefined
  try {
    const aces = acl === undefined || acl === null ? [] : parseDcacheJson(acl)
    return { owner: String(owner), group: String(group), aces, dialect: 'dcache' }
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
