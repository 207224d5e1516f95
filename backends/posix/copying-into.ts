/** Where a draft cannot take the place of an old file, its bytes are copied into that. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import type { HandleRef } from './handles.ts'
import { keepElsewhere, labelNames, labelsOf } from './kept.ts'
import { pump } from './pumping.ts'
import { unlessStale } from './requiring.ts'
import type { Target } from './target.ts'

export interface CopiedDraft {
  readonly draft: HandleRef
  /** Bytes. */
  readonly size: number
  readonly old: Entry
  /** Of the old file, in the target's directory. */
  readonly name: string
}

/** Not atomic: readers may see a part of the new bytes. Undefined when the file has changed meanwhile. */
export async function copyInto(
  desk: Desk,
  { caller, parent, path }: Target,
  { draft, size, old, name }: CopiedDraft,
  options: CommitOptions,
): Promise<Entry | undefined> {
  if (!desk.setup.replaceInPlace) {
    const reason = { rule: 'replace', text: 'the new file could not be given the owner or ACL of the old one' }
    throw new StorageError('denied', 'this mount does not replace files of others', { path, reason })
  }
  const args = { parent: parent.ref, name, expected: { id: old.id, changed: old.changed }, size }
  const opened = await unlessStale(desk.run('openOld', args, caller))
  if (!opened) return undefined
  const file = desk.adoptFile(opened.fd)
  // Once begun it is ended: half of it would help nobody.
  const surely = desk.surely(caller)
  try {
    const copied = await pump(desk, draft, file.ref, surely)
    if (copied !== size) throw new StorageError('internal', 'the draft is not as long as what was written', { path })
    const labels = labelsOf(desk.setup, options)
    const names = labelNames(desk.setup)
    const args = { file: file.ref, name, size, modified: options.modified, names, labels }
    const done = await desk.run('finishOld', args, surely)
    const entry = desk.entry(done.entry, done, old.acl)
    if (labels && done.unlabelled) await keepElsewhere(desk, done.unlabelled, entry.version, labels)
    return entry
  } finally {
    file.release()
  }
}
