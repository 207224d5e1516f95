/** Pools with HTTP movers: a URL of the door's making is good for one request (user guide, WebDAV, "Redirection"). */

import { randomUUID } from 'node:crypto'
import type { Clock } from './clock.ts'
import type { ChecksumKind } from './content.ts'
import type { Counters } from './counters.ts'
import { Failure } from './failure.ts'
import type { Faults } from './faults.ts'
import { rangeOf } from './ranges.ts'
import { type Answer, type Ask, Serving, type Tls } from './serving.ts'
import type { Site } from './site.ts'
import type { FileNode } from './tree.ts'
import { abandon, digestHeader, receive, type Upload, wantedKinds } from './uploading.ts'

/** webdav.mover.timeout: a mover nobody connects to ends. */
const moverTimeout = 180_000

/** What a reader of a file is to be told. */
export interface Read {
  readonly file: FileNode
  readonly kinds: readonly ChecksumKind[]
  /** The file's URL at the door. */
  readonly location: string
  readonly disposition?: string
}

interface Mover extends Read {
  readonly method: 'GET' | 'PUT'
  readonly path: string
  readonly pool: string
  readonly upload?: Upload
  readonly forget: () => void
}

export interface PoolsOptions {
  readonly count: number
  readonly tls: Tls | undefined
  readonly clock: Clock
  readonly counters: Counters
  readonly faults: Faults
}

export class Pools {
  readonly #options: PoolsOptions
  readonly #servings = new Map<string, Serving>()
  readonly #down = new Set<string>()
  readonly #movers = new Map<string, Mover>()
  #site: Site | undefined
  #turn = 0

  constructor(options: PoolsOptions) {
    this.#options = options
  }

  async start(site: Site): Promise<void> {
    this.#site = site
    const { count, tls, counters, faults } = this.#options
    for (let i = 1; i <= count; i++) {
      const name = `pool${i}`
      const serving = new Serving({
        place: 'pool',
        host: 'localhost',
        tls,
        counters,
        faults,
        kindOf: (method) => method,
        handle: (ask) => this.#handle(ask, name),
      })
      await serving.start()
      this.#servings.set(name, serving)
    }
  }

  get urls(): URL[] {
    return [...this.#servings.values()].map(({ url }) => url)
  }

  get names(): string[] {
    return [...this.#servings.keys()]
  }

  isUp(pool: string): boolean {
    return this.#servings.has(pool) && !this.#down.has(pool)
  }

  /** The next pool that is up, by turns. */
  choose(): string {
    const up = this.names.filter((name) => this.isUp(name))
    const pool = up[this.#turn++ % up.length]
    if (pool === undefined) throw new Failure('internal', 'No write pool available')
    return pool
  }

  /** The pool dies with its movers; its files are unavailable. */
  async stop(pool: string): Promise<void> {
    this.#down.add(pool)
    await this.#servings.get(pool)?.stop()
  }

  /** It comes back where it was. */
  async restart(pool: string): Promise<void> {
    await this.#servings.get(pool)?.start()
    this.#down.delete(pool)
  }

  async close(): Promise<void> {
    for (const { forget } of this.#movers.values()) forget()
    for (const serving of this.#servings.values()) await serving.stop()
  }

  /** A URL from which the file can be read once. It must be on a pool that is up. */
  offerRead(path: string, read: Read): URL {
    return this.#offer({ ...read, method: 'GET', path, pool: read.file.pool ?? '' }, () => {})
  }

  /** A URL to which the file can be written once; if nobody does, its name goes. `location` is its URL at the door. */
  offerWrite(path: string, upload: Upload, location: string): URL {
    const { file, kinds } = upload
    const mover = { method: 'PUT' as const, path, pool: this.choose(), file, kinds, upload, location }
    return this.#offer(mover, () => this.#site && abandon(this.#site, file))
  }

  #offer(mover: Omit<Mover, 'forget'>, unused: () => void): URL {
    const serving = this.#servings.get(mover.pool)
    if (!serving) throw new Failure('internal', 'Pool is gone')
    const id = randomUUID()
    const cancel = this.#options.clock.after(moverTimeout, () => {
      this.#movers.delete(id)
      unused()
    })
    const forget = () => {
      cancel()
      this.#movers.delete(id)
    }
    this.#movers.set(id, { ...mover, forget })
    const url = new URL(serving.url)
    url.pathname = mover.path.split('/').map(encodeURIComponent).join('/')
    url.searchParams.set('dcache-http-uuid', id)
    return url
  }

  async #handle(ask: Ask, pool: string): Promise<Answer> {
    const mover = this.#movers.get(ask.url.searchParams.get('dcache-http-uuid') ?? '')
    const isRight = mover?.pool === pool && mover.path === ask.path
    if (!mover || !isRight || (ask.method !== mover.method && ask.method !== 'HEAD')) {
      return { status: 400, reason: 'Bad Request', headers: plain, body: 'Request is no longer valid\n' }
    }
    if (ask.method === 'HEAD') return this.#read(mover, ask)
    mover.forget()
    return mover.upload ? await this.#write(mover.upload, mover.location, ask) : this.#read(mover, ask)
  }

  #read({ file, kinds, disposition, location }: Mover, ask: Ask): Answer {
    const { content } = file
    if (!content) return { status: 404, headers: plain, body: 'No such file\n' }
    const wanted = [...new Set([...wantedKinds(ask.headers['want-digest']), ...kinds])]
    const digest = digestHeader(file.checksums, wanted)
    const headers: Record<string, string> = {
      'Accept-Ranges': 'bytes',
      'Content-Disposition': `${disposition ?? 'attachment'};filename*=UTF-8''${encodeURIComponent(file.name)}`,
      'Content-Location': location,
      ...(digest === '' ? {} : { Digest: digest }),
    }
    return ranged(content, ask.headers.range, headers)
  }

  async #write(upload: Upload, location: string, ask: Ask): Promise<Answer> {
    const site = this.#site
    if (!site) return { status: 500 }
    const odd = Object.keys(ask.headers).find((name) => name.startsWith('content-') && !understood.has(name))
    if (odd !== undefined) {
      abandon(site, upload.file)
      return { status: 501, headers: plain, body: `${odd} is not implemented\n` }
    }
    const length = ask.headers['content-length']
    const kinds = [...new Set([...upload.kinds, ...wantedKinds(ask.headers['want-digest'])])]
    const md5 = ask.headers['content-md5'] === undefined ? upload.md5 : String(ask.headers['content-md5'])
    try {
      await receive(
        site,
        { ...upload, kinds, md5, length: length === undefined ? undefined : Number(length) },
        ask.body(),
      )
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const status = error.code === 'bad-request' ? 400 : error.code === 'denied' ? 403 : 500
      return { status, reason: error.message, headers: plain, body: `${error.message}\n` }
    }
    const digest = digestHeader(upload.file.checksums, kinds)
    const headers = { ...plain, Location: location, ...(digest === '' ? {} : { Digest: digest }) }
    return { status: 201, headers, body: `${upload.file.content?.size} bytes uploaded\n` }
  }
}

const plain = { 'Content-Type': 'text/plain; charset=utf-8' }

/** Other headers of content are refused, as RFC 2616, section 9.6, wants it. */
const understood: ReadonlySet<string> = new Set(['content-length', 'content-md5'])

/** All bytes, or the one range asked for, its end cut to the size. Several ranges get all bytes. */
export function ranged(
  content: NonNullable<FileNode['content']>,
  range: string | undefined,
  headers: Readonly<Record<string, string>>,
): Answer {
  const { size } = content
  const found = rangeOf(range, size)
  if (found === 'unsatisfiable') return { status: 416, headers: { 'Content-Range': `bytes */${size}` } }
  if (!found) return { status: 200, headers, body: content.read(0, size), length: size }
  const { start, end } = found
  return {
    status: 206,
    headers: { ...headers, 'Content-Range': `bytes ${start}-${end - 1}/${size}` },
    body: content.read(start, end),
    length: end - start,
  }
}
