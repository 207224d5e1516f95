/** What changes at the gateway, told as it happens: one stream that begins anew whenever it ends. */

import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { parsePath, root } from '../../../gateway/core/path.ts'
import { jsonLines } from '../json-lines.ts'
import { type Link, prefix } from './link.ts'
import { sleep } from './patience.ts'
import type { Change } from './remote.ts'
import { readChange } from './shapes.ts'

/** The gateway says something at least every ten seconds. */
const silence = 25_000
const connectLimit = 10_000
const firstPause = 200
const longestPause = 15_000
/** After so many tries in a row that were sent away there is a pause before each. */
const manyAttempts = 100

export class Events {
  readonly #link: Link
  readonly #stop = new AbortController()
  readonly #watchers = new Set<(change: Change) => void>()
  #isLive = false
  #stream: IncomingMessage | undefined
  #running: Promise<void> | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** Whether changes are told at the moment. */
  get isLive(): boolean {
    return this.#isLive
  }

  /** Begins to listen. */
  start(): void {
    this.#running ??= this.#run()
  }

  watch(changed: (change: Change) => void): void {
    this.#watchers.add(changed)
  }

  /** The session is another one: the stream of the old one is of no use. */
  restart(): void {
    this.#stream?.destroy()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#stream?.destroy()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    let attempts = 0
    for (let pause = firstPause; !signal.aborted; ) {
      // Whatever it was, whoever makes requests tells it; here there is only another try.
      const isSoon = await this.#listen().catch(() => false)
      if (this.#isLive) {
        this.#isLive = false
        this.#tell({ path: root, kind: 'all' })
        pause = firstPause
        attempts = 0
      }
      if (signal.aborted) return
      if (!isSoon || ++attempts > manyAttempts) {
        await sleep(pause * (0.5 + Math.random() / 2), signal).catch(() => {})
        pause = Math.min(pause * 2, longestPause)
      }
    }
  }

  /** Until the stream ends; whether the next try may follow at once. */
  async #listen(): Promise<boolean> {
    const { signal } = this.#stop
    const session = await this.#link.session(signal)
    const response = await this.#open(await this.#link.headers(session, signal))
    try {
      if (response.statusCode === 421) return this.#link.missed(session)
      if (response.statusCode === 410) this.#link.drop(session)
      if (response.statusCode !== 200) return response.statusCode === 410
      this.#stream = response
      this.#isLive = true
      this.#tell({ path: root, kind: 'all' })
      await this.#read(response)
      return true
    } finally {
      response.destroy()
    }
  }

  async #open(headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const { signal } = this.#stop
    const { dialer } = this.#link
    const socket = await dialer.dial({ limit: connectLimit, signal })
    const request = httpRequest(new URL(`${prefix}/events`, dialer.origin), {
      agent: false,
      createConnection: () => socket,
      headers: { ...headers, accept: 'application/x-ndjson' },
      signal,
      timeout: connectLimit,
    })
    // After the answer has begun, its body tells of errors.
    request.on('error', () => {})
    request.on('timeout', () => request.destroy())
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return response
  }

  async #read(stream: IncomingMessage): Promise<void> {
    const quiet = setTimeout(() => stream.destroy(), silence)
    stream.socket.setTimeout(0)
    try {
      for await (const line of jsonLines(stream)) {
        quiet.refresh()
        this.#link.met()
        const read = readChange(line)
        if (read) this.#tell({ path: parsePath(read.path), kind: read.kind })
      }
    } finally {
      clearTimeout(quiet)
    }
  }

  #tell(change: Change): void {
    for (const watcher of this.#watchers) watcher(change)
  }
}
