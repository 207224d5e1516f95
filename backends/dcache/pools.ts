/** Where a redirect of the door may lead: to hosts that the configuration names, by TLS unless it says otherwise. */

import { unavailable } from './errors.ts'

interface Rule {
  /** Lower case; begins with "." for a whole domain. */
  readonly host: string
  readonly port: string | undefined
}

export class PoolPolicy {
  readonly #door: string
  readonly #rules: readonly Rule[]
  readonly #insecure: boolean

  /** `pools`: "pool1.desy.de", "*.desy.de", "[2001:db8::1]", with ":port" or any. The door's own origin is always allowed. */
  constructor(door: URL, pools: readonly string[], options: { readonly insecure: boolean }) {
    this.#door = door.origin
    this.#rules = pools.map(ruleOf)
    this.#insecure = options.insecure
  }

  /** The URL to go to. Throws `unavailable` for any that nobody allowed: whoever sends us there is not to be trusted. */
  target(location: string | undefined, from: URL): URL {
    const url = location === undefined ? null : URL.parse(location, from)
    if (!url) throw unavailable('the storage redirects to nowhere')
    if (url.username !== '' || url.password !== '') throw unavailable('the storage redirects with a password')
    if (url.origin !== this.#door) {
      const plain = url.protocol === 'http:' && this.#insecure
      if (url.protocol !== 'https:' && !plain) throw unavailable('the storage redirects to an insecure address')
      if (!this.#rules.some((rule) => allows(rule, url))) throw unavailable('the storage redirects to a foreign host')
    }
    url.hash = ''
    return url
  }
}

function ruleOf(text: string): Rule {
  const [, host = '', port] = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(text.toLowerCase()) ?? []
  return { host: host.startsWith('*.') ? host.slice(1) : host, port }
}

function allows({ host, port }: Rule, url: URL): boolean {
  if (host === '') return false
  if (port !== undefined && port !== (url.port || (url.protocol === 'https:' ? '443' : '80'))) return false
  return host.startsWith('.') ? url.hostname.endsWith(host) && url.hostname.length > host.length : url.hostname === host
}
