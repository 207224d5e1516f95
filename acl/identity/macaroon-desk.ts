/** Where macaroons are asked for, named and taken back. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import type { Accounts } from './accounts.ts'
import type { Epochs } from './epochs.ts'
import type { IssuedMacaroon, MacaroonOrder, Macaroons } from './identity.ts'
import { issueMacaroon, readGenuine } from './macaroons.ts'
import type { Holder, IdentityOptions, MacaroonOptions } from './options.ts'
import { maxSessionDuration } from './s3-sessions.ts'

/** Revocations that one principal may have at a time. */
const mostOfOne = 10_000

/** What the desk works with; another one after a reload. */
export interface DeskState {
  readonly options: IdentityOptions
  readonly accounts: Accounts
  readonly epochs: Epochs | undefined
  /** Milliseconds since 1970. */
  readonly now: number
}

export class MacaroonDesk implements Macaroons {
  readonly #state: () => DeskState
  readonly #holderOf: (principal: Principal) => Holder | undefined

  constructor(state: () => DeskState, holderOf: (principal: Principal) => Holder | undefined) {
    this.#state = state
    this.#holderOf = holderOf
  }

  async issue(principal: Principal, order: MacaroonOrder): Promise<IssuedMacaroon> {
    const { macaroons, epochs, accounts, domain, now } = this.#parts()
    const holder = this.#holderOf(principal)
    return issueMacaroon(principal, order, { options: macaroons, epochs, accounts, domain, now, holder })
  }

  async identify(macaroon: Secret): Promise<{ readonly id: string; readonly expires: number }> {
    const { epochs } = this.#parts()
    try {
      const { snapshot } = await readGenuine(macaroon.reveal(), epochs)
      const { id, expires } = snapshot
      return { id, expires }
    } catch (cause) {
      const error = StorageError.from(cause)
      if (error.code !== 'unauthenticated') throw error
      throw new StorageError('invalid', 'this is no macaroon of ours', { cause })
    }
  }

  async rotate(atOnce: boolean): Promise<{ readonly epoch: string }> {
    const { macaroons, epochs, revocations, now } = this.#parts()
    // Sessions of S3 are sealed with the same keys.
    const longest = Math.max(macaroons.maxLifetime, macaroons.maxShareLifetime, maxSessionDuration) * 1000
    if (!atOnce) return { epoch: await epochs.rotate(longest) }
    const epoch = await epochs.rotate(0, async (ended) => {
      // Other processes may still have the keys in memory.
      for (const id of ended) {
        const entry = { name: `epoch:${id}`, principal: 'rotation', note: '', until: now + longest }
        await macaroons.revocations.add(entry, mostOfOne)
      }
    })
    await revocations?.refresh?.()
    return { epoch }
  }

  async revoke(id: string, by: Principal, expires: number): Promise<void> {
    const { macaroons, revocations } = this.#parts()
    // Whoever makes many credentials of his own has no more revocations by that.
    const entry = { name: `macaroon:${id}`, principal: by.counted ?? by.id, note: '', until: expires }
    await macaroons.revocations.add(entry, mostOfOne)
    await revocations?.refresh?.()
  }

  #parts() {
    const { options, epochs, accounts, now } = this.#state()
    const { macaroons, revocations, domain } = options
    if (!macaroons || !epochs) throw new StorageError('unsupported', 'no macaroons are made here')
    return { macaroons: macaroons satisfies MacaroonOptions, epochs, accounts, domain, now, revocations }
  }
}
