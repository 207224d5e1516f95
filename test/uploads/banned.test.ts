/** A ban, against a whole gateway: it ends what is running, and nothing goes on afterwards. */

import { Readable } from 'node:stream'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'

t.setTimeout(120_000)

const tus = { 'tus-resumable': '1.0.0' }
const piece = Buffer.alloc(64 * 1024, 'x')

t.test('who is banned while he sends is cut, and does not come back', async (t) => {
  const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => makeLab(top) }] })
  const metadata = { 'upload-metadata': `filename ${Buffer.from('f').toString('base64')}` }
  const made = await gateway.request({
    method: 'POST',
    path: '/.portolan/uploads/lab/alice/',
    user: 'alice',
    headers: { ...tus, ...metadata, 'upload-defer-length': '1' },
  })
  const path = new URL(String(made.headers.location), 'http://gateway').pathname
  const patch = (offset: number, body: Buffer | Readable) => {
    const type = 'application/offset+octet-stream'
    const headers = { ...tus, 'upload-offset': String(offset), 'content-type': type }
    return gateway.request({ method: 'PATCH', path, user: 'alice', headers, body })
  }
  const ban = (method: 'POST' | 'DELETE') => {
    const name = `user:${named('alice')}`
    const target = '/.portolan/api/v1/bans'
    return method === 'POST'
      ? gateway.request({
          method,
          path: target,
          user: 'admin',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ name }),
        })
      : gateway.request({ method, path: `${target}?name=${encodeURIComponent(name)}`, user: 'admin' })
  }

  const body = new Readable({ read() {} })
  const sending = patch(0, body).catch((error: unknown) => error)
  let over = false
  void sending.then(() => {
    over = true
  })
  for (let left = 16; left > 0; left--) body.push(piece)
  const drafts = async () =>
    JSON.parse((await gateway.request({ path: '/.portolan/api/v1/uploads', user: 'admin' })).text)
  t.match(await drafts(), { uploads: [{ user: named('alice') }] })
  const began = performance.now()
  t.equal((await ban('POST')).status, 204)
  // One who goes on sending all the time.
  const pushing = setInterval(() => body.push(piece), 100)
  t.teardown(() => clearInterval(pushing))
  await eventually(() => over, 30_000, 'the append goes on')
  clearInterval(pushing)
  t.ok(performance.now() - began < 15_000, 'ten seconds, and what a loaded machine needs')
  body.destroy()
  // What had come before the cut is written down after it.
  let offset = 0
  const isKept = async () => {
    const before = offset
    offset = (await drafts()).uploads[0].offset
    return offset > 0 && offset === before
  }
  await eventually(isKept, 20_000, 'what came before is not kept')
  t.equal((await patch(offset, piece)).status, 403)
  const head = await gateway.request({ method: 'HEAD', path, user: 'alice', headers: tus })
  t.equal(head.status, 403)
  t.same((await drafts()).uploads[0].offset, offset)

  t.equal((await ban('DELETE')).status, 204)
  await eventually(
    async () => (await gateway.request({ method: 'HEAD', path, user: 'alice', headers: tus })).status === 200,
    20_000,
    'the ban is not lifted',
  )
  t.equal((await patch(offset, piece)).status, 204)
})
