/** `portolan check`: tries what a configuration names, in the world as it is, and changes nothing that stays. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Identity } from '../acl/identity/identity.ts'
import { checkLogin } from '../acl/identity/login-check.ts'
import { createIdentity } from '../acl/identity/service.ts'
import type { Backend, Finding } from '../backends/backend.ts'
import { checkClocks } from './checks/clocks.ts'
import { checkKdc } from './checks/kerberos.ts'
import { checkListeners } from './checks/listeners.ts'
import { checkNfs } from './checks/nfs.ts'
import { attempt, ok, problem, type Report } from './checks/report.ts'
import { type Config, loadConfig, type MountConfig } from './config.ts'
import { FileAudit } from './core/audit.ts'
import { StorageError } from './core/errors.ts'
import { takePrivileges } from './serve/account.ts'
import { hasLowPorts, withPublicUrl } from './serve/addresses.ts'
import { backendMaker } from './serve/backends.ts'
import { checkFiles, readMasterKeys } from './serve/files.ts'
import { identityOptions } from './serve/identity.ts'
import { loginIssuers } from './serve/sign-in.ts'
import { openState } from './state/open.ts'
import { SecretStore } from './state/secrets.ts'
import type { State } from './state/state.ts'

/** A finding and what it is about: "configuration", "issuers", "mount /data-dust". */
export interface Checked extends Finding {
  readonly part: string
}

/**
 * Everything that was found, in the order of the parts. Never throws for what is wrong in the world: that
 * is a finding of level `error`. Started as root it runs again as the account that the gateway will have.
 */
export async function checkWorld(configFile: string): Promise<readonly Checked[]> {
  const found: Checked[] = []
  const report: Report = (part, finding) => found.push({ part, ...finding })
  const config = await attempt(report, 'configuration', 'syntax', () => loadConfig(configFile))
  if (!config) return found
  report('configuration', ok('syntax', `${configFile} is well-formed`))
  const roots = await attempt(report, 'process', 'capabilities', async () => takePrivileges(config, configFile))
  if (roots) report('process', privilegesFinding(config))
  await attempt(report, 'configuration', 'files', async () => {
    await checkFiles(config)
    report('configuration', ok('files', 'certificates and secrets are there and closed to others'))
  })
  await checkClocks(config, report)
  await checkListeners(config, report)
  await checkAudit(config, report)
  await checkKdc(config, report)
  await checkIdentity(config, report)
  await checkSignIn(config, report)
  await checkStores(config, roots ?? new Map(), report)
  return found
}

/** The exit status: 0 all is well, 1 there are warnings, 2 something will not work. */
export function statusOf(found: readonly Finding[]): 0 | 1 | 2 {
  if (found.some(({ level }) => level === 'error')) return 2
  return found.some(({ level }) => level === 'warning') ? 1 : 0
}

function privilegesFinding(config: Config): Finding {
  const uid = process.geteuid?.()
  if (uid === 0) {
    return { subject: 'capabilities', level: 'warning', text: 'the gateway would serve as root; set runAs' }
  }
  const native = config.mounts.some(({ enforce }) => enforce === 'native')
  const kept = [
    ...(native ? ['CAP_SETUID', 'CAP_SETGID'] : []),
    ...(hasLowPorts(config) ? ['CAP_NET_BIND_SERVICE'] : []),
  ]
  const held = kept.length === 0 ? 'without any capability' : `with no capability but what it needs: ${kept.join(', ')}`
  return ok('capabilities', `uid ${uid} ${held}`)
}

async function checkAudit({ audit, state }: Config, report: Report): Promise<void> {
  const file = audit.file ?? join(state.directory, 'audit.jsonl')
  await attempt(report, 'state', 'audit', async () => {
    await mkdir(state.directory, { recursive: true, mode: 0o700 })
    const opened = await FileAudit.open({ file, onFailure: audit.onFailure })
    await opened.close()
    report('state', ok('audit', `${file} can be written`))
  })
}

/** Issuers, account sources, and what of the accounts the mounts can carry. */
async function checkIdentity(config: Config, report: Report): Promise<void> {
  await attempt(report, 'issuers', 'options', async () => {
    const identity = await createIdentity(await identityOptions(config))
    try {
      for (const finding of await identity.checkIssuers()) report('issuers', finding)
      for (const finding of await identity.checkAccounts()) report('accounts', finding)
      await checkNames(config, identity, report)
      const accounts = () => groupsOfAccounts(config, identity)
      await checkNfs(config, { mountinfo: '/proc/self/mountinfo', etc: '/etc', accounts }, report)
    } finally {
      await identity.close()
    }
  })
}

const listless: ReadonlySet<string> = new Set(['unavailable', 'busy'])

/** Principals whose account is named need one that is there. */
async function checkNames({ kerberos, domain }: Config, identity: Identity, report: Report): Promise<void> {
  for (const { principal, account } of kerberos?.names ?? []) {
    await attempt(report, 'kerberos', 'account', async () => {
      if (await identity.principalOf(`${account}@${domain}`)) return
      report('kerberos', problem('account', `${principal}: no account source knows ${account}, or it is refused`))
    })
  }
}

/** How many numeric groups accounts have besides their first: those that the configuration names, and all that sources list. */
async function groupsOfAccounts(
  { issuers, mapping, kerberos, domain }: Config,
  identity: Identity,
): Promise<ReadonlyMap<string, number>> {
  const named = [...issuers, ...mapping, ...(kerberos?.names ?? [])].map(({ account }) => account)
  const found = new Map<string, number>()
  try {
    for (const name of new Set(named)) {
      if (name === undefined || name.includes('{')) continue
      const principal = await identity.principalOf(`${name}@${domain}`)
      if (principal?.posix) found.set(name, principal.posix.gids.length)
    }
    for await (const { user = '', posix } of identity.people?.().principals ?? []) {
      if (posix) found.set(user.slice(0, user.lastIndexOf('@')), posix.gids.length)
    }
  } catch (error) {
    // What is wrong with a source is told by itself; too many accounts to list are none too many to serve.
    if (!listless.has(StorageError.from(error).code)) throw error
  }
  return found
}

/** What the login section names: its issuers are asked as if somebody were signing in. */
async function checkSignIn(config: Config, report: Report): Promise<void> {
  const { login, accounts, passwords } = config
  await attempt(report, 'login', 'options', async () => {
    const { publicUrl } = await withPublicUrl(config)
    const { issuers } = await identityOptions(config)
    for (const each of await loginIssuers(config)) {
      const issuer = issuers.find(({ name }) => name === each.name)
      if (!issuer) continue
      const redirectUri = `${publicUrl}/.portolan/login/callback/${encodeURIComponent(each.name)}`
      for (const finding of await checkLogin(each, issuer, redirectUri)) report('login', finding)
    }
    const isKept = accounts.some(({ file, ldap }) => file !== undefined || ldap !== undefined)
    const isByHand = login.passwords && (isKept || passwords.ways.includes('kerberos'))
    if (login.issuers.length > 0 || isByHand) return
    report('login', ok('ways', 'nobody can sign in with a browser; programs send tokens'))
  })
}

async function checkStores(config: Config, roots: ReadonlyMap<string, number>, report: Report): Promise<void> {
  const state = await attempt(report, 'state', 'store', async () => {
    const opened = await openState({ directory: config.state.directory })
    if (config.state.masterKeyFile) await SecretStore.open(opened, await readMasterKeys(config.state.masterKeyFile))
    report('state', ok('store', `${config.state.directory} can be used`))
    return opened
  })
  if (!state) return
  try {
    await Promise.all(config.mounts.map((mount) => checkMount(mount, { config, roots, state }, report)))
  } finally {
    await state.close()
  }
}

interface Means {
  readonly config: Config
  readonly roots: ReadonlyMap<string, number>
  readonly state: State
}

/** One that hangs is an error after its deadline, and the others are checked all the same. */
async function checkMount(mount: MountConfig, { config, roots, state }: Means, report: Report): Promise<void> {
  const part = `mount ${mount.path}`
  const quiet = { level: 'fatal', debug() {}, info() {}, warn() {}, error() {}, fatal() {} }
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    reject(new StorageError('unavailable', `no answer within ${mount.deadline / 1000} s`))
  }, mount.deadline)
  late.catch(() => {})
  await attempt(report, part, 'reachable', async () => {
    const made = backendMaker({ roots, services: state, log: quiet })(mount, config)
    try {
      const backend = await Promise.race([made, late])
      const findings = (await Promise.race([backend.checking?.check(), late])) ?? []
      for (const finding of findings) report(part, finding)
    } finally {
      clearTimeout(timer)
      // Closing a back end that hangs must not hold up the report.
      void made.then((backend: Backend) => backend.close()).catch(() => {})
    }
  })
}
