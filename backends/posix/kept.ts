/**
 * What is kept with the bytes of a file under their content version: digests, and a front end's record. It is the value
 * of one attribute; where there is no room for that it lies in the overflow store, and a second attribute says so.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Digests, Kept, Pending, RecordFacet, RecordOptions, Trail } from '../backend.ts'
import { requireBefore } from '../recording.ts'
import { type Caller, type Desk, lookInto, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import { type Labels, parseKept, textOfKept } from './kept-text.ts'
import type { KeptValue, LabelNames } from './labelling.ts'
import { underLease } from './leasing.ts'
import type { PosixSetup } from './options.ts'
import { attributeNames, digestKey } from './properties.ts'
import { requireEntry, requireFile } from './requiring.ts'

const nothing: Kept = { digests: {} }
const marked = Uint8Array.of(49)
/** Longer values are not even tried: the kernel takes no more. */
const maxValue = 60_000

const gone: ReadonlyMap<string, undefined> = new Map([[digestKey, undefined]])

/** Under which names the attributes are. */
export function labelNames(setup: PosixSetup): LabelNames {
  const { digests: name, elsewhere: marker } = attributeNames(setup)
  return { name, marker }
}

/** What is to be kept, as the attribute is to hold it; undefined for nothing. */
export function labelsOf(
  setup: PosixSetup,
  { digests = {}, record }: { readonly digests?: Digests; readonly record?: string | undefined },
): Labels | undefined {
  const known = Object.entries(digests).filter((entry) => entry[1] !== undefined)
  if (known.length === 0 && record === undefined) return undefined
  const encoded = known.map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')])
  return { ...labelNames(setup), digests: Object.fromEntries(encoded), ...(record !== undefined && { record }) }
}

/** What is kept of this version, by what an I/O thread has read. */
export async function keptBy(desk: Desk, { value, overflow }: KeptValue, version: string): Promise<Kept> {
  if (value) return parseKept(Buffer.from(value).toString('utf8'), version)
  if (overflow === undefined) return nothing
  const stored = (await desk.services.overflow.get(desk.name, overflow)).get(digestKey)
  return stored === undefined ? nothing : parseKept(stored, version)
}

/** The same, read now; also where the file has had no room for the word that it is elsewhere. */
export async function readKept(desk: Desk, object: Handle, version: string, caller: Caller): Promise<Kept> {
  const read = await desk.run('readKept', { object: object.ref, names: labelNames(desk.setup) }, caller)
  return keptBy(desk, { ...read, overflow: read.id }, version)
}

/** Keeps what a file has no room for. */
export async function keepElsewhere(desk: Desk, id: string, version: string, labels: Labels): Promise<void> {
  await desk.services.overflow.set(desk.name, id, new Map([[digestKey, textOfKept(version, labels)]]))
}

/**
 * Changes what is kept of the file that a look has found, whoever else does so meanwhile. Throws `stale` where it is of
 * another version, and `no-space` where it can hold no more.
 */
export function changeKept(
  desk: Desk,
  { trail, object, version }: { readonly trail: Trail; readonly object: Handle; readonly version: string },
  change: (kept: Kept) => Kept,
  caller: Caller,
): Promise<void> {
  return underLease(desk, trail, async () => {
    const names = labelNames(desk.setup)
    const read = await desk.run('readKept', { object: object.ref, names, version }, caller)
    const labels = labelsOf(desk.setup, change(await keptBy(desk, { ...read, overflow: read.id }, version)))
    const value = labels && new Uint8Array(Buffer.from(textOfKept(version, labels)))
    const { overflow } = desk.services
    const write = (name: string, bytes: Uint8Array | undefined) =>
      desk.run('writeAttributes', { object: object.ref, values: [[name, bytes]] }, desk.surely(caller))
    const outcome = value && value.length > maxValue ? 'full' : await write(names.name, value)
    if (labels && outcome !== 'done') {
      await keepElsewhere(desk, read.id, version, labels)
      if (outcome === 'unsupported') return
      // Digests that nobody finds can be computed again.
      if ((await write(names.marker, marked)) !== 'done' && labels.record !== undefined) {
        await overflow.set(desk.name, read.id, gone)
        throw new StorageError('no-space', 'the object can hold no more attributes')
      }
      // The old value counts as long as it is there.
      await write(names.name, undefined)
    } else if (read.overflow !== undefined) {
      await overflow.set(desk.name, read.overflow, gone)
    }
  })
}

export class FileRecords implements RecordFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async get(path: Path, call: Call): Promise<Pending<Kept>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const { version, type } = requireEntry(trail, path)
      return object && type === 'file' ? readKept(this.#desk, object, version, caller) : nothing
    }
    return pendingOf(trail, proceed, object)
  }

  async set(
    path: Path,
    record: string | undefined,
    { version, before }: RecordOptions,
    call: Call,
  ): Promise<Pending<void>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      requireFile(trail, path)
      if (!object) throw new StorageError('denied', 'this belongs to another file system', { path })
      const change = (kept: Kept) => {
        requireBefore(before, kept, path)
        return { digests: kept.digests, ...(record !== undefined && { record }) }
      }
      await changeKept(this.#desk, { trail, object, version }, change, caller)
    }
    return pendingOf(trail, proceed, object)
  }
}
