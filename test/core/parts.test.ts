/** Uploads in numbered parts: whatever order and sizes they come in, and who may do what to them. */

import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { PartError, type PartState } from '../../gateway/core/parts.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Parts, piece } from './part-world.ts'
import { makeUploadWorld, Tap } from './upload-world.ts'
import { callBy, grants, person } from './world.ts'

const places = ['/data', '/spooled'] as const
const md5 = (text: string) => createHash('md5').update(text).digest()

/** Numbers, sizes and letters, in the order in which they come; of two of one number the later counts. */
const cases: ReadonlyArray<{ readonly title: string; readonly sent: readonly (readonly [number, number, string])[] }> =
  [
    {
      title: 'in order',
      sent: [
        [1, 8, 'a'],
        [2, 8, 'b'],
        [3, 3, 'c'],
      ],
    },
    {
      title: 'the last one first',
      sent: [
        [3, 3, 'c'],
        [2, 8, 'b'],
        [1, 8, 'a'],
      ],
    },
    {
      title: 'one that is repeated',
      sent: [
        [1, 8, 'a'],
        [2, 8, 'x'],
        [3, 3, 'c'],
        [2, 8, 'b'],
      ],
    },
    {
      title: 'one that is repeated often',
      sent: [
        [1, 8, 'x'],
        [1, 8, 'y'],
        [2, 8, 'b'],
        [1, 5, 'z'],
        [1, 8, 'a'],
      ],
    },
    {
      title: 'with gaps between the numbers',
      sent: [
        [2, 8, 'a'],
        [5, 8, 'b'],
        [10_000, 2, 'c'],
      ],
    },
    {
      title: 'of many sizes',
      sent: [
        [1, 5, 'a'],
        [2, 9, 'b'],
        [3, 1, 'c'],
        [4, 20, 'd'],
        [5, 5, 'e'],
        [6, 5, 'f'],
      ],
    },
    {
      title: 'with empty ones',
      sent: [
        [1, 0, 'a'],
        [2, 8, 'b'],
        [3, 0, 'c'],
        [4, 8, 'd'],
      ],
    },
    { title: 'a single empty one', sent: [[1, 0, 'a']] },
    {
      title: 'growing',
      sent: [
        [1, 1, 'a'],
        [2, 2, 'b'],
        [3, 4, 'c'],
        [4, 8, 'd'],
        [5, 16, 'e'],
      ],
    },
    {
      title: 'all misplaced by one',
      sent: [
        [1, 4, 'a'],
        [2, 5, 'b'],
        [3, 4, 'c'],
        [4, 4, 'd'],
        [5, 4, 'e'],
      ],
    },
  ]

for (const place of places) {
  for (const { title, sent } of cases) {
    t.test(`parts on ${place} become the file: ${title}`, async (t) => {
      const { process, memory, spool } = await makeUploadWorld(t)
      const [one, two] = [new Parts((await process()).storage), new Parts((await process()).storage)]
      const id = await one.create('alice', `${place}/f`)
      const last = new Map<number, string>()
      for (const [index, [number, size, letter]] of sent.entries()) {
        const content = piece(letter, size)
        const state = await (index % 2 ? one : two).write('alice', id, number, content, { digests: ['md5'] })
        t.match(state, { number, size, digests: { md5: md5(content) } })
        last.set(number, content)
      }
      const numbers = [...last.keys()].sort((a, b) => a - b)
      t.same(await one.numbers('alice', id), numbers)
      const whole = numbers.map((number) => last.get(number)).join('')
      await t.rejects(one.get(`${place}/f`), { code: 'not-found' })
      const { entry, created } = await one.complete('alice', id, numbers)
      t.match({ size: entry.size, created }, { size: whole.length, created: true })
      t.equal(await two.get(`${place}/f`), whole)
      t.same(memory.resuming.places, [])
      if (place === '/spooled') t.same(readdirSync(spool), [])
    })
  }

  t.test(`what was finished on ${place} is told again, and is no upload any more`, async (t) => {
    const { process } = await makeUploadWorld(t)
    const [one, two] = [new Parts((await process()).storage), new Parts((await process()).storage)]
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 1, 'abc')
    const path = parsePath(`${place}/f`)
    t.equal(await one.storage.parts.completed(callBy('alice'), id, path), undefined)
    const [first, second] = await Promise.all([one.complete('alice', id, [1]), two.complete('alice', id, [1])])
    t.equal(first.entry.version, second.entry.version)
    t.match(await two.storage.parts.completed(callBy('alice'), id, path), { entry: { version: first.entry.version } })
    t.equal(await two.storage.parts.completed(callBy('bob'), id, path).catch((error) => error.code), 'not-found')
    for (const gone of [
      one.write('alice', id, 2, 'x'),
      one.numbers('alice', id),
      one.storage.parts.state(callBy('alice'), id),
      one.storage.parts.abort(callBy('alice'), id),
    ]) {
      await t.rejects(
        gone.then(() => {}),
        { code: 'not-found' },
      )
    }
    t.equal(await one.get(`${place}/f`), 'abc')
  })

  t.test(`only the parts that were chosen on ${place} are in the file`, async (t) => {
    const one = new Parts((await (await makeUploadWorld(t)).process()).storage)
    const id = await one.create('alice', `${place}/f`)
    for (const [number, letter] of [...'abcde'].entries()) await one.write('alice', id, number + 1, piece(letter, 4))
    await one.storage.locks.lock(callBy('bob'), parsePath(`${place}/f`), { scope: 'exclusive', depth: '0' })
    await t.rejects(one.complete('alice', id, [2, 4]), { code: 'locked' })
    t.same(await one.numbers('alice', id), [1, 2, 3, 4, 5], 'nothing is lost by a refusal')
    const { locks } = one.storage
    const [lock] = await locks.list(callBy('bob'), parsePath(`${place}/f`))
    await locks.unlock(callBy('bob'), parsePath(`${place}/f`), lock?.token ?? '')
    await one.complete('alice', id, [2, 4])
    t.equal(await one.get(`${place}/f`), 'bbbbdddd')
  })

  t.test(`a part on ${place} counts as a whole or not at all`, async (t) => {
    const one = new Parts((await (await makeUploadWorld(t)).process()).storage)
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 1, 'good')
    await t.rejects(one.write('alice', id, 1, 'evil', { expected: { md5: md5('other') } }), { code: 'bad-checksum' })
    await t.rejects(one.write('alice', id, 1, 'longer', { size: 4 }), { code: 'invalid' })
    await t.rejects(one.write('alice', id, 1, 'abc', { size: 4 }), { code: 'invalid' })
    const tap = new Tap()
    const broken = one.write('alice', id, 1, tap.body, { size: 100 })
    await tap.give('half')
    tap.body.destroy(new StorageError('bad-checksum', 'said by the body'))
    await t.rejects(broken, { code: 'bad-checksum' })
    for (const number of [0, 10_001, 1.5, -1, Number.NaN]) {
      await t.rejects(one.write('alice', id, number, 'x'), { code: 'invalid' })
    }
    await one.complete('alice', id, [1])
    t.equal(await one.get(`${place}/f`), 'good')
  })

  t.test(`what is wrong with a choice on ${place} is told, and leaves everything as it is`, async (t) => {
    const one = new Parts((await (await makeUploadWorld(t)).process()).storage)
    const id = await one.create('alice', `${place}/f`)
    const [first] = [await one.write('alice', id, 1, 'abc'), await one.write('alice', id, 2, 'def')]
    const call = callBy('alice')
    await t.rejects(one.complete('alice', id, []), { code: 'invalid' })
    await t.rejects(one.complete('alice', id, [2, 1]), { code: 'invalid' })
    await t.rejects(one.complete('alice', id, [1, 1]), { code: 'invalid' })
    const missing = await one.complete('alice', id, [1, 2, 3]).catch((error: unknown) => error)
    t.ok(missing instanceof PartError && missing.number === 3)
    const again = await one.write('alice', id, 1, 'xyz')
    t.ok(again.modified > first.modified, 'another part of this number')
    const chosen = [{ number: 1, modified: first.modified }, { number: 2 }]
    const other = await one.storage.parts.complete(call, id, chosen).catch((error: unknown) => error)
    t.ok(other instanceof PartError && other.number === 1)
    await one.storage.parts.complete(call, id, [{ number: 1, modified: again.modified }, { number: 2 }])
    t.equal(await one.get(`${place}/f`), 'xyzdef')
  })

  t.test(`conditions on ${place} hold when an upload is made and when it is completed`, async (t) => {
    const world = await (await makeUploadWorld(t)).process()
    const one = new Parts(world.storage)
    await world.put('alice', `${place}/there`, 'old')
    const absent = { conditions: { ifNoneMatch: '*' } } as const
    await t.rejects(one.create('alice', `${place}/there`, absent), { code: 'precondition' })
    const id = await one.create('alice', `${place}/there`)
    await one.write('alice', id, 1, 'new')
    await t.rejects(one.complete('alice', id, [1], absent), { code: 'precondition' })
    await t.rejects(one.complete('alice', id, [1], { conditions: { ifMatch: ['other'] } }), { code: 'precondition' })
    const { version } = await one.storage.stat(callBy('alice'), parsePath(`${place}/there`))
    t.match(await one.complete('alice', id, [1], { conditions: { ifMatch: [version] } }), { created: false })
    t.equal(await one.get(`${place}/there`), 'new')
  })

  t.test(`parts on ${place} are copied from files that the caller may read`, async (t) => {
    const world = await (await makeUploadWorld(t)).process()
    const one = new Parts(world.storage)
    const content = piece('0123456789', 20_000)
    await world.put('alice', `${place}/source`, content)
    await world.put('alice', `${place}/small`, 'small')
    const { parts } = one.storage
    const id = await one.create('alice', `${place}/f`)
    const [call, from] = [callBy('alice'), parsePath(`${place}/source`)]
    const whole = await parts.copy(call, id, 1, from, undefined, { digests: ['md5'] })
    t.match(whole, { number: 1, size: 200_000, digests: { md5: md5(content) } })
    t.match(await parts.copy(call, id, 2, from, { start: 5, end: 12 }), { size: 7 })
    t.match(await parts.copy(call, id, 3, parsePath(`${place}/small`), { start: 1, end: 3 }), { size: 2 })
    await t.rejects(parts.copy(call, id, 4, from, { start: 5, end: 200_001 }), { code: 'range' })
    await t.rejects(parts.copy(call, id, 4, from, undefined, { version: 'other' }), { code: 'stale' })
    await t.rejects(parts.copy(call, id, 4, parsePath(`${place}/none`), undefined), { code: 'not-found' })
    const narrow = person('alice', { grants: grants(`create:${place}`) })
    await t.rejects(parts.copy(callBy(narrow), id, 4, from, undefined), { code: 'denied' })
    await one.complete('alice', id, [1, 2, 3])
    t.equal(await one.get(`${place}/f`), `${content}5678901ma`)
  })

  t.test(`what a front end keeps with the whole comes to ${place} with it`, async (t) => {
    const one = new Parts((await (await makeUploadWorld(t)).process()).storage)
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 1, 'abc', { digests: ['md5'] })
    await one.write('alice', id, 2, 'def')
    const record = (parts: readonly PartState[]) =>
      parts.map(({ number, size, digests }) => `${number}:${size}:${Object.keys(digests).join()}`).join(' ')
    await one.complete('alice', id, [1, 2], { record })
    const { kept } = await one.storage.getKept(callBy('alice'), parsePath(`${place}/f`))
    t.equal(kept.record, '1:3:md5 2:3:')
    const single = await one.create('alice', `${place}/g`)
    await one.write('alice', single, 7, 'abc', { digests: ['md5'] })
    t.match(await one.complete('alice', single, [7]), { digests: { md5: md5('abc') } }, 'of one part it is the whole')
  })

  t.test(`an upload on ${place} that was given up is gone without a trace`, async (t) => {
    const { process, memory, spool } = await makeUploadWorld(t)
    const [one, two] = [new Parts((await process()).storage), new Parts((await process()).storage)]
    const id = await one.create('alice', `${place}/f`)
    await one.write('alice', id, 1, 'abc')
    const tap = new Tap()
    const running = one.write('alice', id, 2, tap.body, { size: 1000 })
    await tap.give('half')
    await two.storage.parts.abort(callBy('alice'), id)
    const refused = await running.catch((error: unknown) => StorageError.from(error).code)
    t.ok(refused === 'busy' || refused === 'not-found', String(refused))
    await t.rejects(one.complete('alice', id, [1]), { code: 'not-found' })
    await t.rejects(two.storage.parts.abort(callBy('alice'), id), { code: 'not-found' })
    t.same(memory.resuming.places, [])
    if (place === '/spooled') t.same(readdirSync(spool), [])
    t.same(await one.storage.parts.uploads(callBy('alice'), parsePath('/'), { limit: 10 }), [])
  })
}
