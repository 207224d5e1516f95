/** Two identities on one mount (`--identity per-process`): none is shown what is another's, and each sees at once what the other did. */

import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createFileSystem } from '../../mounts/fuse/file-system.ts'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import type { View } from '../../mounts/fuse/view.ts'
import { asking, HeardNotices } from './asking.ts'
import { MemoryRemote } from './memory-remote.ts'

const [alice, bob] = [1, 2]
const [readWrite, append, truncate] = [2, 0o2000, 0o1000]

/** Two sessions with one storage, in which Bob's may be kept from attributes. */
function shared(t: Test) {
  const remotes = [new MemoryRemote(), new MemoryRemote()] as const
  const storage = remotes[0]
  Object.defineProperty(remotes[1], 'root', { value: storage.root })
  const views = new Map<number, View>()
  let time = 1000
  const system = createFileSystem(
    {
      viewOf({ pid }, making) {
        const remote = remotes[pid === alice ? 0 : 1]
        const view = views.get(pid) ?? making.viewFor({ remote, files: createFileStore({ largest: remote.largest }) })
        views.set(pid, view)
        return view
      },
      close: async () => void (await Promise.all([...views.values()].map((view) => view.close()))),
    },
    new HeardNotices(),
    {
      ownership: { mine: { uid: 1000, gid: 100 }, others: { uid: 65534, gid: 65534 }, numeric: false },
      nearline: 'fail',
      log: () => {},
      now: () => time,
    },
  )
  t.teardown(() => system.close())
  const as = (pid: number, nodeid: number) => asking(nodeid, { pid })
  const write = (pid: number, nodeid: number, fh: number, text: string, offset = 0, flags = readWrite) =>
    system.write(as(pid, nodeid), { fh, offset, data: Buffer.from(text), flags, killSuidGid: false })
  const read = async (pid: number, nodeid: number, fh: number) =>
    Buffer.concat(await system.read(as(pid, nodeid), fh, 0, 100)).toString()
  return { remotes, storage, system, as, write, read, wait: (ms: number) => (time += ms) }
}

t.test('attributes that are closed to one are not told by the open file of another', async (t) => {
  const { remotes, storage, system, as } = shared(t)
  storage.put('/file', 'hello')
  const { nodeid } = await system.lookup(as(alice, 1), 'file')
  await system.open(as(alice, nodeid), readWrite)
  remotes[1].before = (operation) => {
    if (operation === 'stat' || operation === 'fstat') throw Object.assign(new Error('closed'), { name: 'Closed' })
  }
  await t.rejects(system.getattr(as(bob, nodeid), undefined), { name: 'Closed' })
  t.equal((await system.getattr(as(alice, nodeid), undefined)).attributes.size, 5)
})

t.test('a name that one has made is there for the other, and one that is gone is not', async (t) => {
  const { system, as, storage } = shared(t)
  storage.put('/d', 'directory')
  const { nodeid } = await system.lookup(as(bob, 1), 'd')
  await system.lookup(as(alice, 1), 'd')
  t.equal((await system.lookup(as(bob, nodeid), 'new')).nodeid, 0)
  await system.mkdir(as(alice, nodeid), 'new', 0o755, 0)
  t.not((await system.lookup(as(bob, nodeid), 'new')).nodeid, 0)
  await system.rmdir(as(alice, nodeid), 'new')
  t.equal((await system.lookup(as(bob, nodeid), 'new')).nodeid, 0)
})

t.test('what one has changed the other does not remember', async (t) => {
  const { system, as, storage } = shared(t)
  storage.put('/file', 'x')
  const { nodeid } = await system.lookup(as(bob, 1), 'file')
  await system.lookup(as(alice, 1), 'file')
  await system.setattr(as(alice, nodeid), { mode: 0o600, killSuidGid: false })
  t.equal((await system.getattr(as(bob, nodeid), undefined)).attributes.mode, 0o100600)
})

t.test('what one has written the other reads, and sees how long it is', async (t) => {
  const { system, as, storage, write, read } = shared(t)
  storage.put('/file', 'old')
  const { nodeid } = await system.lookup(as(alice, 1), 'file')
  const [one, other] = [await system.open(as(alice, nodeid), readWrite), await system.open(as(bob, nodeid), readWrite)]
  t.equal(await read(bob, nodeid, other.fh), 'old')
  await write(alice, nodeid, one.fh, 'newer')
  t.equal((await system.getattr(as(bob, nodeid), undefined)).attributes.size, 5)
  t.equal(await read(bob, nodeid, other.fh), 'newer')
  await write(alice, nodeid, one.fh, 'NEWER')
  await system.flush(as(alice, nodeid), one.fh, 0n)
  t.equal(await read(bob, nodeid, other.fh), 'NEWER')
})

t.test('two who append write one behind the other', async (t) => {
  const { system, as, storage, write } = shared(t)
  storage.put('/log', '')
  const { nodeid } = await system.lookup(as(alice, 1), 'log')
  const [one, other] = [
    await system.open(as(alice, nodeid), readWrite | append),
    await system.open(as(bob, nodeid), readWrite | append),
  ]
  let at = 0
  for (const [pid, { fh }, line] of [
    [alice, one, 'one\n'],
    [bob, other, 'two\n'],
    [alice, one, 'three\n'],
  ] as const) {
    await write(pid, nodeid, fh, line, at, readWrite | append)
    at += line.length
  }
  for (const [pid, { fh }] of [
    [alice, one],
    [bob, other],
  ] as const) {
    await system.flush(as(pid, nodeid), fh, 0n)
  }
  t.equal(storage.find('/log').content.toString(), 'one\ntwo\nthree\n')
})

t.test('who appends begins anew where another has emptied the file', async (t) => {
  for (const how of ['path', 'open'] as const) {
    const { system, as, storage, write } = shared(t)
    storage.put('/log', '')
    const { nodeid } = await system.lookup(as(alice, 1), 'log')
    const { fh } = await system.open(as(alice, nodeid), readWrite | append)
    await write(alice, nodeid, fh, 'a'.repeat(100), 0, readWrite | append)
    if (how === 'path') await system.setattr(as(bob, nodeid), { size: 0, killSuidGid: false })
    else await system.open(as(bob, nodeid), readWrite | truncate)
    await write(alice, nodeid, fh, 'B', 0, readWrite | append)
    await system.flush(as(alice, nodeid), fh, 0n)
    t.equal(storage.find('/log').content.toString(), 'B', how)
  }
})

t.test('a look of another does not make one forget what it has still to write', async (t) => {
  const { system, as, storage, write } = shared(t)
  storage.put('/file', '')
  const { nodeid } = await system.lookup(as(alice, 1), 'file')
  const { fh } = await system.open(as(alice, nodeid), readWrite)
  await write(alice, nodeid, fh, 'text')
  await system.getattr(as(bob, nodeid), undefined)
  await system.setattr(as(alice, nodeid), { mtime: 1_000_000_000n, killSuidGid: false })
  // As long as what is written behind waits for more.
  await pause(400)
  t.equal(storage.find('/file').content.toString(), 'text')
  t.equal(storage.find('/file').modified, 1_000_000_000n)
})

t.test('a file that one is not shown has no size of its own for those who are', async (t) => {
  const { remotes, system, as, storage, read } = shared(t)
  storage.put('/file', 'hello')
  const whole = remotes[1].stat.bind(remotes[1])
  const closed = { size: 0, modified: 0n, changed: 0n, mine: false, version: '', id: 'path /file' }
  remotes[1].stat = async (path) => ({ ...(await whole(path)), ...(path === '/file' && closed) })
  const seen = await system.lookup(as(alice, 1), 'file')
  await system.open(as(alice, seen.nodeid), readWrite)
  const hollow = await system.lookup(as(bob, 1), 'file')
  t.match(hollow, { nodeid: /^[0-9]+$/, attributes: { size: 0 } })
  t.not(hollow.nodeid, seen.nodeid, 'the kernel would cut what it has of the file')
  t.equal((await system.lookup(as(bob, 1), 'file')).nodeid, hollow.nodeid)
  const { fh, flags } = await system.open(as(bob, hollow.nodeid), 0)
  t.equal(flags, 1, 'FOPEN_DIRECT_IO')
  t.equal(await read(bob, hollow.nodeid, fh), 'hello', 'and who may read it does')
  t.equal((await system.lookup(as(alice, 1), 'file')).nodeid, seen.nodeid)
  await system.unlink(as(bob, 1), 'file')
  t.equal((await system.lookup(as(alice, 1), 'file')).nodeid, 0)
})
