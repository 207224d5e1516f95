/** Files through the file system: opening, the kernel's pages, locks, and what a removed file still does. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { inodeOf } from '../../mounts/fuse/attributes.ts'
import type { KernelLock } from '../../mounts/fuse/operations.ts'
import { asking, type Mounted, mounted } from './asking.ts'

const errno = (message: string) => ({ message })
const readWrite = 2
const keepCache = 2
const end = 0x7fff_ffff_ffff_ffffn

async function text({ system }: Mounted, fh: number, nodeid: number): Promise<string> {
  const chunks = await system.read(asking(nodeid), fh, 0, 65536)
  return Buffer.concat(chunks).toString()
}

function write({ system }: Mounted, nodeid: number, fh: number, offset: number, data: string, flags = readWrite) {
  return system.write(asking(nodeid), { fh, offset, data: Buffer.from(data), flags, killSuidGid: false })
}

t.test('a file is created, written, closed and read', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh, attributes } = await system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0o027)
  t.equal(attributes.mode, 0o100640)
  t.equal(attributes.ino, inodeOf(remote.find('/file').id))
  t.equal(await write(mount, nodeid, fh, 0, 'hello'), 5)
  t.equal((await system.getattr(asking(nodeid), fh)).attributes.size, 5, 'its size is what was written')
  await system.flush(asking(nodeid), fh, 0n)
  t.equal(remote.find('/file').content.toString(), 'hello')
  await system.release(asking(nodeid), fh, undefined)
  const again = await system.open(asking(nodeid), 0)
  t.equal(await text(mount, again.fh, nodeid), 'hello')
  await system.release(asking(nodeid), again.fh, undefined)
  t.equal(remote.count('close'), 2)
  await t.rejects(system.read(asking(nodeid), again.fh, 0, 1), errno('EBADF'))
})

t.test('an exclusive creation is one, any other opens what is there', async (t) => {
  const { system, remote } = mounted()
  remote.put('/file', 'there')
  await t.rejects(system.create(asking(1), 'file', 0o301, 0o666, 0), { code: 'exists' })
  const { attributes } = await system.create(asking(1), 'file', 0o101, 0o666, 0)
  t.equal(attributes.size, 5)
  const truncated = await system.create(asking(1), 'file', 0o1101, 0o666, 0)
  t.equal(truncated.attributes.size, 0)
})

t.test('who creates to read needs no right to write what is there', async (t) => {
  const { system, remote } = mounted()
  remote.put('/file', 'there')
  const written: string[] = []
  const open = remote.open.bind(remote)
  remote.open = (path, options) => {
    if (options.write) written.push(path)
    return open(path, options)
  }
  await system.create(asking(1), 'file', 0o100, 0o666, 0)
  t.same(written, [])
  await system.create(asking(1), 'new', 0o100, 0o666, 0)
  t.same(written, ['/new'])
})

t.test('directories, links and pipes are not opened', async (t) => {
  const { system, remote, walk } = mounted()
  remote.put('/d', 'directory')
  remote.root.names.set('pipe', remote.make('other'))
  remote.root.names.set('link', remote.make('symlink'))
  await t.rejects(system.open(asking((await walk('/d')).nodeid), 0), errno('EISDIR'))
  await t.rejects(system.open(asking((await walk('/pipe')).nodeid), 0), errno('ENXIO'))
  await t.rejects(system.open(asking((await walk('/link')).nodeid), 0), errno('ELOOP'))
})

t.test('the kernel keeps its pages as long as the version is the same', async (t) => {
  const mount = mounted()
  const { system, remote, walk, wait } = mount
  remote.put('/file', 'one')
  const { nodeid } = await walk('/file')
  const open = async () => {
    const { fh, flags } = await system.open(asking(nodeid), 0)
    await system.release(asking(nodeid), fh, undefined)
    return flags & keepCache
  }
  t.equal(await open(), 0, 'nothing is known of the first')
  t.equal(await open(), keepCache)
  remote.put('/file', 'two')
  t.equal(await open(), 0, 'another version')
  t.equal(await open(), keepCache)
  remote.tell('/file', 'content')
  t.equal(await open(), 0, 'an event')
  const { fh } = await system.open(asking(nodeid), readWrite)
  await write(mount, nodeid, fh, 0, 'x')
  await system.flush(asking(nodeid), fh, 0n)
  t.equal(await open(), 0, 'while it is written')
  await system.release(asking(nodeid), fh, undefined)
  wait(3000)
  t.equal(await open(), 0, 'somebody else may have written too')
  t.equal(await open(), keepCache)
})

t.test('pages of another version are dropped when attributes tell of it', async (t) => {
  const { system, remote, walk, heard, wait } = mounted()
  remote.live = false
  remote.put('/file', 'one')
  const { nodeid } = await walk('/file')
  await system.open(asking(nodeid), 0)
  remote.put('/file', 'two')
  wait(1001)
  await system.getattr(asking(nodeid), undefined)
  t.same(heard.nodes, [{ nodeid, content: true }])
})

t.test('a removed file works as long as it is open', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  await system.unlink(asking(1), 'file')
  await write(mount, nodeid, fh, 5, ' world')
  t.equal(await text(mount, fh, nodeid), 'hello world')
  t.equal((await system.getattr(asking(nodeid), undefined)).attributes.size, 11)
  await system.setattr(asking(nodeid), { fh, size: 2, killSuidGid: false })
  t.equal(await text(mount, fh, nodeid), 'he')
  await system.flush(asking(nodeid), fh, 0n)
  await system.release(asking(nodeid), fh, undefined)
  t.notOk(remote.root.names.has('file'))
  await t.rejects(system.open(asking(nodeid), 0), errno('ESTALE'))
})

t.test('an open file is told where it is after a rename', async (t) => {
  const mount = mounted()
  const { system, remote, walk } = mount
  remote.put('/d/file', 'x')
  const { nodeid } = await walk('/d/file')
  const { fh } = await system.open(asking(nodeid), readWrite)
  await system.rename(asking(1), 'd', 1, 'e', 0)
  const seen: string[] = []
  remote.before = (_operation, path) => void seen.push(path)
  await write(mount, nodeid, fh, 0, 'y')
  await system.flush(asking(nodeid), fh, 0n)
  t.ok(seen.length > 0 && seen.every((path) => path === '/e/file'), seen.join(' '))
})

t.test('what is appended goes to the end, wherever the kernel thinks that it is', async (t) => {
  const mount = mounted()
  const { system, remote, walk, heard } = mount
  remote.put('/log', 'one\n')
  const { nodeid } = await walk('/log')
  const { fh } = await system.open(asking(nodeid), 0o2001)
  await write(mount, nodeid, fh, 0, 'two\n', 0o2001)
  await system.flush(asking(nodeid), fh, 0n)
  t.equal(remote.find('/log').content.toString(), 'one\ntwo\n')
  t.ok(
    heard.nodes.some((each) => each.nodeid === nodeid && each.content),
    'its pages are at the wrong place',
  )
})

t.test('times set on an open file stay, whatever was not written out yet', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0)
  await write(mount, nodeid, fh, 0, 'hello')
  await system.setattr(asking(nodeid), { fh, mtime: 12_345n, killSuidGid: false })
  await system.flush(asking(nodeid), fh, 0n)
  t.equal(remote.find('/file').modified, 12_345n)
})

t.test('what is on tape is not fetched by opening it', async (t) => {
  const { system, remote, walk, log } = mounted()
  remote.put('/file', 'x').locality = 'tape'
  const { nodeid } = await walk('/file')
  await t.rejects(system.open(asking(nodeid), 0), { code: 'nearline' })
  t.equal(remote.count('stage'), 0)
  t.match(log, [/^open "\/file": ENODATA: nearline/])
})

t.test('what is read in vain while the gateway is away is not waited for twice', async (t) => {
  const mount = mounted()
  const { system, remote, walk } = mount
  remote.put('/file', 'x'.repeat(100_000))
  const { nodeid } = await walk('/file')
  const { fh } = await system.open(asking(nodeid), 0)
  let asked = 0
  remote.before = (operation) => {
    if (operation !== 'read') return
    asked++
    throw new StorageError('timeout', 'away')
  }
  await t.rejects(system.read(asking(nodeid), fh, 0, 65_536), { code: 'timeout' })
  await t.rejects(system.read(asking(nodeid), fh, 4096, 4096), { code: 'timeout' })
  t.equal(asked, 1, 'the kernel asks once more for a page of what it wanted to read ahead')
  await t.rejects(system.read(asking(nodeid), fh, 90_000, 4096), { code: 'timeout' })
  t.equal(asked, 2, 'another place')
  remote.before = () => {}
  mount.wait(1001)
  t.equal((await system.read(asking(nodeid), fh, 0, 4096))[0]?.length, 4096)
})

t.test('a mount that waits for tapes asks once, and can be interrupted', async (t) => {
  const { system, remote, walk } = mounted({ nearline: 'wait' })
  const file = remote.put('/file', 'x')
  file.locality = 'tape'
  const { nodeid } = await walk('/file')
  const gone = new AbortController()
  let patience = 0
  remote.before = (operation) => {
    if (operation === 'stage') setImmediate(() => gone.abort())
  }
  const mayTakeLong = () => {
    patience++
  }
  await t.rejects(system.open(asking(nodeid, { signal: gone.signal, mayTakeLong }), 0), { name: 'AbortError' })
  t.equal(patience, 1)
  remote.before = (operation) => {
    if (operation === 'stage') file.locality = 'disk-and-tape'
  }
  const { fh } = await system.open(asking(nodeid), 0)
  t.ok(fh > 0)
  t.equal(remote.count('stage'), 2)
})

t.test('locks are the gateway’s, and what was written under one is there for the next', async (t) => {
  const mount = mounted()
  const { system, remote, walk, heard } = mount
  remote.put('/db', 'one')
  const { nodeid } = await walk('/db')
  const { fh } = await system.open(asking(nodeid), readWrite)
  const lock: KernelLock = { start: 0n, end: 9n, type: 'write', pid: 7 }
  await system.setlk(asking(nodeid), fh, 0xffff_ffff_0000_0001n, lock, false, false)
  t.match(remote.find('/db').locks, [{ start: 0, end: 10, owner: 'ffffffff00000001', kind: 'posix', pid: 7 }])
  await t.rejects(system.setlk(asking(nodeid), fh, 2n, lock, false, false), errno('EAGAIN'))
  t.match(await system.getlk(asking(nodeid), fh, 2n, { ...lock, end }, false), {
    start: 0n,
    end: 9n,
    type: 'write',
    pid: 7,
  })
  await system.setlk(asking(nodeid), fh, 2n, { ...lock, end }, true, false)
  await write(mount, nodeid, fh, 0, 'two')
  await system.setlk(asking(nodeid), fh, 0xffff_ffff_0000_0001n, { ...lock, type: 'unlock' }, false, false)
  t.equal(remote.find('/db').content.toString(), 'two', 'written before the lock is given back')
  remote.put('/db', 'three')
  heard.nodes.length = 0
  await system.setlk(asking(nodeid), fh, 3n, lock, false, true)
  t.ok(
    heard.nodes.some((each) => each.content),
    'the next one reads anew',
  )
  await system.flush(asking(nodeid), fh, 3n)
  t.match(remote.find('/db').locks, [{ kind: 'flock' }], 'close(2) ends the locks of fcntl(2)')
  await system.release(asking(nodeid), fh, 2n)
  t.same(remote.find('/db').locks, [])
})

t.test('what fallocate and lseek cannot do is said', async (t) => {
  const mount = mounted()
  const { system, remote } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0)
  await system.fallocate(asking(nodeid), fh, 0, 10, 0)
  t.equal(remote.find('/file').content.length, 10)
  await t.rejects(system.fallocate(asking(nodeid), fh, 0, 10, 8), errno('EOPNOTSUPP'))
  t.equal(await system.lseek(asking(nodeid), fh, 3, 4), 10)
  await t.rejects(system.lseek(asking(nodeid), fh, 30, 3), errno('ENXIO'))
})

t.test('a file whose attributes are closed is read to its end all the same', async (t) => {
  const mount = mounted()
  const { system, remote, walk } = mount
  remote.put('/file', 'hello')
  const stat = remote.stat.bind(remote)
  remote.stat = async (path) => ({ ...(await stat(path)), size: 0, version: '', id: `path ${path}` })
  const { nodeid, attributes } = await walk('/file')
  t.equal(attributes.size, 0)
  const { fh, flags } = await system.open(asking(nodeid), 0)
  t.equal(flags & 1, 1, 'the kernel does not stop at the size that it knows')
  t.equal(await text(mount, fh, nodeid), 'hello')
})

t.test('whoever looks between two writes sees all of both, also where one had to wait for room', async (t) => {
  const mount = mounted()
  const { system } = mount
  const { nodeid, fh } = await system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0)
  const size = async () => (await system.getattr(asking(nodeid), fh)).attributes.size
  for (let count = 1; count <= 5; count++) {
    await write(mount, nodeid, fh, (count - 1) * 5, 'hello')
    t.equal(await size(), count * 5)
  }
  const writing = write(mount, nodeid, fh, 25, 'hello')
  await Promise.all([size(), writing])
  t.equal(await size(), 30)
  await system.release(asking(nodeid), fh, undefined)
})

t.test('mode and times of an open file are changed also when it has no name any more', async (t) => {
  const { remote, system, walk } = mounted()
  const file = remote.put('/temporary', 'x')
  const { nodeid } = await walk('/temporary')
  const { fh } = await system.open(asking(nodeid), 2)
  await system.unlink(asking(1), 'temporary')
  const { attributes } = await system.setattr(asking(nodeid), { mode: 0o100600, mtime: 5n, killSuidGid: false })
  t.match(attributes, { mode: 0o100600, mtime: 5n, nlink: 0 })
  t.match((await system.getattr(asking(nodeid), undefined)).attributes, { mode: 0o100600, mtime: 5n })
  file.mine = false
  await t.rejects(system.setattr(asking(nodeid), { mode: 0o100644, killSuidGid: false }), { message: 'EPERM' })
  file.mine = true
  file.links = 1
  await t.rejects(system.setattr(asking(nodeid), { mode: 0o100644, killSuidGid: false }), { message: 'ESTALE' })
  await system.release(asking(nodeid), fh, undefined)
  await t.rejects(system.setattr(asking(nodeid), { mode: 0o100644, killSuidGid: false }), { message: 'ESTALE' })
})
