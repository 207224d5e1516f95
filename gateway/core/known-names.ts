/** Names of directories that were read lately, for the next pages of the same walk. Bounded in bytes. */

import { successor, type Window } from './packed-names.ts'

/** Which names would do. */
export interface Wanted {
  /** The first key that is needed. */
  readonly from: Uint8Array
  /** Of the directory as it is; absent where that cannot be told. */
  readonly version: string | undefined
  /** ms since 1970: a read of the same directory that began no earlier than that will do too. */
  readonly since: number | undefined
  /** `Entry.id` of the directory, where it is told. */
  readonly id: string | undefined
}

export interface KnownWindow extends Window {
  readonly version: string | undefined
  /** `Entry.id` of the directory, where it is told. */
  readonly id: string | undefined
  /** ms since 1970: when its read began. */
  readonly began: number
}

/** What each one costs besides its names. */
const overhead = 512

export class KnownNames {
  readonly #most: number
  /** The one that was asked for last is the last. */
  readonly #windows = new Map<string, KnownWindow>()
  #bytes = 0

  constructor(most: number) {
    this.#most = most
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Names from this key on, whatever they are worth by now. */
  see(key: string, from: Uint8Array): KnownWindow | undefined {
    const window = this.#windows.get(key)
    return window && isCovered(from, window) ? this.#used(key, window) : undefined
  }

  find(key: string, wanted: Wanted): KnownWindow | undefined {
    const window = this.#windows.get(key)
    if (!window || !isCovered(wanted.from, window)) return undefined
    const isSame = wanted.version !== undefined && wanted.version === window.version
    const isRecent = wanted.since !== undefined && window.began >= wanted.since && window.id === wanted.id
    if (!isSame && !isRecent) return undefined
    return this.#used(key, window)
  }

  #used(key: string, window: KnownWindow): KnownWindow {
    this.#windows.delete(key)
    this.#windows.set(key, window)
    return window
  }

  keep(key: string, window: KnownWindow): void {
    this.#drop(key)
    const size = sizeOf(key, window)
    if (size > this.#most) return
    this.#windows.set(key, window)
    this.#bytes += size
    for (const oldest of this.#windows.keys()) {
      if (this.#bytes <= this.#most) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    const window = this.#windows.get(key)
    if (!window) return
    this.#windows.delete(key)
    this.#bytes -= sizeOf(key, window)
  }
}

function isCovered(from: Uint8Array, { names, from: start, complete }: Window): boolean {
  if (Buffer.compare(from, start) < 0) return false
  return complete || (names.length > 0 && names.compare(names.length - 1, from) >= 0)
}

/** Where the names behind a window begin. */
export function nextOf({ names, from }: Window): Buffer {
  return names.length === 0 ? successor(from) : successor(names.bytesAt(names.length - 1))
}

function sizeOf(key: string, { names, from }: KnownWindow): number {
  return overhead + 2 * key.length + from.length + names.bytes
}
