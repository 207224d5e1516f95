/** Uploads that go on where they broke off, sent to an S3 store when all has come. */

import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { pattern } from '../backends/conformance/area.ts'
import { spoolingFor } from '../core/spooling.ts'
import { setUp, sometimes } from './fake-world.ts'

t.test('an upload waits in the spool and becomes an object in one step', async (t) => {
  const { backend, area, fake } = await setUp(t)
  const { storage, spooled } = await spoolingFor(t, backend, 'gateway')
  const { uploads } = storage
  const { call } = area
  const file = parsePath('/data/f')
  const bytes = pattern(6 * 2 ** 20)
  const { id } = await uploads.create(call, file, { digests: ['md5'] })
  const half = 3 * 2 ** 20
  await uploads.append(call, id, 0, Readable.from([bytes.subarray(0, half)]))
  await uploads.append(call, id, half, Readable.from([bytes.subarray(half)]))
  t.equal(spooled().length, 1)
  t.notOk(await area.exists(parsePath('/f')))

  fake.fault = sometimes(
    100,
    ({ method }) => method === 'PUT' || method === 'POST',
    (_asked, response) => {
      response.writeHead(403).end()
      return true
    },
  )
  await t.rejects(uploads.finish(call, id))
  t.match(await uploads.state(call, id), { offset: bytes.length, complete: false }, 'it stays for another try')
  fake.fault = () => false

  t.match(await uploads.finish(call, id), { created: true, entry: { size: bytes.length } })
  t.same(spooled(), [])
  const reading = await storage.read(call, file)
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  t.ok(bytes.equals(await buffer(reading.stream({ start: 0, end: bytes.length }))))
  await reading.close()
})
