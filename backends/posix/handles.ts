/**
 * Descriptors that live from one operation to the next, and who may close them.
 *
 * Descriptors belong to the process, so one that is closed while an I/O thread still works with it may
 * already name another file by then; and a caller can go away at any time. So each has a word of shared
 * memory: a thread claims it while it works, and when it was given up meanwhile the thread closes it. The
 * word also counts how often it was given out, so that a late thread finds its descriptor gone and not another.
 */

import { closeSync } from 'node:fs'
import { StorageError } from '../../gateway/core/errors.ts'

const state = { free: 0, held: 1, busy: 2, givenUp: 3 } as const
/** Of a word, the low two bits are the state and the rest is the turn. */
const turns = 2 ** 29
const size = 16384
/** Where the descriptor of the tree's top is told, plus one; 0 as long as nobody has opened it. */
const topWord = size

/** How a descriptor is named to an I/O thread. */
export interface HandleRef {
  readonly fd: number
  readonly slot: number
  readonly turn: number
}

/** A descriptor that the main thread answers for. */
export interface Handle {
  readonly ref: HandleRef
  /** Closes it, now or when the thread working with it is done. Harmless twice. */
  release(): void
}

type Close = (fd: number) => unknown

/** The main thread's side: all kept descriptors of one mount. */
export class Handles {
  readonly claims = new SharedArrayBuffer((size + 1) * Int32Array.BYTES_PER_ELEMENT)
  readonly #words = new Int32Array(this.claims)
  readonly #free = Array.from({ length: size }, (_, index) => size - 1 - index)
  /** Given up while a thread worked with them: their words are looked at again. */
  readonly #leaving = new Set<number>()

  /** Descriptors kept now. */
  get kept(): number {
    return size - this.#free.length - this.#leaving.size
  }

  /** Takes a descriptor over. `close` must not block; the default is for one opened with O_PATH or of a directory. */
  adopt(fd: number, close: Close = closeSync): Handle {
    const slot = this.#slot()
    if (slot === undefined) {
      close(fd)
      throw new StorageError('busy', 'too many open objects', { retryAfter: 1 })
    }
    const turn = ((Atomics.load(this.#words, slot) >>> 2) + 1) % turns
    Atomics.store(this.#words, slot, word(turn, state.held))
    const ref = { fd, slot, turn }
    let released = false
    return {
      ref,
      release: () => {
        if (released) return
        released = true
        this.#release(ref, close)
      },
    }
  }

  /** Closes the top's descriptor. To be called when no thread works any more. */
  closeTop(): void {
    const told = Atomics.exchange(this.#words, topWord, 0)
    if (told > 0) closeSync(told - 1)
  }

  #slot(): number | undefined {
    if (this.#leaving.size > 0) this.#recover()
    return this.#free.pop()
  }

  #release(ref: HandleRef, close: Close): void {
    const { fd, slot, turn } = ref
    if (swap(this.#words, slot, turn, state.held, state.free)) {
      this.#free.push(slot)
      close(fd)
    } else if (swap(this.#words, slot, turn, state.busy, state.givenUp)) {
      this.#leaving.add(slot)
    } else {
      // The thread was done in between.
      this.#release(ref, close)
    }
  }

  #recover(): void {
    for (const slot of this.#leaving) {
      if ((Atomics.load(this.#words, slot) & 3) !== state.free) continue
      this.#leaving.delete(slot)
      this.#free.push(slot)
    }
  }
}

/**
 * An I/O thread's side: runs `work` with the descriptor, which stays open as long. Throws `stale` when it was given up,
 * and `busy` while another thread works with it, as one whose file system hangs.
 */
export function withHandle<T>(words: Int32Array, ref: HandleRef, close: Close, work: (fd: number) => T): T {
  const { fd, slot, turn } = ref
  const seen = Atomics.compareExchange(words, slot, word(turn, state.held), word(turn, state.busy))
  if (seen !== word(turn, state.held)) {
    if (seen === word(turn, state.busy)) {
      throw new StorageError('busy', 'another call works with the object', { retryAfter: 1 })
    }
    throw new StorageError('stale', 'the object was let go of')
  }
  try {
    return work(fd)
  } finally {
    if (!swap(words, slot, turn, state.busy, state.held)) {
      close(fd)
      Atomics.store(words, slot, word(turn, state.free))
    }
  }
}

/** An I/O thread's side: the descriptor of the top that all threads share, opened by the first to ask. */
export function sharedTop(words: Int32Array, open: () => number, close: Close): number {
  const told = Atomics.load(words, topWord)
  if (told > 0) return told - 1
  const fd = open()
  const other = Atomics.compareExchange(words, topWord, 0, fd + 1)
  if (other === 0) return fd
  close(fd)
  return other - 1
}

function word(turn: number, of: number): number {
  return turn * 4 + of
}

function swap(words: Int32Array, slot: number, turn: number, from: number, to: number): boolean {
  return Atomics.compareExchange(words, slot, word(turn, from), word(turn, to)) === word(turn, from)
}
