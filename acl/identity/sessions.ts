/**
 * Sessions of browsers: who signed in is known by a cookie, whose value is chance and is kept nowhere, only its hash.
 *
 * Who it is is found anew at least every second, from the account as it is then: so a session ends with its account,
 * with a ban, with a changed password of a file, with its issuer and with the mapping rule that it came by.
 */

import { createHash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { StoredSession } from '../../gateway/state/state.ts'
import { newId } from '../ids.ts'
import { type JsonObject, member } from '../json.ts'
import { type Principal, requireAdministrator } from '../principal.ts'
import { Secret } from '../secret.ts'
import type { Accounts } from './accounts.ts'
import { isAdministrator } from './administrators.ts'
import { localIdentity } from './bearer.ts'
import { entitlementClaims } from './entitlements.ts'
import type { Trace, TrustedIssuer } from './jwt.ts'
import { byKerberos, type KerberosSignedIn, type KerberosState } from './kerberos/local-identity.ts'
import type { LinkedAccounts } from './links/linked.ts'
import type { Holder, IdentityOptions, SignInOptions } from './options.ts'
import { byPassword, marksOf, type PasswordSignedIn } from './password-sessions.ts'
import { quoted, refuse } from './refusal.ts'
import type { ListPart, Session, Sessions } from './sign-in.ts'

/** How somebody signed in: what the session is made from, again and again. */
export type SignedIn =
  | PasswordSignedIn
  | KerberosSignedIn
  | {
      readonly kind: 'issuer'
      /** As in `iss`. */
      readonly issuer: string
      readonly subject: string
      /** As the issuer tells them. */
      readonly groups: readonly string[]
      /** Claims that mapping rules speak about. */
      readonly claims: JsonObject
      /** Milliseconds since 1970; undefined: the issuer does not say. */
      readonly until: number | undefined
      readonly tokenId: string | undefined
    }

/** What the desk works with; another one after a reload. */
export interface SessionState {
  readonly options: IdentityOptions
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  readonly accounts: Accounts
  readonly linked?: LinkedAccounts | undefined
  readonly kerberos?: Pick<KerberosState, 'names'> | undefined
}

export interface Found {
  readonly principal: Principal
  readonly signedIn: SignedIn
  readonly holder: Holder
}

/** Sessions of one user; the oldest go. */
const mostOfOne = 50
/** Told at once to an administrator. */
const mostTold = 10_000
const mostRevoked = 10_000
/** Milliseconds that a process believes what it found. */
const believed = 1000
/** Milliseconds after which the use of a session is written down again. */
const noted = 60_000
/** Milliseconds for which all processes are told that one was ended: longer than any of them believes in it. */
const told = 60_000
const grammar = /^[A-Za-z0-9_-]{43}$/
const maxAgent = 200

export class SessionDesk implements Sessions {
  readonly #state: () => SessionState
  readonly #signedIn: (principal: Principal) => SignedIn | undefined
  readonly #found = new LRUCache<string, Found & { readonly state: SessionState; readonly until: number }>({
    max: 10_000,
  })

  constructor(state: () => SessionState, signedIn: (principal: Principal) => SignedIn | undefined) {
    this.#state = state
    this.#signedIn = signedIn
  }

  /** Throws `unauthenticated` for what opens none, or none any more; `denied` when its account is gone. */
  async find(secret: Secret): Promise<Found> {
    if (!grammar.test(secret.reveal())) throw refuse('session', 'no session has such a cookie')
    const state = this.#state()
    const { sessions, idle } = signInOf(state)
    const hash = hashOf(secret)
    const known = this.#found.get(hash)
    const now = sessions.now()
    if (known !== undefined && known.state === state && now < known.until) return known
    const session = await sessions.find(hash)
    if (session === undefined) throw refuse('session', 'there is no such session, or it has ended')
    if (now - session.used >= idle * 1000) throw refuse('session', 'the session was not used for too long')
    const found = await restore(session, state, () => {})
    if (now - session.used >= noted) await sessions.touch(session.id)
    const end = Math.min(now + believed, session.expires, session.used + idle * 1000)
    this.#found.set(hash, { ...found, state, until: end })
    return found
  }

  async begin(principal: Principal, { agent, from }: { readonly agent: string; readonly from: string }) {
    const { sessions, lifetime } = signInOf(this.#state())
    // A session begins with signing in, and never with another session, which would so have no end.
    const facts = principal.session === undefined ? this.#signedIn(principal) : undefined
    if (facts === undefined || principal.user === undefined) {
      throw new StorageError('denied', 'sessions are for people who sign in', {
        reason: { rule: 'session', text: 'the credential is neither a password of an account nor of a login' },
      })
    }
    const secret = new Secret(randomBytes(32).toString('base64url'))
    const until = facts.kind === 'issuer' ? facts.until : undefined
    const end = Math.min(sessions.now() + lifetime * 1000, until ?? Number.POSITIVE_INFINITY)
    const kept = await sessions.add(
      {
        id: newId(12),
        hash: hashOf(secret),
        principal: principal.id,
        user: principal.user,
        facts: JSON.stringify(facts),
        agent: agent.slice(0, maxAgent),
        from,
        expires: end,
      },
      mostOfOne,
    )
    return { ...shown(kept), secret }
  }

  async list(
    principal: Principal,
    all = false,
    { user, most = mostTold, after }: ListPart = {},
  ): Promise<readonly Session[]> {
    const { sessions, idle } = signInOf(this.#state())
    if (all) requireAdministrator(principal)
    if (principal.user === undefined || principal.grants !== 'unbounded') return []
    const since = sessions.now() - idle * 1000
    const kept = await sessions.list(all ? user : principal.user, since, Math.min(most, mostTold), after)
    return kept.map(shown)
  }

  /** How it came to be whose it is, found out anew. Throws as `find`. */
  async retrace(id: string, trace: Trace): Promise<void> {
    const state = this.#state()
    const { sessions, idle } = signInOf(state)
    const session = await sessions.get(id)
    if (session === undefined) throw refuse('session', 'there is no such session, or it has ended')
    const [begun, end] = [new Date(session.created).toISOString(), new Date(session.expires).toISOString()]
    trace('session', `begun ${begun}; ends ${end}, or after ${idle} s without use`)
    await restore(session, state, trace)
  }

  async end(principal: Principal, id: string): Promise<Session> {
    const { options } = this.#state()
    const { sessions, revocations } = signInOf(this.#state())
    const session = await sessions.get(id)
    const isOwn = principal.grants === 'unbounded' && principal.user === session?.user
    if (session === undefined || !(isOwn || principal.administrator)) {
      throw new StorageError('not-found', 'no such session')
    }
    // First of all it is over: telling so may fail, since there is room for so many only.
    await sessions.remove(id)
    this.#found.delete(session.hash)
    const entry = { name: `session:${id}`, principal: principal.id, note: '', until: revocations.now() + told }
    await revocations.add(entry, mostRevoked)
    await options.revocations?.refresh?.()
    return shown(session)
  }
}

function signInOf({ options }: SessionState): SignInOptions {
  if (options.signIn) return options.signIn
  throw refuse('session', 'there are no sessions here')
}

function hashOf(secret: Secret): string {
  return createHash('sha256').update('session ').update(secret.reveal()).digest('base64url')
}

/** Throws where it has ended with what it was begun by. */
async function restore(session: StoredSession, state: SessionState, trace: Trace): Promise<Found> {
  const facts = JSON.parse(session.facts) as SignedIn
  const local = await localOf(session, facts, state, trace)
  if (local.user !== session.user) throw refuse('session', 'whoever signed in is somebody else here by now')
  const principal: Principal = {
    ...local,
    id: session.principal,
    grants: 'unbounded',
    session: session.id,
    ...(isAdministrator({ ...local, grants: 'unbounded' }, state.options) && { administrator: true }),
  }
  const tokenId = facts.kind === 'issuer' ? facts.tokenId : undefined
  const holder = {
    id: session.principal,
    user: session.user,
    tokenId,
    marks: [`session:${session.id}`, ...marksOf(facts)],
    ...(facts.kind === 'issuer' && { issuer: facts.issuer }),
  }
  return { principal, signedIn: facts, holder }
}

function localOf({ user }: StoredSession, facts: SignedIn, state: SessionState, trace: Trace) {
  switch (facts.kind) {
    case 'issuer':
      return byIssuer(facts, state, trace)
    case 'kerberos':
      trace('session', `begun with a ticket of ${facts.name}`)
      return byKerberos(facts.name, state, trace)
    default:
      return byPassword(user, facts, state, trace)
  }
}

/** Throws as `mapToken` and `Accounts.find`; `unauthenticated` when people may not sign in there any more. */
export async function byIssuer(
  { issuer: url, subject, groups, claims }: Extract<SignedIn, { kind: 'issuer' }>,
  { options, issuers, accounts, linked }: SessionState,
  trace: Trace = () => {},
): Promise<Pick<Principal, 'user' | 'groups' | 'posix' | 'link' | 'linkEnds'>> {
  const issuer = issuers.get(url)?.options
  if (issuer === undefined || !options.signIn?.issuers.some(({ name }) => name === issuer.name)) {
    throw refuse('session', 'people do not sign in at this issuer any more')
  }
  const input = { issuer, subject, payload: claims, groups, hasCapabilities: false }
  trace('issuer', `signed in at issuer ${issuer.name} as subject ${quoted(subject)}`)
  return localIdentity(input, { options, accounts, linked, trace })
}

/** Those of the claims that rules for this issuer read. */
export function claimsForRules(claims: JsonObject, { mapping, issuers }: IdentityOptions, issuer: string): JsonObject {
  const rules = mapping.filter((rule) => 'issuer' in rule && rule.issuer === issuer)
  const named = rules.flatMap((rule) => ('claim' in rule ? rule.claim : []))
  const hasEntitlements = issuers.some(({ name, entitlements }) => name === issuer && entitlements)
  // These are read strictly by the mapping, whatever they hold.
  const whole = [
    ...(hasEntitlements ? entitlementClaims : []),
    ...(rules.some((rule) => 'assurance' in rule) ? ['eduperson_assurance'] : []),
    ...(named.includes('email') ? ['email_verified'] : []),
  ]
  const entries = [...named, ...whole].flatMap((name) => {
    const value = member(claims, name)
    return typeof value === 'string' || (value !== undefined && whole.includes(name)) ? [[name, value] as const] : []
  })
  return Object.fromEntries(entries)
}

function shown({ id, user, agent, from, created, used, expires }: StoredSession): Session {
  return { id, user, agent, from, created, used, expires }
}
