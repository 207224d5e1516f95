/** From the configuration to the options of Kerberos on HTTP. */

import { join } from 'node:path'
import { parseKeytab } from '../../acl/identity/kerberos/keytab.ts'
import { environmentOf, openLibrary } from '../../acl/identity/kerberos/library.ts'
import type { KerberosOptions } from '../../acl/identity/kerberos/options.ts'
import { readSecretBytes } from '../config/secret-file.ts'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'

/** Undefined where no tickets are accepted. Reads nothing. */
export function kerberosOptions(config: Config): KerberosOptions | undefined {
  const { kerberos, state } = config
  if (!kerberos) return undefined
  const { keytab, realm, realms, services, names, rules, cookie } = kerberos
  return {
    ...{ keytab, realm, realms, names, rules },
    replays: join(state.directory, 'kerberos-replays'),
    services: services.length > 0 ? services : usualServices(config, realm),
    cookieLifetime: cookie / 1000,
  }
}

function usualServices({ publicUrl, hosts }: Config, realm: string): readonly string[] {
  const own = publicUrl === undefined ? 'localhost' : new URL(publicUrl).hostname
  return [...new Set([own, ...hosts])].map((host) => `HTTP/${host}@${realm}`)
}

/** What the environment of the serving processes must say, from their very beginning. */
export function kerberosEnvironment(config: Config): Readonly<Record<string, string>> {
  const options = kerberosOptions(config)
  return options ? environmentOf(options) : {}
}

/**
 * Throws `invalid` where the library cannot be used, and where the keytab is missing, open to others, or holds no key of
 * one of the services.
 */
export async function checkKerberos(config: Config): Promise<void> {
  const options = kerberosOptions(config)
  if (!options) return
  const { keytab, services } = options
  await openLibrary(options)
  const known = new Set((await keysOf(keytab)).map(({ principal }) => principal))
  for (const service of services) {
    if (!known.has(service)) throw new StorageError('invalid', `${keytab}: holds no key of ${service}`)
  }
}

async function keysOf(keytab: string) {
  const bytes = await readSecretBytes(keytab)
  try {
    return parseKeytab(bytes)
  } catch (error) {
    throw new StorageError('invalid', `${keytab}: ${StorageError.from(error).message}`)
  }
}
