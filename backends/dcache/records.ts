/**
 * Records as one extended attribute of dCache, with the content version that they are of. An upload and a copy have
 * theirs before they get their name; whoever may not set attributes keeps none.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Kept, Pending, RecordFacet, RecordOptions } from '../backend.ts'
import { requireBefore } from '../recording.ts'
import { isRecord, type Json } from './attributes.ts'
import type { Desk, Scope } from './desk.ts'
import { digestsOfJson } from './digest-header.ts'
import { type Look, lookAt, type Seen, walk } from './looking.ts'
import { requireEntry, requireFile, stale, underLease } from './requiring.ts'

/** No property of callers has this name. */
export const recordName = 'portolan.record'

/** Characters; longer ones are not ours. */
const longest = 512 * 1024

/** Extended attributes, without ours. */
export function othersOf(attributes: unknown): Json {
  if (!isRecord(attributes)) return {}
  const { [recordName]: _, ...others } = attributes
  return others
}

/** What is kept, of a look with `xattr` and perhaps `checksum`. Nothing without the frontend. */
export function keptOf({ entry, json }: Seen): Kept {
  const attributes = json?.extendedAttributes
  const text = isRecord(attributes) ? attributes[recordName] : undefined
  const isText = typeof text === 'string' && text.length <= longest
  const record = isText ? recordIn(text, entry.version) : undefined
  return { digests: digestsOfJson(json?.checksums), ...(record !== undefined && { record }) }
}

/** A look that brings along what is kept with the object at `path`. */
export function keeping(path: Path): { readonly look: Look; kept(): Kept | undefined } {
  let seen: Seen | undefined
  return {
    look: async (desk, at, scope, call) => {
      if (at !== path) return lookAt(desk, at, scope, call)
      seen = await lookAt(desk, at, scope, call, { xattr: 'true', checksum: 'true' })
      return seen
    },
    kept: () => (seen?.json && seen.entry.type === 'file' ? keptOf(seen) : undefined),
  }
}

/** Gives a record to an object of this version. False: the caller may not. */
export async function giveRecord(
  desk: Desk,
  path: Path,
  { version, record }: { readonly version: string; readonly record: string },
  scope: Scope,
  call: Call,
): Promise<boolean> {
  const attributes = { [recordName]: JSON.stringify({ version, record }) }
  try {
    await desk.change(path, { action: 'set-xattr', mode: 'EITHER', attributes }, scope, call)
    return true
  } catch (error) {
    if (StorageError.from(error).code !== 'denied') throw error
    return false
  }
}

export class DcacheRecords implements RecordFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async get(path: Path, call: Call): Promise<Pending<Kept>> {
    const { look, kept } = keeping(path)
    const trail = await walk(this.#desk, path, this.#scope(path, 'READ_METADATA'), call, look)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      requireEntry(trail, path)
      return kept() ?? { digests: {} }
    }
    return { trail, proceed, release: async () => {} }
  }

  async set(path: Path, record: string | undefined, options: RecordOptions, call: Call): Promise<Pending<void>> {
    const scope = this.#scope(path, 'UPDATE_METADATA')
    const trail = await walk(this.#desk, path, scope, call)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      requireFile(trail, path)
      return underLease(this.#desk, [path], () => this.#change(path, record, options, scope, call))
    }
    return { trail, proceed, release: async () => {} }
  }

  async #change(
    path: Path,
    record: string | undefined,
    { version, before }: RecordOptions,
    scope: Scope,
    call: Call,
  ): Promise<void> {
    const seen = await lookAt(this.#desk, path, scope, call, { xattr: 'true' })
    if (seen?.entry.version !== version) throw stale(path)
    requireBefore(before, keptOf(seen), path)
    if (record !== undefined) {
      if (await giveRecord(this.#desk, path, { version, record }, scope, call)) return
      throw new StorageError('denied', 'not allowed', { path })
    }
    const attributes = seen.json?.extendedAttributes
    // dCache fails for what is not there.
    if (!isRecord(attributes) || !(recordName in attributes)) return
    await this.#desk.change(path, { action: 'rm-xattr', names: [recordName] }, scope, call, false)
  }

  #scope(path: Path, activity: 'READ_METADATA' | 'UPDATE_METADATA'): Scope {
    return { activities: [activity], object: this.#desk.inDcache(path) }
  }
}

/** Undefined for one of other bytes, and for what somebody else has written there. */
function recordIn(text: string, version: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) && value.version === version && typeof value.record === 'string' ? value.record : undefined
  } catch {
    return undefined
  }
}
