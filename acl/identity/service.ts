/**
 * The identity of every call: credentials to principals, with caches, bans and a reload that is all or
 * nothing. Everything that a reload replaces, caches included, is one `IdentityState`, so that nothing decided
 * under an old configuration is remembered under a new one.
 */

import type { Finding } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { ClientCertificate } from '../client-certificate.ts'
import type { JsonObject } from '../json.ts'
import { anonymous, type Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import { type Account, type Accounts, principalOf, type SourceState } from './accounts.ts'
import { isAdministrator } from './administrators.ts'
import { AppPasswordDesk, authenticateAppPassword, looksLikeAppPassword } from './app-passwords.ts'
import { attemptsInMemory } from './attempts.ts'
import { createBans } from './bans.ts'
import { type CheckPassword, createPasswordCheck } from './basic.ts'
import { authenticateBearer, explainFailure } from './bearer.ts'
import { requireBinding } from './binding.ts'
import { recognizeCertificate } from './certificates.ts'
import type { Known } from './credential-cache.ts'
import type { Source } from './derived.ts'
import { Entrance } from './entrance.ts'
import { wholeHolder } from './holder.ts'
import type {
  Bans,
  Credential,
  DeviceClient,
  Identity,
  JudgeStep,
  Macaroons,
  Negotiation,
  People,
  S3Keys,
  Shares,
} from './identity.ts'
import { checkAccounts, checkIssuers } from './issuer-check.ts'
import { decodeToken, type Trace } from './jwt.ts'
import { NegotiationDesk } from './kerberos/negotiation.ts'
import { createKerberosPasswords } from './kerberos/password.ts'
import { maxTokenLength } from './limits.ts'
import { LinkDesk } from './links/desk.ts'
import { markOfLink } from './links/linked.ts'
import type { Links } from './links/links.ts'
import { MacaroonDesk } from './macaroon-desk.ts'
import { authenticateMacaroon, isMacaroon, looksLikeMacaroon } from './macaroons.ts'
import type { Holder, IdentityOptions } from './options.ts'
import { marksOf, type PasswordSignedIn, signedInBy } from './password-sessions.ts'
import { passwordOptions, withoutRealm } from './passwords.ts'
import { deny, refuse } from './refusal.ts'
import { S3KeyDesk } from './s3-keys.ts'
import { SessionDesk, type SignedIn } from './sessions.ts'
import { createShares } from './shares.ts'
import type { AppPasswords, Sessions, SignIn } from './sign-in.ts'
import { clock, type IdentityState, openState } from './state.ts'
import { tellSteps } from './telling.ts'

/** What a token is worth here, step by step. For its holder. */
export interface Judgement {
  readonly accepted: boolean
  readonly steps: readonly JudgeStep[]
  /** As the token writes them, trusted or not; absent when it is no signed JWT. */
  readonly header?: JsonObject
  readonly payload?: JsonObject
  readonly principal?: Principal
}

export interface IdentityService extends Identity {
  /** Replaces everything. Throws and changes nothing when the options or an accounts file are bad. */
  reload(options: IdentityOptions): Promise<void>
  /** Asks all issuers for their keys and all account sources for the accounts that the configuration names. */
  checkIssuers(): Promise<readonly Finding[]>
  /** Tries everything that account sources stand on. */
  checkAccounts(): Promise<readonly Finding[]>
  /** Judges without caches and never throws for a bad token. */
  judge(token: Secret): Promise<Judgement>
  /** Ends fetches and look-ups under way. */
  close(): Promise<void>
}

/** Throws `invalid` when the options do not fit together or an accounts file is bad. No key is fetched before it is needed. */
export async function createIdentity(options: IdentityOptions): Promise<IdentityService> {
  return new Service(await openState(options))
}

type Bearer = Extract<Credential, { kind: 'bearer' }>

class Service implements IdentityService {
  #state: IdentityState
  readonly #checkPassword: CheckPassword
  readonly #kerberosPasswords = createKerberosPasswords()
  /** What each principal that was let in came with. */
  readonly #holders = new WeakMap<Principal, Holder>()
  /** How those signed in who may have a session. */
  readonly #signedIn = new WeakMap<Principal, SignedIn>()
  readonly #sessions: SessionDesk
  readonly #tickets: NegotiationDesk | undefined
  readonly kerberos: Negotiation | undefined
  readonly macaroons: Macaroons | undefined
  readonly shares: Shares | undefined
  readonly bans: Bans | undefined
  readonly signIn: SignIn | undefined
  readonly sessions: Sessions | undefined
  readonly appPasswords: AppPasswords | undefined
  readonly links: Links | undefined
  readonly s3: S3Keys | undefined

  constructor(state: IdentityState) {
    this.#state = state
    const alone = attemptsInMemory(() => clock(this.#state.options))
    this.#checkPassword = createPasswordCheck(
      () => this.#state.options.signIn?.attempts ?? alone,
      this.#kerberosPasswords,
    )
    const now = () => this.#state
    this.#sessions = new SessionDesk(now, (principal) => this.#signedIn.get(principal))
    if (state.options.signIn) {
      this.signIn = new Entrance(now, this.#signedIn)
      this.sessions = this.#sessions
      this.appPasswords = new AppPasswordDesk(now, (principal) => this.#sourceOf(principal))
      this.links = new LinkDesk(now, (principal) => this.#signedIn.get(principal))
    }
    const { macaroons, bans, s3, kerberos } = state.options
    this.#tickets = kerberos && new NegotiationDesk({ state: now, admit: (found, how) => this.#enter(found, how) })
    this.kerberos = this.#tickets
    if (s3) {
      const sourceOf = (principal: Principal) => this.#sourceOf(principal)
      this.s3 = new S3KeyDesk({
        state: now,
        sourceOf,
        admit: (found) => void this.#admit(this.#hold(found), this.#state),
      })
    }
    if (bans) this.bans = createBans(bans, () => this.#state.options.revocations, now)
    if (!macaroons) return
    this.macaroons = new MacaroonDesk(
      () => ({ ...this.#state, now: clock(this.#state.options) }),
      (principal) => this.#holders.get(principal),
    )
    this.shares = createShares(macaroons.shares, this.macaroons)
  }

  isRevoked(principal: Principal): boolean {
    const { id, user } = principal
    // Of a copy of who was let in at least the names are known.
    const holder = this.#holders.get(principal) ?? wholeHolder(principal, { id, user, tokenId: undefined })
    return this.#state.options.revocations?.isRevoked(holder) === true
  }

  authenticate(credential: Credential): Promise<Principal> {
    switch (credential.kind) {
      case 'none':
        return Promise.resolve(anonymous)
      case 'bearer':
        return this.#bearer(credential)
      case 'basic':
        return this.#basic(credential)
      case 'session':
        return this.#session(credential.secret)
      case 'ticket':
        return this.#ticket(credential.secret)
      case 'certificate':
        return this.#certificate(credential.certificate)
    }
  }

  async principalOf(user: string): Promise<Principal | undefined> {
    const { options, accounts } = this.#state
    try {
      const account = await accounts.find(localName(user, options.domain))
      return passwordPrincipal(account, options, 'account')
    } catch (error) {
      if (StorageError.from(error).code === 'denied') return undefined
      throw error
    }
  }

  people(): People {
    const { options, accounts } = this.#state
    return { principals: listPeople(accounts, options), unlisted: accounts.unlisted }
  }

  get deviceClients(): readonly DeviceClient[] {
    return this.#state.options.issuers.flatMap(({ issuer, name, device }) =>
      device ? [{ issuer, name, ...device }] : [],
    )
  }

  sources(): readonly SourceState[] {
    return this.#state.accounts.states()
  }

  explainCredential(principal: Principal): Promise<readonly JudgeStep[]> {
    const state = this.#state
    return tellSteps(principal, {
      state,
      signedIn: this.#signedIn.get(principal),
      verify: (token, trace) => this.#verify(state, token, trace),
      session: (id, trace) => this.#sessions.retrace(id, trace),
    })
  }

  async reload(options: IdentityOptions): Promise<void> {
    const old = this.#state
    this.#state = await openState(options, old)
    await old.accounts.close(this.#state.accounts)
  }

  checkIssuers(): Promise<readonly Finding[]> {
    return checkIssuers(this.#state)
  }

  checkAccounts(): Promise<readonly Finding[]> {
    return checkAccounts(this.#state)
  }

  async judge(token: Secret): Promise<Judgement> {
    const steps: JudgeStep[] = []
    const text = token.reveal()
    const parts = text.length <= maxTokenLength ? decodeToken(text) : undefined
    try {
      const known = await this.#verify(this.#state, text, (step, said) =>
        steps.push({ step, passed: true, text: said }),
      )
      this.#admit(known, this.#state)
      return { accepted: true, steps, principal: known.principal, ...parts }
    } catch (error) {
      const { rule, text: said } = explainFailure(error)
      return { accepted: false, steps: [...steps, { step: rule, passed: false, text: said }], ...parts }
    }
  }

  async close(): Promise<void> {
    for (const { keys } of this.#state.issuers.values()) keys.close()
    this.#state.introspection.close()
    this.#kerberosPasswords.close()
    await this.#state.accounts.close()
  }

  /** The path of nearly every call: one look-up and a promise. */
  #bearer(credential: Bearer): Promise<Principal> {
    const state = this.#state
    const known = state.cache.token(credential.token.reveal(), clock(state.options))
    if (known === undefined || this.#hasLostLink(known, state)) return this.#freshBearer(credential, state)
    const isFree = state.options.revocations === undefined && known.boundTo === undefined
    return isFree ? Promise.resolve(known.principal) : this.#admitLater(known, state, credential.certificate)
  }

  /** Who was linked anew meanwhile is not to wait until the old link is forgotten. */
  #hasLostLink({ principal: { link } }: Known, { options }: IdentityState): boolean {
    const nobody = { id: '', user: undefined, tokenId: undefined }
    return link !== undefined && options.revocations?.isRevoked({ ...nobody, marks: [markOfLink(link)] }) === true
  }

  async #freshBearer({ token: secret, from, certificate }: Bearer, state: IdentityState): Promise<Principal> {
    const token = secret.reveal()
    // Before anything is hashed or kept: nobody fills the memory with what is no token.
    if (token.length > maxTokenLength)
      throw refuse('token-size', `the token is longer than ${maxTokenLength} characters`)
    state.cache.checkRefused(token, clock(state.options))
    const known = await share(state.pending, token, () => this.#learnToken(token, state, from))
    return this.#admit(known, state, certificate)
  }

  async #learnToken(token: string, state: IdentityState, from: string | undefined): Promise<Known> {
    try {
      const known = await this.#verify(state, token, ignore, from)
      return state.cache.keepToken(token, known, clock(state.options))
    } catch (error) {
      state.cache.keepRefusal(token, StorageError.from(error), clock(state.options))
      throw error
    }
  }

  async #verify(state: IdentityState, token: string, trace: Trace, from?: string): Promise<Known> {
    const now = clock(state.options)
    const { epochs, accounts, issuers, linked, options } = state
    if (epochs && (state.introspection.isFor(token) ? isMacaroon(token) : looksLikeMacaroon(token))) {
      const { domain } = options
      const found = await authenticateMacaroon(token, { epochs, accounts, issuers, linked, domain, now, trace })
      return this.#hold(found)
    }
    const { principal, tokenId, marks, ...more } = await authenticateBearer(token, { ...state, now, trace, from })
    return this.#hold({ principal, holder: { id: principal.id, user: principal.user, tokenId, marks }, ...more })
  }

  async #certificate(certificate: ClientCertificate): Promise<Principal> {
    const state = this.#state
    const means = { ...state, now: clock(state.options), trace: ignore }
    return this.#admit(await recognizeCertificate(certificate, means, (found) => this.#hold(found)), state)
  }

  async #basic(credential: Extract<Credential, { kind: 'basic' }>): Promise<Principal> {
    const state = this.#state
    const user = withoutRealm(localName(credential.user, state.options.domain), state.options)
    const key = state.cache.passwordKey(user, credential.password)
    const known = state.cache.password(key, clock(state.options))
    if (known !== undefined) return this.#admit(known, state)
    const learn = async (): Promise<Known> => {
      const { principal, holder, signedIn } = await this.#checkBasic(credential, user, key)
      if (signedIn) this.#signedIn.set(principal, signedIn)
      const { remember } = passwordOptions(state.options)
      return state.cache.keepPassword(key, this.#hold({ principal, holder }), clock(state.options), remember)
    }
    return this.#admit(await share(state.pending, key, learn), state)
  }

  async #checkBasic(
    { password, from }: Extract<Credential, { kind: 'basic' }>,
    user: string,
    key: string,
  ): Promise<Omit<Known, 'until'> & { readonly signedIn?: PasswordSignedIn }> {
    const state = this.#state
    if (state.options.signIn && looksLikeAppPassword(password)) {
      return authenticateAppPassword(`${user}@${state.options.domain}`, password, state)
    }
    try {
      const attempt = { user, password, from, wasRight: state.cache.wasRight(key) }
      const recognized = await this.#checkPassword(attempt, state)
      const principal = passwordPrincipal(recognized.account, state.options, 'basic')
      const signedIn = signedInBy(recognized)
      const holder = { id: principal.id, user: principal.user, tokenId: undefined, marks: marksOf(signedIn) }
      return { principal, holder, signedIn }
    } catch (error) {
      if (StorageError.from(error).code === 'unauthenticated') state.cache.forgetPassword(key)
      throw error
    }
  }

  async #session(secret: Secret): Promise<Principal> {
    const state = this.#state
    const { principal, holder, signedIn } = await this.#sessions.find(secret)
    this.#signedIn.set(principal, signedIn)
    return this.#admit(this.#hold({ principal, holder }), state)
  }

  #ticket(secret: Secret): Promise<Principal> {
    if (this.#tickets) return this.#tickets.recognize(secret)
    return Promise.reject(refuse('kerberos-cookie', 'tickets are not accepted here'))
  }

  /** Lets somebody in who has signed in himself. */
  #enter(found: Omit<Known, 'until'>, how: SignedIn): Principal {
    this.#signedIn.set(found.principal, how)
    return this.#admit(this.#hold(found), this.#state)
  }

  #sourceOf(principal: Principal): Source {
    return { holder: this.#holders.get(principal), signedIn: this.#signedIn.get(principal) }
  }

  #hold(found: Omit<Known, 'until'>): Known {
    const holder = wholeHolder(found.principal, found.holder)
    this.#holders.set(found.principal, holder)
    return { ...found, holder, until: 0 }
  }

  /** Bans hold for credentials that were verified before the ban. */
  #admit({ holder, principal, boundTo }: Known, state: IdentityState, certificate?: string): Principal {
    requireBinding(boundTo, certificate)
    if (state.options.revocations?.isRevoked(holder) === true) {
      throw deny('revoked', 'this user, subject or token was banned')
    }
    return principal
  }

  async #admitLater(known: Known, state: IdentityState, certificate?: string): Promise<Principal> {
    return this.#admit(known, state, certificate)
  }
}

function passwordPrincipal(account: Account, options: IdentityOptions, kind: 'basic' | 'account'): Principal {
  const local = principalOf(account, options.domain, { groups: new Set(), joined: new Map() })
  const principal: Principal = { id: `${kind}:${local.user}`, ...local, grants: 'unbounded' }
  return isAdministrator(principal, options) ? { ...principal, administrator: true } : principal
}

async function* listPeople(accounts: Accounts, options: IdentityOptions): AsyncIterable<Principal> {
  for await (const account of accounts.list()) yield passwordPrincipal(account, options, 'account')
}

async function share(pending: IdentityState['pending'], key: string, work: () => Promise<Known>): Promise<Known> {
  const running = pending.get(key)
  if (running !== undefined) return running
  const started = work().finally(() => pending.delete(key))
  pending.set(key, started)
  return started
}

/** "alice@desy.de" is alice here; a name of another domain stays as it is and so is nobody's. */
function localName(user: string, domain: string): string {
  return user.endsWith(`@${domain}`) ? user.slice(0, -domain.length - 1) : user
}

function ignore(): void {}
