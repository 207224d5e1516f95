/**
 * Descriptors that live from one operation to the next, and who may close them.
 *
 * Descriptors belong to the process, so one that is closed while an I/O thread still works with it may
 * already name another file by then; and a caller can go away at any time. So each has a word of shared
 * memory: a thread claims it while it works, and when it was given up meanwhile the thread closes it.
 */

import { closeSync } from 'node:fs'
import { StorageError } from '../../gateway/core/errors.ts'

const state = { free: 0, held: 1, busy: 2, givenUp: 3 } as const
const size = 16384

/** How a descriptor is named to an I/O thread. */
export interface HandleRef {
  readonly fd: number
  readonly slot: number
}

/** A descriptor that the main thread answers for. */
export interface Handle {
  readonly ref: HandleRef
  /** Closes it, now or when the thread working with it is done. Harmless twice. */
  release(): void
}

/** The main thread's side: all kept descriptors of one mount. */
export class Handles {
  readonly claims = new SharedArrayBuffer(size * Int32Array.BYTES_PER_ELEMENT)
  readonly #words = new Int32Array(this.claims)
  readonly #free = Array.from({ length: size }, (_, index) => size - 1 - index)
  /** Given up while a thread worked with them: their words are looked at again. */
  readonly #leaving = new Set<number>()

  /** Descriptors kept now. */
  get kept(): number {
    return size - this.#free.length - this.#leaving.size
  }

  /** Takes a descriptor over. `close` must not block; the default is for one opened with O_PATH or of a directory. */
  adopt(fd: number, close: (fd: number) => void = closeSync): Handle {
    const slot = this.#slot()
    if (slot === undefined) {
      close(fd)
      throw new StorageError('busy', 'too many open objects', { retryAfter: 1 })
    }
    Atomics.store(this.#words, slot, state.held)
    let released = false
    return {
      ref: { fd, slot },
      release: () => {
        if (released) return
        released = true
        this.#release(fd, slot, close)
      },
    }
  }

  #slot(): number | undefined {
    if (this.#leaving.size > 0) this.#recover()
    return this.#free.pop()
  }

  #release(fd: number, slot: number, close: (fd: number) => void): void {
    if (Atomics.compareExchange(this.#words, slot, state.held, state.free) === state.held) {
      this.#free.push(slot)
      close(fd)
    } else if (Atomics.compareExchange(this.#words, slot, state.busy, state.givenUp) === state.busy) {
      this.#leaving.add(slot)
    } else {
      // The thread was done in between.
      this.#release(fd, slot, close)
    }
  }

  #recover(): void {
    for (const slot of this.#leaving) {
      if (Atomics.load(this.#words, slot) !== state.free) continue
      this.#leaving.delete(slot)
      this.#free.push(slot)
    }
  }
}

/** An I/O thread's side: runs `work` with the descriptor, which stays open as long. Throws `stale` when it was given up. */
export function withHandle<T>(
  words: Int32Array,
  { fd, slot }: HandleRef,
  close: (fd: number) => void,
  work: (fd: number) => T,
): T {
  if (Atomics.compareExchange(words, slot, state.held, state.busy) !== state.held) {
    throw new StorageError('stale', 'the object was let go of')
  }
  try {
    return work(fd)
  } finally {
    if (Atomics.compareExchange(words, slot, state.busy, state.held) === state.givenUp) {
      close(fd)
      Atomics.store(words, slot, state.free)
    }
  }
}
