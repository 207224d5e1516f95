/**
 * A bucket of an S3 store, or the keys below a prefix, as a tree: directories by common prefix and by markers (`dir/`),
 * ACLs in sidecar objects below `.portolan/acl/`. Storage decides by them: the `gateway` grade. What differs from a file
 * system is in docs/decisions/0012-s3-back-end.md.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  AclFacet,
  Backend,
  BackendServices,
  Changes,
  CheckFacet,
  ChecksumFacet,
  CopyFacet,
  CreateOptions,
  Draft,
  Entry,
  Listing,
  ListOptions,
  MoveOptions,
  OpenOptions,
  Pending,
  PendingFile,
  PendingMove,
  PropertyFacet,
  RecordFacet,
  Trail,
} from '../backend.ts'
import { digestKinds } from '../digesting.ts'
import { changeSeen, computeDigests, digestsOf, propertiesOf, setAcl, setProperties, setRecord } from './changing.ts'
import { check } from './checking.ts'
import { copySeen, keptOf } from './copying.ts'
import { Desk } from './desk.ts'
import { S3Draft } from './draft.ts'
import { listDirectory } from './listing.ts'
import { look, type Seen } from './looking.ts'
import { makeDirectory } from './making.ts'
import { renameSeen } from './moving.ts'
import { openSeen } from './opening.ts'
import { leastPart, type S3Options } from './options.ts'
import { largestObject } from './parts.ts'
import { removeSeen } from './removing.ts'
import { pending, requireEntry, requireFile, requirePlace } from './requiring.ts'
import { sweep } from './sweeping.ts'

export type { S3Credentials, S3Options } from './options.ts'

const sweepEvery = 10 * 60_000
const sweepAge = 60_000

export class S3Backend implements Backend {
  readonly name: string
  readonly #desk: Desk
  readonly #sweeper: NodeJS.Timeout

  /** Asks the store for nothing yet, but for what a crash has left. Throws `invalid` for options that cannot be. */
  constructor(options: S3Options, services: BackendServices) {
    if (options.partSize !== undefined && options.partSize < leastPart) {
      throw new StorageError('invalid', `parts of an upload have at least ${leastPart} bytes`)
    }
    this.#desk = new Desk(options, services)
    this.name = this.#desk.name
    this.#sweeper = setInterval(() => this.#sweepQuietly(), sweepEvery).unref()
    this.#sweepQuietly()
  }

  enforces(): boolean {
    return false
  }

  /** Aborts uploads that a crash has left more than `age` ms ago; returns how many. It is done every ten minutes. */
  sweep(age = sweepAge): Promise<number> {
    return sweep(this.#desk, age)
  }

  async walk(path: Path, call: Call): Promise<Trail> {
    return (await look(this.#desk, path, call)).trail
  }

  list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
    return this.#pending(directory, call, async ({ trail }) => {
      const { type, acl } = requireEntry(trail, directory)
      if (type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path: directory })
      return listDirectory(this.#desk, directory, acl, options, call)
    })
  }

  async open(file: Path, { inlineUpTo, kept }: OpenOptions, call: Call): Promise<PendingFile> {
    const seen = await look(this.#desk, file, call, inlineUpTo)
    return {
      trail: seen.trail,
      proceed: async () => {
        this.#desk.check(call)
        return openSeen(this.#desk, file, seen, call)
      },
      release: async () => {},
      ...(kept && { kept: keptOf(seen) }),
    }
  }

  create(file: Path, { size }: CreateOptions, call: Call): Promise<Pending<Draft>> {
    return this.#pending(file, call, async (seen) => {
      requirePlace(this.#desk, seen.trail, file)
      if (seen.trail.entry) requireFile(seen.trail, file)
      if (size !== undefined && size > largestObject) {
        throw new StorageError('too-large', 'an object of this storage is 5 TiB at most', { path: file })
      }
      return new S3Draft(this.#desk, file, seen, size, call)
    })
  }

  mkdir(directory: Path, call: Call): Promise<Pending<Entry>> {
    return this.#pending(directory, call, (seen) => makeDirectory(this.#desk, directory, seen, call))
  }

  remove(path: Path, call: Call): Promise<Pending<void>> {
    return this.#pending(path, call, (seen) => removeSeen(this.#desk, path, seen, call))
  }

  /** A file is copied, then deleted; a directory is `cross-mount`. */
  rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    return this.#pendingMove(from, to, call, (paths, looks) => renameSeen(this.#desk, paths, looks, options, call))
  }

  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return this.#pending(path, call, (seen) => changeSeen(this.#desk, path, seen, changes, call))
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#desk.store.close()
  }

  readonly acls: AclFacet = {
    set: (path, acl, { ifChanged }, call) =>
      this.#pending(path, call, (seen) => setAcl(this.#desk, path, seen, acl, ifChanged, call)),
  }

  readonly copying: CopyFacet = {
    copy: (from, to, options, call) =>
      this.#pendingMove(from, to, call, (paths, looks) => copySeen(this.#desk, paths, looks, options, call)),
  }

  readonly checksums: ChecksumFacet = {
    kinds: digestKinds,
    kept: (path, call) => this.#pending(path, call, async (seen) => digestsOf(seen, path)),
    compute: (path, kinds, call) =>
      this.#pending(path, call, (seen) => computeDigests(this.#desk, path, seen, kinds, call)),
  }

  readonly properties: PropertyFacet = {
    get: (path, call) => this.#pending(path, call, async (seen) => propertiesOf(seen, path)),
    set: (path, changes, call) =>
      this.#pending(path, call, (seen) => setProperties(this.#desk, path, seen, changes, call)),
  }

  readonly records: RecordFacet = {
    get: (path, call) =>
      this.#pending(path, call, async (seen) => {
        requireEntry(seen.trail, path)
        return keptOf(seen)
      }),
    set: (path, record, options, call) =>
      this.#pending(path, call, (seen) => setRecord(this.#desk, path, seen, record, options, call)),
  }

  readonly checking: CheckFacet = {
    check: () => check(this.#desk),
  }

  #pending<T>(path: Path, call: Call, act: (seen: Seen) => Promise<T>): Promise<Pending<T>> {
    return pending(this.#desk, path, call, act)
  }

  async #pendingMove(
    from: Path,
    to: Path,
    call: Call,
    act: (paths: readonly [Path, Path], looks: readonly [Seen, Seen]) => Promise<Entry>,
  ): Promise<PendingMove<Entry>> {
    const looks = await Promise.all([look(this.#desk, from, call), look(this.#desk, to, call)])
    const [source, target] = looks
    return {
      trail: source.trail,
      target: target.trail,
      proceed: async () => {
        this.#desk.check(call)
        return act([from, to], looks)
      },
      release: async () => {},
    }
  }

  #sweepQuietly(): void {
    this.sweep().catch((error) => this.#desk.log('looking for left uploads failed', error))
  }
}
