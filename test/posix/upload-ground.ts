/** Gateway processes over one tree and one state store, for uploads that go on in another process. */

import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { claim } from '../../backends/posix/leaving.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { withoutDrafts } from '../core/upload-world.ts'
import { mountOf } from '../core/world.ts'
import { openAcl, storeAclAt } from './backend-world.ts'

export type Grade = 'gateway' | 'native'

export interface Ground {
  readonly root: string
  readonly state: string
  readonly grade: Grade
  /** As on storage that keeps no drafts. */
  readonly spooled?: boolean
}

export function groundFor(t: Test, grade: Grade): Ground {
  const root = mkdtempSync(join(tmpdir(), 'portolan-uploads-tree-'))
  const state = mkdtempSync(join(tmpdir(), 'portolan-uploads-state-'))
  t.teardown(() => {
    for (const directory of [root, state]) rmSync(directory, { recursive: true, force: true })
  })
  if (grade === 'native') {
    chownSync(root, 41001, 41001)
    chmodSync(root, 0o755)
  } else {
    storeAclAt(root, openAcl)
  }
  return { root, state, grade }
}

export interface Worker {
  readonly storage: Storage
  readonly backend: PosixBackend
  close(): Promise<void>
}

/** One process of the gateway. */
export async function openWorker(
  { root, state: directory, grade, spooled }: Ground,
  ahead = () => 0,
  more: Partial<PosixOptions> = {},
): Promise<Worker> {
  const now = () => Date.now() + ahead()
  const state = await openState({ directory, now, timing: { renew: 100, life: 1500 } })
  const backend = new PosixBackend({ name: 'posix:test', root, grade, threads: 2, ...more }, state)
  await backend.ready()
  const bounds = { uploads: 100, bytes: 2 ** 40, spool: 2 ** 30 }
  const storage = new Storage({
    namespace: new Namespace([mountOf('/data', spooled ? withoutDrafts(backend) : backend, { enforce: grade })]),
    audit: new MemoryAudit(),
    spillDirectory: directory,
    uploads: { state, spoolDirectory: join(directory, 'spool'), claim, lifetime: 3600, bounds },
  })
  const close = async () => {
    await backend.close()
    await state.close()
  }
  return { storage, backend, close }
}
