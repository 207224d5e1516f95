/** Listing directories through the file system. */

import t from 'tap'
import type { DirectoryEntry } from '../../mounts/fuse/operations.ts'
import { asking, listed, listedFrom, mounted } from './asking.ts'

const errno = (message: string) => ({ message })

t.test('a listing has the dots, then every name once, page by page', async (t) => {
  const { remote, system } = mounted()
  for (let i = 0; i < 2500; i++) remote.put(`/f${i}`)
  const all = await listed(system, 1, false, 70)
  t.same(
    all.slice(0, 2).map(({ name, type, ino }) => [name, type, ino]),
    [
      ['.', 4, 1n],
      ['..', 4, 1n],
    ],
  )
  t.same(new Set(all.slice(2).map(({ name }) => name)).size, 2500)
  t.equal(remote.count('list'), 3)
  t.equal(new Set(all.map(({ cookie }) => cookie)).size, 2502)
})

t.test('an empty directory has its dots', async (t) => {
  const { remote, system, walk } = mounted()
  remote.put('/d/e', 'directory')
  const { nodeid, attributes } = await walk('/d')
  const below = await walk('/d/e')
  t.same(
    (await listed(system, below.nodeid)).map(({ name, ino }) => [name, ino]),
    [
      ['.', below.attributes.ino],
      ['..', attributes.ino],
    ],
  )
  t.ok(nodeid)
})

t.test('names that were listed need no look-up of their own', async (t) => {
  for (const plus of [false, true]) {
    const { remote, system } = mounted()
    for (let i = 0; i < 50; i++) remote.put(`/f${i}`, 'x')
    const all = await listed(system, 1, plus)
    for (let i = 0; i < 50; i++) t.equal((await system.lookup(asking(1), `f${i}`)).attributes.size, 1)
    t.equal(remote.count('stat'), 0)
    t.equal(all[5]?.entry?.attributes.size, plus ? 1 : undefined)
  }
})

t.test('an entry counts as a look-up only if there was room for it', async (t) => {
  const { remote, system, wait } = mounted()
  remote.put('/a')
  remote.put('/b')
  const { fh } = await system.opendir(asking(1))
  const first = await listedFrom(system, 1, fh, 0n, { plus: true, room: 3 })
  t.same(
    first.map(({ name }) => name),
    ['.', '..', 'a'],
  )
  const nodeid = first[2]?.entry?.nodeid ?? 0
  system.forget(nodeid, 1)
  wait(60_000)
  remote.tell('/', 'all')
  await t.rejects(system.getattr(asking(nodeid), undefined), errno('ESTALE'), 'one look-up, one forget')
  t.same(
    (await listedFrom(system, 1, fh, first[2]?.cookie ?? 0n, { plus: true, room: 3 })).map(({ name }) => name),
    ['b'],
  )
})

t.test('going back begins anew, further on or at the start', async (t) => {
  const { remote, system } = mounted()
  remote.page = 10
  for (let i = 0; i < 35; i++) remote.put(`/f${i}`)
  const { fh } = await system.opendir(asking(1))
  const all: DirectoryEntry[] = []
  for (let cookie = 0n; ; ) {
    const some = await listedFrom(system, 1, fh, cookie, { plus: false, room: 7 })
    if (some.length === 0) break
    all.push(...some)
    cookie = some.at(-1)?.cookie ?? 0n
  }
  t.equal(all.length, 37)
  const back = await listedFrom(system, 1, fh, all[8]?.cookie ?? 0n, { plus: false, room: 3 })
  t.same(
    back.map(({ name }) => name),
    all.slice(9, 12).map(({ name }) => name),
  )
  remote.put('/zz')
  const again = await listedFrom(system, 1, fh, 0n, { plus: false, room: 100 })
  t.equal(again.length, 38, 'rewinddir(3) sees what came since')
})

t.test('a listing that is interrupted can be asked for again', async (t) => {
  const { remote, system } = mounted()
  remote.put('/a')
  const gate = Promise.withResolvers<void>()
  remote.before = () => gate.promise
  const { fh } = await system.opendir(asking(1))
  const gone = new AbortController()
  const interrupted = system.readdir(asking(1, { signal: gone.signal }), fh, 0n, { add: () => true }, false)
  setImmediate(() => gone.abort())
  await t.rejects(interrupted, { name: 'AbortError' })
  gate.resolve()
  t.equal((await listedFrom(system, 1, fh, 0n, { plus: false, room: 10 })).length, 3)
  t.equal(remote.count('list'), 1, 'the page that was on its way is used')
})

t.test('names that cannot be on this machine are left out', async (t) => {
  const { remote, system } = mounted()
  for (const name of ['ok', 'a/b', '..', 'x'.repeat(256), 'nul\0']) remote.root.names.set(name, remote.make('file'))
  t.same(
    (await listed(system, 1)).map(({ name }) => name),
    ['.', '..', 'ok'],
  )
})

t.test('what is not a directory, or not open, is said', async (t) => {
  const { remote, system, walk } = mounted()
  remote.put('/file')
  await t.rejects(system.opendir(asking((await walk('/file')).nodeid)), errno('ENOTDIR'))
  const { fh } = await system.opendir(asking(1))
  await system.releasedir(asking(1), fh)
  await t.rejects(async () => system.readdir(asking(1), fh, 0n, { add: () => true }, false), errno('EBADF'))
})
