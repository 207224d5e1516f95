/** Memory of a bounded size for file data, shared by all handles of a mount; buffers are used again. */

import { StorageError } from '../../../gateway/core/errors.ts'

/** A piece of the pool. */
export interface Lease {
  /** Bytes that it counts for. */
  readonly bytes: number
  /** Of at least as many bytes as were asked for; empty where only room was. */
  readonly buffer: Buffer
  /** Gives it back; a second call does nothing. Its bytes may still be read until the event loop turns twice. */
  release(): void
}

const smallest = 64 * 1024

/** Whole powers of two, so that what one gave back fits the next. */
function classOf(bytes: number): number {
  return bytes <= smallest ? smallest : 2 ** Math.ceil(Math.log2(bytes))
}

interface Waiting {
  readonly bytes: number
  readonly go: () => void
}

export class Pool {
  /** Bytes. */
  readonly limit: number
  #used = 0
  #free = 0
  readonly #buffers = new Map<number, Buffer[]>()
  readonly #waiting: Waiting[] = []
  #isGiving = false
  /** What can be given back at once, the longest unused first. */
  readonly #idle = new Map<Lease, () => void>()
  #quarantine: Buffer[] = []
  readonly #short = new Set<() => void>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes in use. */
  get used(): number {
    return this.#used
  }

  /** `call` is called when somebody waits for room: who holds on to data that could be written out does so. Ends it. */
  onShort(call: () => void): () => void {
    this.#short.add(call)
    return () => this.#short.delete(call)
  }

  /** Room at once, if need be that of something idle, or undefined. */
  tryTake(bytes: number): Lease | undefined {
    const size = classOf(bytes)
    return this.#waiting.length === 0 && this.#make(size) ? this.#lease(size, true) : undefined
  }

  /** Room, in the order of asking. `buffer` false: counts bytes that the caller has already. */
  async take(bytes: number, signal: AbortSignal | undefined, buffer = true): Promise<Lease> {
    const size = buffer ? classOf(bytes) : bytes
    if (this.#waiting.length === 0 && this.#make(size)) return this.#lease(size, buffer)
    await this.#wait(size, signal)
    this.#used -= size
    return this.#lease(size, buffer)
  }

  /** `evict` is called when others need the room; it must release the lease at once. */
  idle(lease: Lease, evict: () => void): void {
    this.#idle.delete(lease)
    this.#idle.set(lease, evict)
    this.#next()
  }

  /** No longer idle. */
  keep(lease: Lease): void {
    this.#idle.delete(lease)
  }

  #make(size: number): boolean {
    for (const evict of this.#idle.values()) {
      if (this.#used + size <= this.limit) break
      evict()
    }
    return this.#used === 0 || this.#used + size <= this.limit
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(interrupted())
      const waiting: Waiting = {
        bytes,
        go: () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        },
      }
      const stop = () => {
        const at = this.#waiting.indexOf(waiting)
        if (at >= 0) this.#waiting.splice(at, 1)
        reject(interrupted())
        this.#next()
      }
      signal?.addEventListener('abort', stop, { once: true })
      this.#waiting.push(waiting)
      for (const call of this.#short) call()
    })
  }

  /** Room is counted for whoever is let go on here, before anybody else can take it. */
  #next(): void {
    // What gives way on the way gives back, which leads here again.
    if (this.#isGiving) return
    this.#isGiving = true
    for (let first = this.#waiting[0]; first && this.#make(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift()
      this.#used += first.bytes
      first.go()
    }
    this.#isGiving = false
  }

  #lease(size: number, withBuffer: boolean): Lease {
    this.#used += size
    const buffer = withBuffer ? this.#buffer(size) : empty
    let held = true
    const lease: Lease = {
      bytes: size,
      buffer,
      release: () => {
        if (!held) return
        held = false
        this.#idle.delete(lease)
        this.#used -= size
        if (withBuffer) this.#put(buffer)
        this.#next()
      },
    }
    return lease
  }

  #buffer(size: number): Buffer {
    const found = this.#buffers.get(size)?.pop()
    if (found) this.#free -= size
    for (const list of this.#buffers.values()) {
      while (this.#used + this.#free > this.limit && list.length > 0) this.#free -= list.pop()?.length ?? 0
    }
    return found ?? Buffer.allocUnsafeSlow(size)
  }

  /** Whoever got chunks of it in this turn writes them to the kernel in this turn. */
  #put(buffer: Buffer): void {
    if (this.#quarantine.length === 0) {
      setImmediate(() => {
        const rested = this.#quarantine
        this.#quarantine = []
        setImmediate(() => {
          for (const each of rested) this.#store(each)
        })
      })
    }
    this.#quarantine.push(buffer)
  }

  #store(buffer: Buffer): void {
    if (this.#used + this.#free + buffer.length > this.limit) return
    const list = this.#buffers.get(buffer.length)
    if (list) list.push(buffer)
    else this.#buffers.set(buffer.length, [buffer])
    this.#free += buffer.length
  }
}

const empty = Buffer.alloc(0)

/** What a handler throws whose caller does not want the answer any more. */
export function interrupted(): StorageError {
  return new StorageError('cancelled', 'interrupted')
}

/** Waits for `promise`, but no longer than until `signal` aborts; the promise itself goes on. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  if (signal.aborted) return Promise.reject(interrupted())
  return new Promise((resolve, reject) => {
    const stop = () => reject(interrupted())
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
