/** What the gateway tells along with bytes that it is sent answers those who look next, and nothing that is older than a change. */

import t from 'tap'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import { asking, type Mounted, mounted } from './asking.ts'
import type { MemoryRemote } from './memory-remote.ts'
import { Bytes } from './remote-double.ts'

const readWrite = 2
const creating = readWrite | 0o100

function write({ system }: Mounted, nodeid: number, fh: number, offset: number, data: string) {
  return system.write(asking(nodeid), { fh, offset, data: Buffer.from(data), flags: readWrite, killSuidGid: false })
}

/** How often attributes were asked for by themselves. */
const looks = (remote: MemoryRemote) => remote.count('stat') + remote.count('fstat')

/** The next write has its answer once this is called; resolves when the gateway has written it. */
function holdAnswer(remote: MemoryRemote): { readonly written: Promise<void>; readonly letGo: () => void } {
  const [written, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  remote.after = () => {
    remote.after = undefined
    written.resolve()
    return held.promise
  }
  return { written: written.promise, letGo: () => held.resolve() }
}

t.test(
  'whoever looks after a write, and after the file is closed, needs no further request for a second',
  async (t) => {
    const mount = mounted()
    const { system, remote, wait } = mount
    const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
    await write(mount, nodeid, fh, 0, 'hello')
    const object = remote.find('/file')
    const seen = async (handle?: number) => (await system.getattr(asking(nodeid), handle)).attributes
    t.match(await seen(fh), { size: 5, mtime: object.modified })
    await system.flush(asking(nodeid), fh, 0n)
    t.match(await seen(fh), { size: 5, mtime: object.modified })
    await system.release(asking(nodeid), fh, undefined)
    t.match(await seen(), { size: 5, mtime: object.modified })
    t.equal((await system.lookup(asking(1), 'file')).attributes.size, 5)
    t.equal(looks(remote), 0)
    t.equal(remote.count('write'), 1)
    wait(1001)
    remote.put('/file', 'others wrote this')
    t.equal((await seen()).size, 17)
    t.equal(looks(remote), 1)
  },
)

t.test('the end of a file that nobody has looked at tells as well, also of one that is opened once more', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  for (const text of ['hello', 'hello again']) {
    const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
    await write(mount, nodeid, fh, 0, text)
    await system.flush(asking(nodeid), fh, 0n)
    await system.release(asking(nodeid), fh, undefined)
    const { attributes } = await system.getattr(asking(nodeid), undefined)
    t.match(attributes, { size: text.length, mtime: remote.find('/file').modified })
  }
  t.equal(looks(remote), 0)
})

t.test('a gateway that does not tell is asked', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  remote.tells = false
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  t.equal((await system.getattr(asking(nodeid), fh)).attributes.size, 5)
  t.equal(remote.count('fstat'), 1)
  await system.flush(asking(nodeid), fh, 0n)
  await system.release(asking(nodeid), fh, undefined)
  t.equal((await system.getattr(asking(nodeid), undefined)).attributes.size, 5)
  t.equal(remote.count('stat'), 1)
})

t.test('an answer that comes after a later write is not taken for the present', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  const size = async () => (await system.getattr(asking(nodeid), fh)).attributes.size
  await write(mount, nodeid, fh, 0, 'one')
  const { written, letGo } = holdAnswer(remote)
  const looking = size()
  await written
  await write(mount, nodeid, fh, 3, ' two')
  letGo()
  t.equal(await looking, 7, 'what was taken meanwhile is in the size')
  t.equal(await size(), 7)
  await system.flush(asking(nodeid), fh, 0n)
  const { attributes } = await system.getattr(asking(nodeid), undefined)
  t.match(attributes, { size: 7, mtime: remote.find('/file').modified })
})

t.test('a change by name or by descriptor that comes after the write is what is seen', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  const seen = async () => (await system.getattr(asking(nodeid), fh)).attributes
  await write(mount, nodeid, fh, 0, 'hello')
  t.equal((await seen()).size, 5)
  await system.setattr(asking(nodeid), { fh, size: 2, killSuidGid: false })
  t.equal((await seen()).size, 2)
  await write(mount, nodeid, fh, 2, 'y')
  const { written, letGo } = holdAnswer(remote)
  const [looking, cutting] = [
    seen(),
    written.then(() => system.setattr(asking(nodeid), { size: 1, killSuidGid: false })),
  ]
  await written
  letGo()
  await Promise.all([looking, cutting])
  t.equal((await seen()).size, 1)
  await write(mount, nodeid, fh, 1, 'x')
  t.equal((await seen()).size, 2)
  await system.setattr(asking(nodeid), { mode: 0o600, mtime: 5n, killSuidGid: false })
  await system.flush(asking(nodeid), fh, 0n)
  t.match(await seen(), { mode: 0o100600, mtime: 5n })
  await system.release(asking(nodeid), fh, undefined)
  t.match((await system.getattr(asking(nodeid), undefined)).attributes, { mode: 0o100600, mtime: 5n, size: 2 })
})

t.test('what another mount has written since is seen within a second, and when the file is opened', async (t) => {
  const mount = mounted()
  const { system, remote, wait } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  const { written, letGo } = holdAnswer(remote)
  const flushing = system.flush(asking(nodeid), fh, 0n)
  await written
  remote.put('/file', 'hello and more')
  remote.tell('/file', 'content')
  letGo()
  await flushing
  await system.release(asking(nodeid), fh, undefined)
  const again = await system.open(asking(nodeid), 0)
  t.equal(Buffer.concat(await system.read(asking(nodeid), again.fh, 0, 100)).toString(), 'hello and more')
  wait(1001)
  t.equal((await system.getattr(asking(nodeid), undefined)).attributes.size, 14)
  wait(2000)
  remote.put('/file', 'later')
  remote.tell('/file', 'content')
  t.equal((await system.getattr(asking(nodeid), undefined)).attributes.size, 5, 'at once, where it is told')
})

t.test('attributes that are closed are not remembered', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  remote.tells = (seen) => ({ ...seen, size: 0, version: '', id: 'path /file' })
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  t.equal((await system.getattr(asking(nodeid), fh)).attributes.size, 5)
  t.equal(remote.count('fstat'), 1)
  await system.flush(asking(nodeid), fh, 0n)
  await system.release(asking(nodeid), fh, undefined)
  await system.getattr(asking(nodeid), undefined)
  t.equal(remote.count('stat'), 1)
})

t.test('whoever was shown no attributes is not shown them by writing', async (t) => {
  const mount = mounted()
  const { system, remote, walk } = mount
  remote.put('/file', 'hello')
  const stat = remote.stat.bind(remote)
  remote.stat = async (path) => ({ ...(await stat(path)), size: 0, version: '', id: `path ${path}` })
  const { nodeid } = await walk('/file')
  const { fh } = await system.open(asking(nodeid), readWrite)
  await write(mount, nodeid, fh, 0, 'HELLO')
  await system.flush(asking(nodeid), fh, 0n)
  await system.release(asking(nodeid), fh, undefined)
  t.equal(remote.count('told'), 0)
})

t.test('a file that lost its name, or has another one, is told as it is', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', creating, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  await system.rename(asking(1), 'file', 1, 'other', 0)
  t.equal((await system.getattr(asking(nodeid), fh)).attributes.size, 5)
  await write(mount, nodeid, fh, 5, '!')
  await system.unlink(asking(1), 'other')
  t.match((await system.getattr(asking(nodeid), fh)).attributes, { size: 6, nlink: 0 })
  await system.flush(asking(nodeid), fh, 0n)
  await system.release(asking(nodeid), fh, undefined)
  t.equal(remote.root.names.size, 0)
})

t.test('of several blocks on their way none is asked what the object is like, and a draft never is', async (t) => {
  const bytes = new Bytes()
  bytes.delay = () => 2
  const store = createFileStore({ largest: { read: 2 ** 22, write: 2 ** 20 } })
  const asked: number[] = []
  const open = (kind: 'edit' | 'draft') => {
    const remote = bytes.open(kind)
    const plain = remote.write.bind(remote)
    remote.write = async (from, offset, signal, told) => {
      if (told) asked.push(offset)
      await plain(from, offset, signal)
      told?.(bytes.attributes())
    }
    return store.open(kind, remote, { telling: () => () => {} })
  }
  const file = open('edit')
  await file.write(Buffer.alloc(3 * 2 ** 20 + 5), 0)
  await file.flush(true)
  t.same(asked, [])
  await file.write(Buffer.alloc(5), 100)
  await store.settle('edit')
  t.same(asked, [], 'nor where nobody looks next')
  await file.write(Buffer.alloc(5), 200)
  await file.flush(true)
  t.same(asked, [200])
  const draft = open('draft')
  await draft.write(Buffer.alloc(5), 0)
  await draft.flush(true)
  t.same(asked, [200])
  await store.close()
})
