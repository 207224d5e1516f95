/** A mount's client against a gateway in processes of its own. */

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { gatewayWithData, reach } from './gateways.ts'

t.setTimeout(120_000)

const path = parsePath
const gateway = await gatewayWithData(t, { workers: 2 })

t.test('what is done by path', async (t) => {
  const fs = await reach(t, gateway)
  t.equal(fs.user, 'alice@lab.example')
  const made = await fs.mkdir(path('/data/dir'), 0o755)
  t.equal(made.type, 'directory')
  t.equal(made.mine, true)
  await t.rejects(fs.mkdir(path('/data/dir'), 0o755), { code: 'exists' })
  await t.rejects(fs.stat(path('/data/missing')), { code: 'not-found' })
  const link = await fs.symlink(path('/data/dir/link'), '../elsewhere')
  t.equal(link.target, '../elsewhere')
  const file = await fs.open(path('/data/dir/file'), { write: true, create: { exclusive: true, mode: 0o644 } })
  await file.write(Buffer.from('hello'), 0)
  await file.close()
  await t.rejects(fs.open(path('/data/dir/file'), { create: { exclusive: true, mode: 0o644 } }), { code: 'exists' })
  const linked = await fs.link(path('/data/dir/file'), path('/data/dir/second'))
  t.equal(linked.id, (await fs.stat(path('/data/dir/file'))).id)
  t.equal(linked.links, 2)
  const names: string[] = []
  for await (const page of fs.list(path('/data/dir'))) names.push(...page.map(({ name }) => name))
  t.same(names.toSorted(), ['file', 'link', 'second'])
  const moved = await fs.rename(path('/data/dir/second'), path('/data/dir/third'), 'replace')
  t.equal(moved.id, linked.id)
  await t.rejects(fs.rename(path('/data/dir/third'), path('/data/dir/link'), 'absent'), { code: 'exists' })
  const changed = await fs.change(path('/data/dir/file'), { modified: 1_500_000_000_123_456_789n, size: 3 })
  t.equal(changed.size, 3)
  await fs.setXattr(path('/data/dir/file'), 'colour', Buffer.from('red'), 'any')
  await t.rejects(fs.setXattr(path('/data/dir/file'), 'colour', Buffer.from('red'), 'absent'), { code: 'exists' })
  t.same(await fs.listXattrs(path('/data/dir/file')), ['colour'])
  t.equal(String(await fs.getXattr(path('/data/dir/file'), 'colour')), 'red')
  await fs.setXattr(path('/data/dir/file'), 'colour', undefined, 'present')
  t.equal(await fs.getXattr(path('/data/dir/file'), 'colour'), undefined)
  const acl = await fs.getAcl(path('/data/dir/file'))
  t.equal(acl.owner, 'alice@lab.example')
  await fs.setAcl(path('/data/dir/file'), acl)
  t.ok((await fs.rights(path('/data/dir/file'))).actions.includes('read'))
  t.match(await fs.explain(path('/data/dir/file')), /read/)
  t.ok((await fs.space(path('/data'))).used >= 0)
  t.type((await fs.checksums(path('/data/dir/file'))).size, 'number')
  await t.rejects(fs.remove(path('/data/dir'), 'file'), { code: 'is-directory' })
  await t.rejects(fs.remove(path('/data/dir'), 'directory'), { code: 'not-empty' })
  for (const name of ['file', 'link', 'third']) await fs.remove(path(`/data/dir/${name}`), 'file')
  await fs.remove(path('/data/dir'), 'directory')
  const bob = await reach(t, gateway, { user: 'bob' })
  await t.rejects(bob.mkdir(path('/data/bobs'), 0o755), { code: 'denied' })
})

t.test('bytes of a file: in place, at any offset, in pieces larger than a request', async (t) => {
  const fs = await reach(t, gateway)
  const file = await fs.open(path('/data/big'), { write: true, create: { exclusive: false, mode: 0o600 } })
  t.equal(file.kind, 'edit')
  t.equal(file.created, true)
  const bytes = randomBytes(9_000_001)
  await file.write(bytes, 0)
  await file.sync()
  const into = Buffer.alloc(9_500_000)
  t.equal(await file.read(into, 0), bytes.length)
  t.ok(into.subarray(0, bytes.length).equals(bytes))
  t.equal((await file.stat()).size, bytes.length)
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      file.write(bytes.subarray(index * 1000, (index + 1) * 1000), 100_000 - index * 1000),
    ),
  )
  const some = Buffer.alloc(1000)
  t.equal(await file.read(some, 100_000 - 7000), 1000)
  t.ok(some.equals(bytes.subarray(7000, 8000)))
  await file.truncate(10)
  t.equal(await file.read(some, 5), 5)
  t.equal(await file.read(some, 10), 0)
  const copy = await fs.open(path('/data/copy'), { write: true, create: { exclusive: false, mode: 0o600 } })
  t.equal(await copy.copyFrom(file, 0, 10, 0), 10)
  t.equal(await copy.seek(0, 'data'), 0)
  t.equal(await copy.seek(100, 'data'), undefined)
  await fs.remove(path('/data/copy'), 'file')
  t.equal(await copy.read(some, 0), 10, 'also when it has no name any more')
  const before = await fs.open(path('/data/big'), {})
  t.equal(before.kind, 'read')
  t.equal(await before.read(some, 0), 10)
  await t.rejects(before.write(some, 0))
  for (const each of [file, copy, before]) await each.close()
  await t.rejects(file.read(some, 0), { code: 'stale' })
})

t.test('locks of one mount are in the way of another', async (t) => {
  const [one, other] = [await reach(t, gateway), await reach(t, gateway)]
  const options = { write: true, create: { exclusive: false, mode: 0o600 } }
  const [mine, theirs] = [
    await one.open(path('/data/locked'), options),
    await other.open(path('/data/locked'), options),
  ]
  const [me, them] = [
    { owner: 'a', pid: 1, kind: 'posix' },
    { owner: 'a', pid: 2, kind: 'posix' },
  ] as const
  await mine.lock({ start: 0, end: 100, type: 'exclusive' }, me, false)
  await t.rejects(theirs.lock({ start: 50, end: 60, type: 'shared' }, them, false), { code: 'busy' })
  t.match(await theirs.testLock({ start: 50, end: 60, type: 'shared' }, them), {
    start: 0,
    end: 100,
    type: 'exclusive',
    pid: 1,
  })
  await theirs.lock({ start: 100, end: undefined, type: 'exclusive' }, them, false)
  const waiting = theirs.lock({ start: 50, end: 60, type: 'shared' }, them, true)
  await mine.unlock({ start: 0, end: undefined }, me)
  await waiting
  t.match(await mine.testLock({ start: 0, end: 100, type: 'exclusive' }, me), {
    start: 50,
    end: 60,
    type: 'shared',
    pid: 2,
  })
  const stop = new AbortController()
  const given = mine.lock({ start: 55, end: 56, type: 'exclusive' }, me, true, stop.signal)
  setImmediate(() => stop.abort())
  await t.rejects(given, { code: 'cancelled' })
})

t.test('more of those that wait than there are connections for them', async (t) => {
  const [one, other] = [
    await reach(t, gateway),
    await reach(t, gateway, {}, { sizes: { waiting: 2, data: 1, metadata: 1 } }),
  ]
  const holder = await one.open(path('/data/line'), { write: true, create: { exclusive: false, mode: 0o600 } })
  const everything = { start: 0, end: undefined, type: 'exclusive' } as const
  const whose = (name: string) => ({ owner: name, pid: 1, kind: 'flock' }) as const
  await holder.lock(everything, whose('first'), false)
  let had = 0
  const files = await Promise.all(Array.from({ length: 6 }, () => other.open(path('/data/line'), { write: true })))
  const stop = new AbortController()
  const impatient = await other.open(path('/data/line'), { write: true })
  const given = impatient.lock(everything, whose('gives up'), true, stop.signal)
  const waiting = files.map(async (file, index) => {
    await file.lock(everything, whose(`${index}`), true)
    had++
    await file.write(Buffer.alloc(10, index), index * 10)
    await file.unlock(everything, whose(`${index}`))
  })
  t.equal((await other.stat(path('/data/line'))).size, 0, 'others go on meanwhile')
  stop.abort()
  await t.rejects(given, { code: 'cancelled' })
  await holder.unlock(everything, whose('first'))
  await Promise.all(waiting)
  t.equal(had, 6)
  t.equal((await other.stat(path('/data/line'))).size, 60)
})

t.test('changes of others are told', async (t) => {
  const fs = await reach(t, gateway)
  const seen: string[] = []
  let told = Promise.withResolvers<void>()
  fs.watch(({ path, kind }) => {
    seen.push(`${kind} ${path}`)
    told.resolve()
  })
  for await (const _page of fs.list(path('/data'))) t.pass()
  while (fs.live !== true) {
    await told.promise
    told = Promise.withResolvers<void>()
  }
  t.equal(seen[0], 'all /')
  await gateway.put('/data/new', 'alice', 'text')
  while (!seen.some((line) => line.endsWith(' /data/new'))) {
    await told.promise
    told = Promise.withResolvers<void>()
  }
  t.pass(seen.join(', '))
})
