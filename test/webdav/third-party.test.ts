/** Third-party copies between two gateways: what is copied, what is told, what is refused. */

import { createHash } from 'node:crypto'
import t from 'tap'
import { ask, openDoor, store } from '../http/door.ts'
import { copy, openCopier, outcomeOf } from './third-party-world.ts'

const large = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) % 251))
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

t.test('a file is pulled from another gateway', async (t) => {
  const source = await openDoor(t)
  const target = await openCopier(t)
  await store(source.storage, '/data/large', large)
  const answer = await copy(target.port, '/data/sub/copy', { Source: `http://127.0.0.1:${source.port}/data/large` })
  t.equal(answer.status, 202)
  t.equal(answer.headers['content-type'], 'text/perf-marker-stream')
  t.equal(answer.headers['transfer-encoding'], 'chunked')
  t.equal(outcomeOf(answer), 'success: Created')
  t.match(
    answer.text,
    /^Perf Marker\nTimestamp: \d{10}\nStripe Index: 0\nStripe Bytes Transferred: 0\nTotal Stripe Count: 1\nEnd\n/,
  )
  const { body } = await ask(target.port, 'GET', '/data/sub/copy', { as: 'alice' })
  t.equal(md5(body), md5(large))
})

t.test('a file is pushed to another gateway', async (t) => {
  const source = await openCopier(t)
  const target = await openDoor(t)
  await store(source.storage, '/data/large', large)
  const answer = await copy(source.port, '/data/large', { Destination: `http://127.0.0.1:${target.port}/data/copy` })
  t.equal(answer.status, 202)
  t.equal(outcomeOf(answer), 'success: Created')
  const { body } = await ask(target.port, 'GET', '/data/copy', { as: 'alice' })
  t.equal(md5(body), md5(large))
})

t.test('empty files are files', async (t) => {
  const here = await openCopier(t)
  const there = await openDoor(t)
  await store(here.storage, '/data/empty', '')
  const other = `http://127.0.0.1:${there.port}/data`
  t.equal(outcomeOf(await copy(here.port, '/data/empty', { Destination: `${other}/empty` })), 'success: Created')
  t.equal(outcomeOf(await copy(here.port, '/data/again', { Source: `${other}/empty` })), 'success: Created')
  t.match(await ask(here.port, 'GET', '/data/again', { as: 'alice' }), { status: 200, text: '' })
})
