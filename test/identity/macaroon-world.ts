/** Identities that make and accept macaroons and access keys, over a state store of their own, for the tests of this folder. */

import type { Test } from 'tap'
import type { IdentityOptions } from '../../acl/identity/options.ts'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import { createIdentity, type IdentityService } from '../../acl/identity/service.ts'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../../gateway/state/open.ts'
import { MasterKey, SecretStore } from '../../gateway/state/secrets.ts'
import { directoryFor } from './issuer.ts'
import { makeSetting, type Setting } from './setting.ts'

export interface MacaroonWorld extends Setting {
  readonly revocations: RevocationList
  /** Of the state store. */
  readonly stateDirectory: string
  /** Another process on the same state store. */
  another(): Promise<{ readonly service: IdentityService; readonly revocations: RevocationList }>
}

export const lives = { defaultLifetime: 3600, maxLifetime: 86_400, maxShareLifetime: 7 * 86_400 }
export const location = 'https://gw.desy.de'
export const password = 'correct horse'

export async function macaroonWorld(t: Test, changes: Partial<IdentityOptions> = {}): Promise<MacaroonWorld> {
  const base = await makeSetting(t)
  const directory = directoryFor(t)
  const key = new MasterKey(Buffer.alloc(32, 7))
  const open = async () => {
    const state = await openState({ directory, now: base.clock.now })
    const revocations = await RevocationList.open(state.revocations, (error) => t.fail(String(error)))
    t.teardown(async () => {
      await revocations.close()
      await state.close()
    })
    const secrets = await SecretStore.open(state, [key])
    const macaroons = { ...lives, location, secrets, revocations: state.revocations, shares: state.shares }
    const s3 = { keys: state.s3Keys, secrets, revocations: state.revocations, lifetime: 3600, maxLifetime: 7200 }
    const bans = state.revocations
    const options: IdentityOptions = { ...base.options, revocations, bans, macaroons, s3, ...changes }
    return { service: await createIdentity(options), options, revocations }
  }
  return { ...base, ...(await open()), stateDirectory: directory, another: open }
}

export const bearer = (token: string) => ({ kind: 'bearer', token: new Secret(token) }) as const
