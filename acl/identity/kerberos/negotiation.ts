/**
 * Kerberos on HTTP (RFC 4559): a ticket, or the cookie that stands for one, to a principal. Every request shows one of
 * them; nothing is remembered of connections.
 */

import { LRUCache } from 'lru-cache'
import type { Principal } from '../../principal.ts'
import type { Secret } from '../../secret.ts'
import { isAdministrator } from '../administrators.ts'
import { createGate } from '../gate.ts'
import type { Negotiated, Negotiation } from '../identity.ts'
import type { Trace } from '../jwt.ts'
import type { Holder } from '../options.ts'
import { quoted, refuse } from '../refusal.ts'
import type { SignedIn } from '../sessions.ts'
import { clock, type IdentityState } from '../state.ts'
import { Failures } from './failures.ts'
import { byKerberos } from './local-identity.ts'
import { requireKerberosToken } from './spnego.ts'
import { openTicket, sealTicket } from './ticket-cookie.ts'

export interface NegotiationMeans {
  readonly state: () => IdentityState
  /** Remembers who was let in and how. Throws `denied` for somebody who is banned. */
  readonly admit: (found: { readonly principal: Principal; readonly holder: Holder }, how: SignedIn) => Principal
}

/** Tickets that are looked at at once, in threads that files need too, and that wait. */
const most = { running: 4, waiting: 1024 } as const
/** Milliseconds for which a process believes whom a cookie stands for. */
const believed = 1000

interface KnownCookie {
  readonly state: IdentityState
  readonly found: { readonly principal: Principal; readonly holder: Holder }
  readonly name: string
  readonly until: number
}

export class NegotiationDesk implements Negotiation {
  readonly #means: NegotiationMeans
  readonly #gate = createGate(most)
  readonly #failures: Failures
  readonly #cookies = new LRUCache<string, KnownCookie>({ max: 10_000 })

  constructor(means: NegotiationMeans) {
    this.#means = means
    this.#failures = new Failures(() => clock(means.state().options))
  }

  async accept(token: Buffer, from = '', trace: Trace = () => {}): Promise<Negotiated> {
    const state = this.#means.state()
    const { name, answer } = await this.#open(token, from, state, trace)
    const found = await identify(name, state, trace)
    const principal = this.#means.admit(found, { kind: 'kerberos', name })
    const cookie = await this.#cookieFor(name, state)
    return { principal, answer, ...(cookie && { cookie }) }
  }

  /** Whom a cookie stands for. Throws `unauthenticated` for one that is not good, or not any more; `denied` as `byKerberos`. */
  async recognize(secret: Secret, trace: Trace = () => {}): Promise<Principal> {
    const state = this.#means.state()
    const text = secret.reveal()
    const now = clock(state.options)
    const known = this.#cookies.get(text)
    if (known !== undefined && known.state === state && now < known.until) {
      return this.#means.admit(known.found, { kind: 'kerberos', name: known.name })
    }
    const note = state.epochs && (await openTicket(text, state.epochs))
    if (note === undefined) throw refuse('kerberos-cookie', 'no ticket was shown for this cookie')
    // The configuration may have become stricter since.
    const end = Math.min(note.expires, note.issued + (state.kerberos?.options.cookieLifetime ?? 0) * 1000)
    if (now >= end) throw refuse('kerberos-cookie', 'the cookie has expired, and a new ticket is to be shown')
    trace('ticket', `a cookie that stands for a ticket of ${note.name} until ${new Date(end).toISOString()}`)
    const found = await identify(note.name, state, trace)
    this.#cookies.set(text, { state, found, name: note.name, until: Math.min(now + believed, end) })
    return this.#means.admit(found, { kind: 'kerberos', name: note.name })
  }

  async #open(token: Buffer, from: string, { kerberos }: IdentityState, trace: Trace) {
    if (kerberos === undefined) throw refuse('kerberos-ticket', 'tickets are not accepted here')
    requireKerberosToken(token)
    this.#failures.check(from)
    let why = ''
    const accepted = await this.#gate(async () => {
      // Others of the same address may have been refused while this one waited.
      this.#failures.check(from)
      const found = await kerberos.library.accept(token, (told) => (why = told))
      if (found === undefined) this.#failures.note(from)
      return found
    })
    if (accepted === undefined) {
      throw refuse('kerberos-ticket', `Kerberos has refused the ticket: ${quoted(why)}`)
    }
    const { client, target, answer } = accepted
    if (!kerberos.options.services.includes(target)) {
      this.#failures.note(from)
      throw refuse('kerberos-service', `the ticket is for ${quoted(target)}, which is not among the services here`)
    }
    trace('ticket', `a ticket of ${client} for ${target}`)
    return { name: client, answer }
  }

  async #cookieFor(name: string, { kerberos, epochs, options }: IdentityState) {
    const lifetime = kerberos?.options.cookieLifetime ?? 0
    if (lifetime === 0 || epochs === undefined) return undefined
    const issued = clock(options)
    const expires = issued + lifetime * 1000
    return { secret: sealTicket({ name, issued, expires }, await epochs.current()), expires }
  }
}

async function identify(name: string, state: IdentityState, trace: Trace) {
  const local = await byKerberos(name, state, trace)
  const parts = { ...local, grants: 'unbounded' } as const
  const principal: Principal = {
    id: name,
    ...parts,
    ...(isAdministrator(parts, state.options) && { administrator: true }),
  }
  return { principal, holder: { id: name, user: principal.user, tokenId: undefined, groups: principal.groups } }
}
