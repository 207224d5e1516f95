/** What changes in the namespace, told at once to whoever watches, in every process of this gateway. */

import type { Entry, Trail } from '../../backends/backend.ts'
import type { Namespace, Place } from '../../mounts/namespace.ts'
import { realmOf, spotOf } from './lock-scope.ts'
import type { Going, Touched } from './locks.ts'
import { isWithin, join, namesOf, type Path, rebase, root } from './path.ts'
import { PendingChanges } from './pending-changes.ts'

/**
 * `content`, `attributes`: of the object at the path. `entry`: something came to the path or left it. `tree`: the same,
 * and all below. `all`: changes of this mount were lost, so that anything in it may be another.
 */
export type ChangeKind = 'content' | 'attributes' | 'entry' | 'tree' | 'all'

export interface Change {
  readonly path: Path
  readonly kind: ChangeKind
  /** Where the mount is that the path lies in. */
  readonly mount: Path
  /** Of something that was renamed. */
  readonly goes?: Going
}

/** The way to the other processes of this gateway. */
export interface ChangeLine {
  /** Whether any other process wants to be told. */
  readonly wanted: boolean
  send(changes: readonly Change[]): void
  listen(heard: (changes: readonly Change[]) => void): void
  /** Resolves when all others know. */
  want(wanted: boolean): Promise<void>
}

/** ms in which changes of one kind at one path are one. */
const pause = 20
/** ms that the others go on telling after the last watcher has left: another one may come soon. */
const linger = 60_000

export class Feed {
  readonly #watchers = new Set<(change: Change) => void>()
  readonly #line: ChangeLine | undefined
  readonly #pending = new PendingChanges()
  #follow: ((from: Path, goes: Going) => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #leaving: NodeJS.Timeout | undefined
  #wants = false

  constructor(line?: ChangeLine) {
    this.#line = line
    line?.listen((changes) => {
      for (const { path, goes } of changes) if (goes) this.#follow?.(path, goes)
      this.#tell(changes)
    })
  }

  /** Calls `moved` for every rename in another process, as long as this one watches. */
  follow(moved: (from: Path, goes: Going) => void): void {
    this.#follow = moved
  }

  /** Nobody pays for a change that nobody watches. */
  get isWatched(): boolean {
    return this.#watchers.size > 0 || this.#line?.wanted === true
  }

  /** Calls `changed` for every change from now on until the returned function is called. `changed` must not throw. */
  watch(namespace: () => Namespace, changed: (change: Change) => void): () => void {
    // One that watches twice is told twice.
    const watcher = (change: Change) => changed(change)
    this.#watchers.add(watcher)
    clearTimeout(this.#leaving)
    if (this.#line && !this.#wants) {
      this.#wants = true
      // What the others did until they knew is lost.
      void this.#line.want(true).then(() => {
        this.#tell(namespace().mounts.map(({ at }) => ({ path: at, kind: 'all', mount: at })))
      })
    }
    return () => {
      if (!this.#watchers.delete(watcher) || this.#watchers.size > 0 || !this.#line) return
      this.#leaving = setTimeout(() => this.#rest(), linger)
      this.#leaving.unref()
    }
  }

  /** The mount table is another one, in this process: every process learns that by itself. */
  remounted(): void {
    this.#tell([{ path: root, kind: 'all', mount: root }])
  }

  /** Something has been done, or may have been. `made` is what is there now. */
  publish(namespace: Namespace, touched: readonly Touched[], made?: Entry): void {
    if (!this.isWatched) return
    for (const each of touched) {
      const kind = kindOf(each, made)
      if (kind) this.#publishAt(namespace, each, kind)
    }
  }

  #publishAt(namespace: Namespace, { place, trail, goes }: Touched, kind: ChangeKind): void {
    for (const change of shownAs(namespace, place, trail, kind)) {
      this.#pending.add(goes && change.path === place.path ? { ...change, goes } : change)
    }
    if (this.#timer || this.#pending.size === 0) return
    this.#timer = setTimeout(() => this.#flush(), pause)
    this.#timer.unref()
  }

  #flush(): void {
    this.#timer = undefined
    const changes = this.#pending.take()
    if (this.#line?.wanted) this.#line.send(changes)
    this.#tell(changes)
  }

  #tell(changes: readonly Change[]): void {
    for (const change of changes) for (const changed of this.#watchers) changed(change)
  }

  #rest(): void {
    this.#wants = false
    void this.#line?.want(false)
  }
}

function kindOf({ touch, told, trail }: Touched, made: Entry | undefined): ChangeKind | undefined {
  if (told === 'nothing') return undefined
  if (touch === 'name') return 'entry'
  const entry = trail?.entry
  if (touch === 'tree') return entry && entry.type !== 'directory' ? 'entry' : 'tree'
  // New bytes of an upload are another object.
  if (made && entry && made.id !== entry.id) return 'entry'
  return told ?? 'content'
}

/** Under all paths that show the object: where links led to it, and where mounts show parts of one storage. */
function* shownAs(namespace: Namespace, place: Place, trail: Trail | undefined, kind: ChangeKind): Iterable<Change> {
  yield { path: place.path, kind, mount: place.mount.at }
  const { realm, at } = spotOf(place, trail)
  for (const mount of namespace.mounts) {
    const { name, top } = realmOf(mount.backend)
    if (name !== realm) continue
    const base = namesOf(mount.base).reduce(join, top)
    if (!isWithin(at, base)) continue
    const path = rebase(at, base, mount.at)
    if (path !== place.path && namespace.resolve(path).mount === mount) yield { path, kind, mount: mount.at }
  }
}
