/**
 * The members of a directory in a PROPFIND of depth 1. What comes with the listing costs nothing more; what has to be
 * asked for each member is asked only where it was named, or where the members are few.
 */

import { right } from '../../acl/acl.ts'
import type { Digests, Entry, Locality } from '../../backends/backend.ts'
import { eachOf } from '../core/deciding-many.ts'
import type { About, Listed } from '../core/listing.ts'
import type { Discovery } from '../core/locking.ts'
import { join } from '../core/path.ts'
import type { Exchange } from '../http/exchange.ts'
import { deadAmong } from './dead.ts'
import { localityOf, optional } from './extras.ts'
import type { Dead, Plan } from './plan.ts'
import { type Extra, type Subject, toldDigests } from './properties.ts'

/** Calls to the back end at once. */
const atOnce = 16
/**
 * An allprop, and many clients know no other question, tells the dead properties of members of directories up to
 * this size: each takes a call to the back end.
 */
const few = 100
/** Characters that are put together before they are sent. */
const pieceLength = 64 * 1024

const none: Dead = new Map()

/** What was asked for a page, as far as it is about one member. */
interface Known extends Pick<Subject, 'digests' | 'locality'> {
  readonly discovery: Discovery | undefined
}

/** A directory that is being listed. */
export class Members {
  readonly entry: Entry
  readonly #x: Exchange
  readonly #listed: Listed

  constructor(x: Exchange, listed: Listed) {
    this.entry = listed.entry
    this.#x = x
    this.#listed = listed
  }

  /** The responses of all members, several at a time. `told`: where locks are wanted. */
  async *responses(plan: Plan, told: Promise<Discovery | undefined> | undefined): AsyncGenerator<string> {
    const discovery = await told
    let count = 0
    for await (const page of this.#listed.pages()) {
      count += page.length
      const asksDead = plan.dead === 'some' || (plan.dead === 'all' && count <= few)
      const digests = plan.extras.has('digests') ? await this.#digestsOf(page) : undefined
      const localities = plan.extras.has('locality') ? await this.#localitiesOf(page) : undefined
      const respond = (entry: Entry, dead: Dead) => {
        const known = { discovery, digests: digests?.get(entry), locality: localities?.get(entry) }
        return plan.respond(this.#subject(entry, plan.extras, known), dead)
      }
      yield* asksDead ? this.#withDead(page, respond) : pieces(page, (entry) => respond(entry, none))
    }
  }

  /** A few at a time: each may have a megabyte of properties. */
  async *#withDead(page: readonly Entry[], respond: (entry: Entry, dead: Dead) => string): AsyncGenerator<string> {
    for (let at = 0; at < page.length; at += atOnce) {
      const some = page.slice(at, at + atOnce)
      const dead = await this.#deadOf(some)
      yield* pieces(some, (entry) => respond(entry, dead.get(entry) ?? none))
    }
  }

  #subject(entry: Entry, extras: ReadonlySet<Extra>, { discovery, ...asked }: Known): Subject {
    const { path: directory, call } = this.#x
    const path = join(directory, entry.name)
    const subject = { entry, path, user: call.principal.user }
    if (extras.size === 0) return subject
    const rights = extras.has('rights') || extras.has('acl') ? this.#listed.about.rights(entry) : undefined
    const showsAcl = typeof rights === 'number' && (rights & right.readAcl) !== 0
    return { ...subject, ...asked, rights, acl: showsAcl ? entry.acl : undefined, locks: discovery?.(path, entry) }
  }

  async #deadOf(page: readonly Entry[]): Promise<ReadonlyMap<Entry, Dead>> {
    const asked = (about: About, entry: Entry) => about.properties(entry)
    const found = await this.#ask(page.filter(isOpen), asked)
    return new Map([...found].map(([entry, properties]) => [entry, deadAmong(properties)]))
  }

  #digestsOf(page: readonly Entry[]): Promise<ReadonlyMap<Entry, Digests>> {
    const files = page.filter((entry) => isOpen(entry) && entry.type === 'file')
    return this.#ask(files, (about, entry) => about.digests(entry, toldDigests))
  }

  /** Members that the listing says nothing about are asked for together. */
  async #localitiesOf(page: readonly Entry[]): Promise<ReadonlyMap<Entry, Locality>> {
    const { path, call, door } = this.#x
    const found = new Map<Entry, Locality>()
    const silent: Entry[] = []
    for (const entry of page) {
      if (entry.locality !== undefined) found.set(entry, entry.locality)
      else if (entry.type === 'file' && isOpen(entry)) silent.push(entry)
    }
    if (silent.length === 0) return found
    const paths = silent.map(({ name }) => join(path, name))
    const answers = await optional(door.storage.locality(call, paths))
    for (const [index, entry] of silent.entries()) {
      const locality = localityOf(answers?.[index])
      if (locality !== undefined) found.set(entry, locality)
    }
    return found
  }

  async #ask<T>(
    entries: readonly Entry[],
    question: (about: About, entry: Entry) => Promise<T>,
  ): Promise<Map<Entry, T>> {
    const found = new Map<Entry, T>()
    await eachOf(entries, atOnce, async (entry) => {
      const answer = await optional(question(this.#listed.about, entry))
      if (answer !== undefined) found.set(entry, answer)
    })
    return found
  }
}

/** Opens the directory for listing. Throws `not-directory` for what is none. */
export async function membersOf(
  x: Exchange,
  plan: Plan,
): Promise<{ readonly entry: Entry; readonly members: Members }> {
  const acls = plan.extras.has('acl')
  const listed = await x.door.storage.list(x.call, x.path, { order: 'native', ...(acls && { acls }) })
  const members = new Members(x, listed)
  return { entry: listed.entry, members }
}

/** What is said of the entries, some of it at a time however much there is to say of each. */
function* pieces(entries: readonly Entry[], respond: (entry: Entry) => string): Generator<string> {
  let text = ''
  for (const entry of entries) {
    text += respond(entry)
    if (text.length < pieceLength) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}

/** Its attributes are shown to the caller. */
function isOpen({ version }: Entry): boolean {
  return version !== ''
}
