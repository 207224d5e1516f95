/** What all steps of an upload work with, and how its draft is opened. */

import type { Digest, LastingDraft, Pending, Trail } from '../../backends/backend.ts'
import type { UploadBounds, UploadStore } from '../state/state.ts'
import type { Call } from './call.ts'
import type { Gate } from './deciding.ts'
import { DigestSet } from './digests.ts'
import { StorageError } from './errors.ts'
import type { Spool, SpooledDraft } from './spool.ts'
import { begin, type Target } from './target.ts'
import type { Task } from './task.ts'
import { conditionsOf, kindsOf, stateOf, termsOf } from './upload-terms.ts'
import { gone, superseded, type Turn, type Turns } from './upload-turns.ts'
import { OffsetError } from './uploads.ts'

export interface UploadMeans {
  readonly gate: Gate
  readonly store: UploadStore
  readonly turns: Turns
  readonly spool: Spool
  readonly bounds: UploadBounds
  readonly passes: Passes
}

/** The same caller, who is not gone when his connection is: what has come from him is to be kept. */
export function staying({ id, principal, protocol, from, lockTokens }: Call): Call {
  const { signal } = new AbortController()
  return { id, principal, protocol, from, signal, ...(lockTokens && { lockTokens }) }
}

/** Throws where the path leads to another storage than when the upload was made. */
export function requireSamePlace({ row }: Pick<Turn, 'row'>, { place }: Target): void {
  if (place.mount.backend.name === row.backend && place.inner === row.inner) return
  throw new StorageError('stale', 'another storage is at this path now', { path: row.path })
}

/** Throws OffsetError where bytes have been lost that had counted: they have to come again. */
export async function requireThere(
  { store, bounds, passes }: UploadMeans,
  turn: Turn,
  { size }: Pick<SpooledDraft, 'size'>,
): Promise<void> {
  const { row, number } = turn
  if (size >= row.offset) return
  passes.take(turn, [])
  if (!(await store.progress(row.id, number, { offset: size }, bounds))) throw superseded()
  throw new OffsetError(stateOf({ ...row, offset: size }))
}

/**
 * Opens the draft of an upload to add to it, alone or together with others. Rights, locks and conditions are looked at
 * as far as that is cheap.
 */
export async function openDraft(
  { gate, spool }: UploadMeans,
  task: Task,
  target: Target,
  { row }: Pick<Turn, 'row'>,
  { shared = false }: { readonly shared?: boolean } = {},
): Promise<LastingDraft | SpooledDraft> {
  const { place } = target
  const { backend } = place.mount
  const conditions = conditionsOf(termsOf(row))
  if (row.object === undefined) throw gone()
  if (!row.spooled) {
    const left = { place: row.place, id: row.object, shared }
    const { made } = await begin<LastingDraft>(
      gate,
      task,
      target,
      { conditions },
      {
        admission: 'new',
        open: () => facetOf(target).resume(place.inner, left, task),
        late: (late) => late.close(),
      },
    )
    return made
  }
  // A back end that decides itself is asked when the bytes are sent to it.
  const look = backend.enforces(task.principal) ? unseen : () => backend.walk(place.inner, task)
  const options = backend.enforces(task.principal) ? {} : { conditions }
  const { made } = await begin<SpooledDraft>(gate, task, target, options, {
    admission: 'new',
    open: async () => pendingOf(await look(), () => spool.open(row.place, { shared })),
    late: (late) => late.close(),
  })
  return made
}

export function facetOf({ place }: Target) {
  const { resuming } = place.mount.backend
  if (resuming) return resuming
  throw new StorageError('stale', 'another storage is at this path now', { path: place.path })
}

/** A look that is nothing to be let go of. */
export function pendingOf<T>(trail: Trail, proceed: () => Promise<T>): Pending<T> {
  return { trail, proceed, release: async () => {} }
}

/** What is known where nobody looked. */
export async function unseen(): Promise<Trail> {
  return { ancestors: [], parentExists: true, entry: undefined }
}

interface Pass {
  readonly offset: number
  readonly digests: DigestSet
}

const mostPasses = 256

/** Digests of what this process has seen of uploads from their first byte on: an upload that it sees to the end is not read again. */
export class Passes {
  readonly #passes = new Map<string, Pass>()

  /** Those that hold for all that is there, if this process has seen that; they are the caller's from now on. */
  take({ row }: Turn, kinds: readonly Digest[]): DigestSet | undefined {
    const pass = this.#passes.get(row.id)
    this.#passes.delete(row.id)
    if (kinds.length === 0) return undefined
    if (row.offset === 0) return new DigestSet(kinds)
    return pass?.offset === row.offset ? pass.digests : undefined
  }

  keep({ row }: Turn, offset: number, digests: DigestSet | undefined): void {
    if (!digests) return
    if (this.#passes.size >= mostPasses) {
      const [oldest] = this.#passes.keys()
      if (oldest !== undefined) this.#passes.delete(oldest)
    }
    this.#passes.set(row.id, { offset, digests })
  }
}

export function digestsFor(row: Turn['row']): readonly Digest[] {
  return kindsOf(termsOf(row))
}
