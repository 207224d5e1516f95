/** Access keys of the people of these tests, put into the state store of a gateway that is not running yet. */

import { keepFixedKey } from '../../acl/identity/s3-keys.ts'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../../gateway/state/open.ts'
import { parseMasterKeys, SecretStore } from '../../gateway/state/secrets.ts'
import { named, type UserName, userNames } from './people.ts'

/** In hexadecimal digits, as a master key file holds it. */
export const masterKey = '5a'.repeat(32)

export interface AccessKey {
  readonly accessKeyId: string
  readonly secret: string
}

export function accessKeyOf(user: UserName): AccessKey {
  return { accessKeyId: `AKIA${user.toUpperCase().padEnd(16, 'X')}`, secret: `secret-of-${user}-0123456789abcdef` }
}

/** One for each of them. */
export async function keepAccessKeys(directory: string): Promise<void> {
  const state = await openState({ directory })
  const secrets = await SecretStore.open(state, parseMasterKeys(new Secret(masterKey)))
  for (const user of userNames) {
    const { accessKeyId: id, secret } = accessKeyOf(user)
    const key = { id, secret: new Secret(secret), user: named(user), name: 'test' }
    await keepFixedKey({ keys: state.s3Keys, secrets }, key)
  }
  await state.close()
}
