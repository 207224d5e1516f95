/**
 * The bulk service: requests over many files, worked off in the background (user guide, Frontend,
 * "bulk-requests"). Nothing here is idempotent: a request posted twice is two requests.
 */

import { randomUUID } from 'node:crypto'
import type { Login } from './access.ts'
import { Failure } from './failure.ts'
import type { Site } from './site.ts'
import type { FileNode, Node } from './tree.ts'
import { durationIn } from './units.ts'

export type BulkActivity = 'STAGE' | 'RELEASE' | 'PIN' | 'UNPIN' | 'DELETE' | 'UPDATE_QOS' | 'LOG_TARGET'

export type TargetState = 'CREATED' | 'RUNNING' | 'COMPLETED' | 'CANCELLED' | 'FAILED' | 'SKIPPED'

export interface BulkTarget {
  /** As the user calls it. */
  readonly path: string
  state: TargetState
  readonly submittedAt: number
  startedAt: number | undefined
  finishedAt: number | undefined
  error: string | undefined
}

export interface BulkOrder {
  readonly activity: BulkActivity
  readonly targets: readonly string[]
  readonly arguments: Readonly<Record<string, string>>
  /** Milliseconds that files stay pinned, by path. */
  readonly lifetimes?: ReadonlyMap<string, number>
  readonly expand: 'NONE' | 'TARGETS' | 'ALL'
  readonly clearOnSuccess: boolean
  readonly clearOnFailure: boolean
  readonly cancelOnFailure: boolean
}

export interface BulkRequest {
  readonly id: string
  readonly sequence: number
  readonly owner: Login
  readonly order: BulkOrder
  readonly targets: readonly BulkTarget[]
  readonly arrivedAt: number
  startedAt: number | undefined
  lastModified: number
  status: 'QUEUED' | 'STARTED' | 'COMPLETED' | 'CANCELLED'
}

/** Pins end after five minutes where the request does not say. */
const defaultLifetime = 300_000

export class Bulk {
  readonly #site: Site
  readonly #requests = new Map<string, BulkRequest>()
  #sequence = 0

  constructor(site: Site) {
    this.#site = site
  }

  submit(owner: Login, order: BulkOrder): BulkRequest {
    if (owner.uid === undefined) throw new Failure('denied', 'User cannot be anonymous.')
    const active = [...this.#requests.values()].filter((request) => request.owner.uid === owner.uid && !isDone(request))
    const most = this.#site.options.maxBulk ?? Number.POSITIVE_INFINITY
    if (active.length >= most) throw new Failure('too-many', `${owner.name} has too many active requests`)
    const now = this.#site.clock.now()
    const request: BulkRequest = {
      id: randomUUID(),
      sequence: this.#sequence++,
      owner,
      order,
      targets: this.#expanded(owner, order).map((path) => ({
        path,
        state: 'CREATED',
        submittedAt: now,
        startedAt: undefined,
        finishedAt: undefined,
        error: undefined,
      })),
      arrivedAt: now,
      startedAt: undefined,
      lastModified: now,
      status: 'QUEUED',
    }
    this.#requests.set(request.id, request)
    this.#site.clock.after(this.#site.options.bulkDelay ?? 0, () => this.#start(request))
    return request
  }

  /** Of this user; `missing` for an unknown id or another activity, `denied` for another user's. */
  get(login: Login, id: string, activity?: BulkActivity): BulkRequest {
    if (login.uid === undefined) throw new Failure('denied', 'User cannot be anonymous.')
    const request = this.#requests.get(id)
    if (!request || (activity && request.order.activity !== activity)) throw new Failure('missing', `request id ${id}`)
    if (request.owner.uid !== login.uid && !login.isAdmin) throw new Failure('denied', 'request not owned by user')
    return request
  }

  list(): readonly BulkRequest[] {
    return [...this.#requests.values()]
  }

  /** All or nothing: a path that is none of the request's refuses everything. */
  cancel(request: BulkRequest, paths: readonly string[] | undefined): void {
    const wanted = paths?.map(clean)
    const foreign = wanted?.find((path) => !request.targets.some((target) => target.path === path))
    if (foreign !== undefined) throw new Failure('bad-request', `${foreign} does not belong to request ${request.id}`)
    for (const target of request.targets) {
      if (!wanted || wanted.includes(target.path)) this.#finish(request, target, 'CANCELLED')
    }
  }

  clear(request: BulkRequest, cancelIfRunning: boolean): void {
    if (!isDone(request) && !cancelIfRunning) throw new Failure('bad-request', 'request is not terminated')
    this.cancel(request, undefined)
    this.#requests.delete(request.id)
  }

  #expanded(owner: Login, { targets, expand }: BulkOrder): string[] {
    const paths = new Set<string>()
    const add = (path: string, node: Node | undefined, levels: number) => {
      if (node?.type !== 'directory' || levels === 0) paths.add(path)
      else
        for (const child of node.children.values()) add(`${path === '/' ? '' : path}/${child.name}`, child, levels - 1)
    }
    const depth = { NONE: 0, TARGETS: 1, ALL: Number.POSITIVE_INFINITY }[expand]
    for (const target of targets) {
      const path = clean(target)
      add(path, this.#site.tree.find(this.#site.gate.resolve(owner, path)), depth)
    }
    return [...paths]
  }

  #start(request: BulkRequest): void {
    if (isDone(request)) return
    request.status = 'STARTED'
    request.startedAt = this.#site.clock.now()
    for (const target of request.targets) {
      if (target.state !== 'CREATED') continue
      target.state = 'RUNNING'
      target.startedAt = request.startedAt
      void this.#run(request, target)
    }
  }

  async #run(request: BulkRequest, target: BulkTarget): Promise<void> {
    try {
      await this.#act(request, target)
      this.#finish(request, target, 'COMPLETED')
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      if (target.state === 'RUNNING') target.error = error.message
      this.#finish(request, target, 'FAILED')
      if (request.order.cancelOnFailure && !isDone(request)) this.cancel(request, undefined)
    }
  }

  async #act(request: BulkRequest, target: BulkTarget): Promise<void> {
    const { gate, tape, tree } = this.#site
    const { owner, order } = request
    const path = gate.resolve(owner, target.path)
    const node = gate.get(owner, path)
    if (order.activity === 'LOG_TARGET') return
    if (order.activity === 'DELETE') {
      gate.demand(owner, 'DELETE', path)
      gate.requireDelete(owner, node)
      return tree.remove(node)
    }
    if (node.type !== 'file') throw new Failure('bad-request', 'Not a regular file')
    switch (order.activity) {
      case 'STAGE':
      case 'PIN':
        gate.demand(owner, 'DOWNLOAD', path)
        gate.require(owner, 'read', node)
        await tape.fetch(node)
        if (target.state === 'RUNNING') tape.pin(node, request.id, lifetimeOf(order, target.path))
        return
      case 'RELEASE':
      case 'UNPIN':
        return tape.unpin(node, order.arguments.id)
      case 'UPDATE_QOS':
        gate.requireOwner(owner, node)
        return this.#changeQos(node, order.arguments.targetQos ?? '')
    }
  }

  #changeQos(file: FileNode, target: string): void {
    if (target !== 'disk+tape' && target !== 'tape') throw new Failure('bad-request', `Unknown target QoS: ${target}`)
    file.onTape = true
    if (target === 'tape') this.#site.tape.unpin(file, 'qos')
    else this.#site.tape.pin(file, 'qos', Number.POSITIVE_INFINITY)
  }

  #finish(request: BulkRequest, target: BulkTarget, state: 'COMPLETED' | 'CANCELLED' | 'FAILED'): void {
    if (target.state !== 'CREATED' && target.state !== 'RUNNING') return
    target.state = state
    target.finishedAt = this.#site.clock.now()
    request.lastModified = target.finishedAt
    if (request.targets.some((other) => other.state === 'CREATED' || other.state === 'RUNNING')) return
    const isCancelled = request.targets.every((other) => other.state === 'CANCELLED')
    request.status = isCancelled ? 'CANCELLED' : 'COMPLETED'
    const failed = request.targets.some((other) => other.state === 'FAILED')
    if (failed ? request.order.clearOnFailure : request.order.clearOnSuccess) this.#requests.delete(request.id)
  }
}

export function isDone({ status }: BulkRequest): boolean {
  return status === 'COMPLETED' || status === 'CANCELLED'
}

function clean(path: string): string {
  return `/${path.split('/').filter(Boolean).join('/')}`
}

function lifetimeOf(order: BulkOrder, path: string): number {
  const own = order.lifetimes?.get(path)
  if (own !== undefined) return own
  const { lifetime } = order.arguments
  if (lifetime === undefined) return defaultLifetime
  const unit = order.arguments.lifetimeUnit ?? order.arguments['lifetime-unit'] ?? 'MINUTES'
  return durationIn(Number(lifetime), unit)
}
