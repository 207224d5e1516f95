/** Access keys of the people of the demo: their names stay, their secrets are made anew. */

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { keepFixedKey } from '../../acl/identity/s3-keys.ts'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../state/open.ts'
import { parseMasterKeys, SecretStore } from '../state/secrets.ts'
import { domain, type UserName } from './people.ts'

export interface DemoKey {
  readonly accessKeyId: string
  readonly secret: Secret
}

export function newKey(name: UserName): DemoKey {
  return {
    accessKeyId: `AKIADEMO${name.toUpperCase().padEnd(12, '0')}`,
    secret: new Secret(randomBytes(30).toString('base64url')),
  }
}

/** Puts them into the state store of a gateway that does not run. */
export async function keepKeys(
  directory: string,
  masterKeyFile: string,
  keys: ReadonlyMap<UserName, DemoKey>,
): Promise<void> {
  const state = await openState({ directory })
  try {
    // Made by ourselves, and by now perhaps the gateway's own.
    const masterKeys = parseMasterKeys(new Secret(readFileSync(masterKeyFile, 'utf8')))
    const secrets = await SecretStore.open(state, masterKeys)
    for (const [name, { accessKeyId, secret }] of keys) {
      const key = { id: accessKeyId, secret, user: `${name}@${domain}`, name: 'demo' }
      await keepFixedKey({ keys: state.s3Keys, secrets }, key)
    }
  } finally {
    await state.close()
  }
}
