/** The If header (RFC 4918, section 10.4): conditions on locks and versions, and the tokens that a request submits. */

import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Conditions } from '../core/storage.ts'
import { etagOf } from '../http/conditions.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { locate } from './headers.ts'

/** Of one header. */
const maxConditions = 256
const maxResources = 32

export interface Condition {
  readonly not: boolean
  /** A state token, or an entity tag as it was sent. */
  readonly token?: string
  readonly etag?: string
}

/** Conditions that must all hold; of several lists one is enough. */
export interface List {
  /** What it is about, as it was sent; undefined for the request's own target. */
  readonly tag: string | undefined
  readonly conditions: readonly Condition[]
}

/** Throws `invalid`: a condition that cannot be read must not be taken for true. */
export function parseIf(text: string): readonly List[] {
  return new Parser(text).lists()
}

/** Each state token of the header, wherever it stands: naming it submits it (section 10.4.1). */
export function tokensOf(lists: readonly List[]): readonly string[] {
  return [...new Set(lists.flatMap(({ conditions }) => conditions.flatMap(({ token }) => token ?? [])))]
}

/** Those that are to hold rather than not, as DAV:no-lock is. */
export function requiredTokensOf(lists: readonly List[]): readonly string[] {
  return tokensOf(lists.map(({ tag, conditions }) => ({ tag, conditions: conditions.filter(({ not }) => !not) })))
}

/**
 * For methods that change something, before they do. Submits the tokens with the call. Throws
 * `precondition` where no list holds. Where the target's own version is asked for in whatever way the header can hold,
 * these versions come back, for the change to be made of them alone.
 */
export async function evaluateIf(x: Exchange): Promise<readonly string[] | undefined> {
  const header = x.request.headers.if
  if (header === undefined) return undefined
  const lists = parseIf(String(header))
  const tokens = tokensOf(lists)
  x.submit(tokens)
  const resources = new Resources(x, tokens)
  const versions: string[] = []
  let holds = false
  let isBound = true
  for (const { tag, conditions } of lists) {
    const place = tag === undefined ? x.path : placeOf(x, tag)
    if (!(await resources.hold(place, conditions))) continue
    holds = true
    const own = place === x.path ? conditions.flatMap(({ not, etag }) => (not ? [] : (etag ?? []))) : []
    if (own.length === 0) isBound = false
    versions.push(...own.map((etag) => etag.slice(1, -1)))
  }
  if (!holds) throw new StorageError('precondition', 'no list of the If header holds', { path: x.path })
  return isBound ? versions : undefined
}

/** A method that changes something, behind its If header. */
export function conditional(method: Method): Method {
  return {
    ...method,
    async run(x) {
      await applyIf(x)
      await method.run(x)
    },
  }
}

/** `evaluateIf`, remembered for `withIf`. */
export async function applyIf(x: Exchange): Promise<void> {
  const versions = await evaluateIf(x)
  if (versions) bound.set(x, versions)
}

const bound = new WeakMap<Exchange, readonly string[]>()

/** The conditions of the request, with what its If header says of the target's version; decided again at the change. */
export function withIf(x: Exchange, conditions: Conditions | undefined): Conditions | undefined {
  return withVersions(conditions, bound.get(x))
}

/** If-Match, where the request names versions in it, says enough. */
export function withVersions(
  conditions: Conditions | undefined,
  ifMatch: readonly string[] | undefined,
): Conditions | undefined {
  const { ifMatch: named } = conditions ?? {}
  return ifMatch && (named === undefined || named === '*') ? { ...conditions, ifMatch } : conditions
}

/** Undefined for what another server answers for, and for what cannot be a path of ours. */
function placeOf(x: Exchange, tag: string): Path | undefined {
  const found = locate(x, tag)
  return found === 'elsewhere' ? undefined : found
}

/** What is known of the resources that a header speaks of, each asked once. */
class Resources {
  readonly #x: Exchange
  readonly #tokens: readonly string[]
  readonly #locks = new Map<Path, ReadonlySet<string>>()
  readonly #etags = new Map<Path, string | undefined>()
  readonly #seen = new Set<Path>()

  constructor(x: Exchange, tokens: readonly string[]) {
    this.#x = x
    this.#tokens = tokens
  }

  async hold(path: Path | undefined, conditions: readonly Condition[]): Promise<boolean> {
    for (const { not, token, etag } of conditions) {
      const matches =
        path !== undefined &&
        (token !== undefined ? (await this.#locksOf(path)).has(token) : (await this.#etagOf(path)) === etag)
      if (matches === not) return false
    }
    return true
  }

  async #locksOf(path: Path): Promise<ReadonlySet<string>> {
    let known = this.#locks.get(path)
    if (!known) {
      this.#count(path)
      const { storage } = this.#x.door
      known = (await unlessClosed(() => storage.locks.matching(this.#x.call, path, this.#tokens))) ?? new Set()
      this.#locks.set(path, known)
    }
    return known
  }

  /** Undefined for what has no version, or none that the caller may know. */
  async #etagOf(path: Path): Promise<string | undefined> {
    if (!this.#etags.has(path)) {
      this.#count(path)
      const entry = await unlessClosed(() => this.#x.door.storage.stat(this.#x.call, path))
      this.#etags.set(path, entry && entry.version !== '' ? etagOf(entry.version) : undefined)
    }
    return this.#etags.get(path)
  }

  #count(path: Path): void {
    this.#seen.add(path)
    if (this.#seen.size > maxResources) throw tooMuch()
  }
}

/** Codes that say that nothing is to be known of a resource. */
const closed: ReadonlySet<string> = new Set(['not-found', 'not-directory', 'denied', 'unauthenticated', 'no-parent'])

async function unlessClosed<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof StorageError && closed.has(error.code)) return undefined
    throw error
  }
}

class Parser {
  readonly #text: string
  #at = 0
  #conditions = 0

  constructor(text: string) {
    this.#text = text
  }

  lists(): readonly List[] {
    const lists: List[] = []
    this.#skip()
    const tagged = this.#peek() === '<'
    while (this.#at < this.#text.length) {
      const tag = tagged ? this.#between('<', '>') : undefined
      this.#skip()
      do {
        lists.push({ tag, conditions: this.#list() })
        this.#skip()
      } while (this.#peek() === '(')
    }
    if (lists.length === 0) throw malformed()
    return lists
  }

  #list(): readonly Condition[] {
    const conditions: Condition[] = []
    this.#take('(')
    for (this.#skip(); this.#peek() !== ')'; this.#skip()) conditions.push(this.#condition())
    this.#take(')')
    if (conditions.length === 0) throw malformed()
    return conditions
  }

  #condition(): Condition {
    if (++this.#conditions > maxConditions) throw tooMuch()
    const not = /^not/i.test(this.#text.slice(this.#at, this.#at + 3))
    if (not) this.#at += 3
    this.#skip()
    if (this.#peek() === '<') return { not, token: this.#between('<', '>') }
    this.#take('[')
    const match = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"\]/y
    match.lastIndex = this.#at
    const [etag] = match.exec(this.#text) ?? []
    if (etag === undefined) throw malformed()
    this.#at += etag.length
    return { not, etag: etag.slice(0, -1) }
  }

  #between(open: string, close: string): string {
    this.#take(open)
    const end = this.#text.indexOf(close, this.#at)
    const found = end < 0 ? '' : this.#text.slice(this.#at, end)
    if (!/^[\x21-\x7e]+$/.test(found)) throw malformed()
    this.#at = end + 1
    return found
  }

  #peek(): string | undefined {
    return this.#text[this.#at]
  }

  #take(character: string): void {
    if (this.#peek() !== character) throw malformed()
    this.#at++
  }

  #skip(): void {
    while (this.#peek() === ' ' || this.#peek() === '\t') this.#at++
  }
}

function malformed(): StorageError {
  return new StorageError('invalid', 'the If header cannot be read')
}

function tooMuch(): StorageError {
  return new StorageError('too-large', 'the If header asks too much')
}
