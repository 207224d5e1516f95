/** The files that a configuration names and that must be right before it is used. */

import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { readSecret } from '../config/secret-file.ts'
import type { Config, SecretRef } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import { readAuthorities } from '../http/client-certificate.ts'
import { type MasterKey, parseMasterKeys } from '../state/secrets.ts'
import { listenersOf } from './addresses.ts'
import { certificatesOf, secretsOf } from './backend-files.ts'
import { checkKerberos } from './kerberos.ts'

/** Reads certificates and keys to see that they are there, closed to others, and fit together. Throws `invalid`. */
export async function checkFiles(config: Config): Promise<void> {
  for (const { tls, proxyCertificates } of listenersOf(config)) {
    if (tls) await checkPair(tls)
    const { clientCertificates: asked } = tls ?? {}
    for (const { ca } of [asked, proxyCertificates].filter((each) => each !== undefined)) await readAuthorities(ca)
    if (asked?.crl !== undefined) await readText(asked.crl)
  }
  for (const { ca, introspection } of config.issuers) {
    if (ca !== undefined) await readText(ca)
    if (introspection) await readSecret(introspection.clientSecret)
  }
  for (const { ldap } of config.accounts) {
    if (ldap?.ca !== undefined) await readText(ldap.ca)
    if (ldap?.bind) await readSecret(ldap.bind.password)
  }
  if (config.thirdParty.ca !== undefined) await readText(config.thirdParty.ca)
  for (const { backend } of config.mounts) {
    for (const file of certificatesOf(backend)) await readText(file)
    for (const ref of secretsOf(backend)) await readSecret(ref)
  }
  for (const { clientSecret } of config.login.issuers) if (clientSecret) await readSecret(clientSecret)
  for (const { apiKey, ca } of config.links.alise) {
    await readSecret(apiKey)
    if (ca !== undefined) await readText(ca)
  }
  await checkKerberos(config)
  if (config.state.masterKeyFile) await readMasterKeys(config.state.masterKeyFile)
}

/** The master keys, the sealing one first. Throws `invalid`. */
export async function readMasterKeys(ref: SecretRef): Promise<readonly MasterKey[]> {
  return parseMasterKeys(await readSecret(ref))
}

/** A file that is no secret. Throws `invalid`. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException
    throw new StorageError('invalid', `${file}: cannot be read (${code})`, { cause })
  }
}

async function checkPair(tls: { readonly certificate: string; readonly key: string }): Promise<void> {
  const cert = await readText(tls.certificate)
  const key = await readSecret({ file: tls.key })
  try {
    createSecureContext({ cert, key: key.reveal() })
  } catch (cause) {
    throw new StorageError('invalid', `${tls.certificate} and ${tls.key} are not a certificate and its key`, { cause })
  }
}
