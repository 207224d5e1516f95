/** Locks by token, and those that may speak about an object without looking at all of them. */

import type { StoredLock } from '../state/state.ts'
import type { Spot } from './lock-scope.ts'
import { parentOf, root } from './path.ts'

export class LockIndex {
  readonly #all = new Map<string, StoredLock>()
  /** By realm and place, and by back end and id of the object. */
  readonly #near = new Map<string, Set<StoredLock>>()

  get size(): number {
    return this.#all.size
  }

  get(token: string): StoredLock | undefined {
    return this.#all.get(token)
  }

  values(): MapIterator<StoredLock> {
    return this.#all.values()
  }

  set(lock: StoredLock): void {
    this.delete(lock.token)
    this.#all.set(lock.token, lock)
    for (const key of keysOf(lock)) {
      const locks = this.#near.get(key)
      if (locks) locks.add(lock)
      else this.#near.set(key, new Set([lock]))
    }
  }

  delete(token: string): void {
    const lock = this.#all.get(token)
    if (!lock) return
    this.#all.delete(token)
    for (const key of keysOf(lock)) {
      const locks = this.#near.get(key)
      locks?.delete(lock)
      if (locks?.size === 0) this.#near.delete(key)
    }
  }

  clear(): void {
    this.#all.clear()
    this.#near.clear()
  }

  /** Those on the object and on the directories above it. */
  near({ realm, backend, at, id, above }: Spot): ReadonlySet<StoredLock> {
    const found = new Set<StoredLock>()
    const take = (key: string) => {
      for (const lock of this.#near.get(key) ?? []) found.add(lock)
    }
    for (let place = at; ; place = parentOf(place)) {
      take(placeKey(realm, place))
      if (place === root) break
    }
    if (id !== undefined) take(objectKey(backend, id))
    for (const each of above) take(objectKey(backend, each))
    return found
  }
}

function keysOf({ realm, at, backend, object }: StoredLock): string[] {
  return [placeKey(realm, at), ...(object === undefined ? [] : [objectKey(backend, object)])]
}

function placeKey(realm: string, at: string): string {
  return `place\0${realm}\0${at}`
}

function objectKey(backend: string, id: string): string {
  return `object\0${backend}\0${id}`
}
