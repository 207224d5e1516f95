/** The servers of a directory in their order: the first that works is asked, and asked again when it works again. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { SourceState } from '../accounts.ts'
import type { Connection } from './connection.ts'
import { LdapFailure } from './failure.ts'
import type { LdapOptions } from './options.ts'
import { Server, type ServerOptions } from './server.ts'
import { parseServer } from './socket.ts'
import { createTurns, type Turns } from './waiting.ts'

export interface ServersSettings {
  /** Milliseconds; see ServerOptions. */
  readonly retry: ServerOptions['retry']
  readonly report: (state: Omit<SourceState, 'name'>) => void
}

const maxWaiting = 2000

export class Servers {
  readonly all: readonly Server[]
  readonly #turns: Turns
  /** Passwords are checked beside look-ups: a flood of one does not stop the other. */
  readonly #passwordTurns: Turns
  readonly #longTurns: Turns

  constructor(options: LdapOptions, { retry, report }: ServersSettings) {
    const changed = () => report(this.state())
    this.all = options.servers.flatMap((url) => {
      const address = parseServer(url, options.startTls)
      return address === undefined ? [] : [new Server(address, { ...options, retry, changed })]
    })
    const { connections: running, waitDeadline: patience } = options
    this.#turns = createTurns({ running, waiting: maxWaiting, patience })
    this.#passwordTurns = createTurns({ running, waiting: maxWaiting, patience })
    this.#longTurns = createTurns({ running: 1, waiting: 16, patience })
  }

  /** For a look-up, which may run on several servers, one after another. Throws StorageError `unavailable` or `busy`. */
  use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#turns(() => this.#onSome((server) => server.lend(work)))
  }

  /** On a connection that knows nobody, for one password. Throws as `use`. */
  alone<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#passwordTurns(() => this.#onSome((server) => server.alone(work)))
  }

  /** For reading everything, once at a time. Throws as `use`. */
  long<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#longTurns(() => this.#onSome((server) => server.lendLong(work)))
  }

  /** Whether none answers. Looks whether one does again, when that is due, and does not wait for it. */
  isDown(): boolean {
    for (const server of this.all) server.poke()
    return this.all.every(({ isUp }) => !isUp)
  }

  state(): Omit<SourceState, 'name'> {
    const text = this.all.map(({ address, problem }) => `${address.url}: ${problem ?? 'in use'}`).join('; ')
    return { available: this.all.some(({ isUp }) => isUp), text }
  }

  close(): void {
    for (const server of this.all) server.close()
  }

  async #onSome<T>(attempt: (server: Server) => Promise<T>): Promise<T> {
    const tried = new Set<Server>()
    let failure: unknown
    while (true) {
      const server = await this.#next(tried)
      if (server === undefined) throw unavailable(failure)
      tried.add(server)
      try {
        return await attempt(server)
      } catch (error) {
        if (!(error instanceof LdapFailure)) throw error
        if (!error.isOfServer) throw error.kind === 'size' ? error : unavailable(error)
        failure = error
      }
    }
  }

  async #next(tried: ReadonlySet<Server>): Promise<Server | undefined> {
    const left = this.all.filter((server) => !tried.has(server))
    for (const server of left) server.poke()
    const up = left.find(({ isUp }) => isUp)
    const probes = left.flatMap(({ probe }) => probe ?? [])
    if (up !== undefined || probes.length === 0) return up
    try {
      await Promise.any(probes)
    } catch {
      // None came back; each of them has its reason with it.
    }
    return left.find(({ isUp }) => isUp)
  }
}

function unavailable(cause: unknown): StorageError {
  const text = cause instanceof LdapFailure ? cause.message : 'no server answers'
  const reason = { rule: 'account-source', text: `the directory of accounts: ${text}` }
  return new StorageError('unavailable', 'accounts cannot be looked up', { retryAfter: 5, reason, cause })
}
