/** Filesets, quotas and snapshots. */

import { chmodSync, chownSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import type { Principal } from '../../acl/principal.ts'
import { GpfsBackend } from '../../backends/gpfs/gpfs.ts'
import type { Quota, QuotaNumbers } from '../../backends/gpfs/providers.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { mountOf } from '../core/world.ts'
import { act, alice, bob, callOf, codeOf, read, write } from '../posix/backend-world.ts'
import { directoryWith, type Gpfs, type Made, makeGpfs, openAcl } from './backend-world.ts'

const at = parsePath

async function setUp(t: Test, options: Made = {}): Promise<Gpfs> {
  const gpfs = await makeGpfs({ clockTolerance: 0, ...options })
  t.teardown(() => gpfs.end())
  return gpfs
}

function storageOver(t: Test, { backend }: Gpfs, base = root): Storage {
  const namespace = new Namespace([mountOf('/gpfs', backend, { base })])
  return new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: t.testdir() })
}

/** Filesets "data" (independent) at /data and "p01" (dependent) at /data/p01. */
const filesets: NonNullable<Made['prepare']> = ({ directory, acls, info }) => {
  directoryWith(acls, `${directory}/data`)
  directoryWith(acls, `${directory}/data/p01`)
  directoryWith(acls, `${directory}/plain`)
  info.list.push(
    { name: 'data', junction: `${directory}/data`, independent: true },
    { name: 'p01', junction: `${directory}/data/p01`, independent: false },
  )
}

t.test('a rename into another fileset is cross-mount, and within one it is not', async (t) => {
  const gpfs = await setUp(t, { prepare: filesets })
  await write(gpfs.backend, at('/data/f'), 'x')
  const rename = (from: string, to: string) =>
    codeOf(act(gpfs.backend.rename(at(from), at(to), { condition: 'any' }, callOf(alice))))
  t.equal(await rename('/data/f', '/data/p01/f'), 'cross-mount')
  t.equal(await rename('/data/f', '/f'), 'cross-mount')
  t.match(await rename('/data/f', '/data/g'), { name: 'g' })
  t.equal(await rename('/data/p01', '/data/p02'), 'denied', 'the root of a fileset')
  t.equal(await codeOf(act(gpfs.backend.remove(at('/data/p01'), callOf(alice)))), 'denied')
  t.match(await rename('/plain', '/other'), { name: 'other' })
})

t.test('configured junctions count where Scale tells none', async (t) => {
  const gpfs = await setUp(t, { prepare: filesets })
  const { directory, scale, services } = gpfs
  gpfs.info.broken = true
  const junctions = [`${directory}/plain`]
  const backend = new GpfsBackend({ root: directory, grade: 'gateway', threads: 1, scale, junctions }, services)
  t.teardown(() => backend.close())
  await write(backend, at('/data/f'), 'x')
  const rename = (to: string) => codeOf(act(backend.rename(at('/data/f'), at(to), { condition: 'any' }, callOf(alice))))
  t.equal(await rename('/plain/f'), 'cross-mount')
  t.match(await rename('/data/p01/f'), { name: 'f' }, 'the kernel is left to refuse it')
})

t.test('Storage copies what a rename cannot move into another fileset', async (t) => {
  const gpfs = await setUp(t, { prepare: filesets })
  const storage = storageOver(t, gpfs)
  await write(gpfs.backend, at('/data/f'), 'bytes')
  const moved = await storage.rename(callOf(alice), at('/gpfs/data/f'), at('/gpfs/data/p01/g'))
  t.match(moved, { created: true, entry: { name: 'g' } })
  t.equal(await read(gpfs.backend, at('/data/p01/g')), 'bytes')
  t.equal((await gpfs.backend.walk(at('/data/f'), callOf(alice))).entry, undefined)
  await storage.mkdir(callOf(alice), at('/gpfs/data/tree'))
  await write(gpfs.backend, at('/data/tree/h'), 'more')
  await storage.rename(callOf(alice), at('/gpfs/data/tree'), at('/gpfs/plain/tree'))
  t.equal(await read(gpfs.backend, at('/plain/tree/h')), 'more')
  t.equal((await gpfs.backend.walk(at('/data/tree'), callOf(alice))).entry, undefined)
})

t.test('what is made in a fileset inherits from its root, and nothing from above the junction', async (t) => {
  const above: Acl = {
    ...openAcl,
    aces: [...openAcl.aces, { type: 'allow', flags: 0x3, mask: 0x1200a9, who: { user: 'carol@desy.de' } }],
  }
  const gpfs = await setUp(t, {
    prepare: (world) => {
      filesets(world)
      world.acls.put(`${world.directory}/data`, above)
    },
  })
  await write(gpfs.backend, at('/data/p01/f'), 'x')
  t.notMatch(JSON.stringify(gpfs.acls.get(gpfs.real('data/p01/f'))), 'carol')
  await write(gpfs.backend, at('/data/f'), 'x')
  t.match(JSON.stringify(gpfs.acls.get(gpfs.real('data/f'))), 'carol')
})

const numbers = (used: number, hardLimit?: number, inDoubt = 0, softLimit?: number): QuotaNumbers => ({
  used,
  hardLimit,
  softLimit,
  inDoubt,
})
const quota = (bytes: QuotaNumbers, files: QuotaNumbers = numbers(0)): Quota => ({ bytes, files })

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test('of the quotas of user, group and fileset the one with the least room counts', { skip }, async (t) => {
  const gpfs = await setUp(t, { grade: 'native', prepare: filesets })
  for (const name of ['', 'data', 'data/p01', 'plain']) chmodSync(gpfs.real(name), 0o755)
  const usage = (path: string, who: Principal = alice) => act(gpfs.backend.quotas.usage(at(path), callOf(who)))
  const whole = await usage('/')
  t.equal(whole.limit, (await usage('/data')).limit, 'no quota: what the file system says')
  t.same(
    gpfs.info.asked.map(({ type, name }) => `${type}:${name}`),
    ['fileset:root', 'user:41001', 'group:41001', 'fileset:data'],
    'each is asked for once',
  )
  const { kept } = gpfs.info
  kept.set('fileset:p01', quota(numbers(1000, 5000), numbers(7, 10)))
  kept.set('user:41002', quota(numbers(100, 1100, 200), numbers(1, 2000)))
  kept.set('group:41002', quota(numbers(0, undefined, 0, 100_000)))
  t.match(await usage('/data/p01', bob), {
    used: 300,
    limit: 1100,
    available: 800,
    files: { used: 7, limit: 10 },
  })
  kept.set('fileset:root', quota(numbers(5000, 4000)))
  gpfs.info.broken = true
  t.match(await usage('/plain', bob), { used: 300, available: 800 }, 'as it was known last')
})

t.test('when Scale does not tell quotas, the file system does', async (t) => {
  const gpfs = await setUp(t, { prepare: filesets })
  gpfs.info.broken = true
  const usage = await act(gpfs.backend.quotas.usage(at('/data'), callOf(alice)))
  t.ok(usage.limit && usage.limit > 0)
})

/** Snapshots "s1" of fileset data and "g1" of all, in which /data/p/f was "first" and belonged to alice and bob. */
async function withSnapshots(t: Test, more: Made = {}): Promise<Gpfs> {
  return setUp(t, {
    ...more,
    prepare: (world) => {
      filesets(world)
      const { directory, acls, info } = world
      const shared: Acl = {
        ...openAcl,
        aces: [...openAcl.aces, { type: 'allow', flags: 0x3, mask: 0x1201bf, who: { user: 'bob@desy.de' } }],
      }
      for (const path of ['', '/data']) acls.put(`${directory}${path}`, shared)
      directoryWith(acls, `${directory}/data/p`, shared)
      writeFileSync(`${directory}/data/p/f`, 'first')
      acls.put(`${directory}/data/p/f`, shared)
      copy(world, '/data', '/data/.snapshots/s1')
      writeFileSync(`${directory}/data/p/f`, 'second, longer')
      acls.put(`${directory}/data/p/f`, shared)
      copy(world, '', '/.snapshots/g1')
      info.snaps.set('data', [{ name: 's1', created: 1_000_000_000n }])
      info.snaps.set(undefined, [
        { name: 'g1', created: 2_000_000_000n },
        { name: '../evil', created: 3_000_000_000n },
      ])
    },
  })
}

/** As a snapshot is taken: with the ACLs. */
function copy({ directory, acls }: Parameters<NonNullable<Made['prepare']>>[0], from: string, to: string): void {
  mkdirSync(`${directory}${to}`, { recursive: true })
  for (const name of from === '' ? ['data', 'data/p', 'data/p/f'] : ['p', 'p/f']) {
    const source = `${directory}${from}/${name}`
    const target = `${directory}${to}/${name}`
    if (name.endsWith('f')) cpSync(source, target, { preserveTimestamps: true })
    else mkdirSync(target)
    acls.put(target, acls.get(source))
  }
  acls.put(`${directory}${to}`, acls.get(`${directory}${from}`))
}

async function textOf(storage: Storage, path: Path, version: string, who: Principal = alice): Promise<string> {
  const reading = await storage.read(callOf(who), path, { version })
  if (reading.kind !== 'bytes') return reading.kind
  try {
    return await text(reading.stream({ start: 0, end: reading.entry.size }))
  } finally {
    await reading.close()
  }
}

t.test('earlier versions come from the snapshots of the fileset and of the file system', async (t) => {
  const gpfs = await withSnapshots(t)
  const storage = storageOver(t, gpfs)
  const path = at('/gpfs/data/p/f')
  const versions = await storage.versions(callOf(alice), path)
  t.same(
    versions.map(({ version, kept, entry }) => [version, kept, entry.name, entry.size]),
    [
      ['global~g1', 2_000_000_000n, 'f', 14],
      ['s1', 1_000_000_000n, 'f', 5],
    ],
  )
  t.equal(await textOf(storage, path, 's1'), 'first')
  t.equal(await textOf(storage, path, 'global~g1'), 'second, longer')
  for (const version of ['none', '../evil', 'global~../evil', 'global~s1', 'g1', '']) {
    t.equal(await codeOf(textOf(storage, path, version)), 'not-found', version)
  }
  t.equal(await codeOf(textOf(storage, at('/gpfs/data/p'), 's1')), 'is-directory')
  rmSync(gpfs.real('data/p'), { recursive: true })
  t.equal(await textOf(storage, path, 's1'), 'first', 'also when nothing is left today')
  t.equal(await codeOf(storage.read(callOf(alice), at('/gpfs/data/.snapshots/s1/p/f'))), 'not-found')
})

t.test('who may read a version must be allowed today, and have been allowed then', async (t) => {
  const gpfs = await withSnapshots(t)
  const storage = storageOver(t, gpfs)
  const path = at('/gpfs/data/p/f')
  t.equal(await textOf(storage, path, 's1', bob), 'first')
  gpfs.acls.put(gpfs.real('data/p/f'), openAcl)
  t.equal(await codeOf(textOf(storage, path, 's1', bob)), 'denied', 'a right revoked since')
  t.equal(await textOf(storage, path, 's1'), 'first')
  gpfs.acls.put(gpfs.real('data/p/f'), gpfs.acls.get(gpfs.real('data/p')))
  gpfs.acls.put(gpfs.real('data/.snapshots/s1/p/f'), openAcl)
  t.equal(await codeOf(textOf(storage, path, 's1', bob)), 'denied', 'a right given since')
  t.same(
    (await storage.versions(callOf(bob), path)).map(({ version }) => version),
    ['global~g1'],
  )
  gpfs.acls.put(gpfs.real('.snapshots/g1/data'), openAcl)
  t.same(await storage.versions(callOf(bob), path), [], 'a directory that was closed then')
  gpfs.acls.put(gpfs.real('data'), openAcl)
  t.equal(await codeOf(storage.versions(callOf(bob), path)), 'denied')
})

t.test('a mount below the root of the fileset finds its snapshots above', async (t) => {
  const gpfs = await withSnapshots(t, { below: 'data/p' })
  const storage = storageOver(t, gpfs)
  const path = at('/gpfs/f')
  t.same(
    (await storage.versions(callOf(alice), path)).map(({ version }) => version),
    ['global~g1', 's1'],
  )
  t.equal(await textOf(storage, path, 's1'), 'first')
  const based = await withSnapshots(t)
  const other = storageOver(t, based, at('/data/p'))
  t.equal(await textOf(other, path, 's1', bob), 'first', 'and so does a directory of a mount')
})

t.test('in the native grade the kernel decides about today and about then', { skip }, async (t) => {
  const gpfs = await withSnapshots(t, { grade: 'native' })
  const storage = storageOver(t, gpfs)
  const path = at('/gpfs/data/p/f')
  const files = ['data/p/f', 'data/.snapshots/s1/p/f', '.snapshots/g1/data/p/f']
  for (const name of ['', 'data', 'data/p', 'data/.snapshots', 'data/.snapshots/s1', 'data/.snapshots/s1/p']) {
    chmodSync(gpfs.real(name), 0o755)
  }
  for (const name of ['.snapshots', '.snapshots/g1', '.snapshots/g1/data', '.snapshots/g1/data/p']) {
    chmodSync(gpfs.real(name), 0o755)
  }
  for (const name of files) chownSync(gpfs.real(name), 41001, 41001)
  for (const name of files) chmodSync(gpfs.real(name), 0o644)
  t.equal(await textOf(storage, path, 's1', bob), 'first')
  chmodSync(gpfs.real('data/p/f'), 0o600)
  t.equal(await codeOf(textOf(storage, path, 's1', bob)), 'denied')
  chmodSync(gpfs.real('data/p/f'), 0o644)
  chmodSync(gpfs.real('data/.snapshots/s1/p/f'), 0o600)
  t.equal(await codeOf(textOf(storage, path, 's1', bob)), 'denied')
  t.equal(await textOf(storage, path, 's1'), 'first')
})

t.test('without Scale there are no versions, and in the gateway grade no back end', async (t) => {
  const gpfs = await setUp(t)
  t.throws(() => new GpfsBackend({ root: gpfs.directory, grade: 'gateway' }, gpfs.services), { code: 'invalid' })
  t.throws(
    () =>
      new GpfsBackend({ root: gpfs.directory, grade: 'gateway', scale: gpfs.scale, symlinks: 'within' }, gpfs.services),
    { code: 'invalid' },
  )
  t.throws(() => new GpfsBackend({ root: 3, grade: 'gateway', scale: gpfs.scale }, gpfs.services), StorageError)
})
