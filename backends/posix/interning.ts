/**
 * ACLs and directories that an I/O thread has already told the main thread are referred to by number.
 *
 * Numbers only grow and both sides forget the oldest, the main thread at twice the length, so that what
 * the thread still uses the main thread still knows. A result that got lost on the way (its caller had gone) may
 * leave a hole; the look is then repeated and told in full.
 */

import type { Acl } from '../../acl/acl.ts'
import type { Entry, Trail } from '../backend.ts'
import { type Definition, type EntryWire, type Looked, type Numbered, wireTypes } from './wire.ts'

const capacity = 8192

/** Something a thread can refer to. 0: not told yet, or forgotten. */
export interface Told {
  number: number
}

/** The thread's side. */
export class Teller {
  readonly #table: number
  readonly #told = new Map<number, Told>()
  /** In an operation that tells everything: what it has told. */
  readonly #again = new Set<number>()
  #last = 0
  #fresh: Definition[] = []
  #whole = false

  /** `table` must differ between all threads that ever were. */
  constructor(table: number) {
    this.#table = table
  }

  /** Before an operation. `whole`: everything is told again, since its result cannot be asked for twice. */
  begin(whole: boolean): void {
    this.#whole = whole
    if (this.#fresh.length > 0) this.#fresh = []
    if (this.#again.size > 0) this.#again.clear()
  }

  /** Whether a number alone would do. */
  knows(told: Told): boolean {
    return told.number !== 0 && !this.#whole
  }

  refer(told: Told, meaning: Acl | EntryWire): number {
    if (told.number === 0) {
      told.number = ++this.#last
      this.#told.set(told.number, told)
      this.#tell(told.number, meaning)
      this.#forget()
    } else if (this.#whole && !this.#again.has(told.number)) {
      this.#tell(told.number, meaning)
    }
    return told.number
  }

  #tell(number: number, meaning: Acl | EntryWire): void {
    this.#fresh.push([number, meaning])
    if (this.#whole) this.#again.add(number)
  }

  /** After an operation: what goes with its result. */
  end(): Numbered {
    return this.#fresh.length > 0 ? { table: this.#table, fresh: this.#fresh } : { table: this.#table }
  }

  #forget(): void {
    if (this.#told.size <= capacity) return
    for (const [number, told] of this.#told) {
      told.number = 0
      this.#told.delete(number)
      return
    }
  }
}

/** A number that this side has not heard of: ask again, for everything. */
export class UnknownNumber extends Error {}

/** The main thread's side. */
export class Listener {
  readonly #tables = new Map<number, Map<number, Acl | Entry>>()

  /** The trail of a look. Throws UnknownNumber. */
  trail(looked: Looked): Trail {
    const table = this.learn(looked)
    const ancestors = new Array<Entry>(looked.above.length)
    for (let i = 0; i < ancestors.length; i++) {
      const above = looked.above[i] as number | EntryWire
      ancestors[i] = typeof above === 'number' ? (known(table, above) as Entry) : entryOf(above, table)
    }
    const { parentExists, resolved } = looked
    const entry = looked.entry && entryOf(looked.entry, table)
    return resolved === undefined ? { ancestors, parentExists, entry } : { ancestors, parentExists, entry, resolved }
  }

  /** One entry of a result. Throws UnknownNumber. */
  entry(wire: EntryWire, numbered: Numbered): Entry {
    return entryOf(wire, this.learn(numbered))
  }

  /** Entries of a result. Throws UnknownNumber. */
  entries(wires: readonly EntryWire[], numbered: Numbered): Entry[] {
    const table = this.learn(numbered)
    return wires.map((wire) => entryOf(wire, table))
  }

  /** Takes in what a result defines. To be called for results in the order they arrive. */
  learn({ table, fresh }: Numbered): Map<number, Acl | Entry> {
    let numbers = this.#tables.get(table)
    if (!numbers) {
      numbers = new Map()
      this.#tables.set(table, numbers)
      // Threads end and are replaced; their tables go with them.
      if (this.#tables.size > 64) this.#tables.delete(this.#tables.keys().next().value ?? 0)
    }
    if (fresh) this.#define(numbers, fresh)
    return numbers
  }

  #define(numbers: Map<number, Acl | Entry>, fresh: readonly Definition[]): void {
    for (const [number, meaning] of fresh) {
      // The object that is known stays, with all that was computed of it.
      if (!numbers.has(number)) numbers.set(number, isWire(meaning) ? entryOf(meaning, numbers) : meaning)
    }
    for (const number of numbers.keys()) {
      if (numbers.size <= 2 * capacity) return
      numbers.delete(number)
    }
  }
}

function isWire(meaning: Acl | EntryWire): meaning is EntryWire {
  return Array.isArray(meaning)
}

function known(table: Map<number, Acl | Entry>, number: number): Acl | Entry {
  const meaning = table.get(number)
  if (!meaning) throw new UnknownNumber()
  return meaning
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

function entryOf(wire: EntryWire, table: Map<number, Acl | Entry>): Entry {
  const [name, type, size, modified, changed, version, id, mode, links, acl, accessed, allocated] = wire
  const kind = wireTypes[type] ?? 'other'
  const entry: Writable<Entry> = { name, type: kind, size, modified, changed, version, id, mode, links }
  if (accessed !== undefined) entry.accessed = accessed
  if (allocated !== undefined) entry.allocated = allocated
  if (acl !== 0) entry.acl = known(table, acl) as Acl
  if (wire.length > 12) tellRest(entry, wire)
  return entry
}

function tellRest(entry: Writable<Entry>, wire: EntryWire): void {
  const target = wire[12]
  const generation = wire[13]
  const uid = wire[14]
  const gid = wire[15]
  if (target !== undefined) entry.target = target
  if (generation !== undefined) entry.generation = generation
  if (uid !== undefined) entry.owner = String(uid)
  if (gid !== undefined) entry.group = String(gid)
}
