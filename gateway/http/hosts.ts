/** Which names this gateway answers to. */

import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'

const loopbackNames = ['localhost', '127.0.0.1', '[::1]']
const maxRemembered = 128

/** Decides on Host headers; an answer once found is remembered, up to a bound. */
export class Hosts {
  /** Without ports. */
  readonly names: ReadonlySet<string>
  readonly #accepted = new Set<string>()
  readonly #acceptedOnLoopback = new Set<string>()

  constructor(publicUrl: string, hosts: readonly string[]) {
    this.names = new Set([new URL(publicUrl).hostname, ...hosts.map((host) => hostnameOf(host) ?? host)])
  }

  /**
   * Any port will do: it is the name that a page of somebody else's can be made to show (DNS
   * rebinding). Throws `invalid`: 400 for a missing or malformed one, 421 for one that is not ours.
   */
  check(host: string | undefined, options: { readonly loopback: boolean }): void {
    const accepted = options.loopback ? this.#acceptedOnLoopback : this.#accepted
    if (host !== undefined && accepted.has(host)) return
    const name = host === undefined ? undefined : hostnameOf(host)
    if (host === undefined || name === undefined)
      throw new StorageError('invalid', 'the Host header is missing or malformed')
    if (!this.names.has(name) && !(options.loopback && loopbackNames.includes(name))) {
      throw new HttpError(421, 'invalid', 'this gateway does not answer for this host')
    }
    if (accepted.size < maxRemembered) accepted.add(host)
  }
}

/** Host names with everything below them. What was found of a Host header is remembered, up to a bound. */
export class Domains {
  readonly #names: readonly string[]
  readonly #known = new Map<string, string | undefined>()

  /** The longest first, so that of two the nearer one counts. */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => name.toLowerCase()).toSorted((a, b) => b.length - a.length)
  }

  /** What stands in front of the domain: '' for the domain itself, undefined for other hosts. */
  labelOf(host: string | undefined): string | undefined {
    if (host === undefined || this.#names.length === 0) return undefined
    if (this.#known.has(host)) return this.#known.get(host)
    const label = this.#find(hostnameOf(host))
    if (this.#known.size < maxRemembered) this.#known.set(host, label)
    return label
  }

  #find(name: string | undefined): string | undefined {
    if (name === undefined) return undefined
    const domain = this.#names.find((each) => name === each || name.endsWith(`.${each}`))
    return domain && name.slice(0, -domain.length - 1)
  }
}

/** RFC 9112, section 3.2: a Host header is needed even where the target's own authority wins. Throws `invalid`. */
export function requireHost(host: string | undefined): void {
  if (host === undefined || hostnameOf(host) === undefined) {
    throw new StorageError('invalid', 'the Host header is missing or malformed')
  }
}

/** Lower case, without port and final dot; IPv6 in brackets. Undefined for what is no host (RFC 9110, section 7.2). */
function hostnameOf(host: string): string | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{0,5})?$/.exec(host)
  return match?.[1]?.toLowerCase().replace(/\.$/, '')
}
