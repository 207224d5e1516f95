/** `portolan check`: tries what a configuration names, in the world as it is, and changes nothing that stays. */

import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { checkLogin } from '../acl/identity/login-check.ts'
import { createIdentity } from '../acl/identity/service.ts'
import type { Backend, Finding } from '../backends/backend.ts'
import { type Config, ConfigError, loadConfig, type MountConfig } from './config.ts'
import { FileAudit } from './core/audit.ts'
import { StorageError } from './core/errors.ts'
import { takePrivileges } from './serve/account.ts'
import { listenersOf, withPublicUrl } from './serve/addresses.ts'
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

/** Called with each finding as it comes. */
type Report = (part: string, finding: Finding) => void

/** Seconds that clocks may differ before tokens are taken for expired or not yet valid. */
const clockTolerance = 60
const fetchPatience = 5000

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
  await checkClock(config, report)
  await checkListeners(config, report)
  await checkAudit(config, report)
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

function ok(subject: string, text: string): Finding {
  return { subject, level: 'ok', text }
}

/** The result, or undefined after a finding of level `error`. */
async function attempt<T>(
  report: Report,
  part: string,
  subject: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof ConfigError) {
      for (const { line, key, text } of thrown.problems) {
        report(part, { subject, level: 'error', text: `line ${line}${key === '' ? '' : `, ${key}`}: ${text}` })
      }
    } else {
      report(part, { subject, level: 'error', text: StorageError.from(thrown).message })
    }
    return undefined
  }
}

function privilegesFinding({ mounts }: Config): Finding {
  const uid = process.geteuid?.()
  if (uid === 0) {
    return { subject: 'capabilities', level: 'warning', text: 'the gateway would serve as root; set runAs' }
  }
  const native = mounts.some(({ enforce }) => enforce === 'native')
  return ok('capabilities', `uid ${uid}${native ? ' with CAP_SETUID and CAP_SETGID alone' : ' without any capability'}`)
}

/** Against the clocks of issuers that keys are fetched from. */
async function checkClock({ issuers }: Config, report: Report): Promise<void> {
  const addresses = issuers.flatMap(({ issuer, keys }) => (keys.discovery ? [issuer] : (keys.jwksUrl ?? [])))
  if (addresses.length === 0) {
    report('process', ok('clock', `${new Date().toISOString()}; there is no issuer to compare with`))
  }
  for (const address of addresses) {
    const date = await dateOf(address)
    if (date === undefined) continue
    const ahead = Math.round((Date.now() - date) / 1000)
    const level = Math.abs(ahead) > clockTolerance ? 'error' : 'ok'
    const text = `${Math.abs(ahead)} s ${ahead < 0 ? 'behind' : 'ahead of'} ${new URL(address).host}`
    report('process', { subject: 'clock', level, text })
  }
}

async function dateOf(address: string): Promise<number | undefined> {
  try {
    const signal = AbortSignal.timeout(fetchPatience)
    const response = await fetch(address, { method: 'HEAD', redirect: 'manual', signal })
    const date = Date.parse(response.headers.get('date') ?? '')
    return Number.isNaN(date) ? undefined : date
  } catch {
    // Whether its keys can be fetched is told with the issuers.
    return undefined
  }
}

/** A port that is taken may be taken by the gateway that is running already. */
async function checkListeners(config: Config, report: Report): Promise<void> {
  for (const { address, port } of listenersOf(config)) {
    const code = await bindable(address, port)
    const where = `${address} port ${port}`
    if (code === undefined) report('process', ok('listener', `${where} is free`))
    else if (code === 'EADDRINUSE') {
      const text = `${where} is in use; all is well if the gateway is running`
      report('process', { subject: 'listener', level: 'warning', text })
    } else report('process', { subject: 'listener', level: 'error', text: `${where} cannot be used (${code})` })
  }
}

function bindable(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const server = createServer()
  server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'))
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  return promise
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

async function checkIdentity(config: Config, report: Report): Promise<void> {
  await attempt(report, 'issuers', 'options', async () => {
    const identity = await createIdentity(await identityOptions(config))
    try {
      for (const finding of await identity.checkIssuers()) report('issuers', finding)
    } finally {
      identity.close()
    }
  })
}

/** What the login section names: its issuers are asked as if somebody were signing in. */
async function checkSignIn(config: Config, report: Report): Promise<void> {
  const { login, accounts } = config
  await attempt(report, 'login', 'options', async () => {
    const { publicUrl } = await withPublicUrl(config)
    const { issuers } = await identityOptions(config)
    for (const each of await loginIssuers(config)) {
      const issuer = issuers.find(({ name }) => name === each.name)
      if (!issuer) continue
      const redirectUri = `${publicUrl}/.portolan/login/callback/${encodeURIComponent(each.name)}`
      for (const finding of await checkLogin(each, issuer, redirectUri)) report('login', finding)
    }
    const isByHand = login.passwords && accounts.some(({ file }) => file !== undefined)
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
