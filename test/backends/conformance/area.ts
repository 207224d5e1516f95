/** What one conformance test works with: a directory of its own in the back end, and short words for common acts. */

import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import type { Test } from 'tap'
import type { Acl } from '../../../acl/acl.ts'
import type { Principal } from '../../../acl/principal.ts'
import type { Backend, CommitCondition, CommitOptions, Draft, Entry, Pending } from '../../../backends/backend.ts'
import type { Call } from '../../../gateway/core/call.ts'
import { type ErrorCode, StorageError } from '../../../gateway/core/errors.ts'
import { join, type Path } from '../../../gateway/core/path.ts'

/** A back end made for tests, empty at first, whose root the default principal may do everything in. */
export interface World {
  readonly backend: Backend
  /** Callers; the first is the default. A second one is needed for tests of ownership only. */
  readonly principals: readonly [Principal, ...Principal[]]
  /** Makes many empty files quickly, if the back end's own way is slow. */
  fill?(directory: Path, names: readonly string[]): Promise<void>
  /** Makes a symbolic link, which no operation of a back end does. */
  link?(path: Path, target: string): Promise<void>
  /** Whatever lies in the store beside the objects that can be listed: staging files, journal entries. */
  leftovers?(): Promise<readonly string[]>
  /** A list that this store can hold exactly, if not every list; it lets the default principal go on. */
  readonly acl?: Acl
  /** Names that do not exist for any operation. One of them may exist in the root all the same. */
  readonly reserved?: readonly string[]
  /** What the file system below goes without: the suite expects the clear refusal there, and nothing to have changed. */
  readonly lacks?: readonly Ability[]
  cleanup(): Promise<void>
}

/** What not every file system does: names that change places; space that is reserved and leaves the size as it is. */
export type Ability = 'exchanging' | 'reserving'

/** A test that this back end does not pass, and why that is right. */
export interface Deviation {
  readonly test: string
  readonly reason: string
}

export interface Harness {
  readonly name: string
  start(): Promise<World>
  readonly deviations?: readonly Deviation[]
}

export interface Case {
  /** A sentence that is true. Deviations name it. */
  readonly name: string
  /** The test concerns back ends that have this facet. */
  readonly facet?: Facet
  /** It spoils the back end, so it gets one of its own. */
  readonly alone?: boolean
  run(t: Test, area: Area): Promise<void>
}

export const facets = [
  'acls',
  'copying',
  'checksums',
  'quotas',
  'editing',
  'linking',
  'exchanging',
  'xattrs',
  'properties',
  'checking',
  'records',
  'members',
  'resuming',
] as const
export type Facet = (typeof facets)[number]

export class Area {
  readonly world: World
  readonly backend: Backend
  readonly base: Path
  readonly call: Call

  constructor(world: World, base: Path) {
    this.world = world
    this.backend = world.backend
    this.base = base
    this.call = this.as(0)
  }

  /** A call by one of the world's principals. */
  as(index: number, signal: AbortSignal = new AbortController().signal): Call {
    const principal = this.world.principals[index] ?? this.world.principals[0]
    return { id: `t${index}`, principal, protocol: 'internal', from: '127.0.0.1', signal }
  }

  at(...names: string[]): Path {
    return names.reduce<Path>((path, name) => join(path, name), this.base)
  }

  async entry(path: Path): Promise<Entry | undefined> {
    return (await this.backend.walk(path, this.call)).entry
  }

  async known(path: Path): Promise<Entry> {
    const entry = await this.entry(path)
    if (!entry) throw new Error(`${path} should exist`)
    return entry
  }

  async exists(path: Path): Promise<boolean> {
    return (await this.entry(path)) !== undefined
  }

  async write(path: Path, bytes: string | Uint8Array, options: Partial<CommitOptions> = {}): Promise<Entry> {
    const draft = await this.draft(path, bytes)
    try {
      return await this.commit(draft, options)
    } catch (error) {
      await draft.discard()
      throw error
    }
  }

  /** A draft whose body has ended. */
  async draft(path: Path, bytes: string | Uint8Array, call = this.call): Promise<Draft> {
    const draft = await act(this.backend.create(path, {}, call))
    const body = Buffer.from(bytes)
    await pipeline(Readable.from(body.length === 0 ? [] : [body]), draft.body)
    return draft
  }

  commit(draft: Draft, options: Partial<CommitOptions> = {}): Promise<Entry> {
    return draft.commit({ condition: 'any', decide: () => {}, ...options })
  }

  writeIf(path: Path, bytes: string, condition: CommitCondition): Promise<Entry> {
    return this.write(path, bytes, { condition })
  }

  async read(path: Path): Promise<Buffer> {
    const file = await act(this.backend.open(path, {}, this.call))
    try {
      return await buffer(file.stream({ start: 0, end: file.entry.size }))
    } finally {
      await file.close()
    }
  }

  async text(path: Path): Promise<string> {
    return (await this.read(path)).toString()
  }

  mkdir(path: Path): Promise<Entry> {
    return act(this.backend.mkdir(path, this.call))
  }

  remove(path: Path): Promise<void> {
    return act(this.backend.remove(path, this.call))
  }

  rename(from: Path, to: Path, condition: 'any' | 'absent' = 'any'): Promise<Entry> {
    return act(this.backend.rename(from, to, { condition }, this.call))
  }

  async list(directory: Path, options: { readonly acls?: boolean } = {}): Promise<Entry[]> {
    const listing = await act(this.backend.list(directory, options, this.call))
    const entries: Entry[] = []
    for await (const page of listing.pages()) entries.push(...page)
    return entries
  }

  /** Names in a directory, sorted. */
  async names(directory: Path): Promise<string[]> {
    return (await this.list(directory)).map(({ name }) => name).sort()
  }

  lacks(ability: Ability): boolean {
    return this.world.lacks?.includes(ability) === true
  }

  async leftovers(): Promise<readonly string[]> {
    return (await this.world.leftovers?.()) ?? []
  }
}

/** What does not change by looking: a link is read for its target. */
export function lasting({ accessed: _, ...entry }: Entry): Omit<Entry, 'accessed'> {
  return entry
}

/** What is told with ACLs and without. */
export function apartFromAcl(entry: Entry): Partial<Entry> {
  const { acl: _, generation: __, owner: ___, group: ____, ...rest } = lasting(entry)
  return rest
}

/**
 * Looks, proceeds and lets go. Listings and open files are used after `release`: what `proceed` gave has
 * its own end.
 */
export async function act<T>(looking: Promise<Pending<T>>): Promise<T> {
  const pending = await looking
  try {
    return await pending.proceed()
  } finally {
    await pending.release()
  }
}

/** Passes if the promise fails with a StorageError of one of these codes. */
export async function fails(
  t: Test,
  promise: Promise<unknown>,
  codes: ErrorCode | readonly ErrorCode[],
  message = 'fails',
): Promise<void> {
  const expected: readonly ErrorCode[] = typeof codes === 'string' ? [codes] : codes
  try {
    await promise
    t.fail(`${message}: should fail with ${expected.join(' or ')}`)
  } catch (error) {
    if (!(error instanceof StorageError)) {
      t.fail(`${message}: should fail with a StorageError`, { found: error })
    } else {
      t.ok(expected.includes(error.code), `${message}: ${expected.join(' or ')}, found ${error.code}`)
    }
  }
}

/** Writes chunk by chunk, respecting back-pressure, and ends the body. */
export async function pour(draft: Draft, chunks: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    if (!draft.body.write(chunk)) await new Promise((resolve) => draft.body.once('drain', resolve))
  }
  draft.body.end()
  await finished(draft.body)
}

/** Bytes that show where they belong. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8) * 7 + (at >>> 16)) & 0xff
  return bytes
}

/** Names that break programs which quote, split, normalise or trim. */
export const hostileNames: readonly string[] = [
  'with space',
  ' leading and trailing ',
  'hello? world#1%20&a=b+c;d:e',
  '"double" \'single\' `back`',
  'back\\slash',
  'new\nline',
  'carriage\rreturn\ttab',
  '\u202eright-to-left\u200f',
  '\u0001control\u007f',
  '-rf',
  '--help',
  '.hidden',
  '...',
  '..a',
  'trailing.',
  '~',
  '$HOME',
  '*',
  '[a-z]{x}',
  'CON',
  'emoji \u{1f9ed}\u{1f468}\u200d\u{1f469}',
  'e\u0301 decomposed',
  '\u00e9 composed',
  '\u65e5\u672c\u8a9e',
  '\uff5e beyond \u{10ffff}',
  'x'.repeat(255),
  '\u00e9'.repeat(127),
]
