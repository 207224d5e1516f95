/** Drafts that are left and gone on with: staged files with a hidden name in the directory they will appear in. */

import type { Writable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  BeginOptions,
  CommitOptions,
  Entry,
  FileStream,
  LastingDraft,
  LeftDraft,
  Pending,
  Range,
  ResumingFacet,
} from '../backend.ts'
import { type Desk, lookAt, type NameSight } from './desk.ts'
import { draftWriter, streamRange } from './io/streams.ts'
import { aclToGive } from './new-lists.ts'
import { requireDirectoryOf, requireRegular, requireUnreserved } from './requiring.ts'
import { StagedFile } from './staged-file.ts'
import type { StagingArea } from './staging-area.ts'
import type { Target } from './target.ts'
import type { AclBytes } from './wire.ts'

export class FileResuming implements ResumingFacet {
  readonly #desk: Desk
  readonly #area: StagingArea

  constructor(desk: Desk, area: StagingArea) {
    this.#desk = desk
    this.#area = area
  }

  begin(file: Path, { size, keep }: BeginOptions, call: Call): Promise<Pending<LastingDraft>> {
    return this.#pending(file, call, async (target, acl) => {
      const staged = await StagedFile.makeLasting(this.#desk, this.#area, target, { size, acl }, keep)
      try {
        const told = await this.#desk.run('restat', { file: staged.handle.ref, name: '' }, target.caller)
        const { id } = this.#desk.entry(told.entry, told)
        return new PosixLastingDraft(this.#desk, staged, target, { id, size: 0 })
      } catch (error) {
        await staged.end()
        throw error
      }
    })
  }

  resume(file: Path, { place, id, shared }: LeftDraft, call: Call): Promise<Pending<LastingDraft>> {
    return this.#pending(file, call, async (target, acl) => {
      const hidden = this.#area.named(place)
      if (!hidden) throw new StorageError('not-found', 'the draft is gone', { path: file })
      const args = { parent: target.parent.ref, hidden: hidden.name, id, shared }
      const opened = await this.#desk.run('openStaged', args, target.caller)
      const staged = StagedFile.again(this.#desk, this.#area, target, { ...opened, hidden }, acl)
      return new PosixLastingDraft(this.#desk, staged, target, { id, size: opened.size, shared })
    })
  }

  drop(place: string): Promise<void> {
    return this.#area.remove(place)
  }

  async #pending(
    file: Path,
    call: Call,
    open: (target: Target, acl: AclBytes | undefined) => Promise<LastingDraft>,
  ): Promise<Pending<LastingDraft>> {
    const caller = this.#desk.caller(call)
    const sight = await lookAt(this.#desk, file, true, caller)
    let taken = false
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      const { target, acl } = await this.#place(sight, file, call)
      const draft = await open({ ...target, caller }, acl)
      taken = true
      return draft
    }
    return { trail: sight.trail, proceed, release: async () => (taken ? undefined : sight.parent?.release()) }
  }

  async #place(sight: NameSight, path: Path, call: Call) {
    const { trail, parent, looked } = sight
    if (trail.entry) requireRegular(trail.entry, path)
    const directory = requireDirectoryOf(trail, path)
    if (!parent) throw new StorageError('is-directory', 'this is a directory', { path })
    requireUnreserved(this.#desk, sight, path)
    const made = { kind: 'file', directory, path, nfs4: looked.nfs4 === true } as const
    const acl = await aclToGive(this.#desk, made, sight, call)
    return { target: { path, parent, sight }, acl }
  }
}

/** Bytes copied in one go, so that other calls of the mount get their turn. */
const slice = 16 * 1024 * 1024

class PosixLastingDraft implements LastingDraft {
  readonly id: string
  readonly size: number
  readonly #desk: Desk
  readonly #file: StagedFile
  readonly #target: Target
  readonly #shared: boolean
  readonly #streams = new Set<FileStream | Writable>()
  #state: 'open' | 'committing' | 'closed' = 'open'

  /** Owns the file and the target's directory from now on. */
  constructor(
    desk: Desk,
    file: StagedFile,
    target: Target,
    { id, size, shared = false }: { readonly id: string; readonly size: number; readonly shared?: boolean | undefined },
  ) {
    this.#desk = desk
    this.#file = file
    this.#target = target
    this.id = id
    this.size = size
    this.#shared = shared
  }

  writeFrom(offset: number): Writable {
    this.#requireOpen()
    const { share, setup } = this.#desk
    const { signal } = this.#target.caller
    const fd = this.#file.handle.ref.fd
    return this.#kept(draftWriter({ share, fd, signal, syncFollows: setup.sync, start: offset }))
  }

  async sync(): Promise<void> {
    this.#requireOpen()
    if (!this.#desk.setup.sync) return
    await this.#desk.share.sync(this.#file.handle.ref.fd, { dataOnly: true }, this.#target.caller.signal)
  }

  stream(range: Range): FileStream {
    this.#requireOpen()
    const { share } = this.#desk
    const { signal } = this.#target.caller
    return this.#kept(streamRange(range, { share, fd: this.#file.handle.ref.fd, signal }))
  }

  async copyFrom(from: LastingDraft, { start, end }: Range, to: number): Promise<void> {
    this.#requireOpen()
    if (!(from instanceof PosixLastingDraft) || from.#desk !== this.#desk) {
      throw new StorageError('internal', 'the draft is another back end’s')
    }
    from.#requireOpen()
    const refs = { from: from.#file.handle.ref, to: this.#file.handle.ref }
    for (let offset = start; offset < end; ) {
      const args = { ...refs, offset, at: to + offset - start, length: Math.min(slice, end - offset) }
      const count = await this.#desk.run('copyBytes', args, this.#target.caller)
      if (count === 0) throw new StorageError('stale', 'bytes of the draft are missing')
      offset += count
    }
  }

  async commit(size: number, options: CommitOptions): Promise<Entry> {
    this.#requireOpen()
    this.#requireAlone()
    this.#desk.requireAlive(this.#target.caller.signal)
    this.#state = 'committing'
    try {
      await this.#desk.run('cutStaged', { file: this.#file.handle.ref, size }, this.#target.caller)
      const entry = await this.#file.commit(options, size)
      this.#state = 'closed'
      await this.#file.end()
      this.#target.parent.release()
      return entry
    } catch (error) {
      if (this.#state === 'committing') this.#state = 'open'
      throw error
    }
  }

  async close(): Promise<void> {
    if (!this.#end()) return
    await this.#file.leave()
    this.#target.parent.release()
  }

  async discard(): Promise<void> {
    this.#requireAlone()
    if (!this.#end()) return
    await this.#file.end()
    this.#target.parent.release()
  }

  #end(): boolean {
    if (this.#state !== 'open') return false
    this.#state = 'closed'
    for (const stream of this.#streams) stream.destroy()
    return true
  }

  #requireAlone(): void {
    if (this.#shared) throw new StorageError('internal', 'a shared draft is for others too')
  }

  #requireOpen(): void {
    if (this.#state !== 'open') throw new StorageError('stale', 'the draft is closed')
  }

  #kept<S extends FileStream | Writable>(stream: S): S {
    this.#streams.add(stream)
    // Whoever uses it gets the error as well; a close under a stream that nobody uses must not end the process.
    stream.on('error', () => {})
    stream.once('close', () => this.#streams.delete(stream))
    return stream
  }
}
