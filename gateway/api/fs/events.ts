/** GET events: what changes where the session has looked, as lines that never end. */

import { once } from 'node:events'
import { type Path, parentOf, root } from '../../core/path.ts'
import type { Change } from '../../core/storage.ts'
import type { Exchange } from '../../http/exchange.ts'
import { noticeLoss } from '../../http/lost-peers.ts'
import type { Asked } from './context.ts'

/** Milliseconds between two signs of life. */
const beat = 10_000
/** Changes that wait for a slow reader; more are told as one that says that anything may have changed. */
const mostWaiting = 4096
/** Directories told one by one, of a tree that has changed above all that was looked at. */
const mostTrees = 64

/** Sends until the caller goes away, the session ends, or the credential has had its time. */
export async function sendEvents(asked: Asked): Promise<void> {
  const { session } = asked
  // Whoever connects again has lost the connection before, which may not know it yet.
  session.stream?.end()
  const stream = new EventStream(asked)
  session.stream = stream
  try {
    await stream.run()
  } finally {
    if (session.stream === stream) session.stream = undefined
  }
}

export class EventStream {
  readonly #asked: Asked
  readonly #x: Exchange
  readonly #over = new AbortController()
  #waiting: Change[] = []
  /** Something was lost: all that was told may be wrong. */
  #lost = false
  #wake: (() => void) | undefined

  constructor(asked: Asked) {
    this.#asked = asked
    this.#x = asked.x
  }

  end(): void {
    this.#over.abort()
    this.#wake?.()
  }

  async run(): Promise<void> {
    const { x, session, context } = this.#asked
    const signal = AbortSignal.any([this.#over.signal, x.call.signal])
    const unwatch = context.storage.watch((change) => this.#take(change))
    const silence = session.onEnd(() => this.end())
    session.looked.forgotten = () => this.#lose()
    const timer = setInterval(() => this.#beat(), beat)
    signal.addEventListener('abort', () => this.#wake?.())
    try {
      const type = ['Content-Type', 'application/x-ndjson', 'Cache-Control', 'no-store']
      // nginx collects answers before it hands them on (ngx_http_proxy_module, proxy_buffering).
      type.push('X-Accel-Buffering', 'no')
      x.response.writeHead(200, [...type, 'Portolan-Worker', context.sessions.worker, 'X-Request-Id', x.id])
      // As long as it is open the session lives, with its locks.
      noticeLoss(x.request.socket, context.sessions.lease * 1000)
      await this.#write('{}\n', signal)
      while (!signal.aborted) await this.#tell(signal)
    } catch (error) {
      // Whoever is gone, or replaced, waits for nothing.
      if (!signal.aborted) throw error
    } finally {
      clearInterval(timer)
      session.looked.forgotten = undefined
      silence()
      unwatch()
    }
    x.response.end()
  }

  #beat(): void {
    const { expires } = this.#x.principal
    if (expires !== undefined && expires * 1000 <= Date.now()) this.end()
    // A reader that does not read is not told that it is alive.
    else if (this.#x.response.writableLength === 0) this.#x.response.write('{}\n')
  }

  #take(change: Change): void {
    if (change.kind !== 'content') this.#asked.session.looked.doubt(change.path)
    if (!this.#concerns(change)) return
    this.#waiting.push(change)
    if (this.#waiting.length > mostWaiting) this.#lose()
    this.#wake?.()
  }

  /** Before it waits for anything, so that what happens elsewhere costs next to nothing. */
  #concerns({ path, kind }: Change): boolean {
    return kind === 'tree' || kind === 'all' || this.#asked.session.looked.has(parentOf(path))
  }

  #lose(): void {
    this.#waiting = []
    this.#lost = true
    this.#wake?.()
  }

  /** What waits, or the next thing to come. */
  async #tell(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length === 0 && !this.#lost) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
      return
    }
    const changes = this.#waiting
    const lost = this.#lost
    this.#waiting = []
    this.#lost = false
    const lines: string[] = lost ? [line(root, 'all')] : []
    for (const change of changes) for (const each of await this.#linesOf(change)) lines.push(each)
    if (lines.length > 0) await this.#write(lines.join(''), signal)
  }

  async #linesOf({ path, kind }: Change): Promise<readonly string[]> {
    const { looked } = this.#asked.session
    if (kind === 'all')
      return (looked.within(path, 1) ?? [path]).length > 0 || this.#sees(path) ? [line(root, 'all')] : []
    if (this.#sees(path) && (await this.#may(path))) return [line(path, kind)]
    // Whoever may not list where it is may have looked into it all the same.
    if (kind !== 'tree') return []
    const directories = looked.within(path, mostTrees)
    return directories ? directories.map((directory) => line(directory, 'tree')) : [line(root, 'all')]
  }

  #sees(path: Path): boolean {
    return this.#asked.session.looked.has(parentOf(path))
  }

  async #may(path: Path): Promise<boolean> {
    const { context, session, x } = this.#asked
    const { storage } = context
    // Who the caller is, and in which groups, is as his last request says.
    const call = { ...x.call, principal: session.principal }
    if (!storage.mayName(call, path)) return false
    const directory = parentOf(path)
    const known = session.looked.mayList(directory)
    if (known !== undefined) return known
    try {
      const may = await storage.mayList(call, directory)
      session.looked.learn(directory, may)
      return may
    } catch {
      // A storage that does not answer shows nothing; what is remembered of it is doubtful anyway.
      this.#lost = true
      return false
    }
  }

  async #write(text: string, signal: AbortSignal): Promise<void> {
    if (!this.#x.response.write(text)) await once(this.#x.response, 'drain', { signal })
  }
}

function line(path: Path, kind: Change['kind']): string {
  return `${JSON.stringify({ path, kind })}\n`
}
