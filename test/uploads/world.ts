/** A door in this process with uploads that resume, over the memory back end and a state store of its own. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { StorageError } from '../../gateway/core/errors.ts'
import { Storage } from '../../gateway/core/storage.ts'
import type { UploadOperations } from '../../gateway/core/uploads.ts'
import { openState } from '../../gateway/state/open.ts'
import { resumable } from '../../gateway/uploads/resumable.ts'
import { createUploads } from '../../gateway/uploads/routes.ts'
import { webdav } from '../../gateway/webdav/methods.ts'
import { writeConditions } from '../../gateway/webdav/put.ts'
import { alice, callOf, identity, openDoor } from '../http/door.ts'

export interface UploadWorld {
  readonly port: number
  /** Moves the clock of the state store on by so many seconds. */
  pass(seconds: number): void
  /** How many uploads of alice's are kept. */
  kept(): Promise<number>
  /** What the next steps that would make a file fail with. */
  readonly failures: StorageError[]
}

export interface UploadWorldOptions {
  /** Seconds. */
  readonly lifetime?: number
  /** False: nothing keeps uploads. */
  readonly keeps?: boolean
}

/** Besides those of the door the token `small`: alice, with a credential for files of at most 8 bytes. */
const withSmall: typeof identity = {
  ...identity,
  async authenticate(credential) {
    const isSmall = credential.kind === 'bearer' && credential.token.reveal() === 'small'
    return isSmall ? { ...alice, maxUpload: 8 } : identity.authenticate(credential)
  },
}

const plenty = { uploads: 10_000, bytes: 2 ** 40, spool: 2 ** 40 }

export async function openUploads(t: Test, options: UploadWorldOptions = {}): Promise<UploadWorld> {
  const { lifetime = 3600, keeps = true } = options
  const directory = await mkdtemp(join(tmpdir(), 'portolan-uploads-'))
  let moved = 0
  const state = await openState({ directory, now: () => Date.now() + moved })
  const uploading = { conditions: writeConditions }
  const uploads = { state, spoolDirectory: join(directory, 'spool'), lifetime, bounds: plenty }
  const failures: StorageError[] = []
  let kept: Storage | undefined
  const { port } = await openDoor(t, {
    identity: withSmall,
    around: ({ namespace }) => {
      const audit = new MemoryAudit()
      const inner = new Storage({ namespace, audit, spillDirectory: directory, ...(keeps && { uploads }) })
      kept = Object.defineProperty(inner, 'uploads', { value: failing(inner.uploads, failures) })
      return kept
    },
    data: resumable(webdav, uploading),
    routes: (app, door) => createUploads(uploading)(app, door),
  })
  t.teardown(async () => {
    await state.close()
    await rm(directory, { recursive: true, force: true, maxRetries: 20 })
  })
  return {
    port,
    kept: async () => (await kept?.uploads.list(callOf(alice)))?.length ?? 0,
    failures,
    pass: (seconds) => {
      moved += seconds * 1000
    },
  }
}

/** The same, but `finish` throws what is the next of `failures`. */
function failing(uploads: UploadOperations, failures: StorageError[]): UploadOperations {
  return new Proxy(uploads, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        const failure = key === 'finish' ? failures.shift() : undefined
        return failure ? Promise.reject(failure) : value.apply(target, given)
      }
    },
  })
}
