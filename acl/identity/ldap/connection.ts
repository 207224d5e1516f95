/** One LDAP connection: requests one after another, each with a deadline and a bound on what is read. */

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Client, type Filter, PasswordPolicyControl, PasswordPolicyError, ResultCodeError } from 'ldapts'
import { LdapEntry } from './entry.ts'
import { LdapFailure, resultFailure } from './failure.ts'
import { type Budget, framed } from './frames.ts'

/** Bytes of one answer, or one page of it, where a search does not say otherwise. */
const usualBytes = 4 * 2 ** 20
const usualPage = 500

export interface Search {
  readonly base: string
  /** Everything below `base` if absent. */
  readonly scope?: 'base' | 'sub'
  readonly filter: Filter
  readonly attributes: readonly string[]
  /** Entries of a page, and the most bytes they may take. */
  readonly page?: { readonly size: number; readonly bytes: number }
}

/** What a directory says about the password of somebody who binds. */
export type Judgement =
  | 'right'
  | 'wrong'
  /** Right or not: it may not be used (expired, locked, to be changed first). */
  | 'unusable'

export class Connection {
  readonly #socket: Socket
  readonly #client: Client
  readonly #deadline: number
  readonly #budget: Budget = { bytes: 0 }
  /** By performance.now(): when everything asked of it now must be done. */
  #end = Number.POSITIVE_INFINITY
  /** Whether it has answered since then, where there is such a time. */
  #hasAnswered = false
  #failure: LdapFailure | undefined
  #isClosed = false

  /** `deadline`: milliseconds for each answer. The socket is the connection's from now on. */
  constructor(socket: Socket, deadline: number) {
    this.#socket = socket
    this.#deadline = deadline
    socket.once('close', () => {
      this.#isClosed = true
    })
    const offend = (kind: 'connection' | 'size') => {
      const text = kind === 'size' ? 'it sends more than was asked for' : 'what it sends is no LDAP'
      this.#break(new LdapFailure(kind, text))
    }
    let given: Duplex | undefined = framed(socket, this.#budget, offend)
    // The library would connect again by itself, without TLS and without a name; it gets this socket and no other.
    const createConnection = (() => {
      const only = given
      given = undefined
      if (only === undefined || only.destroyed) throw new LdapFailure('connection', 'the connection was lost')
      return Object.assign(only, { connecting: false, readyState: 'open' })
    }) as unknown as typeof import('node:net').connect
    this.#client = new Client({ url: 'ldap://connected', createConnection })
  }

  /** All requests from now on, together, take at most so many milliseconds. */
  allow(duration: number): void {
    this.#end = performance.now() + duration
    this.#hasAnswered = false
  }

  get isClosed(): boolean {
    return this.#isClosed || this.#socket.destroyed
  }

  /** Signs the gateway in. Throws LdapFailure. */
  async bind(dn: string, password: string): Promise<void> {
    try {
      await this.#run(() => this.#client.bind(dn, password))
    } catch (error) {
      if (!(error instanceof LdapFailure) || error.kind !== 'result') throw error
      throw new LdapFailure('bind', `it does not let the gateway in (${error.message})`, error)
    }
  }

  /** Throws LdapFailure when the directory does not say. `password` is not empty: that would be nobody's sign-in. */
  async judge(dn: string, password: string): Promise<Judgement> {
    const policy = new PasswordPolicyControl()
    try {
      await this.#run(() => this.#client.bind(dn, password, policy))
    } catch (error) {
      if (!(error instanceof LdapFailure) || error.kind !== 'result') throw error
      if (unusable.has(policy.value?.error)) return 'unusable'
      if (wrongResults.has(error.result)) return 'wrong'
      if (unusableResults.has(error.result)) return 'unusable'
      throw error
    }
    return unusable.has(policy.value?.error) ? 'unusable' : 'right'
  }

  /** All entries, at most `most`; throws LdapFailure (size) for more. */
  async search(search: Search, most: number): Promise<readonly LdapEntry[]> {
    const entries: LdapEntry[] = []
    for await (const page of this.pages(search)) {
      entries.push(...page)
      if (entries.length > most) throw new LdapFailure('size', `more than ${most} entries answer a search`)
    }
    return entries
  }

  /** Page by page (RFC 2696), where the server does that. The connection takes no other request meanwhile. */
  async *pages(search: Search): AsyncGenerator<readonly LdapEntry[]> {
    const pages = this.#client.searchPaginated(search.base, {
      scope: search.scope ?? 'sub',
      filter: search.filter,
      attributes: [...search.attributes],
      paged: { pageSize: search.page?.size ?? usualPage },
      // Before our own deadline: that one person's search takes too long says nothing about the server.
      timeLimit: Math.max(1, Math.ceil(this.#deadline / 1000) - 1),
    })
    while (true) {
      const page = await this.#run(() => pages.next(), search.page?.bytes)
      if (page.done === true) return
      // References to other servers are not followed.
      yield page.value.searchEntries.map((entry) => new LdapEntry(entry))
    }
  }

  close(): void {
    this.#isClosed = true
    // A goodbye where somebody listens; that nobody does is no failure of a connection that is given up.
    this.#client.unbind().catch(() => {})
    this.#socket.destroy()
  }

  #break(failure: LdapFailure): void {
    this.#failure ??= failure
    this.#socket.destroy()
  }

  async #run<T>(work: () => Promise<T>, bytes = usualBytes): Promise<T> {
    if (this.isClosed) throw new LdapFailure('connection', 'the connection was lost')
    this.#budget.bytes = bytes
    const patience = Math.max(0, Math.min(this.#deadline, this.#end - performance.now()))
    const late = setTimeout(() => {
      const kind = this.#hasAnswered ? 'slow' : 'deadline'
      this.#break(new LdapFailure(kind, `no answer within ${Math.round(patience)} ms`))
    }, patience)
    try {
      const answer = await work()
      this.#hasAnswered = Number.isFinite(this.#end)
      return answer
    } catch (error) {
      if (error instanceof ResultCodeError) throw resultFailure(error)
      // After anything else nobody knows what the next bytes would belong to.
      this.#break(new LdapFailure('connection', 'the connection was lost', error))
      throw this.#failure ?? error
    } finally {
      clearTimeout(late)
    }
  }
}

/** Errors of the password policy control (draft-behera-ldap-password-policy, section 6.2). */
const unusable: ReadonlySet<number | undefined> = new Set([
  PasswordPolicyError.PasswordExpired,
  PasswordPolicyError.AccountLocked,
  PasswordPolicyError.ChangeAfterReset,
])

/** noSuchObject, invalidDNSyntax, inappropriateAuthentication (no password), invalidCredentials. */
const wrongResults: ReadonlySet<number | undefined> = new Set([32, 34, 48, 49])
/** constraintViolation, insufficientAccessRights, unwillingToPerform: what policies answer. */
const unusableResults: ReadonlySet<number | undefined> = new Set([19, 50, 53])
