/**
 * The POSIX back end: what GPFS, DUST and plain directory trees share.
 *
 * All system calls of the file system happen on I/O threads and on the mount's share of the data threads; what
 * stays here is to send calls out and to put their answers together. In the `native` grade each call runs under its
 * caller's identity and the kernel decides; in the `gateway` grade the ACLs that were seen are reported.
 */

import type { Acl } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, nameOf, type Path } from '../../gateway/core/path.ts'
import type {
  Backend,
  BackendServices,
  Changes,
  CheckFacet,
  CopyFacet,
  CreateOptions,
  Draft,
  Entry,
  Finding,
  Listing,
  ListOptions,
  MakeOptions,
  MoveOptions,
  OpenOptions,
  Pending,
  PendingFile,
  PendingMove,
  QuotaFacet,
  RightsFacet,
  Trail,
} from '../backend.ts'
import { FileAcls, KernelRights } from './acl-facet.ts'
import type { Changed } from './changing.ts'
import { FileChecksums } from './checksums.ts'
import { copyFile } from './copying.ts'
import { Desk, lookAt, lookInto, type NameSight, pendingOf } from './desk.ts'
import { FileDraft } from './draft.ts'
import { FileEditing } from './editing/editing.ts'
import { LargeFile, SmallFile } from './files.ts'
import { FileRecords, keptBy, labelNames } from './kept.ts'
import type { LabelNames } from './labelling.ts'
import { leaseKey, underLease, underLeases } from './leasing.ts'
import { FileExchanging } from './linking/exchanging.ts'
import { FileLinking } from './linking/linking.ts'
import { DirectoryListing } from './listing.ts'
import { DirectoryMembers, listNames } from './members.ts'
import { aclToGive } from './new-lists.ts'
import { ownerless } from './new-objects.ts'
import type { PosixOptions } from './options.ts'
import { attributeNames, FileProperties, forgetOverflow } from './properties.ts'
import { refusal, requireEntry, requireFile, requirePlace, requireRegular } from './requiring.ts'
import { FileResuming } from './resuming.ts'
import { SmallDraft, smallDraft } from './small-draft.ts'
import { StagedFile } from './staged-file.ts'
import { directoryOf, StagingArea } from './staging-area.ts'
import type { Target } from './target.ts'
import { FileXattrs } from './xattrs/xattrs.ts'

/** How often names left behind are looked for, and how long after their process died, in ms. */
const sweepEvery = 10 * 60_000
const sweepAge = 60_000

export class PosixBackend implements Backend {
  readonly name: string
  readonly acls: FileAcls
  readonly rights?: RightsFacet
  readonly checksums: FileChecksums
  readonly properties: FileProperties
  readonly records: FileRecords
  readonly members: DirectoryMembers
  readonly resuming: FileResuming
  readonly editing: FileEditing
  readonly linking: FileLinking
  readonly exchanging: FileExchanging
  readonly xattrs: FileXattrs
  readonly #desk: Desk
  readonly #area: StagingArea
  readonly #sweeper: NodeJS.Timeout
  readonly #ready: Promise<void>
  readonly #labels: LabelNames

  /** Starts the I/O threads at once; `ready` tells when they work. The file system is not touched here. */
  constructor(options: PosixOptions, services: BackendServices) {
    this.#desk = new Desk(options, services)
    this.#area = new StagingArea(this.#desk)
    this.name = this.#desk.name
    this.#labels = labelNames(this.#desk.setup)

    this.acls = new FileAcls(this.#desk)
    if (this.#desk.setup.native) this.rights = new KernelRights(this.#desk)
    this.checksums = new FileChecksums(this.#desk)
    this.properties = new FileProperties(this.#desk)
    this.records = new FileRecords(this.#desk)
    this.members = new DirectoryMembers(this.#desk)
    this.resuming = new FileResuming(this.#desk, this.#area)
    this.editing = new FileEditing(this.#desk, this.#area)
    this.linking = new FileLinking(this.#desk)
    this.exchanging = new FileExchanging(this.#desk)
    this.xattrs = new FileXattrs(this.#desk)
    this.#sweeper = setInterval(() => this.#sweepQuietly(), sweepEvery).unref()
    this.#ready = this.#desk.pool.ready()
    // Whoever asks `ready` or makes a call is told.
    this.#ready.then(
      () => {
        this.#sweepQuietly()
        this.#tryQuietly()
      },
      () => {},
    )
  }

  /** Resolves when calls can be made; rejects when the I/O threads cannot work, such as when identities do not switch. */
  ready(): Promise<void> {
    return this.#ready
  }

  /** Takes away what drafts of processes dead for `age` ms have left. Returns how many places it dealt with. */
  sweep(age = sweepAge): Promise<number> {
    return this.#area.sweep(age)
  }

  /** Descriptors kept for calls under way; for tests and metrics. */
  get openHandles(): number {
    return this.#desk.handles.kept
  }

  /** In the `native` grade the kernel decides, whoever calls. */
  enforces(): boolean {
    return this.#desk.setup.native
  }

  async walk(path: Path, call: Call): Promise<Trail> {
    return (await this.#desk.see('look', { path, follow: false }, this.#desk.caller(call))).trail
  }

  async list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
    if (options.names) return listNames(this.#desk, directory, options, call)
    const caller = this.#desk.caller(call)
    const { looked, trail } = await this.#desk.see('openDirectory', { path: directory }, caller)
    const handle = looked.fd === undefined ? undefined : this.#desk.handles.adopt(looked.fd)
    let taken = false
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      const { type } = requireEntry(trail, directory)
      if (type === 'symlink') requireRegular(requireEntry(trail, directory), directory)
      if (type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path: directory })
      if (!handle || taken) throw refusal(looked, directory)
      taken = true
      return new DirectoryListing(this.#desk, directory, handle, caller, { acls: options.acls === true })
    }
    return { trail, proceed, release: async () => (taken ? undefined : handle?.release()) }
  }

  async open(file: Path, { inlineUpTo = -1, kept: wanted }: OpenOptions, call: Call): Promise<PendingFile> {
    const args = { path: file, inlineUpTo, ...(wanted && { kept: this.#labels }) }
    const { looked, trail } = await this.#desk.see('open', args, this.#desk.caller(call))
    const handle = looked.fd === undefined ? undefined : this.#desk.adoptFile(looked.fd)
    let taken = false
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      const entry = requireFile(trail, file)
      if (looked.content) return new SmallFile(this.#desk, entry, looked.content, call)
      if (!handle || taken) throw refusal(looked, file)
      taken = true
      return new LargeFile(this.#desk, entry, handle, call)
    }
    const pending = { trail, proceed, release: async () => (taken ? undefined : handle?.release()) }
    if (!looked.kept || !trail.entry) return pending
    try {
      return { ...pending, kept: await keptBy(this.#desk, looked.kept, trail.entry.version) }
    } catch (error) {
      handle?.release()
      throw error
    }
  }

  async create(file: Path, options: CreateOptions, call: Call): Promise<Pending<Draft>> {
    const caller = this.#desk.caller(call)
    const sight = await lookAt(this.#desk, file, true, caller)
    const { trail, parent, looked } = sight
    let taken = false
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      if (trail.entry) requireRegular(trail.entry, file)
      const place = requirePlace(this.#desk, sight, file)
      const target: Target = { path: file, caller, parent: place.parent, sight }
      const nfs4 = looked.nfs4 === true
      const made = { kind: 'file', directory: place.directory, path: file, nfs4 } as const
      const acl = await aclToGive(this.#desk, made, sight, call)
      if (this.#waitsInMemory(options)) {
        taken = true
        return new SmallDraft(this.#desk, this.#area, target, acl)
      }
      const staged = await StagedFile.make(this.#desk, this.#area, target, { size: options.size, acl })
      taken = true
      return new FileDraft(this.#desk, staged, target)
    }
    return { trail, proceed, release: async () => (taken ? undefined : parent?.release()) }
  }

  async mkdir(directory: Path, call: Call, { mode }: MakeOptions = {}): Promise<Pending<Entry>> {
    const caller = this.#desk.caller(call)
    const sight = await lookAt(this.#desk, directory, false, caller)
    const { trail, looked } = sight
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      if (trail.entry) throw new StorageError('exists', 'something of that name exists', { path: directory })
      const { parent, directory: above } = requirePlace(this.#desk, sight, directory)
      const nfs4 = looked.nfs4 === true
      const asked = mode === undefined ? {} : { mode: mode & 0o777 }
      const made = { kind: 'directory', directory: above, path: directory, nfs4, ...asked } as const
      const acl = await aclToGive(this.#desk, made, sight, call)
      // Where a list says who may, the mode would close it to the gateway itself.
      const args = { parent: parent.ref, name: nameOf(directory), ...(acl ? { acl } : asked) }
      // Where the ACL comes with an attribute of ours, nobody sees the directory before it has one.
      if (!acl || (nfs4 && !acl.list)) return this.#told(await this.#desk.run('mkdir', args, caller))
      const hidden = await this.#area.reserve(directoryOf(sight, directory), caller)
      try {
        const { pathWriter } = this.#desk
        const place = { path: directoryOf(sight, directory), directory: above.id, parent, name: args.name }
        const changed =
          pathWriter && acl.list
            ? await pathWriter.mkdir(place, acl.list, hidden, caller)
            : await this.#desk.run('mkdir', { ...args, hidden: hidden.name }, caller)
        await this.#area.strike(hidden)
        return this.#told(changed, ownerless(acl.list))
      } catch (error) {
        await this.#area.drop(hidden, parent, caller)
        throw error
      }
    }
    return pendingOf(trail, proceed, sight.parent)
  }

  async remove(path: Path, call: Call): Promise<Pending<void>> {
    const caller = this.#desk.caller(call)
    const { trail, parent } = await lookAt(this.#desk, path, false, caller)
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      const { id, changed, name } = requireEntry(trail, path)
      if (!parent) throw new StorageError('invalid', 'the root cannot be removed', { path })
      const marker = attributeNames(this.#desk.setup).elsewhere
      const args = { parent: parent.ref, name, expected: { id, changed }, marker }
      const gone = await underLease(this.#desk, trail, () => this.#desk.run('remove', args, caller))
      await forgetOverflow(this.#desk, gone.overflow)
    }
    return pendingOf(trail, proceed, parent)
  }

  async rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    const caller = this.#desk.caller(call)
    const source = await lookAt(this.#desk, from, false, caller)
    let target: NameSight
    try {
      target = await lookAt(this.#desk, to, false, caller)
    } catch (error) {
      source.parent?.release()
      throw error
    }
    const proceed = () => this.#rename({ path: from, ...source }, { path: to, ...target }, options, call)
    const pending = pendingOf(source.trail, proceed, source.parent, target.parent)
    return { ...pending, target: target.trail }
  }

  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return this.acls.setAttributes(path, changes, call)
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#desk.close()
  }

  readonly copying: CopyFacet = {
    copy: (from, to, options, call) => copyFile(this.#desk, this.#area, from, to, options, call),
  }

  readonly quotas: QuotaFacet = {
    usage: async (path, call) => {
      const caller = this.#desk.caller(call)
      const { trail, object } = await lookInto(this.#desk, path, caller)
      const proceed = async () => {
        requireEntry(trail, path)
        if (!object) throw new StorageError('denied', 'this belongs to another file system', { path })
        const fs = await this.#desk.run('usage', { object: object.ref }, caller)
        return {
          used: (fs.blocks - fs.free) * fs.blockSize,
          available: fs.available * fs.blockSize,
          limit: fs.blocks * fs.blockSize,
          ...(fs.files > 0 && { files: { used: fs.files - fs.filesFree, limit: fs.files } }),
        }
      }
      return pendingOf(trail, proceed, object)
    },
  }

  readonly checking: CheckFacet = {
    check: async () => {
      const findings: Finding[] = []
      try {
        await this.#ready
        findings.push(...(await this.#desk.run('inspectTree', {}, this.#desk.itself)))
        const { pathWriter } = this.#desk
        if (pathWriter) findings.push(await pathWriter.finding())
        if (this.enforces()) findings.push({ subject: 'identity', level: 'ok', text: 'I/O threads switch identities' })
      } catch (error) {
        const { message, code } = StorageError.from(error)
        findings.push({ subject: 'reachable', level: 'error', text: `${code}: ${message}` })
      }
      for (const [word, count] of this.#desk.trouble) {
        findings.push({ subject: word, level: 'warning', text: `met ${count} times since the start` })
      }
      const { badNames } = this.#desk
      if (badNames > 0) {
        findings.push({ subject: 'bad-names', level: 'warning', text: `left out of listings ${badNames} times` })
      }
      return findings
    },
  }

  async #rename(
    from: NameSight & { readonly path: Path },
    to: NameSight & { readonly path: Path },
    { condition }: MoveOptions,
    call: Call,
  ): Promise<Entry> {
    this.#desk.requireAlive(call.signal)
    const caller = this.#desk.caller(call)
    const entry = requireEntry(from.trail, from.path)
    if (!from.parent) throw new StorageError('invalid', 'the root cannot be moved', { path: from.path })
    if (isWithin(to.path, from.path) && to.path !== from.path) {
      throw new StorageError('invalid', 'a directory cannot move into itself', { path: to.path })
    }
    const place = requirePlace(this.#desk, to, to.path)
    const old = to.trail.entry
    if (old && condition === 'absent') throw new StorageError('exists', 'the target exists', { path: to.path })
    if (old && old.id === entry.id) return old
    const args = {
      from: { parent: from.parent.ref, name: entry.name, expected: { id: entry.id, changed: entry.changed } },
      to: {
        parent: place.parent.ref,
        name: nameOf(to.path),
        expected: old && { id: old.id, changed: old.changed },
      },
      marker: attributeNames(this.#desk.setup).elsewhere,
    }
    const keys = [leaseKey(from.trail, entry.name), leaseKey(to.trail, args.to.name)]
    const moved = await underLeases(this.#desk, keys, () => this.#desk.run('rename', args, caller))
    await forgetOverflow(this.#desk, moved.overflow)
    return this.#told(moved, entry.acl)
  }

  /** Where the kernel decides, it does so before the body comes: by the file that is made then. */
  #waitsInMemory({ size = Number.POSITIVE_INFINITY }: CreateOptions): boolean {
    return size <= smallDraft && this.#desk.unnamedFiles && !this.#desk.setup.native
  }

  #told(changed: Changed, acl?: Acl): Entry {
    return this.#desk.entry(changed.entry, changed, acl)
  }

  #tryQuietly(): void {
    this.#desk.pathWriter?.begin().catch((error) => this.#desk.log(`${this.name}: trying to set ACLs failed`, error))
  }

  #sweepQuietly(): void {
    this.sweep().catch((error) => this.#desk.log(`${this.name}: looking for left files failed`, error))
  }
}
