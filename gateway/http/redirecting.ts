/** Which callers are sent elsewhere for bytes: those known to follow safely, and those that say so. */

import type { IncomingHttpHeaders } from 'node:http'

export interface RedirectingOptions {
  /**
   * User-Agent values, `*` for any text: "rucio-clients/*". Name only clients that do not send the Authorization
   * header of one host to another.
   */
  readonly userAgents?: readonly string[]
  /** Callers that send `Prefer: redirect` (RFC 7240) are believed. */
  readonly onRequest?: boolean
}

/** Longer values are nobody's. */
const maxLength = 1024
const prefers = /(?:^|,)[ \t]*redirect[ \t]*(?:,|;|$)/i

export class Redirecting {
  readonly #patterns: readonly (readonly string[])[]
  readonly #onRequest: boolean

  constructor({ userAgents = [], onRequest = false }: RedirectingOptions = {}) {
    this.#patterns = userAgents.map((pattern) => pattern.split('*'))
    this.#onRequest = onRequest
  }

  /** Whether whoever sent these headers is to be sent elsewhere. A browser's page cannot read what is there, so it is not. */
  follows(headers: IncomingHttpHeaders): boolean {
    if (headers['sec-fetch-mode'] !== undefined || headers.origin !== undefined) return false
    const { prefer, 'user-agent': agent = '' } = headers
    const wish = Array.isArray(prefer) ? prefer.join() : (prefer ?? '')
    if (this.#onRequest && wish.length <= maxLength && prefers.test(wish)) return true
    return agent.length <= maxLength && this.#patterns.some((pattern) => matches(agent, pattern))
  }
}

/** The pieces between the stars, in their order, the first and the last at the ends. No backtracking is needed. */
function matches(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  if (pieces.length === 1) return text === first
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
  let at = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return at <= text.length - last.length
}
