/** The mount table: which back end holds which part of the functional namespace. */

import type { Backend } from '../backends/backend.ts'
import { StorageError } from '../gateway/core/errors.ts'
import { namesOf, type Path, rebase, root } from '../gateway/core/path.ts'
import { Crossroads } from './crossroads.ts'

/** Who decides the storage's half of a decision (docs/architecture.md, "Who decides"). */
export type Enforcement = 'native' | 'gateway' | 'delegated'

export interface Mount {
  readonly at: Path
  readonly backend: Backend
  /** The directory of the back end that appears at `at`. */
  readonly base: Path
  readonly enforce: Enforcement
  readonly readOnly: boolean
  /** Callers without a credential are let in as far as EVERYONE@ goes; otherwise they are asked for one. */
  readonly anonymous: boolean
  /** PUT makes missing parents, under the caller's rights. */
  readonly createParents: boolean
  /** What a read of a file on tape does: fail with nearline, or start a recall and say busy. */
  readonly recall: 'explicit' | 'on-read'
  /** Calls in flight, one process. Past it callers get `busy`. */
  readonly maxInFlight: number
  /** Milliseconds after which a call that got no answer fails with `unavailable`. */
  readonly deadline: number
  /** A line for users, such as "scratch, no backup". */
  readonly note?: string
}

/** Where a functional path lives. */
export interface Place {
  readonly mount: Mount
  readonly path: Path
  /** The same object in the back end's own terms. */
  readonly inner: Path
}

/** One name of the tree that the mount points span. */
interface Branch {
  mount: Mount | undefined
  readonly children: Map<string, Branch>
  /** Names of `children` by UTF-8 bytes. */
  names: readonly string[]
}

/**
 * Immutable: a reload builds a new one and swaps it in. Where nothing is mounted, a built-in read-only
 * mount at "/" (`between`) answers: it holds the directories that lead to mount points and nothing else.
 */
export class Namespace {
  /** As given, without `between`. */
  readonly mounts: readonly Mount[]
  /** The directories between mounts. It has a place in the namespace only where no mount covers the path. */
  readonly between: Mount
  readonly #top: Branch = branch()

  /** Throws `invalid` when two mounts share a path. Several mounts may share a back end. */
  constructor(mounts: readonly Mount[]) {
    this.mounts = mounts
    for (const mount of mounts) this.#add(mount)
    sortNames(this.#top)
    this.between = {
      at: root,
      backend: new Crossroads((path) => this.#find(path)?.names),
      base: root,
      enforce: 'gateway',
      readOnly: true,
      anonymous: mounts.some((mount) => mount.anonymous),
      createParents: false,
      recall: 'explicit',
      maxInFlight: Number.MAX_SAFE_INTEGER,
      deadline: 10_000,
    }
  }

  /** The deepest mount wins, by whole names. Cannot fail: what no mount covers lies in `between`. */
  resolve(path: Path): Place {
    const mount = this.#deepest(path)
    return { mount, path, inner: rebase(path, mount.at, mount.base) }
  }

  /** Names in `directory` that are mount points or lead to one, sorted by UTF-8 bytes. They belong in its listing. */
  mountsIn(directory: Path): readonly string[] {
    return this.#find(directory)?.names ?? []
  }

  /** Whether `path` is a mount point. */
  isMountPoint(path: Path): boolean {
    return this.#find(path)?.mount !== undefined
  }

  /**
   * Whether a mount point lies below `path`. Such a directory cannot be removed or renamed, and it is
   * shown as a directory even where the back end that covers it has none of that name.
   */
  leadsToMount(path: Path): boolean {
    const found = this.#find(path)
    return found !== undefined && found.children.size > 0
  }

  /** Whether `path` is a directory between mounts, held by no back end: "/" too, when nothing is mounted there. */
  isSynthetic(path: Path): boolean {
    return this.#find(path) !== undefined && this.#deepest(path) === this.between
  }

  /** Each back end once, however many mounts show it. */
  backends(): ReadonlySet<Backend> {
    return new Set(this.mounts.map(({ backend }) => backend))
  }

  #add(mount: Mount): void {
    let at = this.#top
    for (const name of namesOf(mount.at)) {
      let next = at.children.get(name)
      if (!next) {
        next = branch()
        at.children.set(name, next)
      }
      at = next
    }
    if (at.mount) throw new StorageError('invalid', 'two mounts share a path', { path: mount.at })
    at.mount = mount
  }

  /** Looks at no more names than the mount table is deep; this runs on every call. */
  #deepest(path: Path): Mount {
    let at = this.#top
    let mount = at.mount ?? this.between
    let start = 1
    while (at.children.size > 0 && start < path.length) {
      const slash = path.indexOf('/', start)
      const end = slash < 0 ? path.length : slash
      const next = at.children.get(path.slice(start, end))
      if (!next) break
      at = next
      mount = at.mount ?? mount
      start = end + 1
    }
    return mount
  }

  #find(path: Path): Branch | undefined {
    let at: Branch | undefined = this.#top
    for (const name of namesOf(path)) at = at?.children.get(name)
    return at
  }
}

function branch(): Branch {
  return { mount: undefined, children: new Map(), names: [] }
}

function sortNames(at: Branch): void {
  at.names = [...at.children.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const child of at.children.values()) sortNames(child)
}
