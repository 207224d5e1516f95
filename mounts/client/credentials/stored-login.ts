/** The tokens of `portolan login`, renewed before they end. */

import type { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { expiryOf } from './expiry.ts'
import type { Login, Logins } from './logins.ts'
import type { CredentialSource } from './source.ts'

export interface StoredLoginOptions {
  readonly logins: Logins
  /** Scheme, host and port of the gateway. */
  readonly origin: string
  readonly log?: ((line: string) => void) | undefined
  /** PEM of authorities to trust at the issuer besides the usual ones. */
  readonly ca?: string | undefined
}

/** Milliseconds before its end from which a token is renewed, and from which it is not sent any more. */
const early = 120_000
const last = 5000
/** Milliseconds between two looks at the file, and between two tries after a failure. */
const pause = 1000
const retry = 15_000
/** Milliseconds in which a token that was just renewed is not renewed again: another one would be refused as well. */
const young = 30_000

export class StoredLogin implements CredentialSource {
  readonly #options: StoredLoginOptions
  #login: Login | undefined
  #looked = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  #renewed = Number.NEGATIVE_INFINITY
  #renewing: Promise<void> | undefined
  #failed: { readonly error: StorageError; readonly at: number } | undefined
  #told = ''

  constructor(options: StoredLoginOptions) {
    this.#options = options
  }

  async current(): Promise<Secret | undefined> {
    await this.#look()
    if (this.#login === undefined) return undefined
    const left = remaining(this.#login)
    if (left < early) {
      const renewing = this.#renew(this.#login.accessToken)
      // The one there is will do meanwhile.
      if (left > last) renewing.catch(() => {})
      else await renewing
    }
    return this.#login?.accessToken
  }

  async refused(token: Secret): Promise<boolean> {
    this.#looked = Number.NEGATIVE_INFINITY
    await this.#look()
    if (this.#login === undefined) return false
    if (this.#login.accessToken.reveal() !== token.reveal()) return true
    if (performance.now() - this.#renewed < young) return false
    try {
      await this.#renew(token)
      return this.#login.accessToken.reveal() !== token.reveal()
    } catch (error) {
      if (StorageError.from(error).code === 'unauthenticated') return false
      throw error
    }
  }

  describe(): string {
    return this.#login === undefined ? 'no login' : `the login at ${this.#login.issuer}`
  }

  async close(): Promise<void> {
    await this.#renewing?.catch(() => {})
  }

  /** Throws as long as the file is none, and none was read before: without its token we would be somebody else. */
  #look(): Promise<void> {
    if (performance.now() - this.#looked < pause) return this.#looking ?? Promise.resolve()
    this.#looking ??= this.#read()
      .then(() => {
        this.#looked = performance.now()
      })
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #read(): Promise<void> {
    const { logins, origin } = this.#options
    let found: Login | undefined
    try {
      found = await logins.find(origin)
    } catch (error) {
      if (this.#login === undefined) throw error
      this.#tell(`${StorageError.from(error).message}; the last token is used on`)
      return
    }
    if (found?.accessToken.reveal() !== this.#login?.accessToken.reveal()) {
      this.#login = found
      this.#failed = undefined
    }
  }

  /** One at a time, here and among all processes: a refresh token may be good for one use only. */
  #renew(before: Secret): Promise<void> {
    if (this.#failed && performance.now() - this.#failed.at < retry) return Promise.reject(this.#failed.error)
    this.#renewing ??= this.#exchange(before)
      .catch((thrown: unknown) => {
        const error = StorageError.from(thrown)
        this.#failed = { error, at: performance.now() }
        this.#tell(`${error.message}; ${error.code === 'unauthenticated' ? 'run: portolan login' : 'trying again'}`)
        throw error
      })
      .finally(() => {
        this.#renewing = undefined
      })
    return this.#renewing
  }

  async #exchange(before: Secret): Promise<void> {
    const { logins, origin, ca } = this.#options
    await logins.alone(origin, async () => {
      const login = await logins.find(origin)
      this.#login = login
      // Another process was faster.
      if (login === undefined || login.accessToken.reveal() !== before.reveal()) return
      if (login.refreshToken === undefined)
        throw new StorageError('unauthenticated', `the login at ${login.issuer} is over`)
      // Few commands come so far, and it takes time to load.
      const { Issuer } = await import('./issuer.ts')
      const issuer = await Issuer.find({ issuer: login.issuer, clientId: login.clientId, ca })
      const tokens = await issuer.refresh(login.refreshToken)
      const renewed = { ...login, ...tokens, refreshToken: tokens.refreshToken ?? login.refreshToken }
      await logins.keep(renewed)
      this.#login = renewed
      this.#renewed = performance.now()
      this.#tell(`logged in at ${login.issuer} again`, '')
    })
  }

  #tell(line: string, state = line): void {
    if (this.#told === state) return
    const isNews = state !== '' || this.#told !== ''
    this.#told = state
    if (isNews) this.#options.log?.(line)
  }
}

function remaining({ expires, accessToken }: Login): number {
  const end = expires ?? expiryOf(accessToken)
  return end === undefined ? Number.POSITIVE_INFINITY : end - Date.now()
}
