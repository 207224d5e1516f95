/** rename: atomic where a back end can; over back ends, or parts of one, copy, verify, remove, each with its own rights. */

import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { requireUnlocked } from './acting.ts'
import { requireApart } from './apart.ts'
import type { Call } from './call.ts'
import { clearTarget } from './clearing.ts'
import { type Copied, copyTree } from './copying.ts'
import { copyFile } from './copying-file.ts'
import { denied, type Gate, missing, requireParent } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Touched } from './locks.ts'
import { isWithin, type Path, rebase } from './path.ts'
import { removeOne, removeTree } from './removing.ts'
import type { Conditions, MoveOptions } from './storage.ts'
import type { Task } from './task.ts'

/** StorageOperations.rename. A rename of something to itself changes nothing and succeeds. */
export function rename(gate: Gate, call: Call, from: Path, to: Path, options: MoveOptions): Promise<Copied> {
  return gate.perform(
    call,
    'rename',
    from,
    async (task) => {
      const move = new Move(gate, task, from, to, options)
      const cleared = options.replaceWhole && (await move.clear())
      const moved = await move.run()
      return cleared ? { ...moved, created: false } : moved
    },
    to,
  )
}

class Move {
  readonly source: Place
  readonly target: Place
  readonly #gate: Gate
  readonly #task: Task
  readonly #options: MoveOptions
  readonly #intoFile: Decision
  readonly #intoDirectory: Decision
  /** Whether what is there may give way. */
  readonly #replace: Decision

  constructor(gate: Gate, task: Task, from: Path, to: Path, options: MoveOptions) {
    const { principal } = task
    this.#gate = gate
    this.#task = task
    this.#options = options
    this.source = gate.place(task, 'move-away', from)
    this.#intoFile = permitsPath(principal, 'move-in-file', to)
    this.#intoDirectory = permitsPath(principal, 'move-in-directory', to)
    if (!this.#intoFile.allowed && !this.#intoDirectory.allowed) throw denied(to, this.#intoFile.reason)
    this.#replace = permitsPath(principal, 'remove', to)
    this.target = gate.admit(task, to)
    gate.requireWritable(this.source)
    gate.requireWritable(this.target)
    gate.requireMovable(task, from)
    gate.requireMovable(task, to)
    if (from !== to && isWithin(to, from)) {
      throw new StorageError('invalid', 'a directory cannot move into itself', { path: to })
    }
  }

  async run(): Promise<Copied> {
    if (this.source.mount.backend !== this.target.mount.backend) return this.#across()
    try {
      return await this.#within()
    } catch (error) {
      // One back end may hold several file systems or filesets, which a rename does not join.
      if (!(error instanceof StorageError) || error.code !== 'cross-mount') throw error
      return this.#across()
    }
  }

  /** Makes way at the target, once it is clear that the source may go there. Whether anything was removed. */
  async clear(): Promise<boolean> {
    const { source, target } = this
    if (source.path === target.path) return false
    const { trail, goal } = await this.#lookAtBoth()
    this.#decide(trail, goal)
    if (!trail.entry) throw missing(source.path)
    await requireUnlocked(this.#gate.locks, this.#task, this.#touched(trail, goal))
    return clearTarget(this.#gate, this.#task, trail.entry, source.path, target.path, this.#options)
  }

  async #within(): Promise<Copied> {
    const { source, target } = this
    const { backend } = source.mount
    const condition = this.#options.overwrite === false || !this.#replace.allowed ? 'absent' : 'any'
    // What was there and is to stay would otherwise be refused as existing.
    const same = source.inner === target.inner
    let goal: Trail | undefined
    if (backend.enforces(this.#task.principal) && this.#task.principal.grants !== 'unbounded') await this.#requireKind()
    try {
      const entry = await this.#gate.act(
        this.#task,
        source,
        async () => {
          const options = { condition: same ? 'any' : condition } as const
          const pending = await backend.rename(source.inner, target.inner, options, this.#task)
          goal = pending.target
          return pending
        },
        ({ trail }) => {
          if (goal) this.#decide(trail, goal)
        },
        { touching: { touched: ({ trail }) => this.#touched(trail, goal), made: (made) => made } },
      )
      this.#gate.openFiles.moved(source, target, false)
      return { entry, created: goal?.entry === undefined }
    } catch (error) {
      // A credential that may not remove does not learn more than that, also when the file came up meanwhile.
      const bound = error instanceof StorageError && error.code === 'exists' && this.#options.overwrite !== false
      if (bound && !this.#replace.allowed) throw denied(target.path, this.#replace.reason)
      throw error
    }
  }

  /** The source stays until every byte is at the target and has been read there again. */
  async #across(): Promise<Copied> {
    const { source, target } = this
    const entry = await this.#lookAcross()
    const options = { ...this.#options, exact: true }
    if (entry.type === 'file') {
      const copied = await copyFile(this.#gate, this.#task, source.path, entry, target.path, options)
      const conditions = { ifMatch: [entry.version] }
      await removeOne(this.#gate, this.#task, source.path, conditions, 'continues', 'move-away')
      return copied
    }
    const copied = await copyTree(this.#gate, this.#task, source.path, target.path, options)
    const items = this.#task.items
    const [failure] = await removeTree(this.#gate, this.#task, source.path, (path) => this.#requireCopied(path))
    this.#task.items = items
    if (failure) throw failure.error
    return copied
  }

  /** A back end that enforces need not show what it is about to move, but the credential's bounds depend on it. */
  async #requireKind(): Promise<void> {
    const { source, target } = this
    const { entry } = await this.#gate.run(this.#task, source, () =>
      source.mount.backend.walk(source.inner, this.#task),
    )
    if (!entry) throw missing(source.path)
    this.#gate.allow(this.#task, 'move-away', source, { ancestors: [], parentExists: true, entry })
    const half = entry.type === 'directory' ? this.#intoDirectory : this.#intoFile
    if (!half.allowed) throw denied(target.path, half.reason)
  }

  /** Both sides, before a byte is copied. */
  async #lookAcross(): Promise<Entry> {
    const { source, target } = this
    const { trail, goal } = await this.#lookAtBoth()
    this.#decide(trail, goal)
    const { entry } = trail
    if (!entry) throw missing(source.path)
    await requireUnlocked(this.#gate.locks, this.#task, this.#touched(trail, goal))
    requireApart({ place: source, trail }, { place: target, trail: goal })
    if (entry.type === 'file' || entry.type === 'directory') {
      // Two back ends may show one tree; the copy would be the source itself, and be removed as such.
      if (goal.entry && isSame(entry, goal.entry)) {
        throw new StorageError('invalid', 'source and target are the same object', { path: target.path })
      }
      if (!goal.entry || (goal.entry.type === 'file' && entry.type === 'file')) return entry
      if (entry.type === 'file')
        throw new StorageError('is-directory', 'the target is a directory', { path: target.path })
      // A directory is never merged into another one by a move.
      throw new StorageError('exists', 'the target exists', { path: target.path })
    }
    throw new StorageError('cross-mount', 'only files and directories move to another mount', { path: source.path })
  }

  async #lookAtBoth(): Promise<{ readonly trail: Trail; readonly goal: Trail }> {
    const look = (place: Place) =>
      this.#gate.run(this.#task, place, () => place.mount.backend.walk(place.inner, this.#task))
    return { trail: await look(this.source), goal: await look(this.target) }
  }

  /** A rename to itself changes nothing. */
  #touched(trail: Trail, goal: Trail | undefined): readonly Touched[] {
    const { source, target } = this
    if (source.mount.backend === target.mount.backend && source.inner === target.inner) return []
    return [
      { place: source, trail, touch: 'tree', goes: { to: target.path, swaps: false } },
      { place: target, trail: goal, touch: goal?.entry ? 'tree' : 'name' },
    ]
  }

  #decide(trail: Trail, goal: Trail): void {
    const { source, target } = this
    const { entry } = trail
    this.#gate.allow(this.#task, 'move-away', source, trail)
    if (entry === undefined && !source.mount.backend.enforces(this.#task.principal)) throw missing(source.path)
    const directory = entry?.type === 'directory'
    const half = directory ? this.#intoDirectory : this.#intoFile
    if (entry && !half.allowed) throw denied(target.path, half.reason)
    this.#gate.allow(this.#task, directory ? 'move-in-directory' : 'move-in-file', target, goal)
    if (!goal.entry) {
      if (!target.mount.backend.enforces(this.#task.principal)) requireParent(goal, target.path)
      return
    }
    if (source.inner === target.inner && source.mount.backend === target.mount.backend) return
    if (this.#options.overwrite === false) throw new StorageError('exists', 'the target exists', { path: target.path })
    if (!this.#replace.allowed) throw denied(target.path, this.#replace.reason)
    this.#gate.allow(this.#task, 'remove', target, goal)
  }

  /** A file of the source goes only if the target holds just this state of it. */
  async #requireCopied(path: Path): Promise<Conditions> {
    const { source, target } = this
    const there = this.#task.namespace.resolve(rebase(path, source.path, target.path))
    const here = this.#task.namespace.resolve(path)
    const look = (place: Place) =>
      this.#gate.run(this.#task, place, () => place.mount.backend.walk(place.inner, this.#task), {
        admission: 'continues',
      })
    const [original, copy] = [(await look(here)).entry, (await look(there)).entry]
    if (original && copy && original.size === copy.size && original.modified === copy.modified) {
      return { ifMatch: [original.version] }
    }
    throw new StorageError('stale', 'the file has changed since it was copied', { path })
  }
}

function isSame(a: Entry, b: Entry): boolean {
  return a.id === b.id && a.version === b.version && a.modified === b.modified && a.size === b.size
}
