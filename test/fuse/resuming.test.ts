/** A process that goes on where another one was killed. */

import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { asking, type Mounted, mounted } from './asking.ts'
import { MemoryRemote } from './memory-remote.ts'

const errno = (message: string) => ({ message })
const readWrite = 2

function journal(t: Test): number {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-journal-'))
  const fd = openSync(join(directory, 'journal'), 'w+', 0o600)
  rmSync(directory, { recursive: true })
  t.teardown(() => closeSync(fd))
  return fd
}

const write = ({ system }: Mounted, nodeid: number, fh: number, data: string) =>
  system.write(asking(nodeid), { fh, offset: 0, data: Buffer.from(data), flags: readWrite, killSuidGid: false })

t.test('numbers mean what they meant, and open files are open', async (t) => {
  const fd = journal(t)
  const remote = new MemoryRemote()
  remote.put('/d/file', 'hello')
  remote.put('/other', 'x')
  const first = mounted({ journal: fd }, remote)
  const d = await first.walk('/d')
  const file = await first.walk('/d/file')
  const { fh } = await first.system.open(asking(file.nodeid), readWrite)
  await write(first, file.nodeid, fh, 'HELLO')
  await first.system.flush(asking(file.nodeid), fh, 0n)
  await first.system.rename(asking(1), 'd', 1, 'e', 0)
  const gone = await first.system.mkdir(asking(1), 'gone', 0o777, 0)
  await first.system.rmdir(asking(1), 'gone')
  first.system.forget(gone.nodeid, 1)

  const second = mounted({ journal: fd, isResumed: true }, remote)
  t.equal((await second.system.getattr(asking(file.nodeid), undefined)).attributes.ino, file.attributes.ino)
  t.equal(Buffer.concat(await second.system.read(asking(file.nodeid), fh, 0, 100)).toString(), 'HELLO')
  t.equal((await second.system.lookup(asking(d.nodeid), 'file')).nodeid, file.nodeid)
  await write(second, file.nodeid, fh, 'again')
  await second.system.flush(asking(file.nodeid), fh, 0n)
  t.equal(remote.find('/e/file').content.toString(), 'again')
  const fresh = await second.walk('/other')
  t.ok(fresh.nodeid > gone.nodeid, 'no number is used again')
  await second.system.release(asking(file.nodeid), fh, undefined)

  const third = mounted({ journal: fd, isResumed: true }, remote)
  t.equal((await third.walk('/other')).nodeid, fresh.nodeid)
  await t.rejects(third.system.read(asking(file.nodeid), fh, 0, 100), errno('EBADF'), 'it was closed')
  third.system.forget(fresh.nodeid, 3)
  third.remote.tell('/', 'all')
  await t.rejects(third.system.getattr(asking(fresh.nodeid), undefined), errno('ESTALE'), 'and can be forgotten')
})

t.test('what had been taken and not written is an error once', async (t) => {
  const fd = journal(t)
  const remote = new MemoryRemote()
  const first = mounted({ journal: fd }, remote)
  const { nodeid, fh } = await first.system.create(asking(1), 'file', readWrite | 0o100, 0o666, 0)
  await write(first, nodeid, fh, 'lost')
  const second = mounted({ journal: fd, isResumed: true }, remote)
  await t.rejects(second.system.flush(asking(nodeid), fh, 0n), errno('EIO'))
  await second.system.flush(asking(nodeid), fh, 0n)
  t.match(second.log, [/^"\/file": some of what was written is lost$/])
})

t.test('a file that is another one now, or had locks, is stale', async (t) => {
  const fd = journal(t)
  const remote = new MemoryRemote()
  for (const name of ['replaced', 'locked', 'removed']) remote.put(`/${name}`, name)
  const first = mounted({ journal: fd }, remote)
  const open = async (name: string) => {
    const { nodeid } = await first.walk(`/${name}`)
    return { nodeid, fh: (await first.system.open(asking(nodeid), 0)).fh }
  }
  const [replaced, locked, removed] = [await open('replaced'), await open('locked'), await open('removed')]
  await first.system.setlk(
    asking(locked.nodeid),
    locked.fh,
    1n,
    { start: 0n, end: 1n, type: 'read', pid: 1 },
    false,
    false,
  )
  await first.system.unlink(asking(1), 'removed')
  remote.root.names.delete('replaced')
  remote.put('/replaced', 'other')
  const second = mounted({ journal: fd, isResumed: true }, remote)
  for (const { nodeid, fh } of [replaced, locked, removed]) {
    await t.rejects(second.system.read(asking(nodeid), fh, 0, 10), errno('ESTALE'))
  }
})

t.test('a line that was not finished counts for nothing', async (t) => {
  const fd = journal(t)
  const remote = new MemoryRemote()
  remote.put('/file', 'x')
  const first = mounted({ journal: fd }, remote)
  const { nodeid } = await first.walk('/file')
  writeSync(fd, '["l",99,1,"tor', 1_000_000)
  const second = mounted({ journal: fd, isResumed: true }, remote)
  t.equal((await second.system.getattr(asking(nodeid), undefined)).attributes.size, 1)
  await t.rejects(second.system.getattr(asking(99), undefined), errno('ESTALE'))
})

t.test('what is written down does not grow without end, and means the same', async (t) => {
  const fd = journal(t)
  const remote = new MemoryRemote()
  remote.put('/d/file', 'hello')
  const first = mounted({ journal: fd, journalLength: 8192 }, remote)
  const file = await first.walk('/d/file')
  const { fh } = await first.system.open(asking(file.nodeid), readWrite)
  const lost = await first.system.create(asking(1), 'lost', readWrite, 0o600, 0)
  await first.system.unlink(asking(1), 'lost')
  for (let i = 0; i < 500; i++) {
    const { nodeid } = await first.system.mkdir(asking(1), `directory ${i}`, 0o755, 0)
    await first.system.rmdir(asking(1), `directory ${i}`)
    first.system.forget(nodeid, 1)
  }
  await first.system.rename(asking(1), 'd', 1, 'e', 0)
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(fstatSync(fd).size < 16_384, 'as long as what is true, and some more')
  const second = mounted({ journal: fd, isResumed: true }, remote)
  t.equal((await second.walk('/e/file')).nodeid, file.nodeid)
  t.equal(Buffer.concat(await second.system.read(asking(file.nodeid), fh, 0, 100)).toString(), 'hello')
  await t.rejects(second.system.getattr(asking(lost.nodeid), undefined), errno('ESTALE'))
  await t.rejects(second.system.read(asking(lost.nodeid), lost.fh, 0, 1), errno('ESTALE'))
})
