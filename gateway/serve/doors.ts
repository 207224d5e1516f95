/** The front ends, put together: what HTTP serves, and with which limits. */

import { Gauge, type Registry } from 'prom-client'
import type { Identity } from '../../acl/identity/identity.ts'
import { createFsFront } from '../api/fs/front.ts'
import { createApi } from '../api/routes.ts'
import type { Config } from '../config.ts'
import type { AuditLog } from '../core/audit.ts'
import type { StorageOperations } from '../core/storage.ts'
import { createHttpDoor, type HttpDoor } from '../http/server.ts'
import { resumable } from '../uploads/resumable.ts'
import { createUploads } from '../uploads/routes.ts'
import { webdav } from '../webdav/methods.ts'
import { writeConditions } from '../webdav/put.ts'
import { ThirdParty } from '../webdav/third-party/third-party.ts'
import { listenersOf } from './addresses.ts'
import { bootOf } from './boot.ts'
import { readText } from './files.ts'
import { countRequests } from './http-metrics.ts'
import { showSources } from './ldap.ts'
import type { Logger } from './log.ts'
import { processNames } from './process-name.ts'
import type { Readiness } from './readiness.ts'
import { s3Front } from './s3.ts'

export interface DoorParts {
  readonly storage: StorageOperations
  readonly identity: Identity
  /** With those for each principal as they hold in this process. */
  readonly limits: Config['limits']
  /** Processes that share the limits of third-party copies. */
  readonly workers: number
  readonly registry: Registry
  readonly readiness: Readiness
  readonly audit: AuditLog
  readonly log: Logger
  /** What tokens of forms are signed with, in all processes. */
  readonly formKey: Uint8Array
}

/** Uploads under way make the same conditions as PUT. */
const uploading = { conditions: writeConditions }

/** Opens all listeners. Throws `invalid` or `unavailable` and leaves nothing open. */
export async function openDoor(config: Config & { readonly publicUrl: string }, parts: DoorParts): Promise<HttpDoor> {
  const { storage, identity, registry, readiness, audit, log } = parts
  const { publicUrl, siteName, hosts, trustedProxies, redirects } = config
  showReadiness(registry, readiness)
  showSources(registry, identity)
  const door = await createHttpDoor({
    listen: listenersOf(config),
    publicUrl,
    hosts,
    trustedProxies,
    redirecting: redirects,
    limits: parts.limits,
    storage,
    identity,
    log,
    audit,
    data: resumable(webdav, uploading),
    routes: (app, routeDoor) => {
      createApi({
        storage,
        identity,
        publicUrl,
        ...(siteName !== undefined && { sitename: siteName }),
        ready: async () => audit.healthy && (await readiness.isReady()),
        explainPerMinute: parts.limits.explainPerMinute,
      })(app, routeDoor)
      createUploads(uploading)(app, routeDoor)
    },
    s3: s3Front(config, parts),
    mounts: createFsFront({
      storage,
      isRevoked: (principal) => identity.isRevoked?.(principal) ?? false,
      workers: parts.workers,
      limits: mountLimits(parts.limits),
      explainPerMinute: parts.limits.explainPerMinute,
      boot: bootOf(parts.formKey),
      names: processNames(parts.formKey),
    }),
    thirdParty: await thirdPartyOf(config.thirdParty, parts.workers),
    // Of any account: its own password, or an application password.
    basic: config.accounts.length > 0,
    formKey: parts.formKey,
    observe: countRequests(registry),
  })
  await door.listen()
  return door
}

function mountLimits({ mountsPerPrincipal, openFilesPerMount, openFiles }: Config['limits']) {
  return { sessionsPerPrincipal: mountsPerPrincipal, filesPerSession: openFilesPerMount, files: openFiles }
}

/** Undefined where no host is named. */
async function thirdPartyOf(section: Config['thirdParty'], workers: number): Promise<ThirdParty | undefined> {
  const { hosts, ca, transfers, transfersPerPrincipal } = section
  if (hosts.length === 0) return undefined
  return new ThirdParty({
    ...section,
    ca: ca === undefined ? undefined : await readText(ca),
    transfers: Math.ceil(transfers / workers),
    transfersPerPrincipal: Math.ceil(transfersPerPrincipal / workers),
  })
}

function showReadiness(registry: Registry, readiness: Readiness): void {
  new Gauge({
    name: 'portolan_mount_reachable',
    help: 'Whether the back end of a mount answers',
    labelNames: ['mount'],
    registers: [registry],
    // All workers look; one that cannot reach it counts.
    aggregator: 'min',
    async collect() {
      this.reset()
      for (const { mount, state } of await readiness.states()) this.set({ mount }, state === 'reachable' ? 1 : 0)
    },
  })
}
