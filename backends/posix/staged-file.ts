/**
 * A file on its way: made in the directory it will appear in, and put there in one step. Behind drafts and copies.
 *
 * A new name appears by `linkat`, which refuses a name that is taken. An old file is replaced by `rename` under the
 * lease of its name, together with the fresh look and the decision, so that of all gateway processes one at a
 * time compares and replaces. Where the new file cannot be given what the old one has, the bytes are copied into it.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Acl } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Entry } from '../backend.ts'
import { copyInto } from './copying-into.ts'
import type { Desk, FileHandle } from './desk.ts'
import { keepElsewhere, labelsOf } from './kept.ts'
import type { Labels } from './kept-text.ts'
import { leaseKey, underLeases } from './leasing.ts'
import { ownerless } from './new-objects.ts'
import { attributeNames, forgetOverflow, moveOverflow } from './properties.ts'
import { requireCondition, requireRegular, unlessStale } from './requiring.ts'
import type { Seen, StageArgs } from './staging.ts'
import { directoryOf, type Hidden, type StagingArea } from './staging-area.ts'
import { entryOf, lookAgain, mayBeNew, nameAt, stillAllowed, type Target } from './target.ts'
import type { Expected } from './wire.ts'

/** How often what is to be replaced may change under the commit's eyes, by someone who honours no lease. */
const attempts = 8
/** ms. */
const closePatience = 1000

interface Made {
  readonly fd: number
  readonly overflow: string
  readonly hidden: Hidden | undefined
  /** It may have other rights than a file made now. */
  readonly differs: boolean
}

/** What a name is given on. */
interface Publishing {
  readonly expected?: Expected | undefined
  readonly seen?: Seen | undefined
  readonly labelled?: boolean
}

export class StagedFile {
  /** The open file, to be written to. */
  readonly handle: FileHandle
  readonly #desk: Desk
  readonly #area: StagingArea
  readonly #target: Target
  readonly #overflow: string
  /** What it is to get by path when it makes a new name. */
  readonly #list: Acl | undefined
  /** What it is to get otherwise. */
  readonly #acl: StageArgs['acl']
  /** It has, or may have, other rights than a file made now. */
  #differs: boolean
  /** What it has got by path. */
  #written: Acl | undefined
  #hidden: Hidden | undefined
  /** Properties of the old file are already kept under the draft's id as well. */
  #moved = false
  /** The hidden name is the draft's only one. */
  #named: boolean
  /** What was done as the bytes were written. */
  #whole: { readonly labelled: boolean; readonly tried: boolean } | undefined

  private constructor(desk: Desk, area: StagingArea, target: Target, made: Made, acl: StageArgs['acl']) {
    this.#list = desk.pathAcls && acl?.list
    this.#acl = this.#list ? undefined : acl
    this.#differs = made.differs
    this.#desk = desk
    this.#area = area
    this.#target = target
    this.handle = desk.adoptFile(made.fd)
    this.#overflow = made.overflow
    this.#hidden = made.hidden
    this.#named = made.hidden !== undefined
  }

  /** Makes the file. `no-space` when the announced size cannot fit. */
  static async make(
    desk: Desk,
    area: StagingArea,
    target: Target,
    { size, acl }: Pick<StageArgs, 'size' | 'acl'>,
  ): Promise<StagedFile> {
    const { parent, caller, path } = target
    // By path it comes later, and only where the file does not get that of the one it replaces.
    const list = desk.pathAcls && acl?.list
    const args: StageArgs = {
      parent: parent.ref,
      size,
      acl: list ? undefined : acl,
      replaces: target.sight.trail.entry !== undefined,
    }
    if (desk.unnamedFiles) {
      const staged = await desk.run('stage', args, caller)
      if ('fd' in staged) {
        return new StagedFile(desk, area, target, { ...staged, hidden: undefined, differs: false }, acl)
      }
      desk.unnamedFiles = false
    }
    const hidden = await area.reserve(directoryOf(target.sight, path), caller)
    return StagedFile.#makeNamed(desk, area, target, args, hidden, acl)
  }

  /**
   * Makes the file of bytes that are all here. A new one that nothing has to be synced for is there at once; otherwise
   * `commit` with the same options follows. Undefined where files cannot be without a name.
   */
  static async makeWhole(
    desk: Desk,
    area: StagingArea,
    target: Target,
    { bytes, acl }: { readonly bytes: Uint8Array; readonly acl: StageArgs['acl'] },
    options: CommitOptions,
  ): Promise<StagedFile | Entry | undefined> {
    const { parent, caller } = target
    const isNew = mayBeNew(target, options)
    const labels = isNew ? labelsOf(desk.setup, options) : undefined
    const labelling = labels && { modified: options.modified, labels }
    const isWhole = isNew && !desk.setup.sync && (labels || options.modified === undefined)
    const seen = isWhole ? stillAllowed(target, options) : undefined
    const appear = seen && { name: nameAt(target), seen }
    const staged = await desk.run('stageWhole', { parent: parent.ref, acl, bytes, labelling, appear }, caller)
    if ('entry' in staged) return entryOf(desk, target, staged)
    if (!('fd' in staged)) {
      desk.unnamedFiles = false
      return undefined
    }
    const { unlabelled, ...made } = staged
    const file = new StagedFile(desk, area, target, { ...made, hidden: undefined, differs: false }, acl)
    try {
      if (labels && unlabelled !== undefined) await file.#keepElsewhere(unlabelled, labels)
      file.#whole = { labelled: labels !== undefined, tried: appear !== undefined && unlabelled === undefined }
      return file
    } catch (error) {
      await file.end()
      throw error
    }
  }

  /** Makes a file that may be left: `keep` is told its place first, and answers for it from then on. */
  static async makeLasting(
    desk: Desk,
    area: StagingArea,
    target: Target,
    { size, acl }: Pick<StageArgs, 'size' | 'acl'>,
    keep: (place: string) => Promise<void>,
  ): Promise<StagedFile> {
    const { parent, caller, path, sight } = target
    const list = desk.pathAcls && acl?.list
    const replaces = sight.trail.entry !== undefined
    const args: StageArgs = { parent: parent.ref, size, acl: list ? undefined : acl, replaces, lasting: true }
    const hidden = area.name(directoryOf(sight, path), caller)
    await keep(hidden.place)
    return StagedFile.#makeNamed(desk, area, target, args, hidden, acl)
  }

  /** A file that was left, open again. `acl`: what it is to get when it makes a new name. */
  static again(
    desk: Desk,
    area: StagingArea,
    target: Target,
    left: { readonly fd: number; readonly overflow: string; readonly hidden: Hidden },
    acl: StageArgs['acl'],
  ): StagedFile {
    return new StagedFile(desk, area, target, { ...left, differs: true }, acl)
  }

  static async #makeNamed(
    desk: Desk,
    area: StagingArea,
    target: Target,
    args: StageArgs,
    hidden: Hidden,
    acl: StageArgs['acl'],
  ): Promise<StagedFile> {
    const { parent, caller } = target
    try {
      const staged = await desk.run('stage', { ...args, hidden: hidden.name }, caller)
      if ('fd' in staged) {
        const made = { ...staged, hidden, differs: args.replaces === true }
        return await StagedFile.#listed(new StagedFile(desk, area, target, made, acl))
      }
    } catch (error) {
      // It may have been made all the same, or still be.
      await area.drop(hidden, parent, caller)
      throw error
    }
    throw new StorageError('internal', 'nothing was staged')
  }

  /** Where the file will be new, its list is written at once: better refused now than after all the bytes. */
  static async #listed(file: StagedFile): Promise<StagedFile> {
    if (!file.#list || file.#target.sight.trail.entry) return file
    try {
      await file.#write(file.#list)
      return file
    } catch (error) {
      file.handle.release()
      throw error
    }
  }

  /** `size`: bytes written. Throws what the condition or the decision says, and then nothing has changed. */
  async commit(options: CommitOptions, size: number): Promise<Entry> {
    const whole = this.#whole
    const isNew = mayBeNew(this.#target, options)
    const labelled = isNew && (whole?.labelled ?? (await this.#label(options)))
    if (this.#desk.setup.sync) {
      await this.#desk.share.sync(this.handle.ref.fd, { dataOnly: false }, this.#target.caller.signal)
    }
    if (isNew) {
      const made = await this.#appear(options, labelled)
      if (made) return made
    }
    const key = leaseKey(this.#target.sight.trail, this.#name)
    return underLeases(this.#desk, [key], () => this.#replace(options, size))
  }

  /** Closes the file, and leaves it where it is. */
  async leave(): Promise<void> {
    await this.#closeFirst()
    if (this.#moved) await forgetOverflow(this.#desk, this.#overflow)
    this.#moved = false
  }

  /** Closes the file and takes its hidden name away. */
  async end(): Promise<void> {
    const hidden = this.#hidden
    this.#hidden = undefined
    if (hidden) await this.#closeFirst()
    else this.handle.release()
    if (hidden) await this.#area.drop(hidden, this.#target.parent, this.#target.caller)
    if (this.#moved) await forgetOverflow(this.#desk, this.#overflow)
  }

  get #path(): Path {
    return this.#target.path
  }

  get #name(): string {
    return nameAt(this.#target)
  }

  /** Undefined when the name was taken meanwhile. */
  async #appear(options: CommitOptions, labelled: boolean): Promise<Entry | undefined> {
    const seen = this.#whole?.tried ? undefined : stillAllowed(this.#target, options)
    const made = seen && (await this.#publish(options, { seen, labelled }))
    if (made) return made
    const trail = await lookAgain(this.#desk, this.#target)
    if (trail.entry) return undefined
    options.decide(trail)
    requireCondition(options.condition, undefined, this.#path)
    return this.#publish(options, { labelled })
  }

  /**
   * Labels go to disk together with the bytes where that can be: once less is waited for the disk. With a name it may
   * be on a file system that makes up the time, and so the version, when it is synced.
   */
  async #label(options: CommitOptions): Promise<boolean> {
    const labels = labelsOf(this.#desk.setup, options)
    if (!labels || this.#named || this.#differs) return false
    const args = { draft: this.handle.ref, modified: options.modified, labels }
    const { unlabelled } = await this.#desk.run('labelStaged', args, this.#target.caller)
    if (unlabelled !== undefined) await this.#keepElsewhere(unlabelled, labels)
    return true
  }

  async #keepElsewhere(version: string, labels: Labels): Promise<void> {
    this.#moved = true
    await keepElsewhere(this.#desk, this.#overflow, version, labels)
  }

  async #replace(options: CommitOptions, size: number): Promise<Entry> {
    for (let left = attempts; left > 0; left--) {
      const trail = await lookAgain(this.#desk, this.#target)
      options.decide(trail)
      requireCondition(options.condition, trail.entry, this.#path)
      if (trail.entry) requireRegular(trail.entry, this.#path)
      const done = trail.entry ? await this.#over(trail.entry, options, size) : await this.#publish(options, {})
      if (done) return done
    }
    throw new StorageError('busy', 'the file changes all the time', { path: this.#path, retryAfter: 1 })
  }

  /** Gives the draft a list by path. */
  async #write(list: Acl): Promise<void> {
    const { caller, parent, path, sight } = this.#target
    const directory = sight.trail.ancestors.at(-1)?.id ?? ''
    const name = this.#hidden?.name ?? ''
    const hidden = { object: this.handle.ref, path: directoryOf(sight, path), directory, parent, name }
    await this.#desk.pathWriter?.writeHidden(hidden, list, caller)
    this.#written = list
  }

  /** Takes the place of a file. Undefined when that has changed meanwhile. */
  async #over(old: Entry, options: CommitOptions, size: number): Promise<Entry | undefined> {
    const { caller, parent, path, sight } = this.#target
    const expected = { id: old.id, changed: old.changed }
    const at = { parent: parent.ref, name: this.#name, expected }
    const names = attributeNames(this.#desk.setup)
    const marks = { marker: names.elsewhere, dropped: names.digests }
    const prepared = await unlessStale(this.#desk.run('prepare', { draft: this.handle.ref, ...at, ...marks }, caller))
    if (!prepared) return undefined
    this.#differs = true
    if (!prepared.kept || !(await this.#passOn(old)))
      return copyInto(this.#desk, this.#target, { draft: this.handle.ref, name: this.#name, old, size }, options)
    const forget = await moveOverflow(this.#desk, prepared.overflow, this.#overflow)
    this.#moved ||= prepared.overflow !== undefined
    if (!this.#hidden) this.#hidden = await this.#area.reserve(directoryOf(sight, path), caller)
    const done = await this.#publish(options, { expected })
    if (done && (old.links ?? 1) === 1) await forget()
    return done
  }

  /** Where ACLs come by path, that of the old file. False: it cannot be given. */
  async #passOn({ acl }: Entry): Promise<boolean> {
    const { pathAcls, pathWriter } = this.#desk
    if (!pathAcls || !pathWriter) return true
    const { sight, path, caller } = this.#target
    if (!acl || !pathAcls.isWhole(acl)) return false
    if (!(await pathWriter.canWrite(directoryOf(sight, path), caller.signal))) return false
    await this.#write(acl)
    return true
  }

  /** Undefined when what was expected, or seen, is not so any more. */
  async #publish(options: CommitOptions, { expected, seen, labelled = false }: Publishing): Promise<Entry | undefined> {
    const { caller, parent } = this.#target
    if (!expected && this.#list && this.#written !== this.#list) await this.#write(this.#list)
    if (!expected && this.#moved && !labelled) await forgetOverflow(this.#desk, this.#overflow)
    const isRenewed = !expected && this.#differs && !this.#desk.pathAcls
    const labels = labelled ? undefined : labelsOf(this.#desk.setup, options)
    const args = {
      draft: this.handle.ref,
      parent: parent.ref,
      name: this.#name,
      expected,
      hidden: this.#hidden?.name ?? '',
      named: this.#named,
      asNew: isRenewed ? { acl: this.#acl } : undefined,
      dirty: expected !== undefined || isRenewed || labels !== undefined,
      modified: labelled ? undefined : options.modified,
      labels,
      seen,
    }
    let published = await this.#desk.run('publish', args, caller)
    if ('unlabelled' in published && labels) {
      await this.#keepElsewhere(published.unlabelled, labels)
      // What it got as a new one it has.
      published = await this.#desk.run('publish', { ...args, asNew: undefined, labels: undefined }, caller)
    }
    if ('unlabelled' in published) throw new StorageError('internal', 'nothing was to be labelled')
    if ('otherWay' in published) return undefined
    if ('taken' in published) {
      this.#named = published.named
      return undefined
    }
    this.#moved = false
    const hidden = this.#hidden
    this.#hidden = undefined
    const entry = this.#desk.entry(published.entry, published, expected ? this.#written : ownerless(this.#list))
    if (hidden && !published.twoNames) await this.#area.strike(hidden)
    return hidden && published.twoNames ? this.#takeHidden(hidden, entry) : entry
  }

  /**
   * An NFS client keeps a name that is taken from an open file, as another hidden one. A close that hangs, or that an
   * I/O thread still at work will do, is not waited for any longer.
   */
  async #closeFirst(): Promise<void> {
    this.handle.release()
    await Promise.race([this.handle.closed, sleep(closePatience, undefined, { ref: false })])
  }

  async #takeHidden(hidden: Hidden, published: Entry): Promise<Entry> {
    await this.#closeFirst()
    await this.#area.drop(hidden, this.#target.parent, this.#target.caller)
    try {
      const { entry } = await lookAgain(this.#desk, this.#target)
      return entry?.id === published.id ? entry : published
    } catch {
      // It is there for everybody; what cannot be looked at any more is told as it was made.
      return published
    }
  }
}
