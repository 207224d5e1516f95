/**
 * Whole new files that are not complete: the gateway knows them by their handle alone, and nobody else sees them. Whoever
 * writes one sees it under its name, and what is changed of it by name is done once it is complete.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Attributes, Changes, HeldRights } from '../client/fs/remote.ts'
import type { Common } from './common.ts'
import type { OpenFile } from './open-files.ts'

/** Of a file that the caller is making. */
export const rightsOfMaker: HeldRights = { rights: 'unknown', actions: ['read', 'edit'] }

/** Programs set times and modes of what they have not closed yet (cp(1), tar(1), touch(1)). */
export function changeDraft(file: OpenFile, changes: Changes): void {
  const now = BigInt(Date.now()) * 1_000_000n
  const { modified, accessed } = changes
  file.later = {
    ...file.later,
    ...changes,
    ...(modified === 'now' && { modified: now }),
    ...(accessed === 'now' && { accessed: now }),
  }
}

/** As its writer sees it. */
export function shownDraft({ data, later }: OpenFile, seen: Attributes): Attributes {
  if (!data.isDraft) return seen
  const { mode, modified, accessed } = later ?? {}
  return {
    ...seen,
    mine: true,
    ...(mode !== undefined && { mode }),
    ...(typeof modified === 'bigint' && { modified }),
    ...(typeof accessed === 'bigint' && { accessed }),
  }
}

/** It is complete. What the storage cannot keep is left out, as nobody could be told when it was asked for. */
export async function changeCompleted(
  { nodes }: Common,
  file: OpenFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { later, view, node } = file
  file.later = undefined
  if (!later || !nodes.hasPath(node)) return
  const path = nodes.pathOf(node)
  const set = (changes: Changes) => view.doing([path], () => view.remote.change(path, changes, signal))
  const { mode, modified, accessed, ...owners } = later
  const parts: readonly Changes[] = [
    ...(mode === undefined ? [] : [{ mode }]),
    ...(modified === undefined ? [] : [{ modified }]),
    ...(accessed === undefined ? [] : [{ accessed }]),
    ...(Object.keys(owners).length === 0 ? [] : [owners]),
  ]
  const isWhole = await set(later).then(() => true, unlessUnsupported)
  if (isWhole || parts.length === 1) return
  for (const part of parts) await set(part).catch(unlessUnsupported)
}

function unlessUnsupported(error: unknown): false {
  if (error instanceof StorageError && error.code === 'unsupported') return false
  throw error
}

/** Throws `unsupported` for a name that others cannot be given before the file is complete. */
export function requireComplete({ open }: Common, node: OpenFile['node'] | undefined): void {
  if (!node || !open.draftOf(node)) return
  throw new StorageError('unsupported', 'files of this storage get other names once they are closed')
}
