/** Uploads that go on where they broke off: what is kept, who may, and how they end. */

import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import t from 'tap'
import { aceFlag } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { OffsetError } from '../../gateway/core/uploads.ts'
import { makeUploadWorld, Tap } from './upload-world.ts'
import { aclOf, allow, callBy, everything, grants, person, user } from './world.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest()
const places = ['/data', '/spooled'] as const

for (const place of places) {
  t.test(`an upload to ${place} is filled piece by piece and seen only when it is finished`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const [one, two] = [await process(), await process()]
    const made = await one.create('alice', `${place}/f`, { size: 11, note: 'a note' })
    t.match(made, { path: `${place}/f`, offset: 0, length: 11, complete: false, note: 'a note', user: 'alice@x' })
    t.ok(made.id.length >= 32, 'an id that cannot be guessed')
    t.match(await one.append('alice', made.id, 0, 'hello '), { offset: 6 })
    await t.rejects(one.get(`${place}/f`), { code: 'not-found' })
    t.match(await two.append('alice', made.id, 6, 'world'), { offset: 11, complete: false })
    await t.rejects(two.get(`${place}/f`), { code: 'not-found' })
    const { entry, created } = await one.finish('alice', made.id)
    t.match({ name: entry.name, size: entry.size, created }, { name: 'f', size: 11, created: true })
    t.equal(await two.get(`${place}/f`), 'hello world')
    const again = await two.finish('alice', made.id)
    t.match({ version: again.entry.version, created: again.created }, { version: entry.version, created: true })
    t.match(await two.storage.uploads.state(callBy('alice'), made.id), { complete: true, offset: 11 })
    t.same(await two.storage.uploads.list(callBy('alice')), [])
  })

  t.test(`what came to ${place} before a break counts`, async (t) => {
    const one = await (await makeUploadWorld(t)).process()
    const { id } = await one.create('alice', `${place}/f`)
    const tap = new Tap()
    const appending = one.append('alice', id, 0, tap.body)
    await tap.give('half')
    tap.body.destroy(new Error('the cable was pulled'))
    await t.rejects(appending, { code: 'cancelled' })
    t.match(await one.storage.uploads.state(callBy('alice'), id), { offset: 4 })
    const error = await one.append('alice', id, 0, 'half').catch((thrown: unknown) => thrown)
    t.ok(error instanceof OffsetError && error.state.offset === 4, 'the true offset is told')
    await one.append('alice', id, 4, ' way')
    await one.finish('alice', id)
    t.equal(await one.get(`${place}/f`), 'half way')
  })

  t.test(`digests of an upload to ${place} hold for the whole of it`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const [one, two] = [await process(), await process()]
    const expected = { 'sha-256': sha256('hello world') }
    const good = await one.create('alice', `${place}/good`, { expected, digests: ['md5'] })
    await one.append('alice', good.id, 0, 'hello ')
    await two.append('alice', good.id, 6, 'world')
    const { digests } = await one.finish('alice', good.id)
    t.same(Object.keys(digests).sort(), ['md5', 'sha-256'])
    const bad = await one.create('alice', `${place}/bad`, { expected })
    await one.append('alice', bad.id, 0, 'hullo world')
    await t.rejects(one.finish('alice', bad.id), { code: 'bad-checksum' })
    await t.rejects(one.storage.uploads.state(callBy('alice'), bad.id), { code: 'not-found' })
    await t.rejects(one.get(`${place}/bad`), { code: 'not-found' })
  })

  t.test(`bytes of an append to ${place} with a digest count as a whole or not at all`, async (t) => {
    const one = await (await makeUploadWorld(t)).process()
    const { id } = await one.create('alice', `${place}/f`, { expected: { 'sha-256': sha256('abcdef') } })
    await one.append('alice', id, 0, 'abc', { digest: { 'sha-256': sha256('abc') } })
    const wrong = one.append('alice', id, 3, 'xyz!', { digest: { 'sha-256': sha256('def') } })
    await t.rejects(wrong, { code: 'bad-checksum' })
    const tap = new Tap()
    const broken = one.append('alice', id, 3, tap.body, { whole: true })
    await tap.give('xy')
    tap.body.destroy(new StorageError('bad-checksum', 'said by the body'))
    await t.rejects(broken, { code: 'bad-checksum' })
    t.match(await one.storage.uploads.state(callBy('alice'), id), { offset: 3 })
    await one.append('alice', id, 3, 'def')
    await one.finish('alice', id)
    t.equal(await one.get(`${place}/f`), 'abcdef')
  })

  t.test(`conditions on ${place} hold when the upload is made and when it is finished`, async (t) => {
    const one = await (await makeUploadWorld(t)).process()
    await one.put('alice', `${place}/there`, 'old')
    const absent = { conditions: { ifNoneMatch: '*' } } as const
    await t.rejects(one.create('alice', `${place}/there`, absent), { code: 'precondition' })
    const { id } = await one.create('alice', `${place}/new`, absent)
    await one.append('alice', id, 0, 'mine')
    await one.put('bob', `${place}/new`, 'faster')
    await t.rejects(one.append('alice', id, 4, 'more'), { code: 'precondition' })
    await t.rejects(one.finish('alice', id), { code: 'precondition' })
    t.equal(await one.get(`${place}/new`), 'faster')
    t.match(await one.storage.uploads.state(callBy('alice'), id), { offset: 4, complete: false }, 'it stays')
    await one.storage.uploads.remove(callBy('alice'), id)
    await t.rejects(one.finish('alice', id), { code: 'not-found' })
  })

  t.test(`locks on ${place} are honoured when an upload is made, goes on, and is finished`, async (t) => {
    const one = await (await makeUploadWorld(t)).process()
    const path = parsePath(`${place}/f`)
    await one.put('alice', `${place}/f`, 'old')
    const { id } = await one.create('alice', `${place}/f`)
    await one.append('alice', id, 0, 'new')
    const { lock } = await one.storage.locks.lock(callBy('bob'), path, { scope: 'exclusive', depth: '0' })
    await t.rejects(one.create('alice', `${place}/f`), { code: 'locked' })
    await t.rejects(one.append('alice', id, 3, 'er'), { code: 'locked' })
    await t.rejects(one.finish('alice', id), { code: 'locked' })
    t.equal(await one.get(`${place}/f`), 'old')
    await one.storage.locks.unlock(callBy('bob'), path, lock.token ?? '')
    t.match(await one.finish('alice', id), { created: false })
    t.equal(await one.get(`${place}/f`), 'new')
  })
}

t.test('an upload is nobody else’s, whatever he knows', async (t) => {
  const one = await (await makeUploadWorld(t)).process()
  const { uploads } = one.storage
  const { id } = await one.create('alice', '/data/f')
  await one.append('alice', id, 0, 'abc')
  const others = [person('bob'), person('alice', { grants: grants('create:/data/other') }), person('eve')]
  for (const other of others) {
    await t.rejects(uploads.state(callBy(other), id), { code: 'not-found' })
    await t.rejects(one.append(other, id, 3, 'def'), { code: 'not-found' })
    await t.rejects(one.finish(other, id), { code: 'not-found' })
    await t.rejects(uploads.announce(callBy(other), id, 7), { code: 'not-found' })
    await t.rejects(uploads.remove(callBy(other), id), { code: 'not-found' })
    t.same(await uploads.list(callBy(other)), [])
  }
  const administrator = person('admin', { administrator: true })
  await t.rejects(uploads.state(callBy(administrator), id), { code: 'not-found' })
  t.match(await uploads.list(callBy(administrator)), [{ id, user: 'alice@x', offset: 3 }])
  t.match(await uploads.list(callBy('alice')), [{ id }])
  const derived = person('link', { counted: 'alice', grants: grants('create:/data') })
  t.match(await uploads.list(callBy(derived)), [{ id }], 'what alice hands on counts for her, as far as it reaches')
  await uploads.remove(callBy(administrator), id)
  await t.rejects(one.finish('alice', id), { code: 'not-found' })
})

t.test('callers without a credential, read-only mounts and refused places keep no uploads', async (t) => {
  const { process, memory } = await makeUploadWorld(t)
  const one = await process()
  const nobody = { id: 'anonymous', user: undefined, groups: new Set<string>(), grants: 'unbounded' } as const
  await t.rejects(one.create(nobody, '/data/f'), { code: 'unauthenticated' })
  await t.rejects(one.create('alice', '/readonly/f'), { code: 'read-only' })
  await t.rejects(one.create('alice', '/data/none/f'), { code: 'no-parent' })
  await t.rejects(one.create('eve', '/data/f'), { code: 'denied' })
  await t.rejects(one.create(person('alice', { grants: grants('read:/') }), '/data/f'), { code: 'denied' })
  await t.rejects(one.create('alice', '/data/f', { note: 'x'.repeat(8193) }), { code: 'too-large' })
  t.same(memory.resuming.places, [])
  t.match(await one.create('alice', '/data/none/f', { createParents: true }), { offset: 0 })
})

t.test('rights that were taken away meanwhile end an upload', async (t) => {
  const { process, memory } = await makeUploadWorld(t)
  const one = await process()
  const { id } = await one.create('alice', '/data/f')
  await one.append('alice', id, 0, 'abc')
  const acl = aclOf('bob', allow(user('bob'), everything, aceFlag.fileInherit))
  memory.replaceAcl(parsePath('/'), acl)
  await t.rejects(one.append('alice', id, 3, 'def'), { code: 'denied' })
  await t.rejects(one.finish('alice', id), { code: 'denied' })
  const expired = person('alice', { expires: 1 })
  await t.rejects(one.append(expired, id, 3, 'def'), { code: 'unauthenticated' })
  await t.rejects(one.storage.uploads.state(callBy(expired), id), { code: 'unauthenticated' })
})

t.test('an append of a caller who is stopped ends, and what he sent is kept', async (t) => {
  const one = await (await makeUploadWorld(t)).process()
  const { id } = await one.create('alice', '/data/f')
  const stop = new AbortController()
  const tap = new Tap()
  const appending = one.storage.uploads.append(callBy('alice', stop.signal), id, 0, tap.body)
  await tap.give('abc')
  stop.abort(new StorageError('unauthenticated', 'banned'))
  await t.rejects(appending, { code: 'unauthenticated' })
  t.match(await one.storage.uploads.state(callBy('alice'), id), { offset: 3 })
})

t.test('lengths hold', async (t) => {
  const one = await (await makeUploadWorld(t, { limits: { maxUpload: 10 } })).process()
  const { uploads } = one.storage
  await t.rejects(one.create('alice', '/data/f', { size: 11 }), { code: 'too-large' })
  const { id } = await one.create('alice', '/data/f')
  t.match(await one.append('alice', id, 0, 'abc'), { length: undefined })
  await t.rejects(uploads.announce(callBy('alice'), id, 2), { code: 'invalid' })
  await t.rejects(uploads.announce(callBy('alice'), id, 11), { code: 'too-large' })
  t.match(await uploads.announce(callBy('alice'), id, 6), { length: 6, offset: 3 })
  await t.rejects(one.append('alice', id, 3, 'd', { length: 7 }), { code: 'invalid' })
  await t.rejects(one.append('alice', id, 3, 'defg'), { code: 'invalid' })
  await t.rejects(one.finish('alice', id), { code: 'invalid' })
  t.match(await one.append('alice', id, 3, 'def', { length: 6 }), { offset: 6, length: 6 })
  await one.finish('alice', id)
  t.equal(await one.get('/data/f'), 'abcdef')
  const small = person('alice', { maxUpload: 3 })
  t.equal(uploads.largest(callBy(small)), 3)
  const other = await one.create('alice', '/data/g')
  await t.rejects(one.append(small, other.id, 0, 'abcd'), { code: 'too-large' })
  await one.append('alice', other.id, 0, 'abcd')
  await t.rejects(one.finish(small, other.id), { code: 'too-large' })
})

t.test('uploads count against what their principal may have, in all processes', async (t) => {
  const { process, clock } = await makeUploadWorld(t, { bounds: { uploads: 2, bytes: 10, spool: 5 } })
  const [one, two] = [await process(), await process()]
  await one.create('alice', '/data/a', { size: 6 })
  await t.rejects(two.create('alice', '/data/b', { size: 5 }), { code: 'busy' })
  const { id } = await two.create('alice', '/data/b')
  await t.rejects(two.append('alice', id, 0, 'abcde'), { code: 'busy' })
  await t.rejects(one.create('alice', '/data/c'), { code: 'busy' })
  await one.create('bob', '/data/c', { size: 10 })
  await t.rejects(one.create('eve', '/spooled/c'), { code: 'denied' })
  clock.ahead += 3600_000
  t.equal(await one.storage.sweepUploads(), 3)
  await t.rejects(one.create('bob', '/spooled/c', { size: 6 }), { code: 'no-space' })
  await one.create('bob', '/spooled/c', { size: 5 })
  await t.rejects(one.create('alice', '/spooled/d', { size: 1 }), { code: 'no-space' })
})

t.test('what nobody has finished in time is gone, and is taken away', async (t) => {
  const { process, memory, clock, spool } = await makeUploadWorld(t)
  const one = await process()
  const { id } = await one.create('alice', '/data/f')
  const other = await one.create('alice', '/spooled/f', { expires: Date.now() / 1000 + 60 })
  t.ok(other.expires < Date.now() / 1000 + 61)
  t.equal(statSync(spool).mode & 0o777, 0o700)
  t.equal(statSync(`${spool}/${readdirSync(spool)[0]}`).mode & 0o777, 0o600)
  await one.append('alice', id, 0, 'abc')
  const done = await one.create('alice', '/data/done')
  await one.finish('alice', done.id)
  t.equal(await one.storage.sweepUploads(), 0)
  clock.ahead += 3_600_001
  await t.rejects(one.append('alice', id, 3, 'def'), { code: 'not-found' })
  await t.rejects(one.storage.uploads.state(callBy('alice'), id), { code: 'not-found' })
  t.same(await one.storage.uploads.list(callBy('alice')), [])
  t.equal(memory.resuming.places.length, 1)
  t.equal(await one.storage.sweepUploads(), 2)
  t.same(memory.resuming.places, [])
  t.same(readdirSync(spool), [])
  t.equal((await one.finish('alice', done.id)).created, true, 'what is finished is known for longer')
  clock.ahead += 7 * 3_600_000
  t.equal(await one.storage.sweepUploads(), 1)
  await t.rejects(one.finish('alice', done.id), { code: 'not-found' })
  t.equal(await one.get('/data/done'), '')
})

t.test('the audit log hears of uploads', async (t) => {
  const one = await (await makeUploadWorld(t)).process()
  const { id } = await one.create('alice', '/data/f')
  await one.append('alice', id, 0, Readable.from([Buffer.from('abc')]))
  await one.finish('alice', id)
  const other = await one.create('alice', '/data/g')
  await one.storage.uploads.remove(callBy('alice'), other.id)
  t.match(
    one.audit.records.map(({ action, path, outcome, bytes }) => ({ action, path, outcome, bytes })),
    [
      { action: 'upload', path: '/data/f', outcome: 'ok' },
      { action: 'append', path: '/data/f', outcome: 'ok', bytes: 3 },
      { action: 'create', path: '/data/f', outcome: 'ok', bytes: 3 },
      { action: 'upload', path: '/data/g', outcome: 'ok' },
      { action: 'upload-cancel', path: '/data/g', outcome: 'ok' },
    ],
  )
})
