/** Uploads on their way to a back end that keeps no drafts, as one process of the gateway keeps them. */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Backend } from '../../backends/backend.ts'
import { claim } from '../../backends/posix/leaving.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { mountOf } from './world.ts'

export interface Spooling {
  readonly storage: Storage
  /** Files in the spool. */
  spooled(): readonly string[]
}

/** The back end is at /data. It belongs to the caller, who closes it. */
export async function spoolingFor(
  t: Test,
  backend: Backend,
  enforce: 'gateway' | 'native' | 'delegated',
): Promise<Spooling> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-spooling-'))
  const state = await openState({ directory })
  t.teardown(async () => {
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const spool = join(directory, 'spool')
  const bounds = { uploads: 100, bytes: 2 ** 30, spool: 2 ** 30 }
  const storage = new Storage({
    namespace: new Namespace([mountOf('/data', backend, { enforce })]),
    audit: new MemoryAudit(),
    spillDirectory: directory,
    uploads: { state, spoolDirectory: spool, claim, lifetime: 3600, bounds },
  })
  return { storage, spooled: () => readdirSync(spool) }
}
