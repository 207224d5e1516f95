/** Asking the door for macaroons (dCache User Guide, "Macaroons"), and narrowing them for one request. */

import { attenuate, type Macaroon, type MacaroonFormat, parseMacaroon, serializeMacaroon } from '../../acl/macaroon.ts'
import { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Activity } from './credentials.ts'
import type { DoorRequest, DoorResponse } from './door.ts'
import { errorOfStatus, unavailable } from './errors.ts'
import { type Lent, LentCache } from './lent.ts'

/** What is needed of the WebDAV door. */
export interface MacaroonDoor {
  request(request: DoorRequest): Promise<Pick<DoorResponse, 'status' | 'answered' | 'json' | 'discard'>>
}

/** What a macaroon shall be good for. */
export interface MacaroonOrder {
  /** Value of the Authorization header of the login that asks. */
  readonly authorization: Secret
  /** Stands for that login in keys of caches. */
  readonly owner: string
  /** In dCache's terms; this and what lies below. */
  readonly path: string
  readonly activities: readonly Activity[]
  /** The only address it is good from. */
  readonly address?: string
  /** Milliseconds since 1970 that it must not outlive. */
  readonly end: number
}

export interface Granted extends Lent {
  readonly macaroon: Macaroon
  readonly format: MacaroonFormat
  /** Milliseconds since 1970. */
  readonly since: number
  readonly key: string
}

/** Milliseconds before its end from which a macaroon is not used any more. */
const margin = 30_000
const maxKept = 10_000
const maxAnswer = 64 * 1024

export class MacaroonSource {
  readonly #door: () => MacaroonDoor
  readonly #cache = new LentCache<Granted>(maxKept)

  /** `door`: the WebDAV door, asked for when it is needed. */
  constructor(door: () => MacaroonDoor) {
    this.#door = door
  }

  /**
   * A macaroon as ordered, kept while it is good. Throws `denied` (rule `dcache`) when dCache gives this caller none,
   * `unavailable` when it cannot be asked or answers something else.
   */
  get(order: MacaroonOrder, call: Call): Promise<Granted> {
    const { owner, path, activities, address = '' } = order
    const key = [owner, activities.join(), address, path].join(' ')
    return this.#cache.get(key, call.signal, (signal) => this.#ask(order, key, { ...callOf(call), signal }))
  }

  /** As `get`, but it is asked for now and kept by nobody else. */
  async getOwn(order: MacaroonOrder, call: Call): Promise<Granted> {
    return await this.#ask(order, '', call)
  }

  drop(key: string): void {
    this.#cache.drop(key)
  }

  close(): void {
    this.#cache.close()
  }

  async #ask(order: MacaroonOrder, key: string, call: Call): Promise<Granted> {
    const since = Date.now()
    const seconds = Math.max(1, Math.floor((order.end - since) / 1000))
    const { address, activities, path, authorization } = order
    const caveats = [`activity:${activities.join()}`, ...(address === undefined ? [] : [`ip:${address}`])]
    const response = await this.#door().request({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/macaroon-request', accept: 'application/json' },
      body: JSON.stringify({ caveats, validity: `PT${seconds}S` }),
      call,
      activities: [],
      authorization,
      idempotent: true,
    })
    if (response.status !== 200) {
      response.discard()
      // A login that may not ask is told so as if the request were malformed.
      const status = response.status === 400 ? 403 : response.status
      throw errorOfStatus({ ...response.answered, status })
    }
    const { macaroon, format } = readAnswer(await response.json(maxAnswer))
    const end = Math.min(order.end, ...endsOf(macaroon))
    return { macaroon, format, since, key, until: end - Math.min(margin, (end - since) / 2) }
  }
}

/** The text of a macaroon that is narrower by some caveats. Nobody needs to be asked for that. */
export function narrowed({ macaroon, format }: Granted, ...caveats: readonly string[]): Secret {
  return new Secret(serializeMacaroon(attenuate(macaroon, ...caveats), format))
}

function readAnswer(answer: unknown): { readonly macaroon: Macaroon; readonly format: MacaroonFormat } {
  const text = typeof answer === 'object' && answer !== null && 'macaroon' in answer ? answer.macaroon : undefined
  if (typeof text !== 'string') throw unavailable('the storage gave no macaroon')
  try {
    return parseMacaroon(text)
  } catch (cause) {
    throw unavailable('the storage gave no macaroon', { cause: StorageError.from(cause) })
  }
}

/** The server may have shortened what was asked for. */
function endsOf({ caveats }: Macaroon): number[] {
  return caveats
    .filter((caveat) => caveat.startsWith('before:'))
    .map((caveat) => Date.parse(caveat.slice(7)))
    .filter((end) => !Number.isNaN(end))
}

/** A call has getters, which a spread would lose. */
function callOf({ id, principal, protocol, from, signal }: Call): Call {
  return { id, principal, protocol, from, signal }
}
