/** How an upload comes to be: its draft, and what is known of it. */

import { newId } from '../../acl/ids.ts'
import type { CommitCondition, Entry, LastingDraft } from '../../backends/backend.ts'
import type { NewStoredUpload, StoredUpload } from '../state/state.ts'
import { commitCondition } from './conditions.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import type { SpooledDraft } from './spool.ts'
import { begin, type Target } from './target.ts'
import type { Task } from './task.ts'
import { pendingOf, type UploadMeans, unseen } from './upload-means.ts'
import { ownerOf } from './upload-owner.ts'
import { textOfTerms } from './upload-terms.ts'
import type { NewUpload } from './uploads.ts'

export interface NewCreation extends NewUpload {
  /** It comes in parts. */
  readonly parted?: boolean
}

/** Makes the draft and what is known of it. */
export class Creation {
  readonly #means: UploadMeans
  readonly #task: Task
  readonly #target: Target
  readonly #options: NewCreation
  readonly #expires: number
  readonly #id = newId(24)
  /** The draft's name, once it is known to the store. */
  #kept: string | undefined

  constructor(means: UploadMeans, task: Task, target: Target, options: NewCreation, expires: number) {
    this.#means = means
    this.#task = task
    this.#target = target
    this.#options = options
    this.#expires = expires
  }

  async run(admission: Admission): Promise<StoredUpload> {
    const { gate, store } = this.#means
    const { place } = this.#target
    try {
      const draft = await (place.mount.backend.resuming ? this.#inBackend(admission) : this.#inSpool(admission))
      try {
        return await store.made(this.#id, draft.id)
      } finally {
        await gate.run(this.#task, place, () => draft.close(), { admission: 'continues' })
      }
    } catch (error) {
      await this.#forget()
      throw error
    }
  }

  async #inBackend(admission: Admission): Promise<LastingDraft> {
    const { gate } = this.#means
    const { place } = this.#target
    const { size } = this.#options
    let seen: Entry | undefined
    const { made } = await begin<LastingDraft>(gate, this.#task, this.#target, this.#options, {
      admission,
      open: async () => {
        const keep = (name: string) => this.#keep(name, false, commitCondition(this.#options.conditions ?? {}, seen))
        const facet = place.mount.backend.resuming
        if (!facet) throw new StorageError('internal', 'the back end keeps no drafts')
        const pending = await facet.begin(place.inner, { keep, ...(size !== undefined && { size }) }, this.#task)
        seen = pending.trail.entry
        return pending
      },
      late: (late) => late.discard(),
    })
    return made
  }

  async #inSpool(admission: Admission): Promise<SpooledDraft> {
    const { gate, spool } = this.#means
    const { place } = this.#target
    const { backend } = place.mount
    const look = async () => {
      try {
        return await backend.walk(place.inner, this.#task)
      } catch (error) {
        // He may be allowed to write where he may not look: the back end says so at the end.
        const mayBe = backend.enforces(this.#task.principal) && StorageError.from(error).code === 'denied'
        if (!mayBe) throw error
        return unseen()
      }
    }
    const { made } = await begin<SpooledDraft>(gate, this.#task, this.#target, this.#options, {
      admission,
      open: async () => {
        const trail = await look()
        return pendingOf(trail, async () => {
          const name = spool.name()
          await this.#keep(name, true, commitCondition(this.#options.conditions ?? {}, trail.entry))
          return spool.make(name)
        })
      },
      late: (late) => late.discard(),
    })
    return made
  }

  async #keep(place: string, spooled: boolean, condition: CommitCondition): Promise<void> {
    // The one before was of a look that was repeated.
    await this.#forget()
    const { digests = [], expected = {}, modified, note, size, parted = false } = this.#options
    const { mount, path, inner } = this.#target.place
    const by = this.#task.principal.id
    const upload: NewStoredUpload = {
      id: this.#id,
      principal: ownerOf(this.#task),
      user: this.#task.principal.user,
      backend: mount.backend.name,
      terms: textOfTerms({ condition, digests, expected, modified, note, by }),
      length: size,
      reserved: size ?? 0,
      expires: this.#expires,
      ...{ path, inner, place, spooled, parted },
    }
    await this.#means.store.add(upload, this.#means.bounds)
    this.#kept = place
  }

  /** Takes back what was kept; what cannot be taken away now goes when it expires. */
  async #forget(): Promise<void> {
    const place = this.#kept
    this.#kept = undefined
    if (place === undefined) return
    const { store, spool } = this.#means
    const { resuming } = this.#target.place.mount.backend
    try {
      await (resuming ? resuming.drop(place) : spool.remove(place))
      await store.remove(this.#id)
    } catch {
      // The reason for the failure is thrown by who called.
    }
  }
}
