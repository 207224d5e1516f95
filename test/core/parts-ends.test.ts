/** Uploads in parts: what is left when things end in an unusual way. */

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Parts, piece } from './part-world.ts'
import { makeUploadWorld } from './upload-world.ts'
import { callBy } from './world.ts'

async function refuse(): Promise<never> {
  throw new StorageError('unavailable', 'not now')
}

t.test('who gives up what was completed meanwhile is told so, and its end is not forgotten', async (t) => {
  const { process } = await makeUploadWorld(t)
  const first = await process()
  const [one, two] = [new Parts(first.storage), new Parts((await process()).storage)]
  const id = await one.create('alice', '/data/f')
  await one.write('alice', id, 1, 'abc')
  const { uploads } = first.state
  const call = uploads.call.bind(uploads)
  // Between the look and the turn of who gives up.
  uploads.call = async (upload) => {
    uploads.call = call
    await two.complete('alice', upload, [1])
    return call(upload)
  }
  await t.rejects(one.storage.parts.abort(callBy('alice'), id), { code: 'not-found' })
  t.match(await one.storage.parts.completed(callBy('alice'), id, parsePath('/data/f')), { entry: { size: 3 } })
})

t.test('a draft that came up since the look goes with the upload', async (t) => {
  const { process, memory } = await makeUploadWorld(t)
  const first = await process()
  const [one, two] = [new Parts(first.storage), new Parts((await process()).storage)]
  const id = await one.create('alice', '/data/f')
  for (const [at, size] of [4, 5, 4, 4].entries()) await one.write('alice', id, at + 1, piece('a', size))
  const { resuming } = memory
  const [drop, begin] = [resuming.drop.bind(resuming), resuming.begin.bind(resuming)]
  const { uploads } = first.state
  const call = uploads.call.bind(uploads)
  uploads.call = async (upload) => {
    uploads.call = call
    // A completion that fails, and of which nothing can be taken away.
    resuming.drop = refuse
    resuming.begin = async (...args) => {
      const pending = await begin(...args)
      return { ...pending, proceed: async () => Object.assign(await pending.proceed(), { commit: refuse }) }
    }
    await t.rejects(two.complete('alice', upload, [1, 2, 3, 4]), { code: 'unavailable' })
    t.equal(memory.resuming.places.length, 2)
    Object.assign(resuming, { drop, begin })
    return call(upload)
  }
  await one.storage.parts.abort(callBy('alice'), id)
  t.same(memory.resuming.places, [])
})

t.test('what could not be taken away at a completion is swept with it', async (t) => {
  const { process, memory, clock } = await makeUploadWorld(t)
  const one = new Parts((await process()).storage)
  const id = await one.create('alice', '/data/f')
  for (const [at, size] of [4, 5, 4, 4].entries()) await one.write('alice', id, at + 1, piece('a', size))
  const { resuming } = memory
  const drop = resuming.drop.bind(resuming)
  resuming.drop = refuse
  await one.complete('alice', id, [1, 2, 3, 4])
  resuming.drop = drop
  t.equal(memory.resuming.places.length, 1, 'the first draft, whose parts were copied')
  clock.ahead += 7 * 3_600_000
  t.equal(await one.storage.sweepUploads(), 1)
  t.same(memory.resuming.places, [])
  t.equal((await one.get('/data/f')).length, 17)
})

t.test('a part that is given up with its first byte keeps no place', async (t) => {
  const { process } = await makeUploadWorld(t)
  const first = await process()
  const one = new Parts(first.storage)
  const id = await one.create('alice', '/data/f')
  const part = await one.storage.parts.write(callBy('alice'), id, 1)
  part.announce({ size: 3 })
  part.body.write('a')
  await part.discard()
  await setImmediate()
  t.equal(await first.state.parts.coming(id), 0)
  t.match(await first.state.uploads.get(id), { reserved: 0 })
})

for (const sizes of [[4], [4, 4, 2], [4, 5, 4, 4]]) {
  t.test(`a file of parts of ${sizes} that nobody came to say of is recognised`, async (t) => {
    const { process, memory } = await makeUploadWorld(t)
    const first = await process()
    const [one, two] = [new Parts(first.storage), new Parts((await process()).storage)]
    const id = await one.create('alice', '/data/f')
    for (const [at, size] of sizes.entries()) await one.write('alice', id, at + 1, piece('abcd'.charAt(at), size))
    const numbers = sizes.map((_, at) => at + 1)
    first.state.uploads.complete = refuse
    const absent = { conditions: { ifNoneMatch: '*' } } as const
    await t.rejects(one.complete('alice', id, numbers, absent), { code: 'unavailable' })
    const size = sizes.reduce((sum, each) => sum + each, 0)
    t.match(await two.complete('alice', id, numbers, absent), { created: true, entry: { size } })
    t.equal((await two.get('/data/f')).length, size)
    t.same(memory.resuming.places, [])
  })
}

for (const place of ['/data', '/spooled']) {
  t.test(`no part on ${place} comes while the others are joined, and any may afterwards`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const first = await process()
    const [one, two] = [new Parts(first.storage), new Parts((await process()).storage)]
    const id = await one.create('alice', `${place}/f`)
    for (const number of [1, 2]) await one.write('alice', id, number, 'good')
    const { parts } = first.state
    const coming = parts.coming.bind(parts)
    // What is to be joined is chosen by then.
    parts.coming = async (upload) => {
      parts.coming = coming
      for (let time = 0; time < 2; time++) await t.rejects(two.write('alice', upload, 1, 'evil'), { code: 'busy' })
      return coming(upload)
    }
    const other = { conditions: { ifMatch: ['other'] } }
    await t.rejects(one.complete('alice', id, [1, 2], other), { code: 'precondition' })
    await Promise.all([3, 4, 5].map((number) => (number % 2 ? one : two).write('alice', id, number, 'more')))
    await two.write('alice', id, 2, 'fine')
    await one.complete('alice', id, [1, 2, 4])
    t.equal(await one.get(`${place}/f`), 'goodfinemore')
  })
}
