/** The whole back end over the commands of Storage Scale, as they are played by the stand-ins. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { GpfsBackend } from '../../backends/gpfs/gpfs.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { mountOf } from '../core/world.ts'
import { act, alice, bob, callOf, codeOf, read, TestServices, write } from '../posix/backend-world.ts'
import { openAcl } from './backend-world.ts'
import { calm, makeWorld, noQuota, type World } from './world.ts'

const at = parsePath
t.setTimeout(120_000)

interface Setting extends World {
  readonly backend: GpfsBackend
  readonly storage: Storage
}

async function setUp(t: Test): Promise<Setting> {
  const world = await makeWorld(t)
  await world.double.settle({
    fileSystem: 'gpfs0',
    mountPoint: world.top,
    filesets: [{ name: 'data', path: `${world.top}/data`, independent: true }],
    quotas: [
      { ...noQuota, quotaType: 'FILESET', id: 1, name: 'data', blockUsage: 10, blockLimit: 100, blockInDoubt: 5 },
    ],
    snapshots: [{ name: 's1', created: 'Mon Jun 1 12:00:00 2026', fileset: 'data' }],
  })
  for (const name of ['data', 'data/.snapshots', 'data/.snapshots/s1']) mkdirSync(`${world.top}/${name}`)
  writeFileSync(`${world.top}/data/.snapshots/s1/f`, 'first')
  chmodSync(`${world.top}/data/.snapshots/s1/f`, 0o644)
  const scale = world.scale({ domain: 'desy.de' })
  await scale.acls.write(world.top, openAcl, calm)
  await scale.acls.write(`${world.top}/data`, openAcl, calm)
  for (const path of ['data/.snapshots/s1', 'data/.snapshots/s1/f']) {
    await scale.acls.write(`${world.top}/${path}`, { ...openAcl, aces: [allAlice] }, calm)
  }
  const options = { root: world.top, grade: 'gateway', threads: 1, sync: 'never', clockTolerance: 0, scale } as const
  const backend = new GpfsBackend(options, new TestServices())
  t.teardown(() => backend.close())
  const namespace = new Namespace([mountOf('/gpfs', backend)])
  const storage = new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: t.testdir() })
  return { ...world, backend, storage }
}

const allAlice: Acl['aces'][number] = { type: 'allow', flags: 0, mask: 0x1f01ff, who: { user: 'alice@desy.de' } }

t.test('files are made, shared, replaced and moved with their ACLs', async (t) => {
  const { backend, storage } = await setUp(t)
  await write(backend, at('/data/f'), 'one')
  t.equal(await read(backend, at('/data/f')), 'one')
  t.equal(await codeOf(storage.read(callOf(bob), at('/gpfs/data/f'))), 'denied')
  const { acl } = await storage.getAcl(callOf(alice), at('/gpfs/data/f'))
  t.match(acl, { dialect: 'gpfs' })
  const forBob: Acl['aces'][number] = { type: 'allow', flags: 0, mask: 0x1200a9, who: { user: 'bob@desy.de' } }
  await storage.setAcl(callOf(alice), at('/gpfs/data/f'), { ...acl, aces: [...acl.aces, forBob] })
  const directory = await storage.getAcl(callOf(alice), at('/gpfs/data'))
  for (const [path, list] of [
    ['/gpfs/data', directory.acl],
    ['/gpfs', openAcl],
  ] as const) {
    await storage.setAcl(callOf(alice), at(path), { ...list, aces: [...list.aces, forBob] })
  }
  const writing = await storage.write(callOf(alice), at('/gpfs/data/f'))
  writing.body.end('two')
  await writing.commit()
  t.equal(await read(backend, at('/data/f')), 'two')
  const reading = await storage.read(callOf(bob), at('/gpfs/data/f'))
  t.equal(reading.kind, 'bytes', 'replacing has kept the entry for bob')
  if (reading.kind === 'bytes') await reading.close()
  await storage.rename(callOf(alice), at('/gpfs/data/f'), at('/gpfs/g'))
  t.equal(await read(backend, at('/g')), 'two', 'copied out of the fileset')
})

t.test('a snapshot is an earlier version, and the quota of the fileset is told', async (t) => {
  const { backend, storage } = await setUp(t)
  await write(backend, at('/data/f'), 'now')
  const versions = await storage.versions(callOf(alice), at('/gpfs/data/f'))
  t.match(versions, [{ version: 's1', entry: { size: 5 } }])
  const reading = await storage.read(callOf(alice), at('/gpfs/data/f'), { version: 's1' })
  if (reading.kind === 'bytes') await reading.close()
  t.match(reading, { kind: 'bytes', entry: { size: 5 } })
  const usage = await act(backend.quotas.usage(at('/data'), callOf(alice)))
  t.match(usage, { used: 15 * 1024, limit: 100 * 1024, available: 85 * 1024 })
  const findings = await backend.checking.check()
  for (const subject of ['acl-kind', 'filesets', 'clock']) {
    t.ok(
      findings.some((finding) => finding.subject === subject && finding.level === 'ok'),
      subject,
    )
  }
  const provider = findings.find(({ subject }) => subject === 'acl-provider')
  t.match(provider, { level: 'ok', text: /by path/ })
  const writing = findings.find(({ subject }) => subject === 'acl-writing')
  t.match(writing, { level: 'ok', text: /descriptor/ }, 'and how lists are set')
})
