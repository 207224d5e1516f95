/** Opening files for writing in place, and making them. */

import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import type { EditableFile, EditFacet, EditOptions, Entry, Pending } from '../../backend.ts'
import { type Desk, lookForEither, lookInto, type NameSight, pendingOf } from '../desk.ts'
import type { Handle } from '../handles.ts'
import { labelNames } from '../kept.ts'
import { aclToGive } from '../new-lists.ts'
import { refusal, requireFile, requirePlace } from '../requiring.ts'
import { StagedFile } from '../staged-file.ts'
import type { StagingArea } from '../staging-area.ts'
import { nameAt, type Target } from '../target.ts'
import { forgetLabel, WritableFile } from './file.ts'

export class FileEditing implements EditFacet {
  readonly #desk: Desk
  readonly #area: StagingArea

  constructor(desk: Desk, area: StagingArea) {
    this.#desk = desk
    this.#area = area
  }

  async edit(file: Path, options: EditOptions, call: Call): Promise<Pending<EditableFile>> {
    const caller = this.#desk.caller(call)
    const { create, truncate = false, read = false } = options
    // A link that leads nowhere is something too.
    const sight = await lookForEither(this.#desk, file, create?.exclusive !== true, caller)
    const { trail, object } = sight
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      if (create && !trail.entry) return this.#create(sight, file, create, call)
      if (create?.exclusive) throw new StorageError('exists', 'something of that name exists', { path: file })
      const entry = requireFile(trail, file)
      if (!object) throw refusal({}, file)
      return this.#open(object, entry, { truncate, read, created: false }, call)
    }
    return pendingOf(trail, proceed, object, sight.parent)
  }

  async #open(
    object: Handle,
    { name, acl }: Entry,
    { truncate, read, created }: { readonly truncate: boolean; readonly read: boolean; readonly created: boolean },
    call: Call,
  ): Promise<EditableFile> {
    const args = { object: object.ref, name, truncate, read, names: labelNames(this.#desk.setup) }
    const opened = await this.#desk.run('openToEdit', args, this.#desk.caller(call))
    const { labelled, takesLate, unreadable } = opened
    const handle = this.#desk.adoptFile(opened.fd)
    try {
      if (truncate) await forgetLabel(this.#desk, labelled?.overflow)
      const entry = this.#desk.entry(opened.entry, opened, acl)
      const opening = { entry, handle, created, takesLate, unreadable, labelled: truncate ? undefined : labelled }
      return new WritableFile(this.#desk, opening, call)
    } catch (error) {
      handle.release()
      throw error
    }
  }

  async #create(
    sight: NameSight,
    file: Path,
    { exclusive, mode }: NonNullable<EditOptions['create']>,
    call: Call,
  ): Promise<EditableFile> {
    const { parent, directory } = requirePlace(this.#desk, sight, file)
    const caller = this.#desk.caller(call)
    const target: Target = { path: file, caller, parent, sight }
    const asked = mode === undefined ? {} : { mode: mode & 0o777 }
    const made = { kind: 'file', directory, path: file, nfs4: sight.looked.nfs4 === true, ...asked } as const
    const acl = await aclToGive(this.#desk, made, sight, call)
    try {
      if (!acl || this.#desk.unnamedFiles) {
        const args = { parent: parent.ref, name: nameAt(target), mode, acl }
        const done = await this.#desk.run('createToEdit', args, caller)
        if ('fd' in done) {
          const handle = this.#desk.adoptFile(done.fd)
          const entry = this.#desk.entry(done.entry, done)
          return new WritableFile(this.#desk, { entry, handle, created: true, takesLate: done.takesLate }, call)
        }
        this.#desk.unnamedFiles = false
      }
      return await this.#createHidden(target, acl, call)
    } catch (error) {
      // It was not there when that was asked for; whoever wants any file looks again.
      if (exclusive || !(error instanceof StorageError) || error.code !== 'exists') throw error
      throw new StorageError('stale', 'the file was made meanwhile', { path: file, cause: error })
    }
  }

  /** Under a hidden name first, so that nobody sees it without its ACL. */
  async #createHidden(target: Target, acl: Awaited<ReturnType<typeof aclToGive>>, call: Call): Promise<EditableFile> {
    const { path, caller } = target
    const staged = await StagedFile.make(this.#desk, this.#area, target, { size: undefined, acl })
    let made: Entry
    try {
      made = await staged.commit({ condition: 'absent', decide: () => {} }, 0)
    } finally {
      await staged.end()
    }
    const { trail, object } = await lookInto(this.#desk, path, caller)
    try {
      const { entry } = trail
      if (!object || entry?.id !== made.id) throw new StorageError('stale', 'the file went elsewhere', { path })
      return await this.#open(object, entry, { truncate: false, read: false, created: true }, call)
    } finally {
      object?.release()
    }
  }
}
