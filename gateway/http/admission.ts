/**
 * Who may have how many connections. Requests of one connection are answered one after the other, so
 * this bounds the transfers of a principal too; calls to back ends are bounded by Storage.
 */

import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import type { Connection } from './connection.ts'

/** Callers without a credential have nothing in common but their address. */
export function ownerOf(principal: Principal, from: string): string {
  const { user, id, counted = id } = principal
  return user === undefined && id === 'anonymous' ? `anonymous ${from}` : counted
}

export class Admission {
  readonly #limit: number
  readonly #connections = new Map<string, number>()

  constructor(connectionsPerPrincipal: number) {
    this.#limit = connectionsPerPrincipal
  }

  /** Counts the connection as this owner's from now on. Throws `busy` when that is one too many. */
  claim(connection: Connection, owner: string): void {
    if (connection.owner === owner) return
    const count = this.#connections.get(owner) ?? 0
    if (count >= this.#limit) {
      const text = 'too many connections'
      throw new StorageError('busy', text, { retryAfter: 1, reason: { rule: 'limit', text } })
    }
    this.release(connection)
    connection.owner = owner
    this.#connections.set(owner, count + 1)
  }

  /** The connection has closed. Harmless twice. */
  release(connection: Connection): void {
    const { owner } = connection
    if (owner === undefined) return
    connection.owner = undefined
    const left = (this.#connections.get(owner) ?? 1) - 1
    if (left === 0) this.#connections.delete(owner)
    else this.#connections.set(owner, left)
  }
}
