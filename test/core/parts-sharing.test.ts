/** Uploads in parts: whose they are, how many there may be, and many hands at work on one of them. */

import { readdirSync } from 'node:fs'
import t from 'tap'
import { aceFlag } from '../../acl/acl.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { together } from './locked-world.ts'
import { Parts, piece } from './part-world.ts'
import { makeUploadWorld, Tap } from './upload-world.ts'
import { aclOf, allow, callBy, everything, grants, person, user } from './world.ts'

const root = parsePath('/')

t.test('an upload in parts is nobody else’s, whatever he knows', async (t) => {
  const world = await (await makeUploadWorld(t)).process()
  const one = new Parts(world.storage)
  const { parts, uploads } = one.storage
  const id = await one.create('alice', '/data/f', { note: 'a note' })
  t.match(await parts.state(callBy('alice'), id), { id, path: '/data/f', note: 'a note', user: 'alice@x' })
  await one.write('alice', id, 1, 'abc')
  const others = [person('bob'), person('alice', { grants: grants('create:/data/other') }), person('eve')]
  for (const other of others) {
    const refused = [
      parts.state(callBy(other), id),
      one.write(other, id, 2, 'x'),
      one.numbers(other, id),
      one.complete(other, id, [1]),
      parts.abort(callBy(other), id),
      parts.copy(callBy(other), id, 2, parsePath('/data/none'), undefined),
    ]
    for (const each of refused)
      await t.rejects(
        each.then(() => {}),
        { code: 'not-found' },
      )
    t.same(await parts.uploads(callBy(other), root, { limit: 10 }), [])
  }
  const nobody = person('anonymous', { user: undefined })
  await t.rejects(one.create(nobody, '/data/g'), { code: 'unauthenticated' })
  await t.rejects(parts.state(callBy(nobody), id), { code: 'unauthenticated' })
  const derived = person('link', { user: 'alice@x', counted: 'alice', grants: grants('create:/data') })
  t.match(await parts.uploads(callBy(derived), root, { limit: 10 }), [{ id }], 'what alice hands on counts for her')
  await one.write(derived, id, 2, 'def')

  t.test('and none of the kind that is filled from its beginning', async (t) => {
    await t.rejects(uploads.state(callBy('alice'), id), { code: 'not-found' })
    await t.rejects(world.append('alice', id, 0, 'xyz'), { code: 'not-found' })
    await t.rejects(world.finish('alice', id), { code: 'not-found' })
    const other = await world.create('alice', '/data/g')
    await t.rejects(one.write('alice', other.id, 1, 'abc'), { code: 'not-found' })
    await t.rejects(one.complete('alice', other.id, [1]), { code: 'not-found' })
    await uploads.remove(callBy('alice'), other.id)
  })

  t.test('but shown among the unfinished, and taken away like them', async (t) => {
    const administrator = person('admin', { administrator: true })
    t.match(await uploads.list(callBy(administrator)), [{ id, path: '/data/f', offset: 6, user: 'alice@x' }])
    await t.rejects(parts.state(callBy(administrator), id), { code: 'not-found' })
    await uploads.remove(callBy(administrator), id)
    await t.rejects(one.complete('alice', id, [1]), { code: 'not-found' })
  })
})

t.test('rights are decided again with each part and at the end', async (t) => {
  const { memory, process } = await makeUploadWorld(t)
  const one = new Parts((await process()).storage)
  await one.storage.mkdir(callBy('alice'), parsePath('/data/d'))
  const id = await one.create('bob', '/data/d/f')
  await one.write('bob', id, 1, 'abc')
  const inherit = aceFlag.fileInherit | aceFlag.directoryInherit
  const closed = aclOf('alice', allow(user('alice'), everything, inherit))
  memory.replaceAcl(parsePath('/d'), closed)
  await t.rejects(one.write('bob', id, 2, 'def'), { code: 'denied' })
  await t.rejects(one.complete('bob', id, [1]), { code: 'denied' })
  memory.replaceAcl(parsePath('/d'), aclOf('alice', allow('EVERYONE@', everything, inherit)))
  t.same(await one.numbers('bob', id), [1])
  await one.complete('bob', id, [1])
  t.equal(await one.get('/data/d/f'), 'abc')
})

for (const place of ['/data', '/spooled'] as const) {
  t.test(`many parts on ${place} come at once, through two processes`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const [one, two] = [new Parts((await process()).storage), new Parts((await process()).storage)]
    const id = await one.create('alice', `${place}/f`)
    const letters = [...'abcdefghijklmnopqrstuvwxyz']
    const sizes = letters.map((_, index) => (index === 25 ? 100 : 1000))
    const shuffled = letters.map((letter, index) => ({ letter, number: index + 1 })).sort(() => Math.random() - 0.5)
    const send = ({ letter, number }: (typeof shuffled)[number]) =>
      (number % 2 ? one : two).write('alice', id, number, piece(letter, sizes[number - 1] ?? 0))
    await Promise.all([...shuffled.map(send), ...shuffled.map(send)])
    await two.complete(
      'alice',
      id,
      letters.map((_, index) => index + 1),
    )
    t.equal(await one.get(`${place}/f`), letters.map((letter, index) => piece(letter, sizes[index] ?? 0)).join(''))
  })

  t.test(`a part on ${place} that is still coming when the others are joined is cut`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const [one, two] = [new Parts((await process()).storage), new Parts((await process()).storage)]
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 1, 'first')
    const taps = [new Tap(), new Tap()]
    const [mine, others] = [taps[0] as Tap, taps[1] as Tap]
    const running = [
      two.write('alice', id, 1, mine.body, { size: 1000 }),
      one.write('alice', id, 2, others.body, { size: 1000 }),
    ].map((each) => each.catch((error: unknown) => StorageError.from(error).code))
    await Promise.all([mine.give('half'), others.give('half')])
    await two.complete('alice', id, [1])
    for (const cut of await Promise.all(running)) t.ok(cut === 'busy' || cut === 'not-found', String(cut))
    t.equal(await one.get(`${place}/f`), 'first')
  })

  t.test(`what nobody completes on ${place} is taken away when its time has come`, async (t) => {
    const { process, memory, spool, clock } = await makeUploadWorld(t)
    const one = new Parts((await process()).storage)
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 2, 'abc')
    clock.ahead += 3_601_000
    await t.rejects(one.write('alice', id, 1, 'abc'), { code: 'not-found' })
    await t.rejects(one.complete('alice', id, [2]), { code: 'not-found' })
    t.equal(await one.storage.sweepUploads(), 1)
    t.same(memory.resuming.places, [])
    if (place === '/spooled') t.same(readdirSync(spool), [])
  })
}

t.test('what a principal has in unfinished parts is bounded, and is free again', async (t) => {
  const one = new Parts((await (await makeUploadWorld(t, { bounds: { uploads: 2, bytes: 100 } })).process()).storage)
  const { parts } = one.storage
  const id = await one.create('alice', '/data/f')
  const other = await one.create('alice', '/data/g')
  await t.rejects(one.create('alice', '/data/h'), { code: 'busy' })
  await one.write('alice', id, 1, piece('a', 60))
  await t.rejects(one.write('alice', other, 1, piece('b', 60)), { code: 'busy' })
  await one.write('alice', other, 1, piece('b', 40))
  await t.rejects(one.write('alice', id, 1, piece('c', 60)), { code: 'busy' }, 'both are there until one counts')
  await parts.abort(callBy('alice'), other)
  await one.write('alice', id, 1, piece('c', 40))
  await t.rejects(one.write('alice', id, 2, piece('d', 40)), { code: 'busy' }, 'what was replaced is there still')
  await one.write('alice', id, 1, piece('d', 60))
  await one.complete('alice', id, [1])
  const next = await one.create('alice', '/data/h')
  await one.write('alice', next, 1, piece('e', 100))
  await t.rejects(one.write('alice', next, 2, 'x'), { code: 'busy' })
})

t.test('no part and no whole is larger than an upload may be', async (t) => {
  const one = new Parts((await (await makeUploadWorld(t, { limits: { maxUpload: 10 } })).process()).storage)
  const id = await one.create('alice', '/data/f')
  await t.rejects(one.write('alice', id, 1, piece('a', 11)), { code: 'too-large' })
  await one.write('alice', id, 1, piece('a', 6))
  await one.write('alice', id, 2, piece('b', 6))
  await t.rejects(one.complete('alice', id, [1, 2]), { code: 'too-large' })
  await one.complete('alice', id, [2])
  t.equal(await one.get('/data/f'), 'bbbbbb')
})

t.test('a part for which the storage has no room leaves its place to others', async (t) => {
  const small = new MemoryBackend(together, { name: 'memory', limit: 100 })
  const one = new Parts((await (await makeUploadWorld(t, { backend: () => small })).process()).storage)
  const id = await one.create('alice', '/data/f')
  await t.rejects(one.write('alice', id, 1, piece('a', 101)), { code: 'quota' })
  await one.write('alice', id, 1, piece('a', 50))
  await one.complete('alice', id, [1])
  t.equal(await one.get('/data/f'), piece('a', 50))
})

t.test('the size of a part may be told as late as its first byte', async (t) => {
  const one = new Parts((await (await makeUploadWorld(t)).process()).storage)
  const id = await one.create('alice', '/data/f')
  const part = await one.storage.parts.write(callBy('alice'), id, 1)
  part.announce({ size: 3, digests: ['md5'] })
  part.body.end('abc')
  t.match(await part.commit(), { size: 3, digests: { md5: Buffer.from('900150983cd24fb0d6963f7d28e17f72', 'hex') } })
  const unknown = await one.storage.parts.write(callBy('alice'), id, 2)
  unknown.body.end('abc')
  await t.rejects(unknown.commit(), { code: 'invalid' })
  const empty = await one.storage.parts.write(callBy('alice'), id, 2)
  empty.body.end()
  t.match(await empty.commit(), { size: 0 })
  await empty.discard()
  await one.complete('alice', id, [1, 2])
  t.equal(await one.get('/data/f'), 'abc')
})

t.test('unfinished ones are told by path in the order of bytes, then by age, page by page', async (t) => {
  const { process, clock } = await makeUploadWorld(t)
  const one = new Parts((await process()).storage)
  const directories = ['z', 'b', 'a', 'a.b', 'é', 'a0']
  for (const name of directories) await one.storage.mkdir(callBy('alice'), parsePath(`/data/${name}`))
  const paths = directories.map((name) => `/data/${name}/f`)
  const ids = new Map<string, string[]>()
  for (const path of [...paths, ...paths]) {
    ids.set(path, [...(ids.get(path) ?? []), await one.create('alice', path)])
    clock.ahead += 10
  }
  await one.create('bob', '/data/a/g')
  const ordered = [...paths].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const wanted = ordered.flatMap((path) => (ids.get(path) ?? []).map((id) => ({ path, id })))
  const { parts } = one.storage
  const told: Array<{ path: string; id: string }> = []
  for (let after: { path: ReturnType<typeof parsePath>; id: string } | undefined; ; ) {
    const page = await parts.uploads(callBy('alice'), parsePath('/data'), { limit: 5, ...(after && { after }) })
    told.push(...page.map(({ path, id }) => ({ path, id })))
    const last = page.at(-1)
    if (!last) break
    after = { path: last.path, id: last.id }
  }
  t.same(told, wanted)
  const below = await parts.uploads(callBy('alice'), parsePath('/data/a'), { limit: 10 })
  t.same(
    below.map(({ path }) => path),
    ['/data/a/f', '/data/a/f'],
  )
  const behind = await parts.uploads(callBy('alice'), root, { limit: 1, after: { path: parsePath('/data/a/f') } })
  t.match(behind, [{ path: '/data/a0/f' }])
})
