/** However much is sent, no more of it is held than is on its way. */

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { makeLab } from '../gateway/tree.ts'
import { type Ask, makeUpload, offsetStream, tusVersion } from './sending.ts'

t.setTimeout(600_000)

const mib = 1024 * 1024

const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
const ask: Ask = (asked) => gateway.request(asked)

function* zeros(bytes: number) {
  const piece = Buffer.alloc(mib)
  for (let sent = 0; sent < bytes; sent += mib) yield piece
}

/** The most memory that the gateway has while `work` goes on, beyond what it had before. */
async function growth(work: () => Promise<void>): Promise<number> {
  const before = gateway.memory()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, gateway.memory())
  }, 100)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return most - before
}

t.test('a GiB by tus', async (t) => {
  const size = 1024 * mib
  const url = await makeUpload(ask, '/lab/alice/tus', size)
  const headers = { ...tusVersion, 'Upload-Offset': 0, 'Content-Type': offsetStream, 'Content-Length': size }
  const more = await growth(async () => {
    const body = Readable.from(zeros(size))
    const answer = await ask({ method: 'PATCH', path: url, user: 'alice', headers, body, timeout: 300_000 })
    t.equal(answer.status, 204, answer.text)
  })
  t.ok(more < 192 * mib, `${Math.round(more / mib)} MiB more`)
  rmSync(join(gateway.tree('/lab'), 'alice', 'tus'))
})

t.test('a quarter of a GiB by the draft', async (t) => {
  const size = 256 * mib
  const headers = { 'Upload-Complete': '?1', 'Content-Length': size }
  const more = await growth(async () => {
    const body = Readable.from(zeros(size))
    const answer = await ask({
      method: 'PUT',
      path: '/lab/alice/draft',
      user: 'alice',
      headers,
      body,
      timeout: 300_000,
    })
    t.equal(answer.status, 201, answer.text)
  })
  t.ok(more < 128 * mib, `${Math.round(more / mib)} MiB more`)
  rmSync(join(gateway.tree('/lab'), 'alice', 'draft'))
})
