/** The headers that say who we are: a token, or what a Kerberos ticket was exchanged for. */

import type { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { CredentialSource } from '../credentials/source.ts'
import { type TicketAnswer, type TicketHeaders, type TicketLibrary, Tickets } from '../tickets.ts'
import { isOpenWay } from '../trust.ts'
import type { WireAnswer } from './wire.ts'

export interface Signed {
  readonly headers: Readonly<Record<string, string>>
  /** The same as lines with their ends. */
  readonly lines: string
  readonly token?: Secret
  readonly ticket?: TicketHeaders
}

export interface SigningOptions {
  readonly origin: URL
  readonly source: CredentialSource
  /** Sends the token or ticket also over plain HTTP to another machine. */
  readonly insecure?: boolean | undefined
  readonly ticketLibrary?: (() => Promise<TicketLibrary | undefined>) | undefined
}

/** Sends a small question with these header lines. */
export type Enter = (lines: string) => Promise<WireAnswer>

const nothing: Signed = { headers: {}, lines: '' }

export class Signing {
  readonly #source: CredentialSource
  readonly #origin: URL
  readonly #isOpen: boolean
  readonly #tickets: Tickets | undefined
  #last: Signed = nothing

  constructor({ origin, source, insecure = false, ticketLibrary }: SigningOptions) {
    this.#source = source
    this.#origin = origin
    this.#isOpen = isOpenWay(origin) && !insecure
    const own = source.ticketLibrary
    const library = own ? async () => own : ticketLibrary
    if (source.tickets && !this.#isOpen) this.#tickets = new Tickets(origin, source.tickets, library)
  }

  /** Throws `unauthenticated` where there is nothing to sign with, and `invalid` where it could be read on the way. */
  async sign(enter: Enter): Promise<Signed> {
    const token = await this.#source.current()
    if (token !== undefined) {
      if (this.#isOpen) {
        throw new StorageError('invalid', `${this.#origin.origin}: a token is not sent over plain HTTP; use https://`)
      }
      if (this.#last.token !== token) this.#last = { ...written({ authorization: `Bearer ${token.reveal()}` }), token }
      return this.#last
    }
    if (this.#tickets === undefined) return nothing
    const ticket = await this.#tickets.headersFor(async (headers) => ticketAnswer(await enter(written(headers).lines)))
    return { ...written(ticket.headers), ticket }
  }

  /** After an answer: throws `unavailable` when whoever answered is not the service that a ticket was for. */
  async check({ ticket }: Signed, answer: WireAnswer): Promise<void> {
    await ticket?.check?.(ticketAnswer(answer))
  }

  /** After 401: whether another try may help. */
  async refused({ token, ticket }: Signed): Promise<boolean> {
    if (token !== undefined) return this.#source.refused(token)
    return ticket !== undefined && this.#tickets?.forget(ticket) === true
  }

  describe(): string {
    return this.#source.describe()
  }

  async close(): Promise<void> {
    await this.#source.close()
  }
}

function written(headers: Readonly<Record<string, string>>): Signed {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return { headers, lines: lines.join('') }
}

function ticketAnswer({ status, headers, cookies }: WireAnswer): TicketAnswer {
  return { status, headers: { ...headers, 'set-cookie': cookies } }
}
