/** Where third-party copies may lead: hosts and networks of the configuration, checked anew for every connection. */

import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { StorageError } from '../../core/errors.ts'
import { HttpError } from '../../http/errors.ts'
import { RemoteFailure } from './failure.ts'
import { mayConnect, parseNetworks } from './networks.ts'

export interface TargetOptions {
  /** `se.example.org`, `*.example.org` (names below it) or `*`, with `:port` or for the usual ports; IPv6 in brackets. */
  readonly hosts: readonly string[]
  /** Private networks that may be reached nevertheless. */
  readonly networks: readonly string[]
  /** Plain HTTP too. */
  readonly insecure: boolean
  /** All addresses of a name; the system's resolver if absent. */
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>
}

interface Rule {
  /** Lower case; begins with "." for all names below; undefined for any. */
  readonly host: string | undefined
  readonly port: number | undefined
}

/** Milliseconds for the resolver, which may hang. */
const resolverTime = 15_000
const maxAddresses = 16

export class Targets {
  readonly #rules: readonly Rule[]
  readonly #networks: ReturnType<typeof parseNetworks>
  readonly #insecure: boolean
  readonly #resolve: NonNullable<TargetOptions['resolve']>

  /** Throws `invalid` for what is no host or network. */
  constructor({ hosts, networks, insecure, resolve }: TargetOptions) {
    this.#rules = hosts.map(ruleOf)
    this.#networks = parseNetworks(networks)
    this.#insecure = insecure
    this.#resolve = resolve ?? ((host) => lookup(host, { all: true, order: 'verbatim' }))
  }

  /** What the URL alone tells. Throws `denied`, which names the host in its reason only. */
  check(url: URL): void {
    const host = hostOf(url)
    if (url.protocol === 'http:' && !this.#insecure) throw refused(url, 'plain HTTP is not allowed')
    if (!this.#rules.some((rule) => allows(rule, host, portOf(url)))) throw refused(url, 'the host is not listed')
    if (isIP(host) !== 0 && !mayConnect(host, this.#networks)) throw refused(url, 'the address is not allowed')
  }

  /** The addresses to connect to, and no others. Checks the URL as well. Throws `denied`, or RemoteFailure without any. */
  async resolve(url: URL, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    this.check(url)
    const host = hostOf(url)
    const family = isIP(host)
    if (family !== 0) return [{ address: host, family }]
    const found = await this.#lookUp(host, signal)
    const allowed = found.slice(0, maxAddresses).filter(({ address }) => mayConnect(address, this.#networks))
    if (allowed.length === 0) throw refused(url, 'its addresses are not allowed')
    return allowed
  }

  async #lookUp(host: string, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    const { promise, reject } = Promise.withResolvers<never>()
    const stop = () => reject(new StorageError('cancelled', 'the copy was cancelled'))
    const timer = setTimeout(() => reject(new RemoteFailure('its name was not resolved in time')), resolverTime)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      const resolved = this.#resolve(host).catch((cause: unknown) => {
        throw new RemoteFailure('its name cannot be resolved', { cause })
      })
      return await Promise.race([resolved, promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
  }
}

function ruleOf(text: string): Rule {
  const match = /^(\*|(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/i.exec(text)
  const [, name, digits] = match ?? []
  const port = digits === undefined ? undefined : Number(digits)
  if (name === undefined || (port !== undefined && (port < 1 || port > 65_535))) {
    throw new StorageError('invalid', `not a host: ${text}`)
  }
  if (name === '*') return { host: undefined, port }
  const host = name.startsWith('*.') ? name.slice(1) : name
  // One spelling for an address, the one that URL uses too.
  return { host: URL.parse(`http://${host}/`)?.hostname.replace(/^\[|\]$/g, '') ?? host.toLowerCase(), port }
}

function allows(rule: Rule, host: string, port: number): boolean {
  if (rule.port === undefined ? !isUsual(port) : rule.port !== port) return false
  if (rule.host === undefined) return true
  return rule.host.startsWith('.') ? host.endsWith(rule.host) && host.length > rule.host.length : host === rule.host
}

/** Where storage is found; mail and shells are below. */
function isUsual(port: number): boolean {
  return port === 80 || port === 443 || port >= 1024
}

/** Without brackets and without the final dot that means the same name. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}

export function portOf(url: URL): number {
  return Number(url.port || (url.protocol === 'http:' ? 80 : 443))
}

function refused(url: URL, why: string): HttpError {
  return new HttpError(403, 'denied', 'the other server is not one that files may be copied from or to', {
    reason: { rule: 'third-party-target', text: `${url.protocol}//${url.host}: ${why}` },
  })
}
