/**
 * Application passwords: what somebody hands to one program of his, in place of his own password.
 *
 * One has 192 bits of chance, so no guess finds it, and one round of SHA-256 is hash enough: the slow hashes for what
 * people choose would slow down nobody but the program that sends it with every request.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { StorageError } from '../../gateway/core/errors.ts'
import type { StoredAppPassword } from '../../gateway/state/state.ts'
import { newId } from '../ids.ts'
import { type Principal, requireAdministrator } from '../principal.ts'
import { Secret } from '../secret.ts'
import { endOf, isOwn, nameOf, requirePerson, type Source, shownBounds, standFor, termsFor } from './derived.ts'
import type { Holder, SignInOptions } from './options.ts'
import { refuse } from './refusal.ts'
import type { SessionState } from './sessions.ts'
import type { AppPassword, AppPasswordOrder, AppPasswords, ListPart } from './sign-in.ts'

/** Of one user. */
const mostOfOne = 100
/** Told at once to an administrator. */
const mostTold = 10_000
const mostRevoked = 10_000
/** Milliseconds after which the use is written down again. */
const noted = 60_000
/** Milliseconds for which all processes are told that one was revoked: longer than any of them believes in it. */
const told = 900_000
const grammar = /^pw-([A-Za-z0-9_-]{16})-([A-Za-z0-9_-]{32})$/

/** Whether it is of the form of one. No account should have such a password. */
export function looksLikeAppPassword(password: Secret): boolean {
  return grammar.test(password.reveal())
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
  const found = await standFor(kept, 'app-password', [`app-password:${id}`], state)
  if (store.now() - (kept.used ?? 0) >= noted) await store.touch(id)
  return found
}

export class AppPasswordDesk implements AppPasswords {
  readonly #state: () => SessionState
  readonly #sourceOf: (principal: Principal) => Source

  constructor(state: () => SessionState, sourceOf: (principal: Principal) => Source) {
    this.#state = state
    this.#sourceOf = sourceOf
  }

  async create(principal: Principal, order: AppPasswordOrder): Promise<AppPassword & { readonly password: Secret }> {
    const state = this.#state()
    const { appPasswords, appPasswordLifetime: usual, maxAppPasswordLifetime: most } = signInOf(state)
    const person = requirePerson(principal, 'app-password')
    const name = nameOf(order.name)
    const terms = await termsFor(person, order, this.#sourceOf(principal), state)
    const expires = endOf(principal, order, { now: appPasswords.now(), usual, most })
    const id = newId(12)
    const secret = randomBytes(24).toString('base64url')
    const { user } = person
    const kept = { id, hash: hashOf(secret), principal: principal.id, user, name, terms, expires }
    const added = await appPasswords.add(kept, mostOfOne)
    return { ...shown(added), password: new Secret(`pw-${id}-${secret}`) }
  }

  async list(
    principal: Principal,
    all: boolean,
    { user, most = mostTold, after }: ListPart = {},
  ): Promise<readonly AppPassword[]> {
    const { appPasswords } = signInOf(this.#state())
    if (all) requireAdministrator(principal)
    if (principal.user === undefined) return []
    const kept = await appPasswords.list(all ? user : principal.user, Math.min(most, mostTold), after)
    return kept.filter((password) => all || isOwn(password, principal)).map(shown)
  }

  async revoke(principal: Principal, id: string): Promise<AppPassword> {
    const { options } = this.#state()
    const { appPasswords, revocations } = signInOf(this.#state())
    const kept = await appPasswords.get(id)
    if (kept === undefined || !(isOwn(kept, principal) || principal.administrator)) {
      throw new StorageError('not-found', 'no such application password')
    }
    // First of all it is over: telling so may fail, since there is room for so many only.
    await appPasswords.remove(id)
    const entry = { name: `app-password:${id}`, principal: principal.id, note: '', until: revocations.now() + told }
    await revocations.add(entry, mostRevoked)
    await options.revocations?.refresh?.()
    return shown(kept)
  }
}

function signInOf({ options }: SessionState): SignInOptions {
  if (options.signIn) return options.signIn
  throw new StorageError('unsupported', 'there are no application passwords here')
}

function hashOf(secret: string): string {
  return createHash('sha256').update('app-password ').update(secret).digest('base64url')
}

function shown(kept: StoredAppPassword): AppPassword {
  const { id, user, name, created, used, expires } = kept
  return { ...{ id, user, name, created, used, expires }, ...shownBounds(kept) }
}
