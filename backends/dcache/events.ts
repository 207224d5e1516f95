/**
 * Events of dCache (User Guide, "Frontend", events): one channel, and a subscription for each directory of interest.
 *
 * Everything that is told goes into `Watches`. While the channel is not connected, and for what could not be
 * subscribed, nothing is watched; so whoever trusts `Watches` asks dCache again.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { anonymous } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, join, type Path, parentOf, root } from '../../gateway/core/path.ts'
import { isRecord, type Json } from './attributes.ts'
import type { Door, DoorRequest, DoorResponse } from './door.ts'
import { errorOfStatus, unavailable } from './errors.ts'
import { pathInDcache } from './names.ts'
import { eventsOf, type ServerEvent } from './sse.ts'
import { Watches } from './watches.ts'

export interface EventOptions {
  readonly frontend: Pick<Door, 'request'>
  /** Path in dCache that is the back end's "/". */
  readonly root: Path
  /** The gateway's own login: events concern no caller, and no caller is told of them. */
  readonly login: () => Promise<Secret | undefined>
  readonly log: (message: string, cause?: unknown) => void
  /** Directories watched at a time; default 512. */
  readonly directories?: number
  /** Milliseconds before a lost channel is connected again, at first and at most; default 1,000 and 60,000. */
  readonly patience?: { readonly first: number; readonly most: number }
}

const flags = [
  'IN_CREATE',
  'IN_DELETE',
  'IN_MOVED_FROM',
  'IN_MOVED_TO',
  'IN_MODIFY',
  'IN_CLOSE_WRITE',
  'IN_ATTRIB',
  'IN_DELETE_SELF',
  'IN_MOVE_SELF',
  'IN_ONLYDIR',
]
/** After these the subscription tells nothing of its path any more. */
const endings: ReadonlySet<unknown> = new Set(['IN_IGNORED', 'IN_DELETE_SELF', 'IN_MOVE_SELF'])
/** After these a name may stand for something else. */
const renewals: ReadonlySet<unknown> = new Set(['IN_CREATE', 'IN_DELETE', 'IN_MOVED_FROM', 'IN_MOVED_TO'])
/** Subscriptions waiting to be asked for. */
const maxAsking = 4
/** Milliseconds before a directory that could not be subscribed is tried again. */
const refusalKept = 60_000
/** Seconds between the ticks that tell that the connection lives. */
const beat = 30
/** Milliseconds without a byte, with ticks and without. */
const stall = { ticking: 3 * beat * 1000, silent: 86_400_000 }

interface Subscription {
  /** Undefined while it is asked for, or where it was refused. */
  id: string | undefined
  /** Milliseconds since 1970 until when it is not asked for again. */
  refusedUntil: number
}

export class Events {
  readonly watches = new Watches()
  readonly #options: EventOptions
  readonly #closing = new AbortController()
  /** By directory, the longest unused first. */
  readonly #subscriptions = new Map<Path, Subscription>()
  readonly #byId = new Map<string, Path>()
  #running: Promise<void> | undefined
  /** Subscriptions asked for and given up. */
  #turn: Promise<void> = Promise.resolve()
  #channel: string | undefined
  /** The channel is being read. */
  #isLive = false
  #asking = 0
  #lastId: string | undefined
  #isTicking = false

  constructor(options: EventOptions) {
    this.#options = options
  }

  /**
   * Wants the directories on the way to `path` watched. They are after some more calls, or never; it costs nothing
   * once they are. From the top: only what is watched above vouches for the name of a directory being still the same.
   */
  want(path: Path): void {
    this.#running ??= this.#run()
    let next: Path | undefined
    for (let at = path; at !== root; ) {
      at = parentOf(at)
      if (!this.#isWanted(at)) next = at
    }
    if (next === undefined || !this.#isLive || this.#asking >= maxAsking) return
    if (next !== root && !this.watches.has(parentOf(next))) return
    this.#makeRoom()
    const subscription: Subscription = { id: undefined, refusedUntil: 0 }
    this.#subscriptions.set(next, subscription)
    this.#asking++
    this.#inTurn(() => this.#subscribe(next, subscription))
  }

  /** The gateway itself has changed what is at `path`. */
  changed(path: Path): void {
    this.watches.changed(path)
    this.#forget(path)
  }

  async close(): Promise<void> {
    const channel = this.#channel
    this.#closing.abort()
    this.#lose()
    await Promise.all([this.#running, this.#turn])
    if (channel === undefined) return
    try {
      const response = await this.#ask(
        { method: 'DELETE', path: `/events/channels/${channel}` },
        AbortSignal.timeout(2000),
      )
      response.discard()
    } catch {
      // dCache forgets a channel that nobody reads by itself.
    }
  }

  /** Whether it is subscribed, or will be, or cannot be; it is then the last to make room for others. */
  #isWanted(directory: Path): boolean {
    const known = this.#subscriptions.get(directory)
    if (!known || (known.refusedUntil !== 0 && known.refusedUntil <= Date.now())) return false
    this.#subscriptions.delete(directory)
    this.#subscriptions.set(directory, known)
    return true
  }

  #makeRoom(): void {
    const { directories = 512 } = this.#options
    while (this.#subscriptions.size >= directories) {
      const [oldest] = this.#subscriptions.keys()
      if (oldest === undefined) return
      this.#forget(oldest)
    }
  }

  /** With all that lies below: nobody vouches any more for those being what they were. */
  #forget(directory: Path): void {
    for (const [path, { id }] of this.#subscriptions) {
      if (!isWithin(path, directory)) continue
      this.#subscriptions.delete(path)
      this.watches.end(path)
      if (id === undefined) continue
      this.#byId.delete(id)
      this.#inTurn(() => this.#unsubscribe(id))
    }
  }

  /** One after the other: an end must not overtake a beginning, since both may be about one subscription. `work` never throws. */
  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work)
  }

  async #subscribe(directory: Path, subscription: Subscription): Promise<void> {
    const channel = this.#channel
    try {
      if (this.#subscriptions.get(directory) !== subscription || channel === undefined) return
      const path = pathInDcache(directory, this.#options.root)
      const response = await this.#post(`/events/channels/${channel}/subscriptions/inotify`, { path, flags })
      response.discard()
      // 303: there was one already, from before the connection was lost.
      if (response.status !== 201 && response.status !== 303) throw errorOfStatus(response.answered)
      if (this.#channel === channel) this.#begin(directory, subscription, lastSegment(response.headers.location))
    } catch (thrown) {
      subscription.refusedUntil = Date.now() + refusalKept
      if (StorageError.from(thrown).code === 'internal') this.#options.log('a directory cannot be watched', thrown)
    } finally {
      this.#asking--
    }
  }

  #begin(directory: Path, subscription: Subscription, id: string): void {
    const other = this.#byId.get(id)
    // The directory was known by another name; which one is right will be asked anew.
    if (other !== undefined) this.#forget(other)
    if (other !== undefined || this.#subscriptions.get(directory) !== subscription) {
      if (this.#subscriptions.get(directory) === subscription) this.#subscriptions.delete(directory)
      this.#inTurn(() => this.#unsubscribe(id))
      return
    }
    subscription.id = id
    this.#byId.set(id, directory)
    this.watches.begin(directory)
  }

  async #unsubscribe(id: string): Promise<void> {
    try {
      const path = `/events/channels/${this.#channel}/subscriptions/inotify/${id}`
      const response = await this.#ask({ method: 'DELETE', path })
      response.discard()
    } catch {
      // Its events are ignored, and it goes with the channel.
    }
  }

  /** Until the close: connects, listens, and after a while connects again. */
  async #run(): Promise<void> {
    const { first, most } = this.#options.patience ?? { first: 1000, most: 60_000 }
    const { signal } = this.#closing
    for (let wait = first; !signal.aborted; wait = Math.min(2 * wait, most)) {
      try {
        this.#channel ??= await this.#open()
        await this.#listen(this.#channel, () => {
          wait = first
        })
      } catch (thrown) {
        const error = StorageError.from(thrown)
        // A channel that dCache does not know any more is replaced by a new one.
        if (error.code === 'not-found') this.#channel = undefined
        if (!signal.aborted) this.#options.log('no events for now', error)
      }
      this.#lose()
      // Many gateways must not come back in the same moment.
      await pause(wait * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #open(): Promise<string> {
    const response = await this.#post('/events/channels', { 'client-id': 'portolan' })
    response.discard()
    if (response.status !== 201) throw errorOfStatus(response.answered)
    this.#lastId = undefined
    const channel = lastSegment(response.headers.location)
    const ticks = await this.#post(`/events/channels/${channel}/subscriptions/metronome`, { delay: beat })
    ticks.discard()
    // Without ticks a connection that died silently is not noticed; then only what is kept briefly may rest on events.
    this.#isTicking = ticks.status === 201
    return channel
  }

  /** Returns when the stream ends. */
  async #listen(channel: string, connected: () => void): Promise<void> {
    const response = await this.#ask({
      method: 'GET',
      path: `/events/channels/${channel}`,
      headers: { Accept: 'text/event-stream', ...(this.#lastId !== undefined && { 'Last-Event-ID': this.#lastId }) },
      stall: this.#isTicking ? stall.ticking : stall.silent,
    })
    if (response.status !== 200 || !response.headers['content-type']?.startsWith('text/event-stream')) {
      response.discard()
      throw response.status === 200 ? unavailable('this is no stream of events') : errorOfStatus(response.answered)
    }
    connected()
    this.#isLive = true
    for await (const event of eventsOf(response.body)) {
      if (event.id !== undefined) this.#lastId = isSendable(event.id) ? event.id : undefined
      this.#take(event)
    }
  }

  /** Something may be missed from here on, so nothing that was known counts any more. */
  #lose(): void {
    this.#isLive = false
    this.#subscriptions.clear()
    this.#byId.clear()
    this.watches.endAll()
  }

  #take({ type, data }: ServerEvent): void {
    if (type === 'metronome') return
    const message = parsed(data)
    const directory = this.#byId.get(lastSegmentOr(message?.subscription))
    if (type === 'SYSTEM' && message?.type === 'NEW_SUBSCRIPTION') return
    if (type === 'SYSTEM' && message?.type === 'SUBSCRIPTION_CLOSED') {
      if (directory !== undefined) this.#forget(directory)
      return
    }
    const event = type === 'inotify' && isRecord(message?.event) ? message.event : undefined
    const mask = Array.isArray(event?.mask) ? event.mask : undefined
    // An event that is not understood may mean anything.
    if (!event || !mask || mask.includes('IN_Q_OVERFLOW')) this.#forgetAll()
    else if (directory === undefined) return
    else if (mask.some((word) => endings.has(word))) this.#forget(directory)
    else this.#change(directory, event.name, mask)
  }

  #change(directory: Path, name: unknown, mask: readonly unknown[]): void {
    const isName = typeof name === 'string' && name !== '' && !name.includes('/')
    this.watches.change(directory, isName ? name : undefined)
    // The name may stand for another directory now, and the subscription for the one that had it before.
    if (isName && mask.some((word) => renewals.has(word))) this.#forget(join(directory, name))
  }

  /** What was watched goes on being watched, but all of it has changed. */
  #forgetAll(): void {
    for (const directory of this.#byId.values()) this.watches.change(directory)
  }

  #post(path: string, json: Json): Promise<DoorResponse> {
    const headers = { 'Content-Type': 'application/json' }
    return this.#ask({ method: 'POST', path, headers, body: JSON.stringify(json) })
  }

  async #ask(
    request: Pick<DoorRequest, 'method' | 'path' | 'headers' | 'body' | 'stall'>,
    signal = this.#closing.signal,
  ): Promise<DoorResponse> {
    const authorization = await this.#options.login()
    if (!authorization) throw unavailable('there is no login for events')
    const call: Call = { id: 'events', principal: anonymous, protocol: 'internal', from: '', signal }
    return this.#options.frontend.request({ ...request, call, activities: [], authorization, idempotent: false })
  }
}

/** Channels and subscriptions are named by the last part of their URL; its host may be one that we do not know it by. */
function lastSegment(location: unknown): string {
  const id = lastSegmentOr(location)
  if (id === '') throw unavailable('the storage gave no address of events')
  return id
}

/** As a header field. */
function isSendable(id: string): boolean {
  return /^[\x21-\x7e]{1,200}$/.test(id)
}

function lastSegmentOr(location: unknown): string {
  return typeof location === 'string' ? (/\/([\w.~+=-]{1,200})$/.exec(location)?.[1] ?? '') : ''
}

function parsed(data: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isRecord(value) ? value : undefined
  } catch {
    // Not understood; what that means is for the caller to say.
    return undefined
  }
}
