/** The account that the gateway becomes when it is started as root. */

import { execFileSync } from 'node:child_process'
import { lchownSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config, SecretRef } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import { preparePrivileges } from '../privileges.ts'
import { hasLowPorts, listenersOf } from './addresses.ts'
import { certificatesOf, programsOf, secretsOf, topOf } from './backend-files.ts'
import { filesOfLdap } from './ldap.ts'

/**
 * Gives the process exactly the privileges that the configuration needs, before anything else is
 * opened. Started as root it does not return but starts the program again as `runAs`. Throws
 * `invalid` with what is missing. Also for workers, which inherit what the supervisor has.
 *
 * Gives descriptors of the tops of native mounts, by path, where root opened them.
 */
export function takePrivileges(config: Config, configFile: string | undefined): ReadonlyMap<string, number> {
  const native = config.mounts.flatMap(({ enforce, backend }) => (enforce === 'native' ? topOf(backend) : []))
  const isRoot = process.geteuid?.() === 0
  if (isRoot && config.runAs === undefined) {
    if (native.length === 0) {
      // As for every other account: what is made has the mode that is meant for it.
      process.umask(0)
      return new Map()
    }
    throw new StorageError('invalid', 'mounts with `enforce: native` need `runAs` when the gateway is started as root')
  }
  const account = isRoot && config.runAs !== undefined ? accountOf(config.runAs) : own()
  if (isRoot) makeDirectories(config, account)
  const privileges = preparePrivileges({
    account,
    native: native.length > 0,
    needed: filesOf(config, configFile),
    roots: native,
    lowPorts: hasLowPorts(config),
  })
  if (privileges.ready) return privileges.roots
  const why =
    native.length > 0 ? 'mounts with `enforce: native` cannot be served' : 'the account of the gateway cannot be used'
  throw new StorageError('invalid', `${why}: ${privileges.refused}`)
}

interface Account {
  readonly uid: number
  readonly gid: number
}

function own(): Account {
  return { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 }
}

function accountOf(runAs: NonNullable<Config['runAs']>): Account {
  if (typeof runAs !== 'string') return runAs
  try {
    // The grammar of the name keeps it from being an option; a fixed path, since this runs as root.
    const line = execFileSync('/usr/bin/getent', ['passwd', runAs], { encoding: 'utf8', timeout: 10_000 })
    const [name, , uid, gid] = line.split(':')
    const account = { uid: Number(uid), gid: Number(gid) }
    if (name === runAs && account.uid > 0 && account.gid > 0) return account
  } catch (cause) {
    throw new StorageError('invalid', `runAs: there is no account ${runAs}`, { cause })
  }
  throw new StorageError('invalid', `runAs: the account ${runAs} cannot be used`)
}

/** What the gateway writes to is made by root for the account, as a service manager would do it. */
function makeDirectories(config: Config, { uid, gid }: Account): void {
  for (const directory of writtenDirectories(config)) {
    const first = mkdirSync(directory, { recursive: true, mode: 0o700 })
    if (first === undefined) continue
    for (let made = directory; made.length >= first.length; made = dirname(made)) lchownSync(made, uid, gid)
  }
}

function writtenDirectories({ state, log, audit }: Config): readonly string[] {
  return [state.directory, ...[log.file, audit.file].flatMap((file) => (file === undefined ? [] : dirname(file)))]
}

/** Everything that is opened after the change of account, but for the tops of native mounts. */
function filesOf(config: Config, configFile: string | undefined): readonly string[] {
  const { state, issuers, login, links, kerberos, accounts, mounts } = config
  const files: readonly (string | undefined)[] = [
    configFile,
    ...writtenDirectories(config),
    ...listenersOf(config).flatMap(({ tls, proxyCertificates }) => {
      const asked = tls?.clientCertificates
      return [tls?.certificate, tls?.key, asked?.ca, asked?.crl, proxyCertificates?.ca]
    }),
    config.thirdParty.ca,
    fileOf(state.masterKeyFile),
    ...issuers.flatMap(({ ca, keys, introspection }) => [ca, keys.jwksFile, fileOf(introspection?.clientSecret)]),
    ...login.issuers.map(({ clientSecret }) => fileOf(clientSecret)),
    ...links.alise.flatMap(({ apiKey, ca }) => [ca, fileOf(apiKey)]),
    kerberos?.keytab,
    ...accounts.flatMap(({ file, ldap }) => [file, ...(ldap ? filesOfLdap(ldap) : [])]),
    ...mounts.flatMap(({ enforce, backend }) => (enforce === 'gateway' ? topOf(backend) : [])),
    ...mounts.flatMap(({ backend }) => [...certificatesOf(backend), ...programsOf(backend)]),
    ...mounts.flatMap(({ backend }) => secretsOf(backend).map(fileOf)),
  ]
  return files.filter((file) => file !== undefined)
}

/** Where a secret lies, unless in the environment. */
function fileOf(secret: SecretRef | undefined): string | undefined {
  return secret && 'file' in secret ? secret.file : undefined
}
