/** Signing in as a person, by whatever configuration there is then. */

import type { Principal } from '../principal.ts'
import { wholeHolder } from './holder.ts'
import type { PendingSignIn, SignIn } from './identity.ts'
import { hasPasswords } from './passwords.ts'
import { deny } from './refusal.ts'
import type { SignedIn } from './sessions.ts'
import { clock, type IdentityState } from './state.ts'

export class Entrance implements SignIn {
  readonly #state: () => IdentityState
  readonly #signedIn: WeakMap<Principal, SignedIn>

  constructor(state: () => IdentityState, signedIn: WeakMap<Principal, SignedIn>) {
    this.#state = state
    this.#signedIn = signedIn
  }

  get ways(): SignIn['ways'] {
    const state = this.#state()
    const { options } = state
    const issuers = (options.signIn?.issuers ?? []).map(({ name, label }) => ({ name, label }))
    const passwords = options.signIn?.passwords === true && hasPasswords(state)
    return { issuers, passwords, kerberos: state.kerberos !== undefined }
  }

  start(issuer: string, redirectUri: string): Promise<{ readonly url: URL; readonly pending: PendingSignIn }> {
    const state = this.#state()
    return state.login.start(issuer, redirectUri, state, clock(state.options))
  }

  async finish(pending: PendingSignIn, answer: URL): Promise<Principal> {
    const state = this.#state()
    const { principal, signedIn } = await state.login.finish(pending, answer, state, clock(state.options))
    const holder = wholeHolder(principal, { id: principal.id, user: principal.user, tokenId: signedIn.tokenId })
    if (state.options.revocations?.isRevoked(holder) === true) {
      throw deny('revoked', 'this user, subject or token was banned')
    }
    this.#signedIn.set(principal, signedIn)
    return principal
  }
}
