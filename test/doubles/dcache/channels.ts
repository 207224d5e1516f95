/** Channels and subscriptions of server-sent events (user guide, Frontend, "events"; classes Channel and Inotify). */

import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Login } from './access.ts'
import { Failure } from './failure.ts'
import type { Site } from './site.ts'
import type { Change, Node } from './tree.ts'

/** Seconds without a reader after which a channel is dropped. */
const defaultTimeout = 300
/** Events kept for readers that come back. */
const defaultKept = 16384
/** Events a subscription holds until they are handed on. */
const defaultQueue = 1000

interface Subscription {
  readonly id: string
  readonly node: Node
  flags: readonly string[]
  readonly queue: unknown[]
  isOverflown: boolean
}

interface Event {
  readonly id: number
  readonly text: string
}

export class Channel {
  readonly id: string = randomUUID()
  readonly clientId: string | undefined
  readonly owner: Login
  readonly subscriptions = new Map<string, Subscription>()
  readonly #site: Site
  readonly #url: string
  readonly #drop: (channel: Channel) => void
  /** The last one first sent stays, so that a reader's last id can be found. */
  readonly #kept: Event[] = []
  #timeout = defaultTimeout
  #nextId = 0
  #reader: Readable | undefined
  #cancelClose: () => void

  constructor(site: Site, owner: Login, base: string, clientId: string | undefined, drop: (channel: Channel) => void) {
    this.#site = site
    this.owner = owner
    this.clientId = clientId
    this.#url = `${base}/events/channels/${this.id}`
    this.#drop = drop
    this.#cancelClose = this.#closeLater()
  }

  get url(): string {
    return this.#url
  }

  get timeout(): number {
    return this.#timeout
  }

  setTimeout(seconds: number): void {
    if (!(seconds >= 1 && seconds <= 86_400)) throw new Failure('bad-request', 'Timeout out of bounds')
    this.#timeout = seconds
    if (this.#reader) return
    this.#cancelClose()
    this.#cancelClose = this.#closeLater()
  }

  /** Watches one object. `isNew` is false where the channel already watches it: then the flags are replaced. */
  subscribe(node: Node, flags: readonly string[]): { readonly url: string; readonly isNew: boolean } {
    const known = this.subscriptions.get(node.pnfsId)
    if (known) known.flags = flags.includes('IN_MASK_ADD') ? [...known.flags, ...flags] : flags
    else {
      this.subscriptions.set(node.pnfsId, { id: node.pnfsId, node, flags, queue: [], isOverflown: false })
      this.#system({ type: 'NEW_SUBSCRIPTION', subscription: this.urlOf(node.pnfsId) })
    }
    return { url: this.urlOf(node.pnfsId), isNew: !known }
  }

  unsubscribe(id: string): void {
    const subscription = this.subscriptions.get(id)
    if (!subscription) throw new Failure('missing', 'Subscription not found')
    this.#flush(subscription)
    this.subscriptions.delete(id)
    this.#system({ type: 'SUBSCRIPTION_CLOSED', subscription: this.urlOf(id) })
  }

  urlOf(id: string): string {
    return `${this.#url}/subscriptions/inotify/${id}`
  }

  /** Only one reader at a time; the one before is sent away. */
  read(lastId: string | undefined): Readable {
    this.#system({ type: 'COMPETING_CLIENT' })
    this.#reader?.push(null)
    this.#cancelClose()
    const reader = new Readable({ read() {} })
    this.#reader = reader
    reader.once('close', () => {
      if (this.#reader !== reader) return
      this.#reader = undefined
      this.#cancelClose = this.#closeLater()
    })
    if (lastId !== undefined && /^\d+$/.test(lastId)) this.#replay(Number(lastId))
    return reader
  }

  tell(change: Change): void {
    const subscription = this.subscriptions.get(change.directory.pnfsId)
    if (!subscription) return
    const { flags } = subscription
    const isAsked =
      flags.length === 0 || flags.includes('IN_ALL_EVENTS') || change.mask.some((flag) => flags.includes(flag))
    if (isAsked) this.#enqueue(subscription, { name: change.name, mask: change.mask, cookie: change.cookie })
    if (!change.mask.includes('IN_DELETE_SELF')) return
    this.#enqueue(subscription, { mask: ['IN_IGNORED'] })
    this.#flush(subscription)
    this.subscriptions.delete(subscription.id)
    this.#system({ type: 'SUBSCRIPTION_CLOSED', subscription: this.urlOf(subscription.id) })
  }

  /** As if the reader had been too slow for what came. */
  overflow(): void {
    for (const subscription of this.subscriptions.values()) {
      subscription.isOverflown = true
      this.#flush(subscription)
    }
  }

  /** The reader's connection ends; the channel stays. */
  disconnect(): void {
    this.#reader?.push(null)
    this.#reader?.destroy()
  }

  close(): void {
    this.#cancelClose()
    this.#reader?.push(null)
    this.#reader = undefined
    this.#drop(this)
  }

  #enqueue(subscription: Subscription, event: unknown): void {
    if (subscription.queue.length >= (this.#site.options.eventQueue ?? defaultQueue)) subscription.isOverflown = true
    else if (subscription.queue.push(event) === 1) setImmediate(() => this.#flush(subscription))
  }

  #flush(subscription: Subscription): void {
    for (const event of subscription.queue.splice(0)) this.#send(subscription, event)
    if (subscription.isOverflown) this.#send(subscription, { mask: ['IN_Q_OVERFLOW'] })
    subscription.isOverflown = false
  }

  #send(subscription: Subscription, event: unknown): void {
    const id = this.#nextId++
    const data = JSON.stringify({ event, subscription: this.urlOf(subscription.id) })
    const text = `event: inotify\nid: ${id}\ndata: ${data}\n\n`
    this.#kept.push({ id, text })
    if (this.#kept.length > (this.#site.options.eventsKept ?? defaultKept)) this.#kept.shift()
    this.#reader?.push(text)
  }

  #system(data: unknown): void {
    this.#reader?.push(`event: SYSTEM\ndata: ${JSON.stringify(data)}\n\n`)
  }

  #replay(lastId: number): void {
    const index = this.#kept.findIndex(({ id }) => id === lastId)
    if (index < 0) {
      this.#kept.length = 0
      this.#system({ type: 'EVENT_LOSS' })
      return
    }
    this.#kept.splice(0, index)
    for (const { text } of this.#kept.slice(1)) this.#reader?.push(text)
  }

  #closeLater(): () => void {
    return this.#site.clock.after(this.#timeout * 1000, () => this.close())
  }
}

export class Channels {
  readonly #site: Site
  readonly #channels = new Map<string, Channel>()
  readonly #waiting: (() => void)[] = []

  constructor(site: Site) {
    this.#site = site
    site.tree.watch((change) => {
      for (const channel of this.#channels.values()) channel.tell(change)
    })
  }

  open(owner: Login, base: string, clientId: string | undefined): Channel {
    const channel = new Channel(this.#site, owner, base, clientId, ({ id }) => this.#channels.delete(id))
    this.#channels.set(channel.id, channel)
    return channel
  }

  get(login: Login, id: string): Channel {
    const channel = this.#channels.get(id)
    if (!channel) throw new Failure('missing', 'No such channel')
    if (channel.owner.uid !== login.uid) throw new Failure('denied', 'Access denied')
    return channel
  }

  /** Begins to read; see `Channel.read`. */
  read(channel: Channel, lastId: string | undefined): Readable {
    const reader = channel.read(lastId)
    for (const told of this.#waiting.splice(0)) told()
    return reader
  }

  /** Resolves when the next reader of any channel is there. */
  nextReader(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    return promise
  }

  all(): readonly Channel[] {
    return [...this.#channels.values()]
  }
}
