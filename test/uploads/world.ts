/** A door in this process with uploads that resume, over the memory back end and a state store of its own. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { resumable } from '../../gateway/uploads/resumable.ts'
import { createUploads } from '../../gateway/uploads/routes.ts'
import { webdav } from '../../gateway/webdav/methods.ts'
import { writeConditions } from '../../gateway/webdav/put.ts'
import { openDoor } from '../http/door.ts'

export interface UploadWorld {
  readonly port: number
  /** Moves the clock of the state store on by so many seconds. */
  pass(seconds: number): void
}

export interface UploadWorldOptions {
  /** Seconds. */
  readonly lifetime?: number
  /** False: nothing keeps uploads. */
  readonly keeps?: boolean
}

const plenty = { uploads: 10_000, bytes: 2 ** 40, spool: 2 ** 40 }

export async function openUploads(t: Test, options: UploadWorldOptions = {}): Promise<UploadWorld> {
  const { lifetime = 3600, keeps = true } = options
  const directory = await mkdtemp(join(tmpdir(), 'portolan-uploads-'))
  let moved = 0
  const state = await openState({ directory, now: () => Date.now() + moved })
  const uploading = { conditions: writeConditions }
  const uploads = { state, spoolDirectory: join(directory, 'spool'), lifetime, bounds: plenty }
  const { port } = await openDoor(t, {
    around: ({ namespace }) =>
      new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: directory, ...(keeps && { uploads }) }),
    data: resumable(webdav, uploading),
    routes: (app, door) => createUploads(uploading)(app, door),
  })
  t.teardown(async () => {
    await state.close()
    await rm(directory, { recursive: true, force: true, maxRetries: 20 })
  })
  return {
    port,
    pass: (seconds) => {
      moved += seconds * 1000
    },
  }
}
