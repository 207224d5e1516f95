/** One server of a directory: its idle connections, and whether it answers. */

import { PresenceFilter } from 'ldapts'
import type { Secret } from '../../secret.ts'
import { Connection } from './connection.ts'
import { LdapFailure } from './failure.ts'
import { openSocket, type ServerAddress } from './socket.ts'

/** Times in milliseconds. */
export interface ServerOptions {
  readonly ca?: string
  readonly bind?: { readonly dn: string; readonly password: Secret }
  readonly connectDeadline: number
  readonly deadline: number
  /** After a failure it is tried again after `least`, and ever later up to `most`. */
  readonly retry: { readonly least: number; readonly most: number }
  /** Called when it no longer answers, and when it does again. */
  readonly changed: () => void
}

/** Routers forget connections that nothing goes over. */
const longestIdle = 60_000
/** What worked for so long did work. */
const steady = 60_000
/** One work, in deadlines of one answer. */
const answersOfWork = 4

interface Failure {
  readonly text: string
  /** By performance.now(). */
  readonly retryAt: number
}

export class Server {
  readonly address: ServerAddress
  readonly #options: ServerOptions
  readonly #idle: Array<{ readonly connection: Connection; readonly since: number }> = []
  #failure: Failure | undefined
  /** Failures in a row; a short time of working in between does not end it. */
  #failures = 0
  /** By performance.now(): since when it works. */
  #upSince = Number.NEGATIVE_INFINITY
  #probe: Promise<void> | undefined
  #keepsNone = false

  constructor(address: ServerAddress, options: ServerOptions) {
    this.address = address
    this.#options = options
  }

  /** Nobody has seen it fail, or it was seen to work again. */
  get isUp(): boolean {
    return this.#failure === undefined
  }

  /** Why it is not used; undefined while it is. */
  get problem(): string | undefined {
    return this.#failure?.text
  }

  /** A look at it that is under way. */
  get probe(): Promise<void> | undefined {
    return this.#probe
  }

  /** Begins to look whether it works again, when that is due. */
  poke(): void {
    if (this.#failure !== undefined && performance.now() >= this.#failure.retryAt) this.#look()
  }

  #look(): void {
    if (this.#probe !== undefined) return
    this.#probe = this.lendLong(answers).finally(() => {
      this.#probe = undefined
    })
    // Whoever waits for it hears of it; nobody may.
    this.#probe.catch(() => {})
  }

  /** On a connection where the gateway has signed in. Throws LdapFailure, and what `work` throws, which may run twice. */
  async lend<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#watched(async () => {
      const idle = this.#takeIdle()
      if (idle !== undefined) {
        try {
          return await this.#use(idle, work)
        } catch (error) {
          // It went away while nobody used it.
          if (!(error instanceof LdapFailure && error.kind === 'connection')) throw error
        }
      }
      return this.#use(await this.#open(), work)
    })
  }

  /**
   * On a connection of its own that knows nobody, closed afterwards. Throws as `lend`. What one password meets with does
   * not end the look-ups of all others (servers delay answers to whoever guesses): then the server is looked at by itself.
   */
  async alone<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#connectWatched()
    try {
      return await work(connection)
    } catch (error) {
      if (error instanceof LdapFailure && error.isOfServer) this.#look()
      throw error
    } finally {
      connection.close()
    }
  }

  /** As `lend`, but on a connection for this alone and without a bound on the whole work. */
  async lendLong<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#watched(async () => {
      const connection = await this.#open()
      try {
        return await work(connection)
      } finally {
        connection.close()
      }
    })
  }

  /** Connections are closed as soon as they are not in use. */
  close(): void {
    this.#keepsNone = true
    this.#dropIdle()
  }

  async #watched<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#failure
    try {
      const value = await work()
      // What began before it failed says nothing about now.
      if (before !== undefined && this.#failure === before) {
        this.#failure = undefined
        this.#upSince = performance.now()
        // Those from before may hang as it did.
        this.#dropIdle()
        this.#options.changed()
      }
      return value
    } catch (error) {
      this.#blame(error, before)
      throw error
    }
  }

  /** That it takes connections ends no failure, but that it takes none is one. */
  async #connectWatched(): Promise<Connection> {
    const before = this.#failure
    try {
      return await this.#connect()
    } catch (error) {
      this.#blame(error, before)
      throw error
    }
  }

  /** `before`: what was known when the work began that failed so. */
  #blame(error: unknown, before: Failure | undefined): void {
    if (!(error instanceof LdapFailure && error.isOfServer && this.#failure === before)) return
    // One person whose groups take long must not be an outage for all others.
    if (error.kind === 'slow') this.#look()
    else this.#fail(error)
  }

  #fail(failure: LdapFailure): void {
    const { retry, changed } = this.#options
    const now = performance.now()
    const isNew = this.#failure === undefined
    if (isNew && now - this.#upSince > steady) this.#failures = 0
    this.#failures++
    const wait = Math.min(retry.most, retry.least * 2 ** Math.min(this.#failures - 1, 20))
    this.#dropIdle()
    this.#failure = { text: failure.message, retryAt: now + wait }
    if (isNew) changed()
  }

  #dropIdle(): void {
    for (const { connection } of this.#idle.splice(0)) connection.close()
  }

  #takeIdle(): Connection | undefined {
    while (true) {
      const last = this.#idle.pop()
      if (last === undefined) return undefined
      if (!last.connection.isClosed && performance.now() - last.since < longestIdle) return last.connection
      last.connection.close()
    }
  }

  async #use<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    connection.allow(answersOfWork * this.#options.deadline)
    try {
      return await work(connection)
    } finally {
      if (connection.isClosed || this.#keepsNone) connection.close()
      else this.#idle.push({ connection, since: performance.now() })
    }
  }

  async #connect(): Promise<Connection> {
    const { ca, connectDeadline, deadline } = this.#options
    const socket = await openSocket(this.address, { deadline: connectDeadline, ...(ca !== undefined && { ca }) })
    return new Connection(socket, deadline)
  }

  async #open(): Promise<Connection> {
    const { bind } = this.#options
    const connection = await this.#connect()
    try {
      if (bind) await connection.bind(bind.dn, bind.password.reveal())
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }
}

/** Connecting is not enough: a server that hangs does that too. Whether it lets us read its root is another question. */
async function answers(connection: Connection): Promise<void> {
  try {
    await connection.search({ base: '', scope: 'base', filter: anything, attributes: ['1.1'] }, 10)
  } catch (error) {
    if (!(error instanceof LdapFailure && error.kind === 'result' && !error.isOfServer)) throw error
  }
}

const anything = new PresenceFilter({ attribute: 'objectClass' })
