/** Locks by token, and those that may speak about an object without looking at all of them. */

import type { StoredLock } from '../state/state.ts'
import type { Spot } from './lock-scope.ts'
import { type Path, parentOf, root } from './path.ts'

export class LockIndex {
  readonly #all = new Map<string, StoredLock>()
  /** By realm and place, and by back end and id of the object. */
  readonly #near = new Map<string, Set<StoredLock>>()
  /** The same of all directories above it. */
  readonly #below = new Map<string, Set<StoredLock>>()

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
    for (const key of keysOf(lock)) add(this.#near, key, lock)
    for (const key of keysAbove(lock)) add(this.#below, key, lock)
  }

  delete(token: string): void {
    const lock = this.#all.get(token)
    if (!lock) return
    this.#all.delete(token)
    for (const key of keysOf(lock)) take(this.#near, key, lock)
    for (const key of keysAbove(lock)) take(this.#below, key, lock)
  }

  clear(): void {
    this.#all.clear()
    this.#near.clear()
    this.#below.clear()
  }

  /** Those on the object and on the directories above it. */
  near({ realm, backend, at, id, above }: Spot): ReadonlySet<StoredLock> {
    const keys = [placeKey(realm, at), ...placesAbove(realm, at), ...above.map((each) => objectKey(backend, each))]
    if (id !== undefined) keys.push(objectKey(backend, id))
    return collect(this.#near, keys)
  }

  /** Those on something below the object. */
  below({ realm, backend, at, id }: Spot): ReadonlySet<StoredLock> {
    return collect(this.#below, [placeKey(realm, at), ...(id === undefined ? [] : [objectKey(backend, id)])])
  }
}

type Shelf = Map<string, Set<StoredLock>>

function add(shelf: Shelf, key: string, lock: StoredLock): void {
  const locks = shelf.get(key)
  if (locks) locks.add(lock)
  else shelf.set(key, new Set([lock]))
}

function take(shelf: Shelf, key: string, lock: StoredLock): void {
  const locks = shelf.get(key)
  locks?.delete(lock)
  if (locks?.size === 0) shelf.delete(key)
}

function collect(shelf: Shelf, keys: readonly string[]): ReadonlySet<StoredLock> {
  const found = new Set<StoredLock>()
  for (const key of keys) for (const lock of shelf.get(key) ?? []) found.add(lock)
  return found
}

function keysOf({ realm, at, backend, object }: StoredLock): string[] {
  return [placeKey(realm, at), ...(object === undefined ? [] : [objectKey(backend, object)])]
}

function keysAbove({ realm, at, backend, above }: StoredLock): string[] {
  return [...placesAbove(realm, at), ...above.map((id) => objectKey(backend, id))]
}

function placesAbove(realm: string, at: Path): string[] {
  const keys: string[] = []
  for (let place = at; place !== root; ) {
    place = parentOf(place)
    keys.push(placeKey(realm, place))
  }
  return keys
}

function placeKey(realm: string, at: string): string {
  return `place\0${realm}\0${at}`
}

function objectKey(backend: string, id: string): string {
  return `object\0${backend}\0${id}`
}
