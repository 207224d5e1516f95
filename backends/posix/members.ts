/** What is in a directory, on the main thread: names alone, and many objects with one call. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry, Kept, Listing, ListOptions, Member, MembersFacet, PackedEntries, Pending } from '../backend.ts'
import { type Caller, type Desk, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import { keptBy, labelNames } from './kept.ts'
import { parseKept } from './kept-text.ts'
import { type KeptWire, type MemberWire, unpack } from './member-wire.ts'
import { type MembersFound, type Names, versionOfNames } from './membering.ts'
import { withoutAcl } from './path-acls.ts'
import { refusal, requireEntry } from './requiring.ts'
import { wireTypes } from './wire.ts'

/** ns. As long after a change another one may get the same time, by coarse clocks and by one of a server that is a little off. */
const settled = 2_000_000_000n

/** A directory open for its names. */
export async function listNames(
  desk: Desk,
  directory: Path,
  { known }: ListOptions,
  call: Call,
): Promise<Pending<Listing>> {
  const caller = desk.caller(call)
  const { looked, trail } = await desk.see(
    'openNames',
    { path: directory, ...(known !== undefined && { known }) },
    caller,
  )
  const handle = looked.fd === undefined ? undefined : desk.handles.adopt(looked.fd)
  let taken = false
  const proceed = async () => {
    desk.requireAlive(call.signal)
    const entry = requireDirectory(trail.entry, directory)
    if (!looked.first) throw refusal(looked, directory)
    taken = true
    return new NamesListing(desk, versionNow(entry, known), looked.first, handle, caller)
  }
  return { trail, proceed, release: async () => (taken ? undefined : handle?.release()) }
}

/** Undefined as long as the next change may look the same. One that is `known` was told after that time. */
function versionNow({ id, changed }: Entry, known: string | undefined): string | undefined {
  const version = versionOfNames(id, changed)
  return version === known || BigInt(Date.now()) * 1_000_000n - changed > settled ? version : undefined
}

class NamesListing implements Listing {
  readonly version?: string
  readonly #desk: Desk
  readonly #first: Names
  readonly #handle: Handle | undefined
  readonly #caller: Caller

  constructor(desk: Desk, version: string | undefined, first: Names, handle: Handle | undefined, caller: Caller) {
    this.#desk = desk
    this.#first = first
    this.#handle = handle
    this.#caller = caller
    if (version !== undefined) this.version = version
  }

  /** Can be called once. */
  async *pages(): AsyncGenerator<readonly Entry[]> {
    for await (const names of this.packed()) yield entriesOf(names)
  }

  /** Can be called once, instead. */
  async *packed(): AsyncGenerator<PackedEntries> {
    try {
      for (let names: Names | undefined = this.#first; names; ) {
        this.#desk.badNames += names.skipped
        // The next ones are read while these are on their way out.
        const next: Promise<Names | undefined> = names.done ? Promise.resolve(undefined) : this.#next()
        next.catch(() => {})
        if (names.types.length > 0) yield names
        names = await next
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#handle?.release()
  }

  async #next(): Promise<Names | undefined> {
    return this.#handle && this.#desk.run('moreNames', { directory: this.#handle.ref }, this.#caller)
  }
}

function entriesOf({ names, types }: PackedEntries): readonly Entry[] {
  const all = Buffer.from(names.buffer, names.byteOffset, names.length).toString('utf8').split('\0')
  return all.slice(0, -1).map((name, index) => ({
    name,
    type: wireTypes[types[index] ?? 3] ?? 'other',
    size: 0,
    modified: 0n,
    changed: 0n,
    version: '',
    id: '',
  }))
}

export class DirectoryMembers implements MembersFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async look(
    directory: Path,
    names: readonly string[],
    { acls = false, kept = false }: { readonly acls?: boolean; readonly kept?: boolean },
    call: Call,
  ): Promise<Pending<ReadonlyArray<Member | undefined>>> {
    const caller = this.#desk.caller(call)
    const args = { path: directory, names: names.join('\0'), acls, ...(kept && { kept: labelNames(this.#desk.setup) }) }
    const { looked, trail } = await this.#desk.see('members', args, caller)
    return pendingOf(trail, async () => {
      this.#desk.requireAlive(call.signal)
      requireDirectory(trail.entry, directory)
      if (!looked.members) throw refusal(looked, directory)
      return this.#membersOf(directory, names, looked, { acls, kept }, caller)
    })
  }

  async #membersOf(
    directory: Path,
    names: readonly string[],
    { members: packed, ...numbered }: MembersFound,
    { acls, kept }: { readonly acls: boolean; readonly kept: boolean },
    caller: Caller,
  ): Promise<ReadonlyArray<Member | undefined>> {
    const members = packed ? unpack(names, packed) : []
    const found = members.filter((member) => member !== undefined)
    const entries = await this.#entriesOf(directory, found, numbered, acls, caller)
    const all: (Member | undefined)[] = []
    let index = 0
    for (const member of members) {
      const entry = member && entries[index++]
      if (!entry) all.push(undefined)
      else if (!kept || entry.type !== 'file') all.push({ entry })
      else all.push({ entry, kept: await this.#keptOf(member?.[1], entry.version) })
    }
    return all
  }

  async #entriesOf(
    directory: Path,
    found: ReadonlyArray<NonNullable<MemberWire>>,
    numbered: MembersFound,
    acls: boolean,
    caller: Caller,
  ): Promise<readonly Entry[]> {
    const wires = found.map(([wire]) => wire)
    const entries = this.#desk.entries(wires, numbered)
    const { pathAcls } = this.#desk
    if (!pathAcls) return entries
    if (!acls) return entries.map(withoutAcl)
    return pathAcls.completeEntries(directory, entries, this.#desk.glance(caller), caller.signal)
  }

  #keptOf(wire: KeptWire, version: string): Promise<Kept> | Kept {
    if (typeof wire === 'string') return parseKept(wire, version)
    return wire ? keptBy(this.#desk, wire, version) : nothing
  }
}

const nothing: Kept = { digests: {} }

function requireDirectory(entry: Entry | undefined, path: Path): Entry {
  const found = requireEntry({ ancestors: [], parentExists: true, entry }, path)
  if (found.type === 'symlink') {
    const text = 'symbolic links are not followed here'
    throw new StorageError('denied', text, { path, reason: { rule: 'symlink', text } })
  }
  if (found.type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path })
  return found
}
