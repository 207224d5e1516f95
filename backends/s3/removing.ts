/** Removal: the object, then its sidecar, so that nobody ever sees the object with another ACL. */

import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Desk } from './desk.ts'
import { withSidecar } from './journal.ts'
import { firstKeys, holds, type Seen } from './looking.ts'
import { keepDirectory } from './making.ts'
import { lookAgain, requireEntry, unhurried } from './requiring.ts'
import { contentOf } from './sidecars.ts'

export function removeSeen(desk: Desk, path: Path, seen: Seen, call: Call): Promise<void> {
  const entry = requireEntry(seen.trail, path)
  if (path === root) throw new StorageError('invalid', 'the root cannot be removed', { path })
  return desk.underLeases([path], async () => {
    const now = await lookAgain(desk, path, seen, call)
    if (entry.type === 'directory') await removeDirectory(desk, path, now, unhurried(call))
    else await removeFile(desk, path, now, unhurried(call))
  })
}

/** The caller holds the lease and has looked. */
export async function removeFile(desk: Desk, path: Path, now: Seen, call: Call): Promise<void> {
  await keepDirectory(desk, parentOf(path), call)
  await withItsSidecar(desk, path, now, async () => {
    await deleteKey(desk, desk.keys.object(path), path, call)
    await desk.sidecars.remove(path, undefined)
  })
}

async function removeDirectory(desk: Desk, path: Path, now: Seen, call: Call): Promise<void> {
  if (!(await isEmpty(desk, path, call))) throw notEmpty(path)
  await keepDirectory(desk, parentOf(path), call)
  await withItsSidecar(desk, path, now, async () => {
    await deleteKey(desk, desk.keys.directory(path), path, call)
    // Whoever has put something there in the meantime finds it in a directory with its own ACL.
    if (await holds(desk, path, call)) throw await stays(desk, path, call)
    await desk.sidecars.remove(path, undefined)
    if (!(await holds(desk, path, call))) return
    const before = contentOf(now.kept)
    if (before) await desk.sidecars.write(path, before, undefined, undefined)
    throw await stays(desk, path, call)
  })
}

async function stays(desk: Desk, path: Path, call: Call): Promise<StorageError> {
  await keepDirectory(desk, path, call)
  return notEmpty(path)
}

/** What has no sidecar leaves none. */
function withItsSidecar(desk: Desk, path: Path, { kept }: Seen, work: () => Promise<void>): Promise<void> {
  return kept ? withSidecar(desk, path, work) : work()
}

/** Whether the directory holds nothing but its marker: another key would come among the first two. */
export async function isEmpty(desk: Desk, path: Path, call: Call): Promise<boolean> {
  return (await firstKeys(desk, path, 2, call)).every((rest) => rest === '')
}

export function notEmpty(path: Path): StorageError {
  return new StorageError('not-empty', 'the directory is not empty', { path })
}

/** Not tried again: a second request might delete what somebody has put there since. */
export async function deleteKey(desk: Desk, Key: string, path: Path, call: Call): Promise<void> {
  await desk.store.request({ signal: call.signal, path }, (client, options) =>
    client.send(new DeleteObjectCommand({ Bucket: desk.store.bucket, Key }), options),
  )
}
