/** Uploads that go on where they broke off, sent to dCache when all has come. */

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { pattern } from '../backends/conformance/area.ts'
import { spoolingFor } from '../core/spooling.ts'
import { bob, callBy, stagedIn, worldFor } from './world.ts'

t.test('an upload waits in the spool and is sent to dCache as its owner, with its digests', async (t) => {
  const { backend, dcache } = await worldFor(t)
  const { storage, spooled } = await spoolingFor(t, backend, 'delegated')
  const { uploads } = storage
  const file = parsePath('/data/f')
  const bytes = pattern(300_000)
  const expected = { 'sha-256': createHash('sha256').update(bytes).digest() }
  const { id } = await uploads.create(callBy(), file, {
    size: bytes.length,
    expected,
    conditions: { ifNoneMatch: '*' },
  })
  await uploads.append(callBy(), id, 0, Readable.from([bytes.subarray(0, 100_000)]))
  t.equal(spooled().length, 1)
  t.same(stagedIn(dcache), [], 'dCache has heard of nothing')
  t.throws(() => dcache.tree.get('/data/f'))
  await uploads.append(callBy(), id, 100_000, Readable.from([bytes.subarray(100_000)]))

  const end = dcache.faults.add({ at: 'pool', fault: { type: 'reset-upload', after: 1000 } })
  await t.rejects(uploads.finish(callBy(), id))
  t.match(await uploads.state(callBy(), id), { offset: bytes.length, complete: false }, 'it stays for another try')
  t.equal(spooled().length, 1)
  end()

  await t.rejects(uploads.finish(callBy(bob), id), { code: 'not-found' })
  t.match(await uploads.finish(callBy(), id), { created: true, entry: { size: bytes.length } })
  t.same(spooled(), [])
  t.same(stagedIn(dcache), [])
  const reading = await storage.read(callBy(), file)
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  t.ok(bytes.equals(await buffer(reading.stream({ start: 0, end: bytes.length }))))
  await reading.close()
  t.match(dcache.tree.get('/data/f'), { owner: 1000 })

  await t.rejects(uploads.create(callBy(), file, { conditions: { ifNoneMatch: '*' } }), { code: 'precondition' })
})

t.test('what dCache refuses is told at the end, and the bytes stay until they are taken away', async (t) => {
  const { backend } = await worldFor(t, {
    owner: 'bob',
    double: { seed: [{ path: '/data', directory: true, owner: 'bob', mode: 0o755 }] },
  })
  const { storage, spooled } = await spoolingFor(t, backend, 'delegated')
  const { uploads } = storage
  const { id } = await uploads.create(callBy(), parsePath('/data/f'))
  await uploads.append(callBy(), id, 0, Readable.from([Buffer.from('abc')]))
  await t.rejects(uploads.finish(callBy(), id), { code: 'denied' })
  t.equal(spooled().length, 1)
  await uploads.remove(callBy(), id)
  t.same(spooled(), [])
})
