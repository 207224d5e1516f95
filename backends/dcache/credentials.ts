/** Which credential a call takes to dCache, and whether dCache then decides about the caller itself. */

import type { Forwardable, Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parentOf, parsePath } from '../../gateway/core/path.ts'
import { claimsOf, hasStorageScope } from './claims.ts'
import { type ExchangeOptions, TokenExchange } from './exchange.ts'
import { fingerprint } from './lent.ts'
import { type Granted, type MacaroonDoor, MacaroonSource, narrowed } from './macaroons.ts'
import { apart, type Lasting, Provision } from './outlasting.ts'

/** What a macaroon may be used for (dCache User Guide, "Macaroons", caveat `activity`). */
export type Activity = 'LIST' | 'DOWNLOAD' | 'UPLOAD' | 'DELETE' | 'MANAGE' | 'READ_METADATA' | 'UPDATE_METADATA'

export interface Credentials {
  /** Whether dCache itself decides about this caller: then Storage leaves the ACLs to it. Never changes for a principal. */
  enforces(principal: Principal): boolean
  /**
   * Value of the Authorization header for these acts on `path`, in dCache's terms (for an act on two objects the
   * directory that holds both); undefined where none is to be sent, for a caller without a credential. Throws
   * `denied` (rule `credential`) where the caller's credential cannot be used and no other may be.
   */
  authorize(call: Call, activities: readonly Activity[], path: string): Promise<Secret | undefined>
  /** dCache refused what `authorize` gave. True where it was not fresh, so that one more try with a new one is worth it. */
  refused(call: Call, authorization: Secret): boolean
  /**
   * For work that may go on past the end of the caller's token and is finished all the same: by a macaroon for
   * `directory`, in dCache's terms, and these acts, which is asked for shortly before that end. Asks nothing of dCache
   * when the work is over by then. Where dCache gives none, `authorize` throws `unauthenticated` after the end, as for
   * every other call.
   */
  outlast(call: Call, activities: readonly Activity[], directory: string): Lasting
  close(): Promise<void>
}

export interface DelegationOptions {
  /** Which tokens dCache accepts as they are: issuer, and one of these audiences (or any token that carries it). */
  readonly accepts: readonly { readonly issuer: string; readonly audiences: readonly string[] }[]
  /** `forward`: the token itself. `macaroon`: a macaroon asked for with it, attenuated to path, activity and minutes. */
  readonly send: 'forward' | 'macaroon'
  /** Seconds that macaroons are asked for; default 600. Only one that finishes an upload outlives the token. */
  readonly validity?: number
  /** Where tokens that dCache does not accept, or that hold storage scopes, are exchanged for one that it does. */
  readonly exchange?: ExchangeOptions
  /** Tokens with storage scopes make dCache skip its ACLs: sent only when `forward`, and no macaroons are asked for with them. */
  readonly capabilities: 'never' | 'forward'
  /** What happens to callers whose credential dCache cannot be sent. */
  readonly otherwise: 'refuse' | 'service'
  /** The gateway's own login, for `otherwise: service`; read when used. For Basic "USER:PASSWORD". */
  readonly service?: () => Promise<{ readonly scheme: 'Bearer' | 'Basic'; readonly secret: Secret }>
}

/** How one caller comes to dCache. */
type Standing =
  /** Without a credential, as anybody. */
  | { readonly kind: 'nobody' }
  /** By a token that tells who he is. */
  | { readonly kind: 'identity' | 'exchange'; readonly credential: Forwardable }
  /** By a token whose scopes decide; it is sent and nothing is made from it. */
  | { readonly kind: 'capability'; readonly credential: Forwardable }
  | { readonly kind: 'service' }
  | { readonly kind: 'refused'; readonly text: string }

/** A credential that tells dCache who the caller is. */
export interface Login {
  /** Value of the Authorization header. */
  readonly authorization: Secret
  /** Stands for the caller's credential in keys of caches. */
  readonly owner: string
  /** Milliseconds since 1970; past it nothing may be used that was made with it. */
  readonly end: number
}

/** What was issued, so that it can be forgotten when it is refused. */
type Issued = { readonly granted: Granted } | { readonly exchanged: Forwardable; readonly since: number }

/** Seconds that work may go on past the end of the token that it was begun with. */
const finishing = 12 * 3600
/** Younger than this many milliseconds, a credential that is refused is refused for a reason. */
const fresh = 5000
/** Activities that one macaroon is asked for, so that few are needed; each request gets one narrowed to its own. */
const reading: readonly Activity[] = ['LIST', 'DOWNLOAD', 'READ_METADATA']
const changing: readonly Activity[] = [...reading, 'UPLOAD', 'DELETE', 'MANAGE', 'UPDATE_METADATA']

export class Delegation implements Credentials {
  readonly macaroons: MacaroonSource
  readonly #options: DelegationOptions
  readonly #exchange: TokenExchange | undefined
  readonly #standings = new WeakMap<Principal, Standing>()
  readonly #issued = new WeakMap<Secret, Issued>()
  readonly #provisions = new WeakMap<Principal, Provision>()

  /** `door`: the WebDAV door, which gives macaroons; asked for when first needed. Throws `invalid` for options that make no sense. */
  constructor(options: DelegationOptions, door: () => MacaroonDoor) {
    if (options.otherwise === 'service' && !options.service) {
      throw new StorageError('invalid', 'otherwise: service needs a service credential')
    }
    this.#options = options
    this.#exchange = options.exchange && new TokenExchange(options.exchange)
    this.macaroons = new MacaroonSource(door)
  }

  enforces(principal: Principal): boolean {
    return this.#standingOf(principal).kind !== 'service'
  }

  async authorize(call: Call, activities: readonly Activity[], path: string): Promise<Secret | undefined> {
    const provided = await this.#provisions.get(call.principal)?.take(call.signal)
    if (provided) return bearer(provided)
    const standing = this.#standingOf(call.principal)
    switch (standing.kind) {
      case 'nobody':
        return undefined
      case 'service':
        return await this.#service()
      case 'refused':
        throw new StorageError('denied', 'not allowed', { reason: { rule: 'credential', text: standing.text } })
      case 'capability':
        requireCurrent(call.principal)
        return bearer(standing.credential.secret)
      default: {
        const login = await this.#loginBy(standing, call)
        if (this.#options.send === 'forward') return login.authorization
        return await this.#macaroon(login, call, activities, path)
      }
    }
  }

  refused(_call: Call, authorization: Secret): boolean {
    const issued = this.#issued.get(authorization)
    if (!issued) return false
    const since = 'granted' in issued ? issued.granted.since : issued.since
    if (Date.now() - since < fresh) return false
    if ('granted' in issued) this.macaroons.drop(issued.granted.key)
    else this.#exchange?.drop(issued.exchanged)
    return true
  }

  outlast(call: Call, activities: readonly Activity[], directory: string): Lasting {
    const { expires } = call.principal
    if (expires === undefined || !('credential' in this.#standingOf(call.principal))) return { call, forget() {} }
    const own = apart(call)
    const provision = new Provision(expires * 1000, (signal) =>
      this.#finishing({ ...apart(call), signal }, activities, directory),
    )
    this.#provisions.set(own.principal, provision)
    const forget = () => {
      this.#provisions.delete(own.principal)
      provision.forget()
    }
    return { call: own, forget }
  }

  /**
   * What tells dCache who the caller is, for asking for something in his name; undefined for callers who come
   * otherwise: without a credential, with capabilities, by way of the service. Throws as `authorize` does.
   */
  async login(call: Call): Promise<Login | undefined> {
    const standing = this.#standingOf(call.principal)
    return standing.kind === 'identity' || standing.kind === 'exchange'
      ? await this.#loginBy(standing, call)
      : undefined
  }

  /**
   * Stands for what dCache shows to this caller, in keys of caches: the same for two callers only where dCache cannot
   * tell them apart. Undefined for those it shows nothing to.
   */
  viewOf(principal: Principal): string | undefined {
    const standing = this.#standingOf(principal)
    if (standing.kind === 'refused') return undefined
    return 'credential' in standing ? fingerprint(standing.credential.secret.reveal()) : standing.kind
  }

  /** The gateway's own login, for what concerns no caller. Undefined where none is configured. */
  async ownLogin(): Promise<Secret | undefined> {
    return this.#options.service && (await this.#service())
  }

  /** Milliseconds since 1970 until when a macaroon asked for now is to be good. */
  endFor(login: Login, seconds = this.#options.validity ?? 600): number {
    return Math.min(login.end, Date.now() + seconds * 1000)
  }

  async close(): Promise<void> {
    this.macaroons.close()
    this.#exchange?.close()
  }

  async #loginBy(standing: Extract<Standing, { kind: 'identity' | 'exchange' }>, call: Call): Promise<Login> {
    const { principal, signal } = call
    const { credential } = standing
    requireCurrent(principal)
    const owner = fingerprint(credential.secret.reveal())
    const end = principal.expires === undefined ? Number.POSITIVE_INFINITY : principal.expires * 1000
    if (standing.kind === 'identity' || !this.#exchange) return { authorization: bearer(credential.secret), owner, end }
    const { token, since, until } = await this.#exchange.exchange(principal, credential, signal)
    const authorization = bearer(token)
    this.#issued.set(authorization, { exchanged: credential, since })
    return { authorization, owner, end: until }
  }

  async #macaroon(login: Login, call: Call, activities: readonly Activity[], path: string): Promise<Secret> {
    const wide = activities.every((activity) => reading.includes(activity)) ? reading : changing
    const order = {
      authorization: login.authorization,
      owner: login.owner,
      path: parentOf(parsePath(path)),
      activities: wide,
      end: this.endFor(login),
    }
    const granted = await this.macaroons.get(order, call).catch((error) => {
      // An exchanged token that was good once may be what is refused: whoever comes next gets another.
      if (StorageError.from(error).code === 'denied') this.refused(call, login.authorization)
      throw error
    })
    const authorization = bearer(narrowed(granted, `activity:${activities.join()}`))
    this.#issued.set(authorization, { granted })
    return authorization
  }

  async #finishing(call: Call, activities: readonly Activity[], path: string): Promise<Granted> {
    const login = await this.login(call)
    if (!login) {
      const reason = { rule: 'credential', text: 'nothing is made from a token with storage scopes' }
      throw new StorageError('denied', 'not allowed', { reason })
    }
    const { authorization, owner } = login
    const end = Date.now() + finishing * 1000
    return await this.macaroons.getOwn({ authorization, owner, path, activities, end }, call)
  }

  async #service(): Promise<Secret> {
    const given = await this.#options.service?.()
    if (!given) throw new StorageError('internal', 'there is no service credential')
    if (given.scheme === 'Bearer') return bearer(given.secret)
    return new Secret(`Basic ${Buffer.from(given.secret.reveal()).toString('base64')}`)
  }

  #standingOf(principal: Principal): Standing {
    let standing = this.#standings.get(principal)
    if (!standing) {
      standing = this.#judge(principal)
      this.#standings.set(principal, standing)
    }
    return standing
  }

  #judge(principal: Principal): Standing {
    const { credential, user, grants } = principal
    if (!credential) {
      if (user === undefined) return { kind: 'nobody' }
      return this.#otherwise(principal, 'the caller came without a token that could be sent on')
    }
    if (credential.kind !== 'bearer') {
      return this.#otherwise(principal, 'a Kerberos identity cannot be sent on to dCache')
    }
    if (credential.bound) {
      return this.#otherwise(principal, "the token is bound to its holder's certificate, which the gateway cannot show")
    }
    const scoped = grants !== 'unbounded' || hasStorageScope(claimsOf(credential.secret.reveal())?.scope)
    const accepted = this.#accepts(credential)
    if (accepted && !scoped) return { kind: 'identity', credential }
    if (accepted && this.#options.capabilities === 'forward') return { kind: 'capability', credential }
    if (this.#exchange?.covers(credential)) return { kind: 'exchange', credential }
    const problem = accepted
      ? 'the token holds storage scopes, with which dCache would not look at its ACLs'
      : 'issuer or audience of the token are not among those that dCache accepts'
    return this.#otherwise(principal, problem)
  }

  #accepts({ issuer, audiences = [] }: Forwardable): boolean {
    return this.#options.accepts.some(
      (accepted) => accepted.issuer === issuer && accepted.audiences.some((audience) => audiences.includes(audience)),
    )
  }

  /** The service stands in only for somebody whose identity the gateway knows. */
  #otherwise({ user }: Principal, problem: string): Standing {
    if (this.#options.otherwise === 'service' && user !== undefined) return { kind: 'service' }
    return { kind: 'refused', text: `${problem}, and dCache decides by the caller's own credential here` }
  }
}

function bearer(secret: Secret): Secret {
  return new Secret(`Bearer ${secret.reveal()}`)
}

/** What runs may end; nothing new begins with a credential that is void. */
function requireCurrent({ expires }: Principal): void {
  if (expires === undefined || expires * 1000 > Date.now()) return
  const reason = { rule: 'token-expired', text: 'the credential has expired' }
  throw new StorageError('unauthenticated', 'the credential has expired', { reason })
}
