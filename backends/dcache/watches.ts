/** What is known to have changed, directory by directory, so that what was seen before is not believed any more. */

import { nameOf, type Path, parentOf } from '../../gateway/core/path.ts'

/** A moment in the order in which things were learnt. */
export type Moment = number

interface Watch {
  /** From here on nothing is missed. */
  readonly since: Moment
  /** The last change of anything in it. */
  last: Moment
  /** Changes that concern all that is below: the directory itself was moved, or what happened is not known. */
  whole: Moment
  /** Last change by name. */
  names: Map<string, Moment>
}

/** Changed names kept per directory; with more, all of it counts as changed. */
const maxNames = 512

/** Directories of which every change is told. Those of no watch are not known, and so never unchanged. */
export class Watches {
  readonly #watches = new Map<Path, Watch>()
  #now: Moment = 0

  get now(): Moment {
    return this.#now
  }

  has(directory: Path): boolean {
    return this.#watches.has(directory)
  }

  /** Changes of this directory are told from now on. */
  begin(directory: Path): void {
    const since = ++this.#now
    this.#watches.set(directory, { since, last: since, whole: since, names: new Map() })
  }

  end(directory: Path): void {
    this.#watches.delete(directory)
  }

  endAll(): void {
    this.#watches.clear()
  }

  /** Something happened to `name` in `directory`, or, without a name, to the directory as a whole. */
  change(directory: Path, name?: string): void {
    const watch = this.#watches.get(directory)
    if (!watch) return
    const now = ++this.#now
    watch.last = now
    if (name === undefined || watch.names.size >= maxNames) {
      watch.whole = now
      watch.names = new Map()
    } else {
      watch.names.set(name, now)
    }
  }

  /** The gateway itself has changed what is at `path`: nobody needs to be told by an event. */
  changed(path: Path): void {
    this.change(path)
    if (path !== '/') this.change(parentOf(path), nameOf(path))
  }

  /**
   * Whether what was seen at `moment` at `path` is there still, by all that is known: no name on the way to it has
   * changed since, and each directory on the way is watched.
   */
  isUnchanged(path: Path, moment: Moment): boolean {
    for (let at = path; at !== '/'; at = parentOf(at)) {
      const watch = this.#watches.get(parentOf(at))
      if (!watch || watch.since > moment || watch.whole > moment) return false
      if ((watch.names.get(nameOf(at)) ?? 0) > moment) return false
    }
    return true
  }

  /** Whether the directory's own attributes are as they were: nothing in it has changed. */
  isQuiet(directory: Path, moment: Moment): boolean {
    const watch = this.#watches.get(directory)
    return watch !== undefined && watch.since <= moment && watch.last <= moment
  }
}
