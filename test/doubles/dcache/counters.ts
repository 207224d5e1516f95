/** What reached the stand-in: how many requests of each kind, and which credential came where. */

import { createHash } from 'node:crypto'
import type { Place } from './faults.ts'

export interface Seen {
  readonly at: Place
  readonly kind: string
  /** Of the Authorization header or the query parameter `authz`, see `fingerprint`; undefined without either. */
  readonly credential: string | undefined
}

/** A credential as it is remembered here. */
export function fingerprint(credential: string): string {
  return createHash('sha256').update(credential).digest('hex').slice(0, 16)
}

export class Counters {
  readonly #requests = new Map<string, number>()
  readonly #seen = new Map<string, Seen>()
  /** Files brought back from tape. */
  recalls = 0

  count(at: Place, kind: string, authorization: string | undefined): void {
    const credential = authorization === undefined ? undefined : fingerprint(authorization)
    this.#requests.set(`${at} ${kind}`, this.requests(at, kind) + 1)
    this.#seen.set(`${at} ${kind} ${credential}`, { at, kind, credential })
  }

  requests(at: Place, kind: string): number {
    return this.#requests.get(`${at} ${kind}`) ?? 0
  }

  /** Every combination of place, kind and credential, once. */
  seen(): readonly Seen[] {
    return [...this.#seen.values()]
  }

  reset(): void {
    this.#requests.clear()
    this.#seen.clear()
    this.recalls = 0
  }
}
