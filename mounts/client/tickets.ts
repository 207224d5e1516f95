/**
 * Signing in with the Kerberos ticket of the user who runs us (HTTP Negotiate, RFC 4559), at one gateway.
 *
 * One request shows a ticket; the gateway's answer proves that it is the service that the ticket is for, and brings a
 * cookie that stands for the ticket for some minutes. It is kept in memory only, and neither goes to any other host.
 */

import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'

/** `required`: fails where there is no ticket; `if-any`: goes without then. */
export type TicketUse = 'required' | 'if-any'

/** Of the npm package `kerberos`; another one for tests. */
export interface TicketLibrary {
  /** A first token for a service such as HTTP@gw.example.org. Throws, with words for people, when there is no ticket. */
  begin(service: string): Promise<TicketExchange>
}

export interface TicketExchange {
  /** base64. */
  readonly token: string
  /** Whether the service has shown that it is the one asked for, by the token of its answer (RFC 4120, section 3.2.4). */
  proves(answer: string): Promise<boolean>
}

/** Of an answer, what is looked at here. */
export interface TicketAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** What goes out with one request, and who looks at its answer. */
export interface TicketHeaders {
  readonly headers: Readonly<Record<string, string>>
  /** Throws `unavailable` when whoever answered is not the service that was asked. */
  readonly check?: (answer: TicketAnswer) => Promise<void>
}

const without: TicketHeaders = { headers: {} }
/** Milliseconds before its end from which a cookie is not used any more. */
const margin = 15_000
/** Milliseconds that a KDC may take: less for who has not asked for Kerberos. */
const patience = { required: 15_000, 'if-any': 4_000 } as const
const maxCookie = 4096
const maxLifetime = 3_600_000
const maxProof = 65_536

export class Tickets {
  readonly #use: TicketUse
  readonly #origin: URL
  readonly #library: () => Promise<TicketLibrary | undefined>
  #entering: Promise<void> | undefined
  /** What came of it: a cookie, a ticket for each request, or nothing. Undefined where that is to be found out. */
  #state: { readonly cookie: Secret; readonly until: number } | 'each' | 'nothing' | undefined

  constructor(origin: URL, use: TicketUse, library: () => Promise<TicketLibrary | undefined> = loadTickets) {
    this.#origin = origin
    this.#use = use
    this.#library = library
  }

  /**
   * For a request to the origin. `ask` makes a small request with these headers; it is called first of all, so that no body
   * is sent in vain, and again when the cookie has ended. Throws `unauthenticated` with what to do.
   */
  async headersFor(ask: (headers: Readonly<Record<string, string>>) => Promise<TicketAnswer>): Promise<TicketHeaders> {
    if (!this.#isGood()) {
      // Requests at once show one ticket.
      this.#entering ??= this.#enter(ask).finally(() => {
        this.#entering = undefined
      })
      await this.#entering
    }
    const state = this.#state
    if (state === 'nothing') return without
    if (typeof state !== 'object') return this.#fresh()
    return { headers: { cookie: this.#header(state.cookie) } }
  }

  /** Whether a request that was answered with 401 may be worth another try: the cookie it had does not hold any more. */
  forget(sent: TicketHeaders): boolean {
    const { cookie } = sent.headers
    if (cookie === undefined) return false
    // Another request may have got a newer one meanwhile.
    const state = this.#state
    if (typeof state === 'object' && cookie === this.#header(state.cookie)) this.#state = undefined
    return true
  }

  #isGood(): boolean {
    const state = this.#state
    return typeof state === 'object' ? Date.now() < state.until : state !== undefined
  }

  async #enter(ask: (headers: Readonly<Record<string, string>>) => Promise<TicketAnswer>): Promise<void> {
    const begun = await this.#begin()
    if (begun === undefined) {
      this.#state = 'nothing'
      return
    }
    const answer = await ask({ authorization: `Negotiate ${begun.token}` })
    const { status, headers } = answer
    const speaks = negotiateOf(headers['www-authenticate'])
    if (status === 401 && speaks === undefined) {
      if (this.#use === 'required') throw this.#refused('the gateway takes no Kerberos tickets')
      this.#state = 'nothing'
      return
    }
    if (status === 401) throw this.#refused('the gateway did not accept the Kerberos ticket; klist shows yours')
    if (status >= 400) {
      // Nobody here, or nothing works: that is for the request itself to find out, with a ticket of its own.
      const isPassing = status >= 500 || status === 429
      this.#state = isPassing ? undefined : 'each'
      return
    }
    await this.#prove(begun, answer)
    this.#state = cookieOf(headers['set-cookie'], cookieName(this.#origin)) ?? 'each'
  }

  async #fresh(): Promise<TicketHeaders> {
    const begun = await this.#begin()
    if (begun === undefined) return without
    return {
      headers: { authorization: `Negotiate ${begun.token}` },
      check: async (answer) => {
        if (answer.status < 400) await this.#prove(begun, answer)
      },
    }
  }

  async #prove(begun: TicketExchange, { headers }: TicketAnswer): Promise<void> {
    const proof = negotiateOf(headers['www-authenticate'])
    if (proof !== undefined && proof !== '' && proof.length <= maxProof && (await begun.proves(proof))) return
    throw new StorageError(
      'unavailable',
      `${this.#origin.origin}: whoever answered did not prove to be ${this.#service}`,
    )
  }

  #header(cookie: Secret): string {
    return `${cookieName(this.#origin)}=${cookie.reveal()}`
  }

  get #service(): string {
    return `HTTP@${this.#origin.hostname.replace(/^\[|\]$/g, '')}`
  }

  async #begin(): Promise<TicketExchange | undefined> {
    const isRequired = this.#use === 'required'
    const library = await this.#library()
    if (library === undefined) {
      if (!isRequired) return undefined
      throw new StorageError('unsupported', 'Kerberos takes the optional npm package kerberos, which is not built here')
    }
    const late = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => late.resolve('late'), patience[this.#use])
    try {
      const begun = await Promise.race([library.begin(this.#service), late.promise])
      if (begun !== 'late') return begun
      if (isRequired) throw new StorageError('unavailable', 'Kerberos: the KDC gave no ticket in time')
    } catch (error) {
      if (!isRequired) return undefined
      if (error instanceof StorageError) throw error
      const why = error instanceof Error ? ` (${error.message})` : ''
      throw this.#refused(`no Kerberos ticket for ${this.#service}: run kinit${why}`)
    } finally {
      clearTimeout(timer)
    }
    return undefined
  }

  #refused(text: string): StorageError {
    return new StorageError('unauthenticated', `${this.#origin.origin}: ${text}`)
  }
}

/** Over TLS its name keeps other hosts from setting it (RFC 6265bis, section 4.1.3.2). */
function cookieName({ protocol }: URL): string {
  return protocol === 'https:' ? '__Host-portolan-ticket' : 'portolan-ticket'
}

/** The token behind Negotiate; empty where there is none. Undefined where the scheme is not spoken. */
function negotiateOf(header: string | readonly string[] | undefined): string | undefined {
  const text = typeof header === 'string' ? header : header?.join(', ')
  const found = /(?:^|,)\s*negotiate(?:\s+([A-Za-z0-9+/]+={0,2}))?\s*(?:,|$)/i.exec(text ?? '')
  return found === null ? undefined : (found[1] ?? '')
}

function cookieOf(given: string | readonly string[] | undefined, name: string) {
  for (const line of typeof given === 'string' ? [given] : (given ?? [])) {
    const [pair = '', ...attributes] = line.split(';')
    const [, value] = /^([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+)$/.exec(pair.slice(name.length + 1)) ?? []
    if (!pair.startsWith(`${name}=`) || value === undefined || value.length > maxCookie) continue
    const age = attributes
      .map((each) => /^\s*max-age=(\d{1,9})\s*$/i.exec(each)?.[1])
      .find((each) => each !== undefined)
    const life = Math.min(Number(age ?? 60) * 1000, maxLifetime)
    if (life > margin) return { cookie: new Secret(value), until: Date.now() + life - margin }
  }
  return undefined
}

/** The package, with the user's ticket cache as libkrb5 finds it (KRB5CCNAME); undefined where it is not built. */
export async function loadTickets(): Promise<TicketLibrary | undefined> {
  const library = await loadPackage()
  if (library === undefined) return undefined
  const { initializeClient, GSS_C_MUTUAL_FLAG, GSS_C_REPLAY_FLAG, GSS_MECH_OID_SPNEGO } = library
  return {
    async begin(service) {
      const gssFlag = GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG
      const client = await initializeClient(service, { gssFlag, mechOID: GSS_MECH_OID_SPNEGO })
      const token = await client.step('')
      return {
        token,
        async proves(answer) {
          try {
            await client.step(answer)
            return client.contextComplete
          } catch {
            // The package tells its failures by texts alone; whatever it was, nothing was proved.
            return false
          }
        },
      }
    },
  }
}

async function loadPackage(): Promise<typeof import('kerberos') | undefined> {
  try {
    return (await import('kerberos')).default
  } catch {
    // It is optional, and built only where the headers of libkrb5 are.
    return undefined
  }
}
