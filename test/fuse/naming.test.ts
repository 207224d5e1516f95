/** Names and attributes through the file system: what is asked for, what is remembered, and for how long. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { inodeOf } from '../../mounts/fuse/attributes.ts'
import { asking, mounted } from './asking.ts'

const errno = (message: string) => ({ message })

t.test('a name leads to attributes as this machine shows them', async (t) => {
  const { remote, walk } = mounted()
  const file = remote.put('/d/file', 'hello')
  Object.assign(file, { mode: 0o640, links: 1 })
  const { attributes, nodeid } = await walk('/d/file')
  t.equal(attributes.size, 5)
  t.equal(attributes.mode, 0o100640)
  t.match(attributes, { uid: 1000, gid: 100, nlink: 1, blocks: 1, ino: inodeOf(file.id), blksize: 1048576 })
  t.ok(attributes.ino > 1n && attributes.ino < 1n << 63n)
  t.equal((await walk('/d/file')).nodeid, nodeid)
})

t.test('what is not mine belongs to nobody, or to the number that the storage tells', async (t) => {
  const others = mounted()
  others.remote.put('/file').mine = false
  t.match((await others.walk('/file')).attributes, { uid: 65534, gid: 65534 })
  const ownership = { mine: { uid: 1000, gid: 100 }, others: { uid: 65534, gid: 65534 }, numeric: true }
  const numeric = mounted({ ownership })
  Object.assign(numeric.remote.put('/file'), { mine: false, owner: '4711', group: 'cms@desy.de' })
  t.match((await numeric.walk('/file')).attributes, { uid: 4711, gid: 65534 })
})

t.test('the root has number and inode 1, and one id or another', async (t) => {
  const { system } = mounted()
  const { attributes } = await system.getattr(asking(1), undefined)
  t.match(attributes, { ino: 1n, mode: 0o40755 })
})

t.test('a mount may begin below the root', async (t) => {
  const { remote, walk, system } = mounted({ top: '/d/e' as never })
  remote.put('/d/e/f', 'x')
  t.equal((await walk('/f')).attributes.size, 1)
  await system.mkdir(asking(1), 'new', 0o777, 0o022)
  t.equal(remote.find('/d/e/new').mode, 0o755, 'the umask is applied')
})

t.test(
  'without events things are believed for a second, with them longer, once the directory may be listed',
  async (t) => {
    const { remote, walk, system, wait } = mounted()
    remote.put('/file')
    remote.live = false
    t.equal((await walk('/file')).entryValid, 1000)
    wait(1001)
    remote.live = true
    t.equal((await walk('/file')).entryValid, 1000, 'nobody has said that changes here will be told')
    const { fh } = await system.opendir(asking(1))
    await system.readdir(asking(1), fh, 0n, { add: () => true }, false)
    await system.releasedir(asking(1), fh)
    wait(40_000)
    t.match(await walk('/file'), { entryValid: 30_000, attrValid: 30_000 })
    wait(10_000)
    t.match(await walk('/file'), { entryValid: 20_000 }, 'what is remembered gets no younger')
    t.match(await system.lookup(asking(1), 'missing'), { nodeid: 0, entryValid: 30_000 })
    remote.find('/file').links = 2
    wait(40_000)
    t.match(await walk('/file'), { entryValid: 1000 }, 'changes under the other name are not told')
  },
)

t.test('a directory whose names are asked for again and again is one to know about', async (t) => {
  const { remote, system, wait } = mounted()
  for (let i = 0; i < 5; i++) remote.put(`/d/f${i}`)
  const { nodeid } = await system.lookup(asking(1), 'd')
  for (let i = 0; i < 4; i++) await system.lookup(asking(nodeid), `f${i}`)
  while (remote.count('rights') === 0) await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  wait(5000)
  t.equal((await system.lookup(asking(nodeid), 'f4')).entryValid, 30_000)
  t.equal(remote.count('rights'), 1)
})

t.test('what is remembered costs no request', async (t) => {
  const { remote, walk, system, wait } = mounted()
  remote.put('/file')
  const { nodeid } = await walk('/file')
  await walk('/file')
  await system.getattr(asking(nodeid), undefined)
  t.equal(remote.count('stat'), 1)
  wait(1001)
  await system.getattr(asking(nodeid), undefined)
  t.equal(remote.count('stat'), 2)
})

t.test('a change by another door is forgotten here and in the kernel', async (t) => {
  const { remote, walk, heard, system } = mounted()
  remote.put('/d/file', 'x')
  const { nodeid } = await walk('/d/file')
  const d = await walk('/d')
  const parent = d.nodeid
  remote.put('/d/file', 'longer')
  remote.tell('/d/file', 'content')
  t.same(heard.nodes, [{ nodeid, content: true }])
  t.equal((await system.getattr(asking(nodeid), undefined)).attributes.size, 6)
  remote.tell('/d/file', 'attributes')
  t.same(heard.nodes.at(-1), { nodeid, content: false })
  remote.find('/d').names.delete('file')
  remote.tell('/d/file', 'entry')
  t.same(heard.entries, [{ directory: parent, name: 'file' }])
  t.equal((await system.lookup(asking(parent), 'file')).nodeid, 0)
  remote.tell('/d/never-seen', 'entry')
  t.same(heard.entries.at(-1), { directory: parent, name: 'never-seen' }, 'for it may be known to be absent')
  remote.tell('/not/known', 'entry')
  t.equal(heard.entries.length, 2)
})

t.test('where events were lost all is forgotten', async (t) => {
  const { remote, walk, heard } = mounted()
  remote.put('/d/file')
  const { nodeid } = await walk('/d/file')
  remote.tell('/', 'all')
  await walk('/d/file')
  t.equal(remote.count('stat'), 4)
  t.ok(heard.nodes.some((each) => each.nodeid === nodeid))
  t.ok(heard.entries.some((each) => each.name === 'file'))
})

t.test('an answer that a change overtook is not remembered', async (t) => {
  const { remote, walk } = mounted()
  remote.put('/file')
  remote.before = (operation) => {
    if (operation === 'stat') remote.tell('/file', 'content')
  }
  t.match(await walk('/file'), { entryValid: 0, attrValid: 0 })
})

t.test('our own changes, told back to us, throw nothing away', async (t) => {
  const { system, heard, remote } = mounted()
  const { nodeid } = await system.mkdir(asking(1), 'd', 0o777, 0)
  t.equal((await system.lookup(asking(1), 'd')).nodeid, nodeid)
  t.equal(remote.count('stat'), 0)
  t.same(heard.entries, [])
})

t.test('an object that another one replaced is stale, and found anew by its name', async (t) => {
  const { remote, walk, system, wait } = mounted()
  remote.put('/file', 'one')
  const before = await walk('/file')
  remote.root.names.delete('file')
  remote.put('/file', 'other')
  wait(1001)
  await t.rejects(system.getattr(asking(before.nodeid), undefined), errno('ESTALE'))
  const after = await walk('/file')
  t.not(after.nodeid, before.nodeid)
  t.equal(after.attributes.size, 5)
})

t.test('what somebody else removed is looked up again, so that it can be made', async (t) => {
  const { remote, walk, system } = mounted()
  remote.put('/journal', 'one')
  const { nodeid } = await walk('/journal')
  remote.root.names.delete('journal')
  await t.rejects(system.open(asking(nodeid), 2), errno('ESTALE'), 'the kernel does not tell this to the program')
  t.equal((await system.lookup(asking(1), 'journal')).nodeid, 0)
  t.ok((await system.create(asking(1), 'journal', 0o102, 0o666, 0)).nodeid > nodeid)
})

t.test('hard links are one node with a count', async (t) => {
  const { remote, walk, system } = mounted()
  remote.put('/one', 'x')
  const one = await walk('/one')
  const other = await system.link(asking(1), one.nodeid, 'other')
  t.equal(other.nodeid, one.nodeid)
  t.equal(other.attributes.nlink, 2)
  await system.unlink(asking(1), 'one')
  t.equal((await system.getattr(asking(one.nodeid), undefined)).attributes.nlink, 1)
})

t.test('a symbolic link is shown as it is stored', async (t) => {
  const { remote, system } = mounted()
  const { nodeid, attributes } = await system.symlink(asking(1), 'link', '../über/all')
  t.match(attributes, { mode: 0o120644, size: 12 })
  t.equal(await system.readlink(asking(nodeid)), '../über/all')
  t.equal(remote.count('stat'), 0)
  await t.rejects(system.symlink(asking(1), 'long', 'x'.repeat(4096)), errno('ENAMETOOLONG'))
})

t.test('renames take open nodes along, replace, spare and exchange', async (t) => {
  const { remote, walk, system } = mounted()
  remote.put('/d/a', 'a')
  remote.put('/b', 'b')
  const [d, a, b] = [await walk('/d'), await walk('/d/a'), await walk('/b')]
  await t.rejects(system.rename(asking(1), 'b', d.nodeid, 'a', 1), { code: 'exists' })
  await system.rename(asking(1), 'b', d.nodeid, 'a', 2)
  t.equal((await walk('/b')).nodeid, a.nodeid)
  t.equal((await walk('/d/a')).nodeid, b.nodeid)
  await system.rename(asking(1), 'd', 1, 'e', 0)
  t.equal((await system.getattr(asking(b.nodeid), undefined)).attributes.size, 1)
  t.equal((await walk('/e/a')).nodeid, b.nodeid)
  await t.rejects(system.rename(asking(1), 'e', 1, 'f', 4), errno('EINVAL'))
})

t.test('where names cannot change places that is said as file systems do, and other refusals are theirs', async (t) => {
  const { remote, walk, system } = mounted()
  remote.put('/a', 'a')
  remote.put('/b', 'bb')
  const [a, b] = [await walk('/a'), await walk('/b')]
  remote.before = (operation) => {
    if (operation === 'rename') throw new StorageError('unsupported', 'names cannot change places here')
  }
  await t.rejects(system.rename(asking(1), 'a', 1, 'b', 2), errno('EINVAL'))
  for (const flags of [0, 1]) await t.rejects(system.rename(asking(1), 'a', 1, 'b', flags), { code: 'unsupported' })
  t.same([(await walk('/a')).nodeid, (await walk('/b')).nodeid], [a.nodeid, b.nodeid])
})

t.test('devices and pipes cannot be made, files can', async (t) => {
  const { remote, system } = mounted()
  await t.rejects(system.mknod(asking(1), 'pipe', 0o010644, 0, 0), errno('EPERM'))
  await t.rejects(system.mknod(asking(1), 'null', 0o020644, 259, 0), errno('EPERM'))
  const { attributes } = await system.mknod(asking(1), 'file', 0o100666, 0, 0o022)
  t.equal(attributes.mode, 0o100644)
  t.equal(remote.count('close'), 1)
})

t.test('chown to what is shown is nothing, to others it is refused where ids mean nothing', async (t) => {
  const { remote, walk, system } = mounted()
  remote.put('/file')
  const { nodeid } = await walk('/file')
  await system.setattr(asking(nodeid), { uid: 1000, gid: 100, killSuidGid: false })
  t.equal(remote.count('change'), 0)
  await t.rejects(system.setattr(asking(nodeid), { uid: 0, killSuidGid: false }), errno('EPERM'))
  const { attributes } = await system.setattr(asking(nodeid), { mode: 0o100600, mtime: 5n, killSuidGid: false })
  t.match(attributes, { mode: 0o100600, mtime: 5n })
})

t.test('access is what the gateway says', async (t) => {
  const { remote, walk, system } = mounted()
  const file = remote.put('/file')
  file.rights = 0x81
  const { nodeid } = await walk('/file')
  await system.access(asking(nodeid), 4)
  await t.rejects(system.access(asking(nodeid), 2), errno('EACCES'))
  await t.rejects(system.access(asking(nodeid), 5), errno('EACCES'))
  t.equal(remote.count('rights'), 1, 'once, as long as the attributes are good')
})

t.test('space is told in blocks, and remembered for a moment', async (t) => {
  const { remote, system, wait } = mounted()
  t.match(await system.statfs(asking(1)), { blocks: 3, bfree: 2, bavail: 2, namelen: 255, frsize: 4096 })
  await system.statfs(asking(1))
  t.equal(remote.count('space'), 1)
  wait(6000)
  remote.space_ = { used: 0, available: undefined, limit: undefined }
  t.ok((await system.statfs(asking(1))).bavail > 2 ** 40)
})

t.test('a read-only mount refuses what changes anything', async (t) => {
  const { remote, walk, system } = mounted({ readOnly: true })
  remote.put('/file')
  const { nodeid } = await walk('/file')
  await t.rejects(system.unlink(asking(1), 'file'), errno('EROFS'))
  await t.rejects(system.open(asking(nodeid), 1), errno('EROFS'))
  await t.rejects(system.access(asking(nodeid), 2), errno('EROFS'))
  await system.open(asking(nodeid), 0)
})

t.test('a refusal is one line that says how to ask why', async (t) => {
  const { remote, walk, system, log } = mounted()
  remote.put('/d')
  remote.before = (operation) => {
    if (operation === 'mkdir') throw new StorageError('denied', 'the ACL says no')
  }
  const { nodeid } = await walk('/d')
  t.ok(nodeid)
  await t.rejects(system.mkdir(asking(1), 'x', 0o777, 0), { code: 'denied' })
  t.match(log, [/^mkdir "\/": EACCES: the ACL says no; why: getfattr .*user\.portolan\.explain/])
  for (let i = 0; i < 100; i++) await system.mkdir(asking(1), 'x', 0o777, 0).catch(() => {})
  t.ok(log.length <= 20, 'a loop does not fill the log')
  await system.unlink(asking(1), 'missing').catch(() => {})
  t.ok(
    log.every((line) => !line.includes('missing')),
    'ordinary answers are not told',
  )
})

t.test(
  'in a directory that has moved things are believed for long only when it was looked at where it is now',
  async (t) => {
    const { remote, walk, system, heard, wait } = mounted()
    remote.put('/d/file')
    const { nodeid } = await walk('/d')
    const list = async () => {
      const { fh } = await system.opendir(asking(nodeid))
      await system.readdir(asking(nodeid), fh, 0n, { add: () => true }, false)
      await system.releasedir(asking(nodeid), fh)
    }
    await list()
    const file = await walk('/d/file')
    t.equal(file.entryValid, 30_000)
    await system.rename(asking(1), 'd', 1, 'e', 0)
    t.ok(heard.entries.some(({ directory, name }) => directory === nodeid && name === 'file'))
    t.ok(heard.nodes.some((each) => each.nodeid === file.nodeid))
    wait(3000)
    t.equal((await walk('/e/file')).entryValid, 1000, 'the gateway tells of what is looked at by its new name')
    await list()
    wait(40_000)
    t.equal((await walk('/e/file')).entryValid, 30_000)
  },
)
