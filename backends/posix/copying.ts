/** Copies inside one mount: staged and put in place like a draft, the bytes copied by the kernel. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CopyingOptions, Entry, PendingMove } from '../backend.ts'
import { type Desk, lookAt, lookInto, type NameSight, type ObjectSight, pendingOf } from './desk.ts'
import { readKept } from './kept.ts'
import { aclToGive } from './new-lists.ts'
import { pump } from './pumping.ts'
import { requireDirectoryOf, requireFile, requireRegular, requireUnreserved } from './requiring.ts'
import { StagedFile } from './staged-file.ts'
import type { StagingArea } from './staging-area.ts'
import type { Target } from './target.ts'

/** A look at both places; `proceed` copies all bytes and commits. */
export async function copyFile(
  desk: Desk,
  area: StagingArea,
  from: Path,
  to: Path,
  options: CopyingOptions,
  call: Call,
): Promise<PendingMove<Entry>> {
  const caller = desk.caller(call)
  const source = await lookInto(desk, from, caller)
  let target: NameSight
  try {
    target = await lookAt(desk, to, true, caller)
  } catch (error) {
    source.object?.release()
    throw error
  }
  const proceed = () => copy(desk, area, { ...source, path: from }, { ...target, path: to }, options, call)
  const pending = pendingOf(source.trail, proceed, source.object, target.parent)
  return { ...pending, target: target.trail }
}

async function copy(
  desk: Desk,
  area: StagingArea,
  source: ObjectSight & { readonly path: Path },
  place: NameSight & { readonly path: Path },
  options: CopyingOptions,
  call: Call,
): Promise<Entry> {
  desk.requireAlive(call.signal)
  const caller = desk.caller(call)
  const { path } = place
  const entry = requireFile(source.trail, source.path)
  if (!source.object) throw new StorageError('denied', 'this belongs to another file system', { path: source.path })
  if (options.version !== undefined && options.version !== entry.version) {
    throw new StorageError('precondition', 'the file is not the one that was meant', { path: source.path })
  }
  if (place.trail.entry) requireRegular(place.trail.entry, path)
  const directory = requireDirectoryOf(place.trail, path)
  if (!place.parent) throw new StorageError('is-directory', 'this is a directory', { path })
  requireUnreserved(desk, place, path)
  const reading = { object: source.object.ref, name: entry.name }
  const opened = await desk.run('reopen', reading, caller)
  const file = desk.adoptFile(opened.fd)
  try {
    const target: Target = { path, caller, parent: place.parent, sight: place }
    const acl = await aclToGive(desk, { kind: 'file', directory, path, nfs4: place.looked.nfs4 === true }, place, call)
    const kept = await readKept(desk, source.object, entry.version, caller)
    const staged = await StagedFile.make(desk, area, target, { size: entry.size, acl })
    try {
      const size = await pump(desk, file.ref, staged.handle.ref, caller)
      const after = await desk.run('restat', { file: file.ref, name: entry.name }, caller)
      if (size !== entry.size || desk.entry(after.entry, after).version !== entry.version) {
        throw new StorageError('stale', 'the file changed while it was copied', { path: source.path })
      }
      const { digests } = kept
      const record = options.record ? options.record(kept) : kept.record
      const { condition, decide } = options
      return await staged.commit({ condition, decide, digests, ...(record !== undefined && { record }) }, size)
    } finally {
      await staged.end()
    }
  } finally {
    file.release()
  }
}
