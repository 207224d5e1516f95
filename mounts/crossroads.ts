/** The read-only tree of directories that lead to mount points, where no back end has them. */

import { type Acl, right } from '../acl/acl.ts'
import type { Backend, Entry, Listing, Pending, PendingMove, Trail } from '../backends/backend.ts'
import type { Call } from '../gateway/core/call.ts'
import { StorageError } from '../gateway/core/errors.ts'
import { join, nameOf, namesOf, type Path, parentOf, root } from '../gateway/core/path.ts'

/** Everybody may look: the names of mounts are no secret among those whom the gateway lets in. */
const acl: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'rfc8881',
  aces: [
    {
      type: 'allow',
      flags: 0,
      mask: right.listDirectory | right.traverse | right.readAttributes | right.readAcl | right.readNamedAttributes,
      who: 'EVERYONE@',
    },
  ],
}

/** Holds directories only, and nothing can be changed: every operation but walk and list is `read-only`. */
export class Crossroads implements Backend {
  readonly name = 'between'
  enforces(): boolean {
    return false
  }

  readonly #names: (directory: Path) => readonly string[] | undefined

  /** `names` gives the names in a directory, undefined where there is none. */
  constructor(names: (directory: Path) => readonly string[] | undefined) {
    this.#names = names
  }

  async walk(path: Path): Promise<Trail> {
    return this.#walk(path)
  }

  async list(directory: Path): Promise<Pending<Listing>> {
    return this.#pending(directory, () => {
      const names = this.#names(directory)
      if (!names) throw new StorageError('not-found', 'no such directory', { path: directory })
      const entries = names.map((name) => entryOf(join(directory, name)))
      return {
        async *pages() {
          if (entries.length > 0) yield entries
        },
      }
    })
  }

  async open(file: Path): Promise<Pending<never>> {
    return this.#pending(file, () => {
      if (this.#names(file)) throw new StorageError('is-directory', 'this is a directory', { path: file })
      throw new StorageError('not-found', 'no such file', { path: file })
    })
  }

  async create(file: Path): Promise<Pending<never>> {
    return this.#refusal(file)
  }

  async mkdir(directory: Path): Promise<Pending<never>> {
    return this.#refusal(directory)
  }

  async remove(path: Path): Promise<Pending<never>> {
    return this.#refusal(path)
  }

  async rename(from: Path, to: Path): Promise<PendingMove<never>> {
    return { ...this.#refusal(from), target: this.#walk(to) }
  }

  async setAttributes(path: Path, _changes: unknown, _call: Call): Promise<Pending<never>> {
    return this.#refusal(path)
  }

  async close(): Promise<void> {}

  #refusal(path: Path): Pending<never> {
    return this.#pending(path, () => {
      throw new StorageError('read-only', 'the directories between mounts cannot be changed', { path })
    })
  }

  #pending<T>(path: Path, act: () => T): Pending<T> {
    return { trail: this.#walk(path), proceed: async () => act(), release: async () => {} }
  }

  #walk(path: Path): Trail {
    const ancestors: Entry[] = []
    let at = root
    for (const name of namesOf(path)) {
      ancestors.push(entryOf(at))
      at = join(at, name)
      if (!this.#names(at)) break
    }
    const entry = this.#names(path) ? entryOf(path) : undefined
    return { ancestors, parentExists: this.#names(parentOf(path)) !== undefined, entry }
  }
}

/** The times say "never": they would otherwise differ from process to process. */
function entryOf(path: Path): Entry {
  const id = `between:${path}`
  return {
    name: nameOf(path),
    type: 'directory',
    size: 0,
    modified: 0n,
    changed: 0n,
    version: 'between',
    id,
    mode: 0o555,
    acl,
  }
}
