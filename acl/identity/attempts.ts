/**
 * How guessing passwords is slowed down: for each account and address together, for each address, and for each account.
 *
 * The last one bounds a guess that comes from many addresses, and must not keep the owner out. So where the right
 * password came from before, only the pair's own failures count; from a network in which few have guessed at this
 * account, those of others do not count; whoever is signed in already is not asked at all; and a password that was
 * right a while ago in this process is no guess.
 */

import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { AttemptStore, Tally } from '../../gateway/state/state.ts'
import { networkOf, providerOf } from '../networks.ts'

/** Failures that cost nothing yet; then one waits 1 s, 2 s, 4 s ... up to a minute. */
const free = { pair: 5, address: 30, account: 60 } as const
const longestDelay = 60_000
/**
 * Failures for an account from one network of the size that providers have. Before them what others failed at does not
 * count: addresses are cheap, but such networks are not.
 */
const heard = 3
/** Failures are forgotten when there was none for this long: milliseconds. */
const memory = 3_600_000
/** An address from which the right password came is known for this long. */
const familiar = 30 * 24 * 3_600_000

export interface Attempt {
  /** Account name; need not exist. */
  readonly user: string
  readonly from: string | undefined
}

/** An attempt that was let through. */
export interface Permit {
  /** The password was right. */
  succeed(): Promise<void>
  /** Nobody guessed: the password could not be checked. */
  undo(): Promise<void>
}

const none: Tally = { failures: 0, notBefore: 0, good: 0, changed: 0 }

/**
 * Counts the attempt as a failure before it is looked at, so that guesses sent at once do not all pass for the first.
 * Throws `busy`, rule `attempts`, for one that comes too early. Looks at no password.
 */
export async function permitAttempt(store: AttemptStore, { user, from = '' }: Attempt): Promise<Permit> {
  const names = [
    pairOf({ user, from }),
    nameOf('address', networkOf(from)),
    nameOf('network', `${user} ${providerOf(from)}`),
    nameOf('account', user),
  ]
  const now = store.now()
  let counted: readonly string[] = names
  await store.change(names, (before) => {
    const [pair = none, address = none, network = none, account = none] = before.map((tally) => recent(tally, now))
    const isFamiliar = now - pair.good < familiar
    counted = isFamiliar ? names.slice(0, 1) : names
    const asked = isFamiliar ? [pair] : network.failures < heard ? [pair, address] : [pair, address, account]
    const wait = Math.max(...asked.map(({ notBefore }) => notBefore)) - now
    if (wait > 0) throw tooMany(wait)
    const failedPair = failed(pair, free.pair, now)
    if (isFamiliar) return [failedPair, ...before.slice(1)]
    const others = [failed(address, free.address, now), failed(network, heard, now), failed(account, free.account, now)]
    return [failedPair, ...others]
  })
  return {
    succeed: () =>
      store.change(counted, (before) => before.map((tally, index) => settled(tally, index === 0 ? now : undefined))),
    undo: () => store.change(counted, (before) => before.map((tally) => settled(tally, undefined))),
  }
}

/** Somebody who is known to this process has shown the right password again. */
export async function noteSuccess(store: AttemptStore, attempt: Attempt): Promise<void> {
  const now = store.now()
  await store.change([pairOf(attempt)], ([tally]) => [settled(tally, now)])
}

function pairOf({ user, from = '' }: Attempt): string {
  return nameOf('pair', `${user} ${networkOf(from)}`)
}

/** One failure less; the pair of a success has none left. A success says nothing of the other guesses from its address. */
function settled(tally: Tally = none, good: number | undefined): Tally | undefined {
  if (good !== undefined) return { failures: 0, notBefore: 0, good, changed: good }
  const failures = Math.max(0, tally.failures - 1)
  if (failures === 0 && tally.good === 0) return undefined
  return { ...tally, failures, notBefore: 0 }
}

function recent(tally: Tally | undefined, now: number): Tally {
  if (tally === undefined) return none
  return now - tally.changed > memory ? { ...none, good: tally.good } : tally
}

function failed({ failures: before, good }: Tally, free: number, now: number): Tally {
  const failures = before + 1
  const delay = failures < free ? 0 : Math.min(longestDelay, 1000 * 2 ** Math.min(16, failures - free))
  return { failures, notBefore: now + delay, good, changed: now }
}

function tooMany(wait: number): StorageError {
  return new StorageError('busy', 'too many failed sign-ins', {
    retryAfter: Math.ceil(wait / 1000),
    reason: { rule: 'attempts', text: 'too many failed sign-ins for this account or from this address' },
  })
}

/** Of bounded length, whatever somebody sends as a name. */
function nameOf(kind: string, text: string): string {
  return createHash('sha256').update(`${kind} ${text}`).digest('base64url')
}

/** Tallies of one process, where there is no state store. */
export function attemptsInMemory(now: () => number): AttemptStore {
  const tallies = new LRUCache<string, Tally>({ max: 20_000 })
  return {
    now,
    async change(names, decide) {
      const after = decide(names.map((name) => tallies.get(name)))
      for (const [index, name] of names.entries()) {
        const tally = after[index]
        if (tally === undefined) tallies.delete(name)
        else tallies.set(name, tally)
      }
    },
  }
}
