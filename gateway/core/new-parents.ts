/** Directories that were made for an upload: they go again when nothing comes of it. */

import type { Entry } from '../../backends/backend.ts'
import { touching } from './acting.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { isWithin, type Path, parentOf } from './path.ts'
import { Task } from './task.ts'

/** ms for taking them away, whoever still waits. */
const patience = 10_000

/** Where uploads of this process are under way. */
export class UploadPlaces {
  readonly #counts = new Map<Path, number>()

  /** Returns what ends it; harmless twice. */
  enter(file: Path): () => void {
    const directory = parentOf(file)
    this.#counts.set(directory, (this.#counts.get(directory) ?? 0) + 1)
    let entered = true
    return () => {
      if (!entered) return
      entered = false
      const left = (this.#counts.get(directory) ?? 1) - 1
      if (left > 0) this.#counts.set(directory, left)
      else this.#counts.delete(directory)
    }
  }

  isNeeded(directory: Path): boolean {
    for (const place of this.#counts.keys()) if (isWithin(place, directory)) return true
    return false
  }
}

export interface MadeDirectory {
  readonly path: Path
  readonly entry: Entry
}

/**
 * Takes back what was made, from the deepest up, as far as nobody has put anything into it or is about to. Another
 * process may be about to: its upload then finds no parent, and is to be sent again. What cannot be taken back stays.
 */
export async function takeBack(gate: Gate, task: Task, made: readonly MadeDirectory[]): Promise<void> {
  if (made.length === 0) return
  const { id, principal, protocol, from, lockTokens, namespace } = task
  const call = { id, principal, protocol, from, lockTokens, signal: AbortSignal.timeout(patience) }
  try {
    for (const { path, entry } of made.toReversed()) {
      if (gate.uploadPlaces.isNeeded(path)) return
      await removeMade(gate, new Task(call, 'remove', path, namespace), entry)
    }
  } catch {
    // The reason why nothing came of the upload is what counts.
  }
}

/** What the gateway has just made is its own to take back: no rights of the caller are asked. */
async function removeMade(gate: Gate, task: Task, made: Entry): Promise<void> {
  const { path } = task
  const place = task.namespace.resolve(path)
  const { backend } = place.mount
  const requireIt = ({ trail }: { readonly trail: { readonly entry: Entry | undefined } }) => {
    if (trail.entry && trail.entry.id !== made.id) throw new StorageError('exists', 'another directory', { path })
  }
  const about = { admission: 'continues', touching: touching<void>(place, 'name') } as const
  await gate.act(task, place, () => backend.remove(place.inner, task), requireIt, about)
}
