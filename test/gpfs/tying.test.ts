/** ACLs are set on the object that was looked at, whoever renames meanwhile, or not at all. */

import { readFileSync, readlinkSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as immediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { type Ace, type Acl, right } from '../../acl/acl.ts'
import type { AclFacet } from '../../backends/backend.ts'
import { GpfsBackend } from '../../backends/gpfs/gpfs.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, bob, callOf, codeOf, read, TestServices, write } from '../posix/backend-world.ts'
import { directoryWith, FakeAcls, type Gpfs, type Made, makeGpfs, NamedAcls, openAcl } from './backend-world.ts'
import { calm, makeWorld } from './world.ts'

const at = parsePath
t.setTimeout(120_000)

const all: Omit<Ace, 'who'> = { type: 'allow', flags: 0x3, mask: 0x1f01ff }
const listOf = (name: string): Acl => ({ ...openAcl, aces: [{ ...all, flags: 0, who: { user: name } }] })

async function setUp(t: Test, options: Made = {}): Promise<Gpfs & { readonly facet: AclFacet }> {
  const gpfs = await makeGpfs({ clockTolerance: 0, ...options })
  t.teardown(() => gpfs.end())
  if (!gpfs.backend.acls) throw new Error('ACLs are missing')
  return { ...gpfs, facet: gpfs.backend.acls }
}

function file({ real, acls }: Gpfs, path: string, acl: Acl): void {
  writeFileSync(real(path), path)
  acls.put(real(path), acl)
}

const nameOfFirst = ({ aces: [first] }: Acl) =>
  typeof first?.who === 'object' && 'user' in first.who ? first.who.user : ''

function exchange({ real }: Gpfs, one: string, other: string): void {
  renameSync(real(one), real('aside'))
  renameSync(real(other), real(one))
  renameSync(real('aside'), real(other))
}

async function findingOf({ backend }: { readonly backend: GpfsBackend }) {
  const findings = await backend.checking.check()
  return findings.find(({ subject }) => subject === 'acl-writing')
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => StorageError.from(thrown),
  )
  const reason = error && StorageError.reasonOf(error)
  return `${error?.code} ${reason?.rule} ${reason?.text}`
}

t.test('a swap in the moment of writing sets no list on another object, swapped back or not', async (t) => {
  const gpfs = await setUp(t)
  for (const back of [true, false]) {
    file(gpfs, 'mine', openAcl)
    file(gpfs, 'victim', listOf('victim@x'))
    gpfs.acls.beforeWrite = () => exchange(gpfs, 'mine', 'victim')
    gpfs.acls.afterWrite = () => (back ? exchange(gpfs, 'mine', 'victim') : undefined)
    const entry = await act(gpfs.facet.set(at('/mine'), listOf('bob@x'), {}, callOf(alice)))
    t.equal(entry.acl && nameOfFirst(entry.acl), 'bob@x')
    t.equal(nameOfFirst(gpfs.acls.get(gpfs.real(back ? 'mine' : 'victim'))), 'bob@x')
    t.equal(nameOfFirst(gpfs.acls.get(gpfs.real(back ? 'victim' : 'mine'))), 'victim@x')
  }
})

t.test('a directory above that is swapped in that moment changes nothing of it', async (t) => {
  const gpfs = await setUp(t)
  for (const name of ['real', 'trap']) {
    directoryWith(gpfs.acls, gpfs.real(name))
    file(gpfs, `${name}/f`, listOf('before@x'))
  }
  gpfs.acls.beforeWrite = () => exchange(gpfs, 'real', 'trap')
  await act(gpfs.facet.set(at('/real/f'), listOf('bob@x'), {}, callOf(alice)))
  t.equal(nameOfFirst(gpfs.acls.get(gpfs.real('trap/f'))), 'bob@x', 'where the object is now')
  t.equal(nameOfFirst(gpfs.acls.get(gpfs.real('real/f'))), 'before@x')
})

t.test('what has only a hidden name gets its list wherever that is moved to', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'victim', listOf('victim@x'))
  directoryWith(gpfs.acls, gpfs.real('elsewhere'), listOf('victim@x'))
  gpfs.acls.beforeWrite = (path) => renameSync(gpfs.real('victim'), path)
  await codeOf(write(gpfs.backend, at('/f'), 'x'))
  const left = gpfs.leftovers().filter((name) => !name.startsWith('journal'))
  for (const name of ['f', ...left].filter((name) => isVictim(gpfs, name))) {
    t.equal(nameOfFirst(gpfs.acls.get(gpfs.real(name))), 'victim@x')
  }
  file(gpfs, 'elsewhere/f', openAcl)
  gpfs.acls.beforeWrite = (path) => renameSync(gpfs.real('elsewhere'), path)
  t.equal(await codeOf(act(gpfs.backend.mkdir(at('/sub'), callOf(alice)))), 'stale')
  const other = gpfs.leftovers().find((name) => name.endsWith('/f')) ?? ''
  t.equal(nameOfFirst(gpfs.acls.get(dirname(gpfs.real(other)))), 'victim@x')
})

function isVictim({ real }: Gpfs, name: string): boolean {
  try {
    return readFileSync(real(name), 'utf8') === 'victim'
  } catch {
    return false
  }
}

t.test('under names that change all the time each list goes to what was seen', async (t) => {
  const gpfs = await setUp(t)
  const names = ['one', 'two'] as const
  for (const name of names) {
    directoryWith(gpfs.acls, gpfs.real(name))
    file(gpfs, `${name}/f`, listOf('start@x'))
  }
  const inodeOf = (name: string) => statSync(gpfs.real(name), { bigint: true }).ino
  const first = inodeOf('one')
  const board = new SharedArrayBuffer(4)
  const swapper = new Worker(new URL('../posix/confine-swapper.ts', import.meta.url), {
    workerData: { directory: gpfs.directory, names, board },
  })
  const swaps = new Promise((resolve) => swapper.once('message', resolve))
  while (inodeOf('one') === first) await immediate()
  const listAt = new Map<string, string>()
  for (let round = 0; round < 30; round++) {
    const name = `n${round}@x`
    const pending = await gpfs.facet.set(at('/one/f'), listOf(name), {}, callOf(alice))
    await pending.proceed()
    await pending.release()
    listAt.set(pending.trail.entry?.id.split('-')[0] ?? '', name)
  }
  Atomics.store(new Int32Array(board), 0, 1)
  t.ok(Number(await swaps) > 0)
  await swapper.terminate()
  for (const name of names) {
    const wanted = listAt.get(inodeOf(`${name}/f`).toString(16)) ?? 'start@x'
    t.equal(nameOfFirst(gpfs.acls.get(gpfs.real(name, 'f'))), wanted)
  }
})

t.test('the commands reach an object through its descriptor, also behind a prefix', async (t) => {
  for (const prefix of [[], ['/usr/bin/env']]) {
    const world = await makeWorld(t)
    const scale = world.scale({ domain: 'desy.de', prefix })
    await scale.acls.write(world.top, openAcl, calm)
    for (const name of ['mine', 'victim']) writeFileSync(`${world.top}/${name}`, name)
    const options = { root: world.top, grade: 'gateway', threads: 1, sync: 'never', clockTolerance: 0, scale } as const
    const backend = new GpfsBackend(options, new TestServices())
    t.teardown(() => backend.close())
    t.match(await findingOf({ backend }), { level: 'ok' })
    const victims = (await scale.acls.read(`${world.top}/victim`, calm)).acl
    const rename = (from: string, to: string) => ({ rename: [`${world.top}/${from}`, `${world.top}/${to}`] as const })
    const before = [rename('mine', 'aside'), rename('victim', 'mine')]
    await world.double.fail({ mmputacl: { before, times: 1 } })
    const aces = openAcl.aces.map((ace) => ({ ...ace, flags: 0, mask: ace.mask & ~right.deleteChild }))
    const set = backend.acls?.set(at('/mine'), { ...openAcl, aces }, {}, callOf(alice))
    t.ok(set && (await act(set)))
    t.same((await scale.acls.read(`${world.top}/aside`, calm)).acl.aces, aces)
    t.same((await scale.acls.read(`${world.top}/mine`, calm)).acl, victims)
  }
})

t.test('what makes a name of the descriptor again is found out, and nothing is set', async (t) => {
  const named: ReadonlyArray<[string, NonNullable<FakeAcls['writeHeld']>]> = [
    [
      'by the name it had',
      async ({ fd, release }, acl) => {
        const path = readlinkSync(`/proc/self/fd/${fd}`).replace(' (deleted)', '')
        release()
        new FakeAcls().put(path, acl)
      },
    ],
    ['nowhere', async ({ release }) => release()],
    [
      'not taken',
      async ({ release }) => {
        release()
        throw new StorageError('not-found', 'no such file')
      },
    ],
  ]
  for (const [what, writeHeld] of named) {
    const acls = new FakeAcls()
    acls.writeHeld = writeHeld
    const gpfs = await setUp(t, { acls })
    file(gpfs, 'mine', listOf('before@x'))
    t.match(await findingOf(gpfs), { level: 'warning', text: /through its descriptor/ }, what)
    const set = act(gpfs.facet.set(at('/mine'), listOf('bob@x'), {}, callOf(alice)))
    t.match(await reasonOf(set), /^unsupported acl-by-path /)
    t.equal(nameOfFirst(acls.get(gpfs.real('mine'))), 'before@x')
    t.same(gpfs.leftovers(), [])
  }
})

t.test('an answer that may come later is waited for, and not taken for a refusal', async (t) => {
  const acls = new FakeAcls()
  acls.writeHeld = async ({ release }) => {
    release()
    throw new StorageError('unavailable', 'Storage Scale does not answer')
  }
  const gpfs = await setUp(t, { acls })
  file(gpfs, 'mine', openAcl)
  const set = act(gpfs.facet.set(at('/mine'), listOf('bob@x'), {}, callOf(alice)))
  t.match(await reasonOf(set), /^unavailable acl-by-path /)
})

t.test('by name alone nothing is set, and what needs no list goes on', async (t) => {
  const gpfs = await setUp(t, { acls: new NamedAcls() })
  file(gpfs, 'mine', openAcl)
  const { backend, facet } = gpfs
  t.match(await findingOf(gpfs), { level: 'warning', text: /not set here/ })
  const set = act(facet.set(at('/mine'), listOf('bob@x'), {}, callOf(alice)))
  t.match(await reasonOf(set), /^unsupported acl-by-path .*by name alone/)
  t.equal(await codeOf(act(backend.setAttributes(at('/mine'), { mode: 0o600 }, callOf(alice)))), 'unsupported')
  const entry = await act(backend.setAttributes(at('/mine'), { modified: 5n * 10n ** 9n }, callOf(alice)))
  t.equal(entry.modified, 5n * 10n ** 9n)
  // Alice is named in what the top passes on, bob is not.
  await write(backend, at('/new'), 'x')
  await act(backend.mkdir(at('/sub'), callOf(alice)))
  const copied = backend.copying.copy(at('/new'), at('/copy'), { condition: 'absent', decide: () => {} }, callOf(alice))
  await act(copied)
  t.equal(await read(backend, at('/copy')), 'x')
  t.match(await reasonOf(write(backend, at('/bobs'), 'x', { as: bob })), /^unsupported acl-by-path /)
  t.match(await reasonOf(act(backend.mkdir(at('/bobs'), callOf(bob)))), /^unsupported acl-by-path /)
  // A file that is there keeps its list by being written into.
  const { ino } = statSync(gpfs.real('mine'))
  await write(backend, at('/mine'), 'more')
  t.equal(await read(backend, at('/mine')), 'more')
  t.equal(statSync(gpfs.real('mine')).ino, ino)
  t.same(gpfs.acls.writes, [])
  t.same(gpfs.leftovers(), [])
})

t.test('a list that denies is not left to be passed on', async (t) => {
  const gpfs = await setUp(t, { acls: new NamedAcls() })
  const aces: Ace[] = [{ ...all, type: 'deny', mask: 0x2, who: { user: 'eve@desy.de' } }, ...openAcl.aces]
  directoryWith(gpfs.acls, gpfs.real('d'), { ...openAcl, aces })
  t.equal(await codeOf(write(gpfs.backend, at('/d/f'), 'x')), 'unsupported')
  directoryWith(gpfs.acls, gpfs.real('e'), { ...openAcl, aces: [{ ...all, flags: 0, who: { user: 'alice@desy.de' } }] })
  t.equal(await codeOf(write(gpfs.backend, at('/e/f'), 'x')), 'unsupported', 'nothing is passed on')
})

t.test('where nobody else renames lists are set by name, under the leases of the way', async (t) => {
  const gpfs = await setUp(t, { acls: new NamedAcls(), exclusive: true })
  directoryWith(gpfs.acls, gpfs.real('d'))
  file(gpfs, 'd/f', openAcl)
  t.match(await findingOf(gpfs), { level: 'warning', text: /by name/ })
  gpfs.services.leased.length = 0
  await act(gpfs.facet.set(at('/d/f'), listOf('bob@x'), {}, callOf(alice)))
  t.equal(nameOfFirst(gpfs.acls.get(gpfs.real('d/f'))), 'bob@x')
  t.same(gpfs.acls.writes, [gpfs.real('d/f')])
  // In the order of the keys, which are those of inodes.
  t.same(gpfs.services.leased.map((key) => key.replace(/.*\//, '')).sort(), ['d', 'f'])
  await write(gpfs.backend, at('/d/new'), 'x')
  await act(gpfs.backend.mkdir(at('/d/sub'), callOf(bob)))
  t.equal(gpfs.acls.writes.length, 3)
  // The mount may be wrong about that; then it is told.
  utimesSync(gpfs.real('d/f'), 1, 1)
  file(gpfs, 'other', listOf('victim@x'))
  gpfs.acls.beforeWrite = () => exchange(gpfs, 'd/f', 'other')
  t.equal(await codeOf(act(gpfs.facet.set(at('/d/f'), listOf('eve@x'), {}, callOf(alice)))), 'stale')
})
