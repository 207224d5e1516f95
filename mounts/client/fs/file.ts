/** A file that stays open over sessions. */

import { randomUUID } from 'node:crypto'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { members } from '../members.ts'
import { SessionOver, Uncertain } from './failures.ts'
import { HeldLocks } from './held-locks.ts'
import type { Asking, Link } from './link.ts'
import { freshly, settle, there } from './naming.ts'
import { gone, type Held, type Opened, openAgain } from './opening.ts'
import { patience, raced, sleep } from './patience.ts'
import { release } from './releases.ts'
import type { Attributes, LockOwner, LockRange, RemoteFile } from './remote.ts'
import { parseJson, type Session, whole } from './session.ts'
import { readAttributes, readLock } from './shapes.ts'
import { Unsynced } from './unsynced.ts'

type Signal = AbortSignal | undefined

/** Milliseconds: it lasts as long as the disks take. */
const slow = 600_000
/** The gateway holds back an answer about a lock for 20 seconds. */
const lockQuiet = 35_000
const lockPause = 100
/** Sessions that end under one request, after which there is a pause before each. */
const manySessions = 3

/** After which a request for a lock may have been granted. */
const unsure: ReadonlySet<string> = new Set(['cancelled', 'unavailable', 'timeout'])

export class File implements RemoteFile {
  readonly attributes: Attributes
  readonly kind: RemoteFile['kind']
  readonly created: boolean
  path: Path
  readonly #link: Link
  readonly #locks = new HeldLocks()
  readonly #unsynced = new Unsynced()
  #undoing: Promise<void> = Promise.resolve()
  readonly #closed: (file: File) => void
  #opened: Opened
  #opening: Promise<void> | undefined
  /** Why it cannot be worked with any more. */
  #broken: StorageError | undefined
  /** Of a draft: the bytes that the gateway has; and what became of it. */
  #written = 0
  #committed: { readonly attributes: Attributes | undefined } | undefined
  #isClosed = false

  /** `closed` is told once it is. */
  constructor(link: Link, path: Path, opened: Opened, closed: (file: File) => void) {
    this.#link = link
    this.#opened = opened
    this.#closed = closed
    this.path = path
    this.attributes = opened.attributes
    this.kind = opened.kind
    this.created = opened.created
  }

  /** Locks are to be had again before somebody else takes them. Never fails: whoever uses the file is told. */
  async revive(): Promise<void> {
    if (this.#locks.all.length === 0 || this.#isClosed) return
    await this.#live(undefined).catch(() => {})
  }

  async read(into: Uint8Array, offset: number, signal?: AbortSignal): Promise<number> {
    for (let filled = 0; ; ) {
      const room = into.subarray(filled)
      if (room.length === 0) return filled
      const count = await this.#readOnce(room, offset + filled, signal)
      filled += count.bytes
      if (count.bytes < count.asked) return filled
    }
  }

  async write(
    from: Uint8Array,
    offset: number,
    signal?: AbortSignal,
    told?: (seen: Attributes) => void,
  ): Promise<void> {
    for (let done = 0; done < from.length; ) {
      done += await this.#writeOnce(from.subarray(done), offset + done, { signal, told })
    }
  }

  async truncate(size: number, signal?: AbortSignal): Promise<void> {
    await this.#change('truncate', { size }, { signal })
    if (this.kind === 'draft') this.#written = size
  }

  async sync(signal?: AbortSignal): Promise<void> {
    if (this.kind === 'draft') await this.commit(signal)
    if (this.kind !== 'edit') return
    await this.#on(signal, async ({ session, handle }) => {
      this.#unsynced.check(session.boot, this.path)
      const { count } = this.#unsynced
      await this.#link.op('sync', { handle }, { signal, quiet: slow, bound: session })
      this.#unsynced.synced(count)
    })
  }

  async commit(signal?: AbortSignal): Promise<Attributes | undefined> {
    if (this.kind !== 'draft') {
      const { current } = this.#link
      if (current) this.#unsynced.check(current.boot, this.path)
      if (this.#opened.flushes) await this.#op('commit', {}, { signal, quiet: slow })
      return undefined
    }
    if (this.#committed) return this.#committed.attributes
    const began = performance.now()
    const size = this.#written
    const work = () => this.#op('commit', {}, { signal, once: true, quiet: slow })
    const look = async () => {
      const found = await there(freshly(this.#link, this.path, signal, began))
      return found !== 'again' && found?.size === size ? { attributes: undefined } : undefined
    }
    const told = await settle(work, look).catch((error: unknown) => {
      // Whoever knew the bytes is gone.
      throw error instanceof Uncertain ? this.#lost(error) : error
    })
    const { attributes } = members(told)
    this.#committed = { attributes: attributes === undefined ? undefined : readAttributes(attributes) }
    return this.#committed.attributes
  }

  async stat(signal?: AbortSignal): Promise<Attributes> {
    return readAttributes(await this.#op('fstat', {}, { signal }))
  }

  async allocate(
    start: number,
    end: number,
    how: 'extend' | 'keep' | 'punch' | 'zero',
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#change('allocate', { start, end, how }, { signal, quiet: slow })
  }

  async seek(offset: number, what: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    const { offset: found } = members(await this.#op('seek', { offset, what }, { signal }))
    return found === undefined || found === null ? undefined : whole(found, 'offset')
  }

  async copyFrom(
    source: RemoteFile,
    start: number,
    length: number,
    offset: number,
    signal?: AbortSignal,
  ): Promise<number> {
    if (!(source instanceof File) || source.#link !== this.#link) {
      throw new StorageError('unsupported', 'files of two gateways are not copied inside one')
    }
    return this.#on(signal, async ({ session, handle }) => {
      const from = await source.#live(signal)
      if (from.session !== session) throw new SessionOver()
      const content = { from: from.handle, start, length, to: handle, offset }
      const terms = { signal, bound: session, alters: true, quiet: slow }
      const { value } = await this.#changing(session, () => this.#link.op('copy-range', content, terms))
      return whole(members(value).copied, 'copied', 0, length)
    })
  }

  async testLock(
    range: LockRange,
    owner: LockOwner,
    signal?: AbortSignal,
  ): Promise<(LockRange & { readonly pid: number }) | undefined> {
    return readLock(await this.#op('test-lock', lockJson(range, owner, range.type), { signal }))
  }

  async lock(range: LockRange, owner: LockOwner, wait: boolean, signal?: AbortSignal): Promise<void> {
    await raced(this.#undoing, signal)
    const wish = randomUUID()
    const content = { ...lockJson(range, owner, range.type), wish }
    try {
      if (!wait) await this.#op('lock', content, { signal, alters: true })
      // Each takes a connection while it waits.
      while (wait && !(await this.#link.waitingRoom.pass(signal, () => this.#waitForLock(content, signal))));
    } catch (error) {
      if (unsure.has(StorageError.from(error).code)) this.#undo(wish, range, owner)
      throw error
    }
    this.#locks.add(range, owner)
  }

  async unlock(range: Omit<LockRange, 'type'>, owner: LockOwner, signal?: AbortSignal): Promise<void> {
    // Before it is answered: in another session it would not be taken again.
    this.#locks.remove(range, owner)
    if (this.#broken) return
    await raced(this.#undoing, signal)
    await this.#op('unlock', lockJson(range, owner), { signal })
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closed(this)
    await release(this.#link, this.#opened)
  }

  /** A lock that may have been had although nobody heard of it: the owner has what he had before. */
  #undo(wish: string, range: LockRange, owner: LockOwner): void {
    const undo = async () => {
      await this.#link.op('cancel-lock', { wish })
      const { held, free } = this.#locks.within(range, owner)
      // First this, so that what is held is held all the time.
      for (const lock of held) await this.#op('lock', lockJson(lock, owner, lock.type), { alters: true })
      for (const part of free) await this.#op('unlock', lockJson(part, owner), {})
    }
    // What cannot be undone ends with the session.
    this.#undoing = this.#undoing.then(undo).catch(() => {})
  }

  /** Whether it was had; otherwise somebody else still has it. */
  async #waitForLock(content: object, signal: Signal): Promise<boolean> {
    try {
      await this.#op('lock', { ...content, wait: true }, { use: 'waiting', quiet: lockQuiet, signal })
      return true
    } catch (error) {
      if (StorageError.from(error).code !== 'busy') throw error
      await sleep(lockPause, signal)
      return false
    }
  }

  async #readOnce(room: Uint8Array, offset: number, signal: Signal): Promise<{ bytes: number; asked: number }> {
    return this.#on(signal, async ({ session, handle }) => {
      const asked = Math.min(room.length, session.largest.read)
      const target = `data?handle=${handle}&offset=${offset}&length=${asked}`
      const into = room.subarray(0, asked)
      const { answer } = await this.#link.ask({ use: 'data', method: 'GET', target, into, signal }, session)
      return { bytes: answer.body.length, asked }
    })
  }

  async #writeOnce(from: Uint8Array, offset: number, { signal, told }: Writing): Promise<number> {
    return this.#on(signal, async ({ session, handle }) => {
      const body = from.subarray(0, session.largest.write)
      const isLast = body.length === from.length && this.kind === 'edit' && !this.#opened.flushes
      const asking = {
        use: 'data',
        method: 'PUT',
        target: `data?handle=${handle}&offset=${offset}${told && isLast ? '&attributes=1' : ''}`,
        body,
        // What a connection still holds may arrive after a later write of the same place.
        alters: true,
        signal,
      } as const
      if (this.kind === 'draft') {
        await this.#append(asking, offset, session)
        return body.length
      }
      const { answer } = await this.#changing(session, () => this.#link.ask(asking, session))
      if (told && isLast && answer.body.length > 0) told(readAttributes(parseJson(answer.body)))
      return body.length
    })
  }

  /** The gateway takes the bytes of a draft once, in order. */
  async #append(asking: Asking & { readonly body: Uint8Array }, offset: number, session: Session): Promise<void> {
    if (offset !== this.#written) {
      throw new StorageError('unsupported', 'this storage takes new files from beginning to end only', {
        path: this.path,
      })
    }
    const end = offset + asking.body.length
    try {
      await this.#link.ask(asking, session)
    } catch (error) {
      // Sent again after a lost answer, they come too late: the gateway has them.
      if (StorageError.from(error).code !== 'unsupported' || (await this.stat(asking.signal)).size !== end) throw error
    }
    this.#written = end
  }

  async #op(name: string, content: object, terms: Partial<Asking>): Promise<unknown> {
    return this.#on(terms.signal, async ({ session, handle }) => {
      const { value } = await this.#link.op(name, { handle, ...content }, { ...terms, bound: session })
      return value
    })
  }

  /** Changes bytes, or where they are. */
  async #change(name: string, content: object, terms: Partial<Asking>): Promise<void> {
    await this.#on(terms.signal, async ({ session, handle }) => {
      const all = { ...terms, alters: true, bound: session }
      await this.#changing(session, () => this.#link.op(name, { handle, ...content }, all))
    })
  }

  /** Keeps in mind what is not durable yet. */
  async #changing<T>({ boot }: Session, work: () => Promise<T>): Promise<T> {
    this.#unsynced.check(boot, this.path)
    const done = await work()
    // A draft is gone with its session anyway.
    if (this.kind === 'edit') this.#unsynced.wrote(boot)
    return done
  }

  /** Does it in the session that knows the file; again in the next one, when that ends meanwhile. */
  async #on<T>(signal: Signal, work: (held: Held) => Promise<T>): Promise<T> {
    const waiting = patience(this.#link.timeout)
    for (let attempt = 1; ; attempt++) {
      const held = await this.#live(signal)
      try {
        return await work(held)
      } catch (error) {
        if (!(error instanceof SessionOver)) throw error
        const over = new StorageError('unavailable', 'sessions with the gateway end too soon')
        if (attempt > manySessions) await waiting.pause(over, signal)
      }
    }
  }

  /** Whether the session that knows it is over. While there is none at all, nobody knows yet. */
  #isLost(): boolean {
    const { current } = this.#link
    return current !== undefined && current !== this.#opened.session
  }

  async #live(signal: Signal): Promise<Held> {
    if (this.#isClosed) throw gone(this.path)
    if (this.#broken) throw this.#broken
    if (this.#isLost()) {
      this.#opening ??= this.#reopen().finally(() => {
        this.#opening = undefined
      })
      await raced(this.#opening, signal)
    }
    return this.#opened
  }

  async #reopen(): Promise<void> {
    // A draft is known to the session alone.
    if (this.kind === 'draft') throw this.#lost()
    try {
      const opened = await openAgain(this.#link, this.path, this.#opened)
      try {
        await this.#lockAgain(opened)
        if (this.#isClosed) throw gone(this.path)
      } catch (error) {
        await release(this.#link, opened)
        throw error
      }
      this.#opened = opened
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code === 'stale' && !(error instanceof SessionOver)) this.#broken = StorageError.from(error)
      if (!(error instanceof SessionOver)) throw error
    }
  }

  /** What the old session had may be in the way until its lease is over. */
  async #lockAgain({ session, handle }: Held): Promise<void> {
    const end = performance.now() + (session.lease + 5) * 1000
    for (const lock of this.#locks.all) {
      for (;;) {
        try {
          // It may have been given back meanwhile.
          if (!this.#locks.all.includes(lock)) break
          await this.#link.op('lock', { handle, ...lockJson(lock, lock, lock.type) }, { bound: session })
          if (this.#locks.all.includes(lock)) break
          // Given back while it was on the way: what is left of it, if anything, is among the others by now.
          await this.#link.op('unlock', { handle, ...lockJson(lock, lock) }, { bound: session })
          return this.#lockAgain({ session, handle })
        } catch (error) {
          if (StorageError.from(error).code !== 'busy') throw error
          if (performance.now() > end || this.#isClosed) throw gone(this.path, error)
          await sleep(lockPause, undefined)
        }
      }
    }
  }

  /** What was written into a draft is gone, and whoever wrote it is told. */
  #lost(cause?: unknown): StorageError {
    this.#broken = new StorageError('stale', 'the gateway lost what was written before it was complete', {
      path: this.path,
      cause,
    })
    return this.#broken
  }
}

interface Writing {
  readonly signal: Signal
  readonly told: ((seen: Attributes) => void) | undefined
}

/** `type`: of a lock that is to be had, or looked for. */
function lockJson({ start, end }: Omit<LockRange, 'type'>, { owner, pid, kind }: LockOwner, type?: LockRange['type']) {
  return { start, end: end ?? null, ...(type !== undefined && { type }), owner, pid, kind }
}
