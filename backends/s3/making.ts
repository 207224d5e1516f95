/** mkdir: a marker object, whose name ends in a slash. */

import { PutObjectCommand } from '@aws-sdk/client-s3'
import type { Acl } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, root } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { aclForNew, aclOf, directoryEntry } from './entries.ts'
import { isRefusal } from './errors.ts'
import { withSidecar } from './journal.ts'
import { headOfKey, type Seen } from './looking.ts'
import { lookAgain, requirePlace, stale, unhurried } from './requiring.ts'

export function makeDirectory(desk: Desk, path: Path, seen: Seen, call: Call): Promise<Entry> {
  requirePlace(desk, seen.trail, path)
  requireFree(seen, path)
  return desk.underLeases([path], async () => {
    const now = await lookAgain(desk, path, seen, call)
    const { signal } = unhurried(call)
    const acl = aclForNew(now.parentAcl, 'directory', call.principal)
    await withSidecar(desk, path, async () => {
      const etag = await writeFirst(desk, path, acl, now, signal)
      try {
        await putMarker(desk, path, { signal })
      } catch (error) {
        if (error instanceof StorageError && isRefusal(error)) await desk.sidecars.takeBack(path, etag)
        if (isCode(error, 'precondition')) throw exists(path)
        throw error
      }
    })
    const kept = await desk.sidecars.read(path, signal)
    return directoryEntry(desk, path, kept, aclOf(kept, 'directory', now.parentAcl))
  })
}

async function writeFirst(desk: Desk, path: Path, acl: Acl, { kept }: Seen, signal: AbortSignal): Promise<string> {
  try {
    return await desk.sidecars.write(path, { acl }, kept, signal)
  } catch (error) {
    // Another gateway, of another state store, makes something of this name.
    throw isCode(error, 'precondition') ? stale(path) : error
  }
}

/** Throws `precondition` where there is one, as far as the store can tell. */
export async function putMarker(desk: Desk, directory: Path, call: Pick<Call, 'signal'>): Promise<void> {
  const condition = await desk.trials.kept({ IfNoneMatch: '*' }, call.signal)
  const input = {
    Bucket: desk.store.bucket,
    Key: desk.keys.directory(directory),
    Body: Buffer.alloc(0),
    ...condition,
  }
  await desk.store.request({ signal: call.signal, path: directory }, (client, options) =>
    client.send(new PutObjectCommand(input), options),
  )
}

/** A directory that is there because keys lie in it stays when the last of them goes. */
export async function keepDirectory(desk: Desk, directory: Path, call: Pick<Call, 'signal'>): Promise<void> {
  if (directory === root) return
  try {
    await headOfKey(desk, desk.keys.directory(directory), directory, call)
  } catch (error) {
    if (!isCode(error, 'not-found')) throw error
    await putMarker(desk, directory, call).catch((refused: unknown) => {
      // Another one was faster.
      if (!isCode(refused, 'precondition')) throw refused
    })
  }
}

function requireFree({ trail }: Seen, path: Path): void {
  if (trail.entry) throw exists(path)
}

function exists(path: Path): StorageError {
  return new StorageError('exists', 'something of that name exists', { path })
}
