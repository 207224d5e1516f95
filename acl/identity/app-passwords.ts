/**
 * Application passwords: what somebody hands to one program of his, in place of his own password.
 *
 * They are macaroons' bounds on a secret that fits into a password field. It has 192 bits of chance, so no guess finds
 * it, and one round of SHA-256 is hash enough: the slow hashes for what people choose would slow down nobody but the
 * program that sends it with every request. As with macaroons, the account is looked up at every use.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, root } from '../../gateway/core/path.ts'
import type { StoredAppPassword } from '../../gateway/state/state.ts'
import type { Grant, Principal } from '../principal.ts'
import { Secret } from '../secret.ts'
import { addressesOf, type Bounds, grantsOf, readCaveats } from './caveats.ts'
import { localOf } from './macaroons.ts'
import type { Holder, SignInOptions } from './options.ts'
import { refuse } from './refusal.ts'
import { byIssuer, type SessionState, type SignedIn } from './sessions.ts'
import type { AppPassword, AppPasswordOrder, AppPasswords } from './sign-in.ts'

/** Of one user. */
const mostOfOne = 100
/** Told at once to an administrator. */
const mostTold = 10_000
const mostRevoked = 10_000
/** Milliseconds after which the use is written down again. */
const noted = 60_000
/** Milliseconds for which all processes are told that one was revoked: longer than any of them believes in it. */
const told = 900_000
const maxName = 100
const maxGroups = 1000
const grammar = /^pw-([A-Za-z0-9_-]{16})-([A-Za-z0-9_-]{32})$/

/** Whether it is of the form of one. No account should have such a password. */
export function looksLikeAppPassword(password: Secret): boolean {
  return grammar.test(password.reveal())
}

/** As kept. */
interface Terms {
  readonly caveats: readonly string[]
  /** Groups that the account has not by itself, those of issuers included. */
  readonly groups: readonly string[]
  /** Of who signed in at an issuer: the mapping says at every use whom that stands for. */
  readonly signedIn?: Extract<SignedIn, { kind: 'issuer' }>
  /** Bounds of the credential that it was made with; absent if there were none. */
  readonly within?: readonly Grant[]
  readonly tokenId?: string
  readonly issuer?: string
}

/**
 * Whom it stands for. `user` is the account's name with its domain. Throws `unauthenticated` for one that is not good,
 * `denied` when the account is gone.
 */
export async function authenticateAppPassword(
  user: string,
  password: Secret,
  state: SessionState,
): Promise<{ readonly principal: Principal; readonly holder: Holder }> {
  const [, id = '', secret = ''] = grammar.exec(password.reveal()) ?? []
  const store = state.options.signIn?.appPasswords
  const kept = await store?.get(id)
  const expected = Buffer.from(kept?.hash ?? hashOf(''))
  const isRight = timingSafeEqual(Buffer.from(hashOf(secret)), expected)
  if (store === undefined || kept === undefined || !isRight || kept.user !== user) {
    throw refuse('app-password', 'there is no such application password of this account, or it has ended')
  }
  const terms = JSON.parse(kept.terms) as Terms
  if (terms.issuer !== undefined && !state.issuers.has(terms.issuer)) {
    throw refuse('app-password', 'it was made by somebody of an issuer that is trusted no more')
  }
  const bounds = readCaveats(terms.caveats)
  const local = await localIn(terms, user, state)
  if (store.now() - (kept.used ?? 0) >= noted) await store.touch(id)
  const addresses = addressesOf(bounds)
  const principal: Principal = {
    id: `${kept.principal}#app-password:${id}`,
    ...local,
    grants: grantsOf(bounds),
    ...(terms.within && { within: terms.within }),
    ...(addresses && { addresses }),
    ...(bounds.maxUpload !== undefined && { maxUpload: bounds.maxUpload }),
    expires: kept.expires / 1000,
    counted: kept.principal,
  }
  const holder = { id: kept.principal, user, tokenId: terms.tokenId, marks: [`app-password:${id}`] }
  return { principal, holder }
}

async function localIn({ groups, signedIn }: Terms, user: string, state: SessionState) {
  if (signedIn === undefined) return localOf({ user, groups }, state.accounts, state.options.domain)
  const local = await byIssuer(signedIn, state)
  if (local.user === user) return local
  throw refuse('app-password', 'whoever made it is somebody else here by now')
}

export class AppPasswordDesk implements AppPasswords {
  readonly #state: () => SessionState
  readonly #holderOf: (principal: Principal) => Holder | undefined
  /** How the owner of a session signed in. */
  readonly #signedInOf: (principal: Principal) => SignedIn | undefined

  constructor(
    state: () => SessionState,
    holderOf: (principal: Principal) => Holder | undefined,
    signedInOf: (principal: Principal) => SignedIn | undefined,
  ) {
    this.#state = state
    this.#holderOf = holderOf
    this.#signedInOf = signedInOf
  }

  async create(principal: Principal, order: AppPasswordOrder): Promise<AppPassword & { readonly password: Secret }> {
    const state = this.#state()
    const { appPasswords } = signInOf(state)
    const user = requirePerson(principal)
    const name = nameOf(order.name)
    const caveats = caveatsOf(principal, order)
    readCaveats(caveats)
    const expires = endOf(principal, order, signInOf(state))
    const own = (await localOf({ user, groups: [] }, state.accounts, state.options.domain)).groups
    const groups = [...principal.groups].filter((group) => !own.has(group))
    if (groups.length > maxGroups) throw new StorageError('invalid', 'the credential has too many groups')
    const tokenId = this.#holderOf(principal)?.tokenId
    const way = this.#signedInOf(principal)
    const signedIn = way?.kind === 'issuer' ? way : undefined
    const issuer = principal.credential?.issuer
    const terms: Terms = {
      caveats,
      groups: signedIn ? [] : groups,
      ...(signedIn && { signedIn }),
      ...(principal.grants !== 'unbounded' && { within: principal.grants }),
      ...(tokenId !== undefined && { tokenId }),
      ...(issuer !== undefined && { issuer }),
    }
    const id = randomBytes(12).toString('base64url')
    const secret = randomBytes(24).toString('base64url')
    const kept = {
      id,
      hash: hashOf(secret),
      principal: principal.id,
      user,
      name,
      terms: JSON.stringify(terms),
      expires,
    }
    const added = await appPasswords.add(kept, mostOfOne)
    return { ...shown(added), password: new Secret(`pw-${id}-${secret}`) }
  }

  async list(principal: Principal, all: boolean): Promise<readonly AppPassword[]> {
    const { appPasswords } = signInOf(this.#state())
    if (all && !principal.administrator) {
      throw new StorageError('denied', 'only an administrator may ask about others', {
        reason: { rule: 'administrator', text: 'the caller is not an administrator' },
      })
    }
    if (principal.user === undefined) return []
    const kept = await appPasswords.list(all ? undefined : principal.user, mostTold)
    return kept.filter((password) => all || isOwn(password, principal)).map(shown)
  }

  async revoke(principal: Principal, id: string): Promise<AppPassword> {
    const { options } = this.#state()
    const { appPasswords, revocations } = signInOf(this.#state())
    const kept = await appPasswords.get(id)
    if (kept === undefined || !(isOwn(kept, principal) || principal.administrator)) {
      throw new StorageError('not-found', 'no such application password')
    }
    const entry = { name: `app-password:${id}`, principal: principal.id, note: '', until: revocations.now() + told }
    await revocations.add(entry, mostRevoked)
    await appPasswords.remove(id)
    await options.revocations?.refresh?.()
    return shown(kept)
  }
}

function signInOf({ options }: SessionState): SignInOptions {
  if (options.signIn) return options.signIn
  throw new StorageError('unsupported', 'there are no application passwords here')
}

/** Macaroons and application passwords are for programs: they make no further ones. */
function requirePerson(principal: Principal): string {
  const { user, macaroon, id } = principal
  if (user === undefined) throw refuse('app-password', 'only who has a credential can hand on his rights')
  if (macaroon !== undefined || id.includes('#app-password:')) {
    throw new StorageError('denied', 'not allowed', {
      reason: {
        rule: 'app-password',
        text: 'they are made by who signs in himself, not with another derived credential',
      },
    })
  }
  return user
}

function nameOf(name: string): string {
  if (/^[^\p{Cc}\p{Cs}]+$/u.test(name) && name.length <= maxName && name.trim() === name) return name
  throw new StorageError('invalid', `a name has 1 to ${maxName} characters, no blanks around them and no controls`)
}

function caveatsOf({ addresses, maxUpload }: Principal, { path = root, activities, networks }: AppPasswordOrder) {
  if (activities?.length === 0) throw new StorageError('invalid', 'an application password must allow something')
  return [
    ...(addresses?.networks ?? []).map((each) => `ip:${each.join()}`),
    ...(maxUpload === undefined ? [] : [`max-upload:${maxUpload}`]),
    ...(path === root ? [] : [`path:${path}`]),
    ...(activities === undefined ? [] : [`activity:${activities.join()}`]),
    ...(networks.length === 0 ? [] : [`ip:${networks.join()}`]),
  ]
}

/** A session may end tonight; what its owner hands to his programs need not. A token is all that its bearer has. */
function endOf(
  { expires }: Principal,
  { validity }: AppPasswordOrder,
  { appPasswords, appPasswordLifetime: usual, maxAppPasswordLifetime: most }: SignInOptions,
): number {
  const now = appPasswords.now()
  const end = Math.min(
    now + Math.min(validity ?? Math.min(usual, most), most) * 1000,
    Math.floor((expires ?? Number.POSITIVE_INFINITY) * 1000),
  )
  if (end <= now) throw new StorageError('invalid', 'the application password would have ended before it began')
  return end
}

/** A capability stands for itself alone; whoever signs in as a person sees all that this person has made. */
function isOwn(kept: StoredAppPassword, { id, user, grants }: Principal): boolean {
  return kept.principal === id || (grants === 'unbounded' && user !== undefined && kept.user === user)
}

function hashOf(secret: string): string {
  return createHash('sha256').update('app-password ').update(secret).digest('base64url')
}

function shown({ id, user, name, terms, created, used, expires }: StoredAppPassword): AppPassword {
  const { path, activities, networks } = readCaveats((JSON.parse(terms) as Terms).caveats) satisfies Bounds
  return {
    ...{ id, user, name, created, used, expires },
    path: path satisfies Path,
    activities: activities === 'all' ? 'all' : [...activities],
    networks: networks.flat(),
  }
}
