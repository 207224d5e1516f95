/** Properties as extended attributes of dCache, by the frontend (dCache User Guide, "Frontend", namespace, xattr). */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Pending, PropertyFacet } from '../backend.ts'
import { isRecord } from './attributes.ts'
import type { Activity } from './credentials.ts'
import type { Desk, Scope } from './desk.ts'
import { lookAt, walk } from './looking.ts'
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

  get(path: Path, call: Call): Promise<Pending<ReadonlyMap<string, string>>> {
    return this.#look(path, 'READ_METADATA', call, (scope, id) => this.#read(path, id, scope, call))
  }

  set(path: Path, changes: ReadonlyMap<string, string | undefined>, call: Call): Promise<Pending<void>> {
    return this.#look(path, 'UPDATE_METADATA', call, (scope, id) =>
      underLease(this.#desk, [path], async () => {
        const held = await this.#read(path, id, scope, call)
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
      }),
    )
  }

  async #look<T>(
    path: Path,
    activity: Activity,
    call: Call,
    act: (scope: Scope, id: string) => Promise<T>,
  ): Promise<Pending<T>> {
    const scope: Scope = { activities: [activity], object: this.#desk.inDcache(path) }
    const trail = await walk(this.#desk, path, scope, call)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      return act(scope, requireEntry(trail, path).id)
    }
    return { trail, proceed, release: async () => {} }
  }

  async #read(path: Path, id: string, scope: Scope, call: Call): Promise<ReadonlyMap<string, string>> {
    const seen = await lookAt(this.#desk, path, scope, call, { xattr: 'true' })
    if (seen?.entry.id !== id) throw stale(path)
    const attributes = seen.json?.extendedAttributes
    const found = new Map<string, string>()
    for (const [name, value] of isRecord(attributes) ? Object.entries(attributes).slice(0, most) : []) {
      if (typeof value === 'string') found.set(decode(name), value)
    }
    return found
  }
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
