/**
 * A back end in memory: the reference for the conformance suite and the model for random tests.
 * Simple before fast; nothing survives the process.
 */

import { type Acl, maxAces } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  AclFacet,
  Backend,
  Changes,
  CheckFacet,
  ChecksumFacet,
  CopyFacet,
  Draft,
  EditFacet,
  Entry,
  ExchangeFacet,
  Kept,
  LinkFacet,
  Listing,
  MakeOptions,
  MembersFacet,
  MoveOptions,
  OpenOptions,
  Pending,
  PendingFile,
  PendingMove,
  PropertyFacet,
  QuotaFacet,
  RecordFacet,
  Trail,
  XattrFacet,
} from '../backend.ts'
import { digestKinds } from '../digesting.ts'
import { requireBefore } from '../recording.ts'
import { permissionsOfNew, permissionsWithAcl, permissionsWithMode } from './acls.ts'
import { type Change, commit, needPlace, rename } from './changes.ts'
import { digestOf } from './digests.ts'
import { edit } from './editing.ts'
import { type Host, MemoryDraft, openNode } from './files.ts'
import { exchange, link, symlink } from './names.ts'
import { MemoryResuming } from './resuming.ts'
import { MemoryTape, type MemoryTapeOptions } from './tape.ts'
import { entryOf, keptOf, type Node, need, needFile, type Spot, Tree, trailOf, versionOf } from './tree.ts'
import { requireName, setXattr } from './xattrs.ts'

const pageLength = 1000

export interface MemoryOptions {
  readonly name?: string
  /** Bytes that all files together may hold; no limit by default. */
  readonly limit?: number
  /** Names that do not exist for any operation. */
  readonly reserved?: readonly string[]
  /** ns since 1970; the system's clock by default. */
  readonly now?: () => bigint
  /** Files may be on tape. */
  readonly tape?: MemoryTapeOptions
}

export class MemoryBackend implements Backend {
  readonly name: string
  enforces(): boolean {
    return false
  }

  readonly #tree: Tree
  readonly #limit: number | undefined
  readonly tape?: MemoryTape
  readonly resuming: MemoryResuming
  #closed = false

  /** `acl` is that of the root directory. */
  constructor(acl: Acl, options: MemoryOptions = {}) {
    const { name = 'memory', limit, reserved = [], now = () => BigInt(Date.now()) * 1_000_000n } = options
    this.name = name
    this.#limit = limit
    const { tape } = options
    this.#tree = new Tree(permissionsWithAcl({ acl, mode: 0 }, acl), { reserved, now, tape: tape !== undefined })
    this.resuming = new MemoryResuming({
      tree: this.#tree,
      host: this.#host,
      pending: (file, call, act) => this.#pending(file, call, act),
      commit: (spot, { bytes, id }, options, call) => commit(this.#change(call), spot, bytes, options, id),
    })
    if (tape) this.tape = new MemoryTape(this.#tree, (call) => this.#host.check(call), tape)
  }

  async walk(path: Path, call: Call): Promise<Trail> {
    this.#host.check(call)
    return trailOf(this.#tree.look(path))
  }

  async list(directory: Path, options: { readonly acls?: boolean }, call: Call): Promise<Pending<Listing>> {
    return this.#pending(directory, call, (spot) => {
      const { children, id, changed } = needDirectory(spot)
      const check = () => this.#host.check(call)
      const show = (name: string): Entry[] => {
        const node = this.#tree.isReserved(name) ? undefined : children.get(name)
        if (!node) return []
        const { acl, ...entry } = entryOf(name, node)
        return [acl && options.acls ? { ...entry, acl } : entry]
      }
      return {
        version: `${id}-${changed}`,
        async *pages() {
          const names = [...children.keys()]
          for (let at = 0; at < names.length; at += pageLength) {
            check()
            yield names.slice(at, at + pageLength).flatMap(show)
          }
        },
      }
    })
  }

  async open(file: Path, options: OpenOptions, call: Call): Promise<PendingFile> {
    const pending = this.#pending(file, call, (spot) =>
      openNode(spot.name, needFile(spot), options.inlineUpTo ?? -1, this.#host, call),
    )
    const { node } = this.#tree.look(file)
    return options.kept && node?.type === 'file' ? { ...pending, kept: keptOf(node) } : pending
  }

  async create(file: Path, options: { readonly size?: number }, call: Call): Promise<Pending<Draft>> {
    return this.#pending(file, call, (spot) => {
      needPlace(this.#tree, spot)
      if (spot.node) needFile(spot)
      this.#host.makeRoom(options.size ?? 0)
      return new MemoryDraft(this.#host, call, (bytes, options) => commit(this.#change(call), spot, bytes, options))
    })
  }

  async mkdir(directory: Path, call: Call, { mode }: MakeOptions = {}): Promise<Pending<Entry>> {
    return this.#pending(directory, call, (spot) => {
      const parent = needPlace(this.#tree, spot)
      if (spot.node) throw new StorageError('exists', 'something of that name exists', { path: directory })
      const node = this.#tree.make('directory', permissionsOfNew('directory', parent.permissions, call.principal, mode))
      this.#tree.attach(parent, spot.name, node)
      return entryOf(spot.name, node)
    })
  }

  async remove(path: Path, call: Call): Promise<Pending<void>> {
    return this.#pending(path, call, (spot) => {
      const node = need(spot)
      if (!spot.parent) throw new StorageError('invalid', 'the root cannot be removed', { path })
      if (node.children.size > 0) throw new StorageError('not-empty', 'the directory is not empty', { path })
      this.#tree.detach(spot.parent, spot.name)
    })
  }

  async rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    return this.#pendingMove(from, to, call, (source, target) => rename(this.#tree, source, target, options))
  }

  async setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return this.#pending(path, call, (spot) => {
      const node = need(spot)
      const now = this.#tree.tick()
      if (changes.modified !== undefined) node.modified = changes.modified === 'now' ? now : changes.modified
      if (changes.accessed !== undefined) node.accessed = changes.accessed === 'now' ? now : changes.accessed
      const { acl } = node.permissions
      const { owner = acl?.owner, group = acl?.group } = changes
      if (acl) node.permissions = { ...node.permissions, acl: { ...acl, owner, group } }
      if (changes.mode !== undefined) {
        const kind = node.type === 'directory' ? 'directory' : 'file'
        node.permissions = permissionsWithMode(node.permissions, changes.mode, kind)
      }
      node.changed = now
      return entryOf(spot.name, node)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  readonly acls: AclFacet = {
    set: async (path, acl, options, call) =>
      this.#pending(path, call, (spot) => {
        const node = need(spot)
        if (options.ifChanged !== undefined && options.ifChanged !== node.changed) {
          throw new StorageError('precondition', 'the object has changed', { path })
        }
        if (acl.aces.length > maxAces) throw new StorageError('too-large', 'the ACL has too many entries', { path })
        const { owner, group } = node.permissions.acl ?? { owner: undefined, group: undefined }
        node.permissions = permissionsWithAcl(node.permissions, { ...acl, owner, group })
        node.changed = this.#tree.tick()
        return entryOf(spot.name, node)
      }),
  }

  readonly copying: CopyFacet = {
    copy: async (from, to, options, call) => {
      this.#host.check(call)
      const target = this.#tree.look(to)
      const pending = this.#pending(from, call, (source) => {
        const { bytes } = needFile(source)
        needPlace(this.#tree, target)
        if (target.node) needFile(target)
        const { digests, record } = requireVersion(source, options.version)
        this.#host.makeRoom(bytes.length)
        const text = options.record ? options.record({ digests, ...(record !== undefined && { record }) }) : record
        const { condition, decide } = options
        const committing = { condition, decide, digests, ...(text !== undefined && { record: text }) }
        return commit(this.#change(call), target, Buffer.from(bytes), committing)
      })
      return { ...pending, target: trailOf(target) }
    },
  }

  readonly checksums: ChecksumFacet = {
    kinds: digestKinds,
    kept: async (path, call) => this.#pending(path, call, (spot) => keptOf(needFile(spot)).digests),
    compute: async (path, kinds, call) =>
      this.#pending(path, call, (spot) => {
        const node = needFile(spot)
        const kept = keptOf(node)
        const wanted = Object.fromEntries(kinds.map((kind) => [kind, kept.digests[kind] ?? digestOf(kind, node.bytes)]))
        node.kept = { ...kept, version: versionOf(node), digests: { ...kept.digests, ...wanted } }
        return wanted
      }),
  }

  readonly members: MembersFacet = {
    look: async (directory, names, { acls, kept }, call) =>
      this.#pending(directory, call, (spot) => {
        const { children } = needDirectory(spot)
        return names.map((name) => {
          const node = this.#tree.isReserved(name) ? undefined : children.get(name)
          if (!node) return undefined
          const { acl, ...plain } = entryOf(name, node)
          const entry = acl && acls ? { ...plain, acl } : plain
          return kept && node.type === 'file' ? { entry, kept: keptOf(node) } : { entry }
        })
      }),
  }

  readonly records: RecordFacet = {
    get: async (path, call) =>
      this.#pending(path, call, (spot) => (need(spot).type === 'file' ? keptOf(needFile(spot)) : { digests: {} })),
    set: async (path, record, { version, before }, call) =>
      this.#pending(path, call, (spot) => {
        const node = needFile(spot)
        if (versionOf(node) !== version) throw new StorageError('stale', 'the file has changed', { path })
        const kept = keptOf(node)
        requireBefore(before, kept, path)
        node.kept = { version, digests: kept.digests, ...(record !== undefined && { record }) }
        node.changed = this.#tree.tick()
      }),
  }

  readonly quotas: QuotaFacet = {
    usage: async (path, call) =>
      this.#pending(path, call, (spot) => {
        need(spot)
        const { bytes, files } = this.#tree.usage()
        const available = this.#limit === undefined ? undefined : Math.max(0, this.#limit - bytes)
        return { used: bytes, available, limit: this.#limit, files: { used: files, limit: undefined } }
      }),
  }

  readonly editing: EditFacet = {
    edit: async (file, options, call) =>
      this.#pending(file, call, (spot) => edit(this.#change(call), spot, options, call)),
  }

  readonly linking: LinkFacet & Required<Pick<LinkFacet, 'link'>> = {
    symlink: async (path, target, call) => this.#pending(path, call, (spot) => symlink(this.#tree, spot, target)),
    link: async (file, name, call) => this.#pendingMove(file, name, call, (one, other) => link(this.#tree, one, other)),
  }

  readonly exchanging: ExchangeFacet = {
    exchange: async (one, other, call) =>
      this.#pendingMove(one, other, call, (first, second) => exchange(this.#tree, first, second)),
  }

  readonly xattrs: XattrFacet = {
    get: async (path, name, call) =>
      this.#pending(path, call, (spot) => {
        requireName(name)
        const value = need(spot).xattrs.get(name)
        return value && new Uint8Array(value)
      }),
    list: async (path, call) => this.#pending(path, call, (spot) => [...need(spot).xattrs.keys()]),
    set: async (path, name, value, condition, call) =>
      this.#pending(path, call, (spot) => setXattr(this.#tree, spot, need(spot), { name, value, condition })),
  }

  readonly properties: PropertyFacet = {
    get: async (path, call) => this.#pending(path, call, (spot) => new Map(need(spot).properties)),
    set: async (path, changes, call) =>
      this.#pending(path, call, (spot) => {
        const node = need(spot)
        const next = new Map(node.properties)
        for (const [name, value] of changes) {
          if (value === undefined) next.delete(name)
          else next.set(name, value)
        }
        node.properties = next
        node.changed = this.#tree.tick()
      }),
  }

  readonly checking: CheckFacet = {
    check: async () => [
      this.#closed
        ? { subject: 'reachable', level: 'error', text: 'closed' }
        : { subject: 'reachable', level: 'ok', text: 'in memory: nothing survives the process' },
    ],
  }

  /** For tests: puts a symbolic link into an existing directory, whoever may. */
  addLink(path: Path, target: string): void {
    symlink(this.#tree, this.#tree.look(path), target)
  }

  /** For tests: the ACL of an object as it is from now on, its owner and group too; undefined cannot be read. */
  replaceAcl(path: Path, acl: Acl | undefined): void {
    const node = need(this.#tree.look(path))
    const { mode } = node.permissions
    node.permissions = acl ? permissionsWithAcl(node.permissions, acl) : { acl, mode }
    node.changed = this.#tree.tick()
  }

  readonly #host: Host = {
    check: ({ signal }) => {
      if (this.#closed) throw new StorageError('unavailable', 'the back end is closed')
      if (!signal.aborted) return
      if (signal.reason instanceof StorageError) throw signal.reason
      throw new StorageError('cancelled', 'the caller has gone', { cause: signal.reason })
    },
    makeRoom: (bytes) => {
      if (this.#limit !== undefined && this.#tree.usage().bytes + bytes > this.#limit) {
        throw new StorageError('quota', 'the quota is used up')
      }
    },
    tick: () => this.#tree.tick(),
  }

  #change(call: Call): Change {
    return { tree: this.#tree, host: this.#host, principal: call.principal }
  }

  /** Looks now; `act` runs only if the place still holds the very object that was seen. */
  #pending<T>(path: Path, call: Call, act: (spot: Spot) => T | Promise<T>): Pending<T> {
    this.#host.check(call)
    const spot = this.#tree.look(path)
    const proceed = async () => {
      this.#host.check(call)
      this.#tree.requireSame(spot)
      return act(spot)
    }
    return { trail: trailOf(spot), proceed, release: async () => {} }
  }

  #pendingMove<T>(from: Path, to: Path, call: Call, act: (source: Spot, target: Spot) => T): PendingMove<T> {
    this.#host.check(call)
    const target = this.#tree.look(to)
    return { ...this.#pending(from, call, (source) => act(source, target)), target: trailOf(target) }
  }
}

function needDirectory(spot: Spot): Node {
  const node = need(spot)
  if (node.type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path: spot.path })
  return node
}

/** What is kept with the source of a copy, which must be of this version. */
function requireVersion({ node, path }: Spot, version: string | undefined): Kept {
  if (!node) return { digests: {} }
  if (version === undefined || versionOf(node) === version) return keptOf(node)
  throw new StorageError('precondition', 'the file is not the one that was meant', { path })
}
