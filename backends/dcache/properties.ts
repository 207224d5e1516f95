/** Properties as extended attributes of dCache, by the frontend (dCache User Guide, "Frontend", namespace, xattr). */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Pending, PropertyFacet } from '../backend.ts'
import type { Activity } from './credentials.ts'
import type { Desk, Scope } from './desk.ts'
import { type Look, lookAt, type Seen, walk } from './looking.ts'
import { othersOf, recordName } from './records.ts'
import { requireEntry, stale, underLease } from './requiring.ts'

/** Most attributes of one object that are looked at. */
const most = 4096

/**
 * Names that dCache's users would write are taken as they are; all bytes of other names but these letters are
 * percent-encoded. New values and removals are two requests, the values first: a failure in between leaves what was to
 * be removed.
 */
export class DcacheProperties implements PropertyFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /** The look brings them along. */
  async get(path: Path, call: Call): Promise<Pending<ReadonlyMap<string, string>>> {
    let seen: Seen | undefined
    const look: Look = async (desk, at, scope, call) => {
      if (at !== path) return lookAt(desk, at, scope, call)
      seen = await lookAt(desk, at, scope, call, { xattr: 'true' })
      return seen
    }
    const trail = await walk(this.#desk, path, this.#scope(path, 'READ_METADATA'), call, look)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      requireEntry(trail, path)
      return attributesOf(seen)
    }
    return { trail, proceed, release: async () => {} }
  }

  async set(path: Path, changes: ReadonlyMap<string, string | undefined>, call: Call): Promise<Pending<void>> {
    const scope = this.#scope(path, 'UPDATE_METADATA')
    if (changes.has(recordName)) throw new StorageError('denied', 'the name is reserved', { path })
    const trail = await walk(this.#desk, path, scope, call)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      const { id } = requireEntry(trail, path)
      return underLease(this.#desk, [path], () => this.#change(path, id, changes, scope, call))
    }
    return { trail, proceed, release: async () => {} }
  }

  async #change(
    path: Path,
    id: string,
    changes: ReadonlyMap<string, string | undefined>,
    scope: Scope,
    call: Call,
  ): Promise<void> {
    const seen = await lookAt(this.#desk, path, scope, call, { xattr: 'true' })
    if (seen?.entry.id !== id) throw stale(path)
    const held = attributesOf(seen)
    this.#desk.requireAlive(call)
    const values = new Map<string, string>()
    const gone: string[] = []
    for (const [name, value] of changes) {
      if (value !== undefined) values.set(encode(name), value)
      // dCache fails for what is not there.
      else if (held.has(name)) gone.push(encode(name))
    }
    if (values.size > 0) {
      const attributes = Object.fromEntries(values)
      await this.#desk.change(path, { action: 'set-xattr', mode: 'EITHER', attributes }, scope, call)
    }
    if (gone.length > 0) await this.#desk.change(path, { action: 'rm-xattr', names: gone }, scope, call, false)
  }

  #scope(path: Path, activity: Activity): Scope {
    return { activities: [activity], object: this.#desk.inDcache(path) }
  }
}

function attributesOf(seen: Seen | undefined): ReadonlyMap<string, string> {
  const attributes = othersOf(seen?.json?.extendedAttributes)
  const found = new Map<string, string>()
  for (const [name, value] of Object.entries(attributes).slice(0, most)) {
    if (typeof value === 'string') found.set(decode(name), value)
  }
  return found
}

function encode(name: string): string {
  return encodeURIComponent(name).replace(
    /[!'()*~]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    // Somebody else's name, with a percent sign of its own.
    return name
  }
}
