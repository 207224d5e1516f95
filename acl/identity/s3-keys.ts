/**
 * Access keys of S3. Their secrets must be known here, since signatures are made with them, and so lie in the state
 * store sealed with its master key.
 */

import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { StoredS3Key } from '../../gateway/state/state.ts'
import { type Principal, requireAdministrator } from '../principal.ts'
import { Secret } from '../secret.ts'
import {
  endOf,
  isOwn,
  nameOf,
  ownTerms,
  requirePerson,
  type Source,
  shownBounds,
  standFor,
  termsFor,
} from './derived.ts'
import type { EpochSecrets, Epochs } from './epochs.ts'
import type { S3Key, S3KeyInfo, S3KeyOrder, S3Keys, S3Session, S3SessionOrder } from './identity.ts'
import type { Holder, S3KeyOptions } from './options.ts'
import { refuse } from './refusal.ts'
import { beginSession, isTemporary, markOf, newKeyId, openSession } from './s3-sessions.ts'
import type { SessionState } from './sessions.ts'
import type { ListPart } from './sign-in.ts'

/** Of one user. */
const mostOfOne = 100
/** Told at once to an administrator. */
const mostTold = 10_000
const mostRevoked = 10_000
/** Milliseconds that a process believes what it found. */
const believed = 60_000
/** Milliseconds after which the use is written down again. */
const noted = 60_000
/** Milliseconds for which all processes are told that one has gone: longer than any of them believes in it. */
const told = 900_000
const grammar = /^\w{16,128}$/

/** What the desk works with; another one after a reload. */
export interface S3KeyState extends SessionState {
  readonly epochs: Epochs | undefined
}

/** What it needs of the service. */
export interface S3KeyMeans {
  readonly state: () => S3KeyState
  readonly sourceOf: (principal: Principal) => Source
  /** Throws `denied` for somebody who was banned; else he is known to `isRevoked` from now on. */
  readonly admit: (found: { readonly principal: Principal; readonly holder: Holder }) => void
}

interface Known {
  readonly key: S3Key
  readonly holder: Holder
  readonly state: S3KeyState
  readonly until: number
}

export class S3KeyDesk implements S3Keys {
  readonly #means: S3KeyMeans
  readonly #known = new LRUCache<string, Known>({
    max: 20_000,
    maxSize: 64 * 1024 * 1024,
    sizeCalculation: ({ key }, name) => name.length + sizeOf(key.principal),
  })
  /** When the last use of a key was written down. */
  readonly #noted = new LRUCache<string, number>({ max: 20_000 })

  constructor(means: S3KeyMeans) {
    this.#means = means
  }

  async key(accessKeyId: string, sessionToken: string | undefined): Promise<S3Key | undefined> {
    if (!grammar.test(accessKeyId)) return undefined
    const state = this.#means.state()
    const name = sessionToken === undefined ? accessKeyId : `${accessKeyId} ${sessionToken}`
    const known = this.#known.get(name)
    const isFresh = known?.state === state && clock(state) < known.until && !isEnded(accessKeyId, state)
    const found = isFresh ? known : await this.#find(accessKeyId, sessionToken, state)
    if (found === undefined) return undefined
    if (isEnded(accessKeyId, state)) throw refuse('key-disabled', 'the access key was disabled or has gone')
    this.#means.admit({ principal: found.key.principal, holder: found.holder })
    if (!isFresh) this.#known.set(name, found)
    return found.key
  }

  async noteUse({ accessKeyId }: S3Key): Promise<void> {
    if (isTemporary(accessKeyId)) return
    const { keys } = optionsOf(this.#means.state())
    const now = keys.now()
    if (now - (this.#noted.get(accessKeyId) ?? 0) < noted) return
    this.#noted.set(accessKeyId, now)
    try {
      await keys.touch(accessKeyId)
    } catch {
      // What is asked for does not depend on it, and there is a next time.
    }
  }

  async create(principal: Principal, order: S3KeyOrder): Promise<S3KeyInfo & { readonly secret: Secret }> {
    const state = this.#means.state()
    const { keys, secrets, lifetime: usual, maxLifetime: most } = optionsOf(state)
    const person = requirePerson(principal, 's3-key')
    const name = nameOf(order.name)
    const terms = await termsFor(person, order, this.#means.sourceOf(principal), state)
    const expires = endOf(principal, order, { now: keys.now(), usual, most })
    await this.#sweep()
    const id = newKeyId('AKIA')
    const secret = new Secret(randomBytes(30).toString('base64'))
    // First of all the secret: a key without one would be shown and be worth nothing.
    await secrets.set(secretName(id), secret)
    try {
      const kept = { id, principal: principal.id, user: person.user, name, terms, expires }
      return { ...shown(await keys.add(kept, mostOfOne)), secret }
    } catch (error) {
      await secrets.remove(secretName(id))
      throw error
    }
  }

  async list(
    principal: Principal,
    all: boolean,
    { user, most = mostTold, after }: ListPart = {},
  ): Promise<readonly S3KeyInfo[]> {
    const { keys } = optionsOf(this.#means.state())
    if (all) requireAdministrator(principal)
    if (principal.user === undefined) return []
    const kept = await keys.list(all ? user : principal.user, Math.min(most, mostTold), after)
    return kept.filter((key) => all || isOwn(key, principal)).map(shown)
  }

  async setEnabled(principal: Principal, id: string, enabled: boolean): Promise<S3KeyInfo> {
    const { options } = this.#means.state()
    const { keys, revocations } = optionsOf(this.#means.state())
    const kept = await this.#ownOf(principal, id)
    if (enabled) requireMore(principal)
    if (enabled) await revocations.remove(markOf(id))
    await keys.setEnabled(id, enabled)
    if (!enabled) await this.#tell(principal, id, revocations.now() + told)
    else await options.revocations?.refresh?.()
    return shown({ ...kept, enabled })
  }

  async remove(principal: Principal, id: string): Promise<S3KeyInfo> {
    const { keys, secrets, revocations } = optionsOf(this.#means.state())
    const kept = await this.#ownOf(principal, id)
    // It is over before anything can go wrong, and while its line is there its owner can try again.
    await keys.setEnabled(id, false)
    await this.#tell(principal, id, revocations.now() + told)
    await secrets.remove(secretName(id))
    await keys.remove(id)
    return shown(kept)
  }

  async assume(principal: Principal, order: S3SessionOrder): Promise<S3Session> {
    const state = this.#means.state()
    const source = this.#means.sourceOf(principal)
    return beginSession(principal, order, { epochs: epochsOf(state), state, source, now: clock(state) })
  }

  async endSession(principal: Principal, sessionToken: Secret): Promise<string> {
    const session = await openSession(sessionToken.reveal(), epochsOf(this.#means.state()))
    if (session === undefined) throw new StorageError('invalid', 'this is no session token of ours')
    // Counted apart: who can begin sessions without end must not be able to keep a key from being switched off.
    const counted = `${principal.counted ?? principal.id}#s3-sessions`
    await this.#tell({ ...principal, counted }, session.accessKeyId, session.expires)
    return session.accessKeyId
  }

  #find(id: string, token: string | undefined, state: S3KeyState): Promise<Known | undefined> {
    return token === undefined ? this.#findKey(id, state) : this.#findSession(id, token, state)
  }

  async #findKey(id: string, state: S3KeyState): Promise<Known | undefined> {
    const { keys, secrets } = optionsOf(state)
    const kept = await keys.get(id)
    if (kept === undefined) return undefined
    if (!kept.enabled) throw refuse('key-disabled', 'the access key was disabled')
    const secret = await secrets.get(secretName(id))
    if (secret === undefined) return undefined
    const { principal, holder } = await standFor(kept, 's3-key', [`s3-key:${id}`, markOf(id)], state)
    const until = untilWhen(principal, kept.expires, state)
    return { key: { accessKeyId: id, secret, principal }, holder, state, until }
  }

  async #findSession(id: string, token: string, state: S3KeyState): Promise<Known | undefined> {
    const session = await openSession(token, epochsOf(state))
    if (session === undefined || session.accessKeyId !== id) {
      throw refuse('token-malformed', 'the session token is not one of ours, or of another access key')
    }
    if (session.expires <= clock(state)) throw refuse('key-expired', 'the session has ended')
    const { principal, holder } = await session.standFor(state)
    const until = untilWhen(principal, session.expires, state)
    return { key: { accessKeyId: id, secret: session.secret, principal }, holder, state, until }
  }

  async #ownOf(principal: Principal, id: string): Promise<StoredS3Key> {
    const kept = await optionsOf(this.#means.state()).keys.get(id)
    if (kept !== undefined && (isOwn(kept, principal) || principal.administrator)) return kept
    throw new StorageError('not-found', 'no such access key')
  }

  async #tell({ id: by, counted = by }: Principal, id: string, until: number): Promise<void> {
    const { options } = this.#means.state()
    const { revocations } = optionsOf(this.#means.state())
    await revocations.add({ name: markOf(id), principal: counted, note: '', until }, mostRevoked)
    await options.revocations?.refresh?.()
  }

  async #sweep(): Promise<void> {
    const { keys, secrets } = optionsOf(this.#means.state())
    for (const id of await keys.ended()) {
      await secrets.remove(secretName(id))
      await keys.remove(id)
    }
  }
}

/** A key pair that is known beforehand, as a demonstration needs: for an account as it is, in the place of one of this id. */
export async function keepFixedKey(
  { keys, secrets }: Pick<S3KeyOptions, 'keys'> & { readonly secrets: EpochSecrets },
  {
    id,
    secret,
    user,
    name,
  }: { readonly id: string; readonly secret: Secret; readonly user: string; readonly name: string },
): Promise<void> {
  await keys.remove(id)
  await secrets.set(secretName(id), secret)
  const expires = keys.now() + 10 * 366 * 86_400_000
  await keys.add({ id, principal: `account:${user}`, user, name, terms: ownTerms, expires }, mostOfOne)
}

/** What its owner has switched off may be wider than a capability of his. */
function requireMore({ grants }: Principal): void {
  if (grants === 'unbounded') return
  const reason = { rule: 's3-key', text: 'access keys are switched on by who signs in himself, not with a capability' }
  throw new StorageError('denied', 'not allowed', { reason })
}

/** About as many bytes as are kept of him. */
function sizeOf({ groups, grants, within = [] }: Principal): number {
  const bounds = (grants === 'unbounded' ? 0 : grants.length) + within.length
  return 2048 + groups.size * 128 + bounds * 512
}

function secretName(id: string): string {
  return `s3-key:${id}`
}

function optionsOf({ options }: S3KeyState): S3KeyOptions {
  if (options.s3) return options.s3
  throw new StorageError('unsupported', 'there are no access keys here')
}

function epochsOf({ epochs }: S3KeyState): Epochs {
  if (epochs) return epochs
  throw new StorageError('unsupported', 'there are no sessions here')
}

/** Its owner has just ended it; a process may not have seen more than that. */
function isEnded(id: string, { options }: S3KeyState): boolean {
  return options.revocations?.isRevoked({ id: '', user: undefined, tokenId: undefined, marks: [markOf(id)] }) === true
}

function clock({ options }: S3KeyState): number {
  return options.now === undefined ? Date.now() : options.now()
}

function untilWhen({ linkEnds = Number.POSITIVE_INFINITY }: Principal, expires: number, state: S3KeyState): number {
  return Math.min(clock(state) + believed, expires, linkEnds)
}

function shown(kept: StoredS3Key): S3KeyInfo {
  const { id, user, name, enabled, created, used, expires } = kept
  return { ...{ id, user, name, enabled, created, used, expires }, ...shownBounds(kept) }
}
