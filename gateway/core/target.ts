/** The place of a file that is to be written: what is decided of it, at the look and again at the commit. */

import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { CommitCondition, Entry, Pending, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchOf } from './acting.ts'
import { needsLook, requireConditions } from './conditions.ts'
import { denied, type Gate, requireParent, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { makeParents } from './making.ts'
import { type MadeDirectory, takeBack } from './new-parents.ts'
import type { Path } from './path.ts'
import type { Conditions } from './storage.ts'
import type { Task } from './task.ts'

/** What the credential says of a path where a file may or may not be. */
export class Target {
  readonly place: Place
  /** Made for it, the upper ones first: whoever gives it up takes them back. */
  readonly madeParents: MadeDirectory[] = []
  readonly #create: Decision
  readonly #replace: Decision

  /** Throws `denied` where neither a new file nor new bytes are within the credential's bounds. */
  constructor(gate: Gate, task: Task, path: Path) {
    this.#create = permitsPath(task.principal, 'create', path)
    this.#replace = permitsPath(task.principal, 'replace', path)
    if (!this.#create.allowed && !this.#replace.allowed) throw denied(path, this.#create.reason)
    this.place = gate.admit(task, path)
    gate.requireWritable(this.place)
    if (task.namespace.leadsToMount(path)) throw new StorageError('is-directory', 'this is a directory', { path })
  }

  /** Both halves for what was seen there, then what it is. Called at the look and again at the commit. */
  decide(gate: Gate, task: Task, trail: Trail): void {
    const { entry } = trail
    const { mount, path } = this.place
    const half = entry ? this.#replace : this.#create
    // A back end that enforces may have looked at nothing: then the commit's condition keeps the bounds.
    const unseen = mount.backend.enforces(task.principal) && !entry
    if (!half.allowed && !unseen) throw denied(path, half.reason)
    gate.allow(task, entry ? 'replace' : 'create', this.place, trail)
    if (entry?.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
    if (entry) requirePlain(entry, path)
    else if (!unseen) requireParent(trail, path)
  }

  /** A credential that may only create never replaces, not even what came up since the look. */
  bound(condition: CommitCondition): CommitCondition {
    if (!this.#replace.allowed) return 'absent'
    if (!this.#create.allowed && condition === 'any') return 'present'
    return condition
  }

  /** A condition that came from the credential's bounds fails as a refusal, one of the caller's as what the caller asked. */
  translate(error: unknown, onlyNew: boolean): unknown {
    if (!(error instanceof StorageError) || error.code !== 'exists') return error
    const { path } = this.place
    if (onlyNew) return error
    if (!this.#replace.allowed) return denied(path, this.#replace.reason)
    return new StorageError('precondition', 'the file is there already', { path, cause: error })
  }
}

/** How a draft comes to be, or is opened again. */
export interface Beginning<T> {
  readonly admission: Admission
  open(): Promise<Pending<T>>
  /** Lets go of what comes after the deadline. */
  late(draft: T): unknown
}

/** Looks, decides and opens. `seen`: what is at the place, as far as it was shown. */
export async function begin<T>(
  gate: Gate,
  task: Task,
  target: Target,
  { conditions = {}, onlyNew = false }: { readonly conditions?: Conditions; readonly onlyNew?: boolean },
  { admission, open, late }: Beginning<T>,
): Promise<{ readonly made: T; readonly seen: Entry | undefined }> {
  const { place } = target
  const { backend } = place.mount
  let seen: Entry | undefined
  if (backend.enforces(task.principal) && needsLook(conditions)) {
    const trail = await gate.run(task, place, () => backend.walk(place.inner, task), { admission })
    seen = trail.entry
  }
  const made = await gate.act(
    task,
    place,
    open,
    ({ trail }) => {
      target.decide(gate, task, trail)
      seen = trail.entry ?? (backend.enforces(task.principal) ? seen : undefined)
      if (onlyNew && seen) throw new StorageError('exists', 'the file exists', { path: place.path })
      // What a back end that enforces has not shown is checked by the commit alone.
      if (seen || !backend.enforces(task.principal) || needsLook(conditions)) requireConditions(conditions, seen)
      task.operation = seen && task.operation === 'create' ? 'replace' : task.operation
    },
    {
      admission,
      late,
      touching: { touched: ({ trail }) => [{ place, trail, touch: touchOf(trail) }], prepares: true },
    },
  )
  return { made, seen }
}

/** How often parents are made that others remove again at once. */
const attempts = 4

/** Makes missing parents where the caller or the mount wants that, and tries again. Takes them back where that fails. */
export async function withParents<T>(
  gate: Gate,
  task: Task,
  { place, madeParents }: Target,
  options: { readonly createParents?: boolean },
  admission: Admission,
  work: (admission: Admission) => Promise<T>,
): Promise<T> {
  const makeThem = options.createParents || place.mount.createParents
  for (let made = 0; ; made++) {
    try {
      if (made > 0) await makeParents(gate, task, place.path, (directory) => madeParents.push(directory))
      return await work(made > 0 ? 'continues' : admission)
    } catch (error) {
      if (makeThem && made < attempts && error instanceof StorageError && error.code === 'no-parent') continue
      await takeBack(gate, task, madeParents)
      throw error
    }
  }
}
