/**
 * What goes with a file: properties and digests. In extended attributes as long as they fit, else in the overflow
 * store under the file's id; then an attribute, where there can be one, says so.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Pending, PropertyFacet } from '../backend.ts'
import { type Caller, type Desk, lookInto, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import type { AttributesRead } from './keeping.ts'
import { underLease } from './leasing.ts'
import type { PosixSetup } from './options.ts'
import { requireEntry } from './requiring.ts'

/** Names of our attributes. Callers' property names are inside values, so none of them can name one of these. */
export function attributeNames({ xattrNamespace }: PosixSetup) {
  const name = (last: string) => `${xattrNamespace}.portolan.${last}`
  return { properties: name('properties'), digests: name('digests'), elsewhere: name('elsewhere') } as const
}

/** Bytes of properties of one object. */
const maxBytes = 1024 * 1024
/** Larger values are not even tried: the kernel takes no more. */
const maxAttribute = 60_000
/** Keys in the overflow store: properties of callers, and what is kept with the bytes. */
const propertyKey = (name: string) => `p:${name}`
export const digestKey = 'digests'

type Properties = ReadonlyMap<string, string>

export class FileProperties implements PropertyFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async get(path: Path, call: Call): Promise<Pending<Properties>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      requireEntry(trail, path)
      return object ? (await this.#read(object, caller)).properties : new Map<string, string>()
    }
    return pendingOf(trail, proceed, object)
  }

  async set(path: Path, changes: ReadonlyMap<string, string | undefined>, call: Call): Promise<Pending<void>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const { type } = requireEntry(trail, path)
      if (!object || (type !== 'file' && type !== 'directory')) {
        throw new StorageError('unsupported', 'only files and directories hold properties', { path })
      }
      await underLease(this.#desk, trail, () => this.#change(object, changes, caller, path))
    }
    return pendingOf(trail, proceed, object)
  }

  async #change(
    object: Handle,
    changes: ReadonlyMap<string, string | undefined>,
    caller: Caller,
    path: Path,
  ): Promise<void> {
    const { properties, read } = await this.#read(object, caller)
    if (read.gone) throw new StorageError('stale', 'the object has gone', { path })
    const next = new Map(properties)
    for (const [name, value] of changes) {
      if (value === undefined) next.delete(name)
      else next.set(name, value)
    }
    const bytes = Buffer.from(JSON.stringify([...next]))
    if (bytes.length > maxBytes) throw new StorageError('too-large', 'the properties are too long', { path })
    await this.#write(object, next, bytes, read, caller)
  }

  async #read(
    object: Handle,
    caller: Caller,
  ): Promise<{ readonly properties: Properties; readonly read: AttributesRead }> {
    const names = attributeNames(this.#desk.setup)
    const args = { object: object.ref, names: [names.properties, names.elsewhere] }
    const read = await this.#desk.run('readAttributes', args, caller)
    const [value, elsewhere] = read.values
    if (value) return { properties: parseProperties(value), read }
    if (read.supported && !elsewhere) return { properties: new Map(), read }
    const stored = await this.#desk.services.overflow.get(this.#desk.name, read.overflow)
    const prefix = propertyKey('')
    const own = [...stored].filter(([key]) => key.startsWith(prefix))
    return { properties: new Map(own.map(([key, text]) => [key.slice(prefix.length), text])), read }
  }

  async #write(object: Handle, next: Properties, bytes: Buffer, read: AttributesRead, caller: Caller): Promise<void> {
    const names = attributeNames(this.#desk.setup)
    const wasElsewhere = !read.supported || read.values[1] !== undefined
    const marked = [names.elsewhere, Uint8Array.of(49)] as const
    if (read.supported && bytes.length <= maxAttribute) {
      const outcome = await this.#attributes(object, caller, [
        [names.properties, next.size > 0 ? new Uint8Array(bytes) : undefined],
        wasElsewhere && (await this.#holdsOthers(read.overflow)) ? marked : [names.elsewhere, undefined],
      ])
      if (outcome === 'done') {
        if (wasElsewhere) await this.#overflow(read.overflow, new Map())
        return
      }
    }
    await this.#overflow(read.overflow, next)
    if (!read.supported) return
    const gone = [names.properties, undefined] as const
    // The old value counts as long as it is there, so that at no moment there is none at all; only where both
    // together have no room it has to go first.
    let outcome = await this.#attributes(object, caller, [marked, gone])
    if (outcome === 'full') outcome = await this.#attributes(object, caller, [gone, marked])
    if (outcome !== 'done') throw new StorageError('no-space', 'the object can hold no more attributes')
  }

  /** What is kept with the bytes of the file may be there too. */
  async #holdsOthers(id: string): Promise<boolean> {
    return (await this.#desk.services.overflow.get(this.#desk.name, id)).has(digestKey)
  }

  #attributes(object: Handle, caller: Caller, values: ReadonlyArray<readonly [string, Uint8Array | undefined]>) {
    return this.#desk.run('writeAttributes', { object: object.ref, values }, this.#desk.surely(caller))
  }

  /** Makes the properties kept elsewhere exactly these. */
  async #overflow(id: string, next: Properties): Promise<void> {
    const { overflow } = this.#desk.services
    const values = new Map<string, string | undefined>()
    for (const key of (await overflow.get(this.#desk.name, id)).keys()) {
      if (key.startsWith(propertyKey(''))) values.set(key, undefined)
    }
    for (const [name, value] of next) values.set(propertyKey(name), value)
    if (values.size > 0) await overflow.set(this.#desk.name, id, values)
  }
}

function parseProperties(value: Uint8Array): Properties {
  const text = Buffer.from(value).toString('utf8')
  try {
    const pairs: unknown = JSON.parse(text)
    if (Array.isArray(pairs) && pairs.every(isPair)) return new Map(pairs)
  } catch {
    // Told below: somebody else has written to it.
  }
  throw new StorageError('internal', 'the properties of the object cannot be read')
}

function isPair(pair: unknown): pair is [string, string] {
  return Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string')
}

/** Takes properties kept elsewhere along to a new file. Returns what forgets those of the old one. */
export async function moveOverflow(desk: Desk, from: string | undefined, to: string): Promise<() => Promise<void>> {
  const { overflow } = desk.services
  const values = from === undefined ? undefined : await overflow.get(desk.name, from)
  if (from === undefined || !values || values.size === 0) return async () => {}
  const kept = new Map([...values].filter(([key]) => key !== digestKey))
  if (kept.size > 0) await overflow.set(desk.name, to, kept)
  return () => overflow.removeAll(desk.name, from)
}

/** Forgets what was kept elsewhere for an object that is gone. */
export async function forgetOverflow(desk: Desk, id: string | undefined): Promise<void> {
  if (id === undefined) return
  try {
    await desk.services.overflow.removeAll(desk.name, id)
  } catch (error) {
    // It belongs to an id that no file will have again.
    desk.log(`${desk.name}: properties of a removed object could not be removed`, error)
  }
}
