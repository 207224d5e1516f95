/** What has changed lately: so that an answer that was under way meanwhile is not remembered, and so that our own changes, told back by the gateway, throw nothing away. */

import { isWithin, type Path, parentOf } from '../../gateway/core/path.ts'
import type { Change } from '../client/fs/remote.ts'

const kept = 256
/** Milliseconds that the gateway may take to tell us of our own changes. */
const echo = 2000
const mostOwn = 16_384

interface Expected {
  readonly until: number
  wasTold: boolean
}

/** A point in the order of changes. */
export type Moment = number

export class RecentChanges {
  readonly #ring: (Change | undefined)[] = new Array<Change | undefined>(kept).fill(undefined)
  #count = 0
  /** By path, oldest first: until when what is told of it is our own doing. */
  readonly #own = new Map<Path, Expected>()
  readonly #now: () => number

  /** `now`: milliseconds of a clock that is not set. */
  constructor(now: () => number) {
    this.#now = now
  }

  moment(): Moment {
    return this.#count
  }

  note(change: Change): void {
    this.#ring[this.#count % kept] = change
    this.#count++
  }

  /** Our own change of what has this name: told to others, and back to us. */
  noteOwn(path: Path): void {
    this.note({ path, kind: 'tree' })
    this.expectOwn(path)
  }

  /** We are about to change it: that may be told before the answer is here. */
  expectOwn(path: Path): void {
    this.#own.delete(path)
    this.#own.set(path, { until: this.#now() + echo, wasTold: false })
    for (const [oldest, { until }] of this.#own) {
      if (until > this.#now() && this.#own.size <= mostOwn) break
      this.#own.delete(oldest)
    }
  }

  /** Nothing came of it. True where something was taken for our doing meanwhile. */
  unexpectOwn(path: Path): boolean {
    const expected = this.#own.get(path)
    this.#own.delete(path)
    return expected?.wasTold === true
  }

  /** Whether what is told of this path may be what we did ourselves a moment ago. */
  isOwn(path: Path): boolean {
    const expected = this.#own.get(path)
    return expected !== undefined && expected.until > this.#now()
  }

  /** The same for what is told now. */
  isEcho(path: Path): boolean {
    const expected = this.isOwn(path) ? this.#own.get(path) : undefined
    if (expected) expected.wasTold = true
    return expected !== undefined
  }

  /** Whether attributes of the path that were asked for at this moment may be out of date. */
  touched(since: Moment, path: Path): boolean {
    if (this.#count - since > kept) return true
    for (let i = since; i < this.#count; i++) {
      const change = this.#ring[i % kept]
      if (!change || concerns(change, path)) return true
    }
    return false
  }
}

/** A change at a path changes that object, what lies below a moved one, and its directory's times. */
function concerns({ path: changed, kind }: Change, path: Path): boolean {
  if (kind === 'all') return true
  if (changed === path) return true
  if (kind === 'content' || kind === 'attributes') return false
  return isWithin(path, changed) || parentOf(changed) === path
}
