/**
 * dCache over its WebDAV door and its REST frontend, one file per verb.
 *
 * dCache decides about callers who come with a credential of their own; for others, where the mount has a service
 * credential, the ACLs and modes that the frontend shows are reported and Storage decides. Every look is followed by a
 * second one in `proceed`, under a lease: dCache has no request that names the object it is meant for.
 */

import type { Principal } from '../../acl/principal.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  Backend,
  BackendServices,
  Changes,
  CheckFacet,
  CopyFacet,
  CreateOptions,
  Draft,
  Entry,
  Listing,
  ListOptions,
  MoveOptions,
  OpenOptions,
  Pending,
  PendingFile,
  PendingMove,
  PropertyFacet,
  QuotaFacet,
  RecordFacet,
  RedirectFacet,
  RightsFacet,
  TapeFacet,
  Trail,
} from '../backend.ts'
import { setAttributes } from './changing.ts'
import { check } from './checking.ts'
import { DcacheChecksums } from './checksums.ts'
import { copy, takesProperties } from './copying.ts'
import { create } from './creating.ts'
import { Delegation } from './credentials.ts'
import { Desk, type Scope } from './desk.ts'
import { HttpDoor } from './door.ts'
import { Events } from './events.ts'
import { list } from './listing.ts'
import { lookAt, walk } from './looking.ts'
import { mkdir } from './making.ts'
import { Memory } from './memory.ts'
import { rename } from './moving.ts'
import { open } from './opening.ts'
import type { DcacheOptions } from './options.ts'
import { PoolPolicy } from './pools.ts'
import { DcacheProperties } from './properties.ts'
import { DcacheQuotas } from './quotas.ts'
import { DcacheRecords } from './records.ts'
import { DoorRedirects } from './redirects.ts'
import { remove } from './removing.ts'
import { DcacheRights } from './rights.ts'
import { makeAgents } from './sending.ts'
import { StagingArea } from './staging.ts'
import { DcacheTape } from './tape.ts'

/** How often uploads left behind are looked for, and how long after their process died, in ms. */
const sweepEvery = 10 * 60_000
const sweepAge = 60_000

export class DcacheBackend implements Backend {
  readonly name: string
  readonly checksums: DcacheChecksums
  /** Extended attributes, and the records among them, quotas and tape are the frontend's. */
  readonly properties?: PropertyFacet
  readonly records?: RecordFacet
  readonly quotas?: QuotaFacet
  readonly tape?: TapeFacet
  readonly redirects?: RedirectFacet
  readonly rights?: RightsFacet
  readonly #desk: Desk
  readonly #delegation: Delegation
  readonly #area: StagingArea
  readonly #closeConnections: () => void
  readonly #sweeper: NodeJS.Timeout

  /** Asks nothing of dCache yet. */
  constructor(options: DcacheOptions, services: BackendServices) {
    const { webdav, root } = options
    this.name = options.name ?? `dcache:${webdav.host}${root}`
    const { desk, delegation, close } = furnish(this.name, options, services)
    this.#desk = desk
    this.#delegation = delegation
    this.#closeConnections = close
    this.#area = new StagingArea(desk)
    this.checksums = new DcacheChecksums(desk)
    if (desk.frontend) {
      this.properties = new DcacheProperties(desk)
      this.records = new DcacheRecords(desk)
      this.quotas = new DcacheQuotas(desk)
      this.tape = new DcacheTape(desk)
      this.rights = new DcacheRights(desk)
    }
    if (options.redirects) {
      this.redirects = new DoorRedirects(options.redirects, { door: webdav, root, delegation, log: options.log })
    }
    this.#sweeper = setInterval(() => this.#sweepQuietly(), sweepEvery).unref()
    this.#sweepQuietly()
  }

  enforces(principal: Principal): boolean {
    return this.#desk.credentials.enforces(principal)
  }

  async walk(path: Path, call: Call): Promise<Trail> {
    const scope: Scope = { activities: ['READ_METADATA'], object: this.#desk.inDcache(path) }
    const view = this.#desk.memory && this.#delegation.viewOf(call.principal)
    // What only tells what is there may come from memory; what goes on to act looks for itself.
    return walk(this.#desk, path, scope, call, view === undefined ? lookAt : this.#desk.memory?.looking(view))
  }

  list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
    return list(this.#desk, directory, options, call)
  }

  open(file: Path, options: OpenOptions, call: Call): Promise<PendingFile> {
    return open(this.#desk, file, options, call)
  }

  create(file: Path, options: CreateOptions, call: Call): Promise<Pending<Draft>> {
    return create(this.#desk, this.#area, file, options, call)
  }

  mkdir(directory: Path, call: Call): Promise<Pending<Entry>> {
    return mkdir(this.#desk, directory, call)
  }

  remove(path: Path, call: Call): Promise<Pending<void>> {
    return remove(this.#desk, path, call)
  }

  rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    return rename(this.#desk, from, to, options, call)
  }

  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return setAttributes(this.#desk, path, changes, call)
  }

  readonly copying: CopyFacet = {
    copy: (from, to, options, call) => copy(this.#desk, this.#area, from, to, options, call),
    takesProperties: (principal) => takesProperties(this.#desk, principal),
  }

  readonly checking: CheckFacet = { check: () => check(this.#desk) }

  /** Takes away what uploads of processes dead for `age` ms have left. Returns how many names it dealt with. */
  sweep(age = sweepAge): Promise<number> {
    return this.#area.sweep(age)
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#desk.close()
    this.#closeConnections()
  }

  #sweepQuietly(): void {
    this.sweep().catch((error) => this.#desk.log('looking for uploads left behind failed', error))
  }
}

function furnish(name: string, options: DcacheOptions, services: BackendServices) {
  const { webdav: url, frontend: api, root, ca, pools, insecurePools = false, connections = 64 } = options
  const { deadline = 20_000, stall = 60_000 } = options
  const agents = { door: makeAgents({ ca, connections }), bytes: makeAgents({ ca, connections }) }
  const policy = new PoolPolicy(url, pools, { insecure: insecurePools })
  // Macaroons are asked for at the door that they are then sent to.
  const delegation: Delegation = new Delegation(options.delegation, () => webdav)
  const common = { credentials: delegation, pools: policy, agents, deadline, stall }
  const webdav = new HttpDoor({ url, ...common })
  const frontend = api && new HttpDoor({ url: api, ...common })
  const ownLogin = () => delegation.ownLogin()
  const log = (message: string, cause?: unknown) => options.log?.(`${name}: ${message}`, cause)
  const events =
    options.events && new Events({ frontend: requireEvents(options, frontend), root, login: ownLogin, log })
  const memory = events ? new Memory(events) : undefined
  const desk = new Desk({ name, options, services, credentials: delegation, ownLogin, webdav, frontend, memory })
  const close = () => {
    agents.door.close()
    agents.bytes.close()
  }
  return { desk, delegation, close }
}

/** Events come from the frontend, and to the gateway's own login. */
function requireEvents({ delegation }: DcacheOptions, frontend: HttpDoor | undefined): HttpDoor {
  if (frontend && delegation.service) return frontend
  throw new StorageError('invalid', 'events need the frontend and a service credential')
}
