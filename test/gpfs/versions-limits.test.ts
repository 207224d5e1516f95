/** What earlier versions must not open: names that are nobody's, and what links of then lead to. */

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { mountOf } from '../core/world.ts'
import { compileLibrary } from '../doubles/gpfs/library.ts'
import { alice, callOf, codeOf } from '../posix/backend-world.ts'
import { directoryWith, type Gpfs, makeGpfs, openAcl } from './backend-world.ts'

const at = parsePath

function storageOver(t: { testdir(): string }, { backend }: Gpfs): Storage {
  const namespace = new Namespace([mountOf('/gpfs', backend)])
  return new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: t.testdir() })
}

t.test('a name that is reserved has no versions either', async (t) => {
  const gpfs = await makeGpfs({
    clockTolerance: 0,
    reserved: ['.private'],
    prepare: ({ directory, acls, info }) => {
      for (const top of ['', '/.snapshots/g1']) {
        directoryWith(acls, `${directory}${top}/.private`)
        writeFileSync(`${directory}${top}/.private/f`, 'secret')
        acls.put(`${directory}${top}/.private/f`, openAcl)
      }
      info.snaps.set(undefined, [{ name: 'g1', created: 1_000_000_000n }])
    },
  })
  t.teardown(() => gpfs.end())
  const storage = storageOver(t, gpfs)
  for (const path of ['/gpfs/.private/f', '/gpfs/.snapshots/g1/.private/f']) {
    t.equal(await codeOf(storage.read(callOf(alice), at(path))), 'not-found', path)
    t.equal(await codeOf(storage.read(callOf(alice), at(path), { version: 'global~g1' })), 'not-found', path)
    t.same(await storage.versions(callOf(alice), at(path)), [], path)
  }
})

const workshop = mkdtempSync(join(tmpdir(), 'portolan-versions-'))
t.teardown(() => rmSync(workshop, { recursive: true, force: true }))
const compiled = compileLibrary(workshop)
const skip =
  'reason' in compiled ? compiled.reason : process.getuid?.() === 0 ? false : 'needs root, to switch identities'

t.test('links of then are not followed, wherever they lead', { skip }, async (t) => {
  const library = 'library' in compiled ? compiled.library : ''
  const gpfs = await makeGpfs({
    grade: 'native',
    symlinks: 'within',
    library,
    prepare: ({ directory, info }) => {
      mkdirSync(`${directory}/p`, { mode: 0o755 })
      mkdirSync(`${directory}/elsewhere`, { mode: 0o755 })
      writeFileSync(`${directory}/elsewhere/f`, 'of today', { mode: 0o644 })
      writeFileSync(`${directory}/p/plain`, 'first', { mode: 0o644 })
      mkdirSync(`${directory}/.snapshots/g1`, { recursive: true, mode: 0o755 })
      cpSync(`${directory}/p`, `${directory}/.snapshots/g1/p`, { recursive: true })
      symlinkSync('../../../elsewhere/f', `${directory}/.snapshots/g1/p/f`)
      info.snaps.set(undefined, [{ name: 'g1', created: 1_000_000_000n }])
    },
  })
  t.teardown(() => gpfs.end())
  const storage = storageOver(t, gpfs)
  const opened = async (path: string) => {
    const reading = await storage.read(callOf(alice), at(path), { version: 'global~g1' })
    if (reading.kind === 'bytes') await reading.close()
    return reading.kind
  }
  t.equal(await opened('/gpfs/p/plain'), 'bytes')
  t.equal(await codeOf(opened('/gpfs/p/f')), 'denied')
})
