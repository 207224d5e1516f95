/**
 * What dCache said of objects a moment ago, for as long as events vouch for it.
 *
 * dCache answers each caller by his own rights, so what one was told is never shown to another. Of files only those
 * are kept that live on disk alone: where the others are may change without an event, and a wrong guess would make a
 * tape move. Membership in groups changes without an event as well; nothing is kept longer than a few seconds.
 */

import { LRUCache } from 'lru-cache'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import type { Events } from './events.ts'
import { type Look, lookAt } from './looking.ts'
import type { Moment } from './watches.ts'

/** Milliseconds. */
const longest = 10_000
const maxKept = 20_000

interface Kept {
  /** Undefined: there was nothing. */
  readonly entry: Entry | undefined
  readonly moment: Moment
}

export class Memory {
  readonly #events: Events
  readonly #kept = new LRUCache<string, Kept>({ max: maxKept, ttl: longest })

  constructor(events: Events) {
    this.#events = events
  }

  /** What `view` was told of `path`, where that still holds. */
  recall(view: string, path: Path): { readonly entry: Entry | undefined } | undefined {
    const kept = this.#kept.get(`${view} ${path}`)
    if (!kept) return undefined
    const { watches } = this.#events
    const holds =
      watches.isUnchanged(path, kept.moment) && (kept.entry?.type !== 'directory' || watches.isQuiet(path, kept.moment))
    return holds ? kept : undefined
  }

  /** To be called before dCache is asked; what it gives goes with the answer into `keep`. */
  begin(path: Path): Moment {
    this.#events.want(path)
    return this.#events.watches.now
  }

  /** Keeps an answer to a question that began at `moment`. */
  keep(view: string, path: Path, entry: Entry | undefined, moment: Moment): void {
    if (entry && entry.type !== 'directory' && entry.locality !== 'disk') return
    if (this.#events.watches.isUnchanged(path, moment)) this.#kept.set(`${view} ${path}`, { entry, moment })
  }

  /** Looks at dCache only where memory does not tell. */
  looking(view: string): Look {
    return async (desk, path, scope, call) => {
      const known = this.recall(view, path)
      if (known) return known.entry && { entry: known.entry }
      const moment = this.begin(path)
      const seen = await lookAt(desk, path, scope, call)
      this.keep(view, path, seen?.entry, moment)
      return seen
    }
  }

  /** The gateway itself has changed what is there. */
  changed(path: Path): void {
    this.#events.changed(path)
  }

  async close(): Promise<void> {
    this.#kept.clear()
    await this.#events.close()
  }
}
