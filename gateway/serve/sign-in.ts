/** From the configuration to the options of signing in. */

import { randomBytes } from 'node:crypto'
import type { LoginIssuerOptions, SignInOptions } from '../../acl/identity/options.ts'
import type { Config } from '../config.ts'
import type { State } from '../state/state.ts'
import { readWord } from './making.ts'

/** What it keeps in the state store. */
export type SignInStores = Pick<State, 'sessions' | 'appPasswords' | 'attempts' | 'revocations'>

/** Reads the secrets of the clients. Throws `invalid` when one is missing or open to others. */
export async function signInOptions(config: Config, stores: SignInStores): Promise<SignInOptions> {
  const { login, appPasswords } = config
  return {
    sessions: stores.sessions,
    appPasswords: stores.appPasswords,
    attempts: stores.attempts,
    revocations: stores.revocations,
    issuers: await loginIssuers(config),
    passwords: login.passwords,
    idle: login.idle / 1000,
    lifetime: login.lifetime / 1000,
    appPasswordLifetime: appPasswords.lifetime / 1000,
    maxAppPasswordLifetime: appPasswords.maxLifetime / 1000,
  }
}

/** Throws `invalid`. */
export function loginIssuers({ login }: Config): Promise<readonly LoginIssuerOptions[]> {
  return Promise.all(
    login.issuers.map(async ({ issuer, label, clientSecret, endWithToken, clientId, scopes, origins, userInfo }) => ({
      ...{ clientId, scopes, origins, userInfo },
      name: issuer,
      label: label ?? issuer,
      endsWithToken: endWithToken,
      ...(clientSecret !== undefined && { clientSecret: await readWord(clientSecret) }),
    })),
  )
}

/**
 * The key of forms and of the cookies between leaving for an issuer and coming back: the same in all processes, and
 * made by the first of them. It opens nothing that is kept, so it needs no seal.
 */
export async function formKeyOf(state: Pick<State, 'firstSetting'>): Promise<Uint8Array> {
  const text = await state.firstSetting('form-key', randomBytes(32).toString('base64url'))
  return Buffer.from(text, 'base64url')
}
