/**
 * open: the door is asked for bytes when they are wanted, and sends us to a pool.
 *
 * A redirect belongs to the object that had the name at that moment. Whether that is the one that was opened tells the
 * ETag of the answer where the pool gives one, else a second look at the name: an object that has been replaced is
 * `stale`, never other bytes under the old version.
 */

import { Readable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry, FileStream, OpenFile, OpenOptions, PendingFile, Range } from '../backend.ts'
import { startDigest } from '../digesting.ts'
import { collect } from './body.ts'
import type { Desk, Scope } from './desk.ts'
import { digestOf, sameBytes } from './digest-header.ts'
import type { DoorResponse } from './door.ts'
import { errorOfStatus, unavailable } from './errors.ts'
import type { Flow } from './flow.ts'
import { lookAt, walk } from './looking.ts'
import { idOfEtag } from './propfind.ts'
import { type FlowSource, RangeStream } from './range-stream.ts'
import { keeping } from './records.ts'
import { requireFile, stale } from './requiring.ts'

/** Backend.open */
export async function open(desk: Desk, file: Path, options: OpenOptions, call: Call): Promise<PendingFile> {
  const scope: Scope = { activities: ['DOWNLOAD'], object: desk.inDcache(file) }
  const keep = options.kept && desk.frontend ? keeping(file) : undefined
  const trail = await walk(desk, file, scope, call, keep?.look)
  const proceed = async () => {
    desk.requireAlive(call)
    const entry = requireFile(trail, file)
    const source = new Source(desk, file, entry, scope, call)
    const { inlineUpTo = -1 } = options
    // What is on tape only, or may be, would be recalled; who wants that reads the stream.
    const isNear = entry.locality === undefined ? !desk.frontend : entry.locality !== 'tape'
    const isSmall = entry.size <= inlineUpTo && isNear
    return new DcacheFile(source, isSmall ? await source.content() : undefined)
  }
  const kept = keep?.kept()
  return { trail, proceed, release: async () => {}, ...(kept && { kept }) }
}

/** Bytes on their way, and what the next of them is. */
interface Underway {
  readonly flow: Flow
  readonly at: number
  /** Ends the request they come by. */
  readonly giving: AbortController
}

class DcacheFile implements OpenFile {
  readonly entry: Entry
  readonly content?: Uint8Array
  readonly #source: Source
  readonly #streams = new Set<Readable>()
  /** Left over by a reader that said he would go on: every request costs dCache a mover. */
  #underway: Underway | undefined
  #isClosed = false

  constructor(source: Source, content: Uint8Array | undefined) {
    this.entry = source.entry
    this.#source = source
    if (content) this.content = content
  }

  stream(range: Range, until = range.end): FileStream {
    if (this.#isClosed) throw closed()
    const { start, end } = range
    if (this.content) return Readable.from([this.content.subarray(start, end)].filter(({ length }) => length > 0))
    const stream = new RangeStream(this.#flowFrom(range, until), end - start)
    this.#streams.add(stream)
    stream.once('close', () => this.#streams.delete(stream))
    return stream
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    if (this.#isClosed) throw closed()
    const end = Math.min(this.entry.size, offset + into.length)
    if (end <= offset) return 0
    const bytes = this.content?.subarray(offset, end) ?? (await this.#source.bytes({ start: offset, end }))
    into.set(bytes)
    return bytes.length
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#drop()
    for (const stream of this.#streams) stream.destroy(closed())
  }

  #flowFrom({ start, end }: Range, until: number): FlowSource {
    let giving = new AbortController()
    return {
      take: async (signal) => {
        const underway = this.#underway
        if (underway?.at === start && underway.flow.left >= end - start) {
          this.#underway = undefined
          giving = underway.giving
          return underway.flow
        }
        this.#drop()
        const abort = () => giving.abort(signal.reason)
        signal.addEventListener('abort', abort, { once: true })
        try {
          return await this.#source.flow({ start, end: Math.max(end, until) }, giving.signal)
        } finally {
          signal.removeEventListener('abort', abort)
        }
      },
      giveBack: (flow) => {
        if (this.#isClosed || flow.left === 0) return flow.destroy()
        this.#drop()
        this.#underway = { flow, at: end, giving }
      },
    }
  }

  #drop(): void {
    this.#underway?.flow.destroy()
    this.#underway = undefined
  }
}

function closed(): StorageError {
  return new StorageError('invalid', 'the file is closed')
}

/** Requests for bytes of one object. */
class Source {
  readonly entry: Entry
  readonly #desk: Desk
  readonly #file: Path
  readonly #scope: Scope
  readonly #call: Call

  constructor(desk: Desk, file: Path, entry: Entry, scope: Scope, call: Call) {
    this.entry = entry
    this.#desk = desk
    this.#file = file
    this.#scope = scope
    this.#call = call
  }

  /** All bytes of a small file, compared with the checksum that came with them. */
  async content(): Promise<Uint8Array> {
    const { size } = this.entry
    if (size === 0) return new Uint8Array(0)
    const response = await this.#ask({ start: 0, end: size }, this.#call.signal, { 'Want-Digest': 'adler32' })
    const said = digestOf(response.headers.digest, 'adler32')
    const bytes = await collect(response.stream({ length: size }), size, this.#deadline)
    const sum = startDigest('adler32')
    sum.update(bytes)
    if (said && !sameBytes(sum.digest(), said)) {
      throw new StorageError('bad-checksum', 'the bytes are not those of the checksum', { path: this.#file })
    }
    return bytes
  }

  async bytes({ start, end }: Range): Promise<Uint8Array> {
    const length = end - start
    const response = await this.#ask({ start, end }, this.#call.signal)
    return collect(response.stream({ length }), length, this.#deadline)
  }

  /** Resolves with the bytes on their way; `signal` ends them as well as the call does. */
  async flow({ start, end }: Range, signal: AbortSignal): Promise<Flow> {
    return (await this.#ask({ start, end }, signal)).flow(end - start)
  }

  get #deadline(): number {
    return this.#desk.webdav.options.deadline
  }

  async #ask({ start, end }: Range, signal: AbortSignal, headers: Readonly<Record<string, string>> = {}) {
    this.#desk.requireAlive(this.#call)
    const { size, locality } = this.entry
    const isWhole = start === 0 && end === size
    const call = signal === this.#call.signal ? this.#call : endedBy(this.#call, signal)
    const response = await this.#desk.webdav.request({
      method: 'GET',
      path: this.#desk.inDcache(this.#file),
      headers: { ...headers, ...(isWhole ? {} : { Range: `bytes=${start}-${end - 1}` }) },
      call,
      ...this.#scope,
      follow: 'pool',
      idempotent: true,
      // A file on tape comes when it comes: whoever got here wants to wait, and the caller's own deadline holds.
      ...(locality === 'tape' && { deadline: longestRecall }),
    })
    try {
      this.#check(response, { start, end }, isWhole)
      await this.#checkObject(response)
      return response
    } catch (error) {
      response.discard()
      throw error
    }
  }

  /** Throws unless these are the bytes that were asked for, of a file of the size that was seen. */
  #check({ status, answered, headers, from }: DoorResponse, { start, end }: Range, isWhole: boolean): void {
    const { size } = this.entry
    const length = Number(headers['content-length'] ?? end - start)
    if (status === 200 && isWhole) {
      if (length !== size) throw stale(this.#file)
    } else if (status === 206) {
      const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
      if (total !== undefined && total !== '*' && Number(total) !== size) throw stale(this.#file)
      if (Number(first) !== start || Number(last) !== end - 1 || length !== end - start) {
        throw unavailable('the storage sent another range')
      }
    } else if (status === 404 || status === 416) {
      throw stale(this.#file)
    } else {
      // A pool knows no callers: whatever it refuses says nothing about rights.
      throw from === 'pool'
        ? unavailable('the storage did not answer as it should')
        : errorOfStatus(answered, this.#file)
    }
  }

  async #checkObject({ headers }: DoorResponse): Promise<void> {
    const { id, version } = this.entry
    const said = idOfEtag(headers.etag)
    if (said !== undefined ? said === id : version === foreignVersion(headers.etag, this.entry.size)) return
    if (said !== undefined) throw stale(this.#file)
    const now = await lookAt(this.#desk, this.#file, this.#scope, this.#call)
    if (now?.entry.version !== version) throw stale(this.#file)
  }
}

/** Milliseconds; longer than a robot takes. */
const longestRecall = 24 * 3_600_000

/** The version of a server that is no dCache. */
function foreignVersion(etag: string | undefined, size: number): string | undefined {
  return etag === undefined ? undefined : `${Buffer.from(etag).toString('base64url')}-${size.toString(16)}`
}

/** The call, which may be an object of a class and is not to be spread, with a second thing that ends it. */
function endedBy({ id, principal, protocol, from, signal }: Call, also: AbortSignal): Call {
  return { id, principal, protocol, from, signal: AbortSignal.any([signal, also]) }
}
