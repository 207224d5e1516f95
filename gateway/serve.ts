/**
 * The composition root: from a configuration to a gateway that serves, in one process. Nothing else
 * in the tree knows how the parts are put together.
 */

import { join } from 'node:path'
import { Registry } from 'prom-client'
import { RevocationList } from '../acl/identity/revocation-list.ts'
import { createIdentity, type IdentityService } from '../acl/identity/service.ts'
import type { Config } from './config.ts'
import { FileAudit } from './core/audit.ts'
import type { ChangeLine } from './core/feed.ts'
import { Metrics } from './core/metrics.ts'
import { Storage } from './core/storage.ts'
import type { HttpDoor } from './http/server.ts'
import { endInheritance } from './privileges.ts'
import { takePrivileges } from './serve/account.ts'
import { listenersOf, urlOf, withPublicUrl } from './serve/addresses.ts'
import { backendMaker } from './serve/backends.ts'
import { openDoor } from './serve/doors.ts'
import { readMasterKeys } from './serve/files.ts'
import { type IdentityMeans, identityOptions } from './serve/identity.ts'
import { reportTo } from './serve/ldap.ts'
import type { Logger } from './serve/log.ts'
import { closeAll, type MountChange, Mounts } from './serve/mounts.ts'
import { Readiness } from './serve/readiness.ts'
import { formKeyOf } from './serve/sign-in.ts'
import { openSpill } from './serve/spill.ts'
import { startSweeping, uploadKeeping } from './serve/uploads.ts'
import { openState } from './state/open.ts'
import { SecretStore } from './state/secrets.ts'
import type { Address, Snapshot } from './supervisor/messages.ts'

export interface StartOptions {
  readonly log: Logger
  /** Processes that share the limits per principal; 1 by default. */
  readonly workers?: number
  /** The way to those processes. */
  readonly changes?: ChangeLine
}

export interface Gateway {
  readonly addresses: readonly Address[]
  /**
   * Opens the audit log anew and, if given, takes over mounts, mappings, issuers, accounts, administrators and
   * certificates, without touching a transfer. Throws and keeps what it has when something in it is bad.
   */
  reload(config?: Config): Promise<void>
  metrics(): Promise<Snapshot>
  /** Accepts nothing new, lets transfers finish for `deadline` ms, then closes everything. */
  close(deadline: number): Promise<void>
}

/** Starts everything. What was opened is closed again when something fails; the error says what it was. */
export async function startGateway(config: Config, options: StartOptions): Promise<Gateway> {
  await using opened = new AsyncDisposableStack()
  const roots = takePrivileges(config, undefined)
  // What it needs it has; programs that it asks for accounts need none of it.
  endInheritance()
  const state = await openState({ directory: config.state.directory })
  opened.defer(() => state.close())
  const { masterKeyFile } = config.state
  const secrets = masterKeyFile && (await SecretStore.open(state, await readMasterKeys(masterKeyFile)))
  const revocations = await RevocationList.open(state.revocations, (err) =>
    options.log.warn({ err }, 'revocations could not be read; those known before hold'),
  )
  opened.defer(() => revocations.close())
  const means: IdentityMeans = { revocations, stores: state, secrets, report: reportTo(options.log) }
  const identity = await createIdentity(await identityOptions(config, means))
  opened.defer(() => identity.close())
  const audit = await openAudit(config)
  opened.defer(() => audit.close())
  const mounts = new Mounts(backendMaker({ roots, services: state, log: options.log }))
  opened.defer(() => mounts.close())
  const first = await mounts.change(config)
  first.accept()
  const spill = await openSpill(config.state.directory)
  opened.defer(() => spill.close())
  const registry = new Registry()
  const { namespace } = first
  const limits = sharedOut(config, options.workers ?? 1)
  const metrics = new Metrics(registry)
  const storage = new Storage({
    namespace,
    audit,
    spillDirectory: spill.directory,
    limits,
    metrics,
    state,
    locks: state.locks,
    byteLocks: state.byteLocks,
    uploads: uploadKeeping(config, state),
    changes: options.changes,
  })
  const sweeping = startSweeping(storage, options.log)
  opened.defer(() => sweeping.close())
  const door = await openDoor(await withPublicUrl(config), {
    storage,
    identity,
    limits,
    workers: options.workers ?? 1,
    registry,
    readiness: new Readiness(() => storage.namespace.mounts),
    audit,
    log: options.log,
    formKey: await formKeyOf(state),
  })
  const parts = { means, audit, mounts, identity, storage, door, registry, log: options.log }
  return new RunningGateway(parts, config, opened.move())
}

function openAudit({ audit, state }: Config): Promise<FileAudit> {
  return FileAudit.open({ file: audit.file ?? join(state.directory, 'audit.jsonl'), onFailure: audit.onFailure })
}

/** Limits per principal hold for all processes together: each allows its part, rounded up. */
function sharedOut({ limits }: Config, workers: number): Config['limits'] {
  return {
    ...limits,
    connectionsPerPrincipal: Math.ceil(limits.connectionsPerPrincipal / workers),
    inFlightPerPrincipal: Math.ceil(limits.inFlightPerPrincipal / workers),
    stagedBytesPerPrincipal: Math.ceil(limits.stagedBytesPerPrincipal / workers),
    explainPerMinute: Math.ceil(limits.explainPerMinute / workers),
    mountsPerPrincipal: Math.ceil(limits.mountsPerPrincipal / workers),
  }
}

interface Parts {
  readonly means: IdentityMeans
  readonly audit: FileAudit
  readonly mounts: Mounts
  readonly identity: IdentityService
  readonly storage: Storage
  readonly door: HttpDoor
  readonly registry: Registry
  readonly log: Logger
}

class RunningGateway implements Gateway {
  readonly addresses: readonly Address[]
  readonly #parts: Parts
  readonly #opened: AsyncDisposableStack
  readonly #leaving = new Set<Promise<void>>()

  constructor(parts: Parts, config: Config, opened: AsyncDisposableStack) {
    this.#parts = parts
    this.#opened = opened
    const listeners = listenersOf(config)
    this.addresses = parts.door.addresses.map(({ address, port, tls }, listener) => {
      const { address: host = address, s3 = false } = listeners[listener] ?? {}
      return { listener, address, port, tls, s3, url: urlOf({ address: host, port, tls }) }
    })
  }

  async reload(config?: Config): Promise<void> {
    const { audit, mounts, door, identity, means } = this.#parts
    await audit.reopen()
    if (!config) return
    const change = await mounts.change(config)
    try {
      const options = await identityOptions(config, means)
      await door.reloadTls()
      await identity.reload(options)
    } catch (error) {
      await closeAll(change.fresh)
      throw error
    }
    this.#use(change)
  }

  async metrics(): Promise<Snapshot> {
    return this.#parts.registry.getMetricsAsJSON()
  }

  async close(deadline: number): Promise<void> {
    await this.#parts.door.close({ deadline })
    await this.#opened.disposeAsync()
  }

  /** Back ends that are mounted no more are closed when the last call that uses them has ended. */
  #use(change: MountChange): void {
    change.accept()
    const left = this.#parts.storage
      .useNamespace(change.namespace)
      .then(() => closeAll(change.retired))
      .finally(() => this.#leaving.delete(left))
    this.#leaving.add(left)
  }
}
