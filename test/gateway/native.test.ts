/** The native grade: the kernel decides, as the user. Needs root to start from; the gateway does not stay root. */

import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { noNative as skip, startTestGateway, type TestGateway } from './harness.ts'
import { groups, service, users } from './people.ts'
import { statusOf } from './processes.ts'
import { makeLab, Owned } from './tree.ts'

/** Rooms of alice and bob, and one shared by p01 whose group its files get. */
function makeRooms(top: string): void {
  const tree = new Owned(top)
  tree.directory('alice', 'alice', 0o700)
  tree.directory('bob', 'bob', 0o700)
  tree.directory('shared', 'admin', 0o2770, 'p01')
  tree.directory('sticky', 'admin', 0o1777)
  tree.file('alice/own', 'alice', 'of alice', 0o600)
  tree.file('public', 'alice', 'for all', 0o644)
}

t.setTimeout(120_000)
let started: Promise<TestGateway> | undefined

/** One gateway for all tests, with the first that is not skipped. */
function start(): Promise<TestGateway> {
  started ??= startTestGateway(t, {
    workers: 2,
    mounts: [
      { path: '/native', make: makeRooms, enforce: 'native' },
      { path: '/lab', make: (top) => void makeLab(top) },
    ],
  })
  return started
}

t.test('files belong to who makes them, and the kernel refuses the others', { skip }, async (t) => {
  const gateway = await start()
  const tree = gateway.tree('/native')
  t.equal((await gateway.put('/native/alice/new', 'alice', 'mine')).status, 201)
  const made = statSync(join(tree, 'alice/new'))
  t.same([made.uid, made.gid], [users.alice.uid, users.alice.gid], 'owner and group')
  t.equal(made.mode & 0o022, 0, 'not writable by others')
  t.equal((await gateway.get('/native/alice/new', 'alice')).text, 'mine')
  for (const path of ['/native/alice/new', '/native/alice/missing', '/native/alice/']) {
    t.equal((await gateway.get(path, 'bob')).status, 403, `bob GET ${path}`)
  }
  t.equal((await gateway.put('/native/alice/new', 'bob', 'his')).status, 403)
  t.equal((await gateway.put('/native/alice/other', 'bob', 'his')).status, 403)
  t.equal((await gateway.request({ method: 'DELETE', path: '/native/alice/new', user: 'bob' })).status, 403)
  t.equal((await gateway.get('/native/public', 'bob')).text, 'for all')
  t.equal((await gateway.put('/native/public', 'bob', 'his')).status, 403)
  t.equal((await gateway.put('/native/stray', 'bob', 'his')).status, 403, 'the top is not his')
  t.equal((await gateway.get('/native/alice/new')).status, 401)
})

t.test("groups, set-group-id and sticky directories are the kernel's", { skip }, async (t) => {
  const gateway = await start()
  const tree = gateway.tree('/native')
  t.equal((await gateway.put('/native/shared/run', 'alice', 'beam')).status, 201)
  t.equal(statSync(join(tree, 'shared/run')).gid, groups.p01.gid, 'the group of the directory')
  t.equal((await gateway.get('/native/shared/run', 'bob')).status, 403)
  t.equal((await gateway.get('/native/shared/', 'carol')).status, 200, 'carol by her group')
  t.equal((await gateway.put('/native/sticky/of-alice', 'alice', 'x')).status, 201)
  t.equal((await gateway.request({ method: 'DELETE', path: '/native/sticky/of-alice', user: 'bob' })).status, 403)
  t.equal((await gateway.request({ method: 'DELETE', path: '/native/sticky/of-alice', user: 'alice' })).status, 204)
})

t.test('replacing keeps owner and mode', { skip }, async (t) => {
  const gateway = await start()
  const file = join(gateway.tree('/native'), 'shared/kept')
  await gateway.put('/native/shared/kept', 'alice', 'beam')
  chmodSync(file, 0o660)
  t.equal((await gateway.put('/native/shared/kept', 'carol', 'beam on')).status, 204, 'carol may write it')
  t.equal((await gateway.get('/native/shared/kept', 'alice')).text, 'beam on')
  const { uid, gid, mode } = statSync(file)
  t.same([uid, gid, mode & 0o7777], [users.alice.uid, groups.p01.gid, 0o660])
})

t.test('a token with scopes is bounded here too', { skip }, async (t) => {
  const gateway = await start()
  const token = await gateway.token('alice', { scope: 'storage.read:/native/public' })
  t.equal((await gateway.request({ path: '/native/public', token })).status, 200)
  t.equal((await gateway.request({ path: '/native/alice/own', token })).status, 403)
  t.equal((await gateway.request({ method: 'PUT', path: '/native/public', token, body: 'x' })).status, 403)
})

t.test('its processes are an ordinary account with CAP_SETUID and CAP_SETGID alone', { skip }, async (t) => {
  const gateway = await start()
  await gateway.put('/native/alice/new', 'alice', 'so that threads have switched')
  const [supervisor, ...workers] = gateway.pids()
  t.equal(workers.length, 2)
  for (const pid of [supervisor ?? -1, ...workers]) {
    t.equal(statusOf(pid, 'Uid'), Array.from({ length: 4 }, () => service.uid).join('\t'), `${pid}: uid`)
    t.equal(statusOf(pid, 'Gid'), Array.from({ length: 4 }, () => service.gid).join('\t'), `${pid}: gid`)
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) {
      t.equal(statusOf(pid, set), '00000000000000c0', `${pid}: ${set}`)
    }
    const handedOn = pid === supervisor ? '00000000000000c0' : '0000000000000000'
    t.equal(statusOf(pid, 'CapAmb'), handedOn, `${pid}: what programs that it starts are given`)
    t.equal(statusOf(pid, 'NoNewPrivs'), '1', `${pid}: no new privileges`)
  }
})

t.test('root and accounts below the configured minimum are refused', { skip }, async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/native', make: makeRooms, enforce: 'native' }],
    more: { minUid: 64_812 },
  })
  t.equal((await gateway.get('/native/public', 'bob')).status, 200)
  t.ok([401, 403].includes((await gateway.get('/native/public', 'alice')).status), 'alice is below it')
})

t.test('its trees may lie below a directory that only root may enter', { skip }, async (t) => {
  const closed = mkdtempSync(join(tmpdir(), 'portolan-closed-'))
  t.teardown(() => rmSync(closed, { recursive: true, force: true }))
  t.equal(statSync(closed).mode & 0o777, 0o700)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/native', root: join(closed, 'rooms'), make: makeRooms, enforce: 'native' }],
  })
  t.equal((await gateway.get('/native/alice/own', 'alice')).text, 'of alice')
  t.equal((await gateway.put('/native/alice/new', 'alice', 'x')).status, 201)
  t.equal((await gateway.get('/native/alice/own', 'bob')).status, 403)
})
