/**
 * Tokens that others renew: in a file that a sidecar or Kubernetes rewrites, or wherever discovery finds one. They are
 * looked for anew, so that whoever has waited for one goes on as soon as it is there.
 */

import { stat } from 'node:fs/promises'
import type { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { TicketUse } from '../tickets.ts'
import type { TokenSource } from '../token.ts'
import { expiryOf } from './expiry.ts'
import type { CredentialSource } from './source.ts'

export interface WatchedOptions {
  /** Where one is looked for, for messages: "the file /run/token". */
  readonly place: string
  /** Undefined where there is none. Throws `invalid` or `not-found`, saying what is wrong. */
  readonly read: () => Promise<TokenSource | undefined>
  /** Says by another text that there is something new to read; always read if absent. */
  readonly stamp?: (() => Promise<string>) | undefined
  /** Whether there has to be one: otherwise requests go without, or with tickets. */
  readonly isNeeded: boolean
  readonly tickets?: TicketUse | undefined
  /** One line for each change of what is the matter. */
  readonly log?: ((line: string) => void) | undefined
  /** Milliseconds, by default those since 1970. */
  readonly now?: (() => number) | undefined
}

/** Milliseconds between two looks. */
const pause = 1000
/** Milliseconds after which a token that was refused is shown once more: the gateway may have been at fault. */
const secondChance = 10_000

export class WatchedToken implements CredentialSource {
  readonly #options: WatchedOptions
  readonly #now: () => number
  #found: TokenSource | undefined
  #stamp: string | undefined
  #trouble: StorageError | undefined
  #looked = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  #refused: { readonly text: string; readonly at: number } | undefined
  #told = ''

  constructor(options: WatchedOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  get tickets(): TicketUse | undefined {
    return this.#options.tickets
  }

  async current(): Promise<Secret | undefined> {
    await this.#look()
    const token = this.#found?.token
    if (token === undefined) return this.#none()
    const isRefused = token.reveal() === this.#refused?.text && this.#isWithin(secondChance, this.#refused.at)
    if (!isRefused) return token
    throw new StorageError('unauthenticated', `${this.#why(token)}; waiting for a new one in ${this.#options.place}`)
  }

  async refused(token: Secret): Promise<boolean> {
    this.#looked = Number.NEGATIVE_INFINITY
    await this.#look()
    const now = this.#found?.token
    if (now !== undefined && now.reveal() !== token.reveal()) return true
    this.#refused = { text: token.reveal(), at: this.#now() }
    this.#tell(`${this.#why(token)}; waiting for a new one in ${this.#options.place}`)
    return false
  }

  describe(): string {
    return this.#found?.from ?? this.#options.place
  }

  async close(): Promise<void> {
    await this.#looking
  }

  /** The last one stays good while its file is being replaced, or cannot be read. */
  #none(): undefined {
    if (this.#trouble) throw new StorageError('unauthenticated', this.#trouble.message, { cause: this.#trouble })
    if (this.#options.isNeeded) throw new StorageError('unauthenticated', `there is no token in ${this.#options.place}`)
    return undefined
  }

  #look(): Promise<void> {
    if (this.#isWithin(pause, this.#looked)) return this.#looking ?? Promise.resolve()
    this.#looking ??= this.#read().finally(() => {
      this.#looked = this.#now()
      this.#looking = undefined
    })
    return this.#looking
  }

  async #read(): Promise<void> {
    const { read, stamp } = this.#options
    try {
      const seen = await stamp?.()
      if (seen !== undefined && seen === this.#stamp && this.#found) return
      const found = await read()
      this.#trouble = undefined
      this.#stamp = seen
      if (found?.token.reveal() === this.#found?.token.reveal()) return
      if (this.#told !== '' && found) this.#tell(`there is a token in ${this.#options.place} again`, '')
      // Of a source that may be empty the end of the token is the end of its use.
      if (found || !this.#options.isNeeded) this.#found = found
    } catch (thrown) {
      this.#trouble = StorageError.from(thrown)
      this.#tell(`${this.#trouble.message}${this.#found ? '; the last token is used on' : ''}`)
    }
  }

  /** Less than so many milliseconds ago; not in a future from which the clock was set back. */
  #isWithin(limit: number, at: number): boolean {
    const age = this.#now() - at
    return age >= 0 && age < limit
  }

  #why(token: Secret): string {
    const expiry = expiryOf(token)
    if (expiry !== undefined && expiry <= this.#now()) return `the token expired at ${new Date(expiry).toISOString()}`
    return 'the gateway does not accept the token'
  }

  /** `state`: what it says; the same is not said twice. */
  #tell(line: string, state = line): void {
    if (this.#told === state) return
    this.#told = state
    this.#options.log?.(line)
  }
}

/** Another text when a file was changed, replaced, or a link to it turned. */
export async function stampOf(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true }).catch(
    (error: NodeJS.ErrnoException) => {
      // Told by whoever reads it.
      if (error.code === undefined) throw error
      return { dev: 0, ino: 0, size: error.code, mtimeNs: 0, ctimeNs: Math.random() }
    },
  )
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}
