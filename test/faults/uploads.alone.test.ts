/** kill -9 of all processes in the middle of an upload that can go on: it goes on, and what nobody finishes goes. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import t from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { leftovers } from './leftovers.ts'

t.setTimeout(240_000)

const rounds = 2
const piece = Buffer.alloc(64 * 1024, 'x')
const offsetStream = 'application/offset+octet-stream'

async function begin(gateway: TestGateway, name: string): Promise<string> {
  const { status, headers } = await gateway.request({
    method: 'POST',
    path: '/.portolan/uploads/lab/alice/',
    user: 'alice',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-defer-length': '1',
      'upload-metadata': `filename ${Buffer.from(name).toString('base64')}`,
    },
  })
  if (status !== 201) throw new Error(`the upload could not be begun: ${status}`)
  return new URL(String(headers.location), 'http://gateway').pathname
}

function patch(gateway: TestGateway, path: string, offset: number, body: Buffer | Readable, more = {}) {
  const headers = { 'tus-resumable': '1.0.0', 'upload-offset': String(offset), 'content-type': offsetStream, ...more }
  return gateway.request({ method: 'PATCH', path, user: 'alice', headers, body })
}

async function offsetOf(gateway: TestGateway, path: string): Promise<number> {
  const headers = { 'tus-resumable': '1.0.0' }
  const answer = await gateway.request({ method: 'HEAD', path, user: 'alice', headers })
  t.equal(answer.status, 200)
  return Number(answer.headers['upload-offset'])
}

function hiddenSize(tree: string): number {
  const [name] = readdirSync(join(tree, 'alice')).filter((one) => one.startsWith('.portolan-stage-'))
  return name === undefined ? 0 : readFileSync(join(tree, 'alice', name)).length
}

t.test('an upload goes on after the gateway was killed in the middle of an append', async (t) => {
  const mounts = [{ path: '/lab', make: (top: string) => void makeLab(top) }]
  const gateway = await startTestGateway(t, { workers: 2, mounts })
  const tree = gateway.tree('/lab')
  const path = await begin(gateway, 'big')
  const begun = Buffer.from('begun ')
  t.equal((await patch(gateway, path, 0, begun)).status, 204)
  let known = begun.length
  for (let round = 1; round <= rounds; round++) {
    const body = new Readable({ read: () => {} })
    const before = hiddenSize(tree)
    const sending = patch(gateway, path, known, body).catch(() => undefined)
    // More than the round before has left behind what it told.
    for (let left = 96 * round; left > 0; left--) body.push(piece)
    await eventually(() => hiddenSize(tree) > before, 20_000, 'nothing was written')
    await gateway.kill9()
    body.destroy()
    await sending
    await gateway.start()
    const offset = await offsetOf(gateway, path)
    t.ok(offset >= known, `round ${round}: nothing acknowledged is lost (${offset})`)
    t.equal((await patch(gateway, path, offset + 1, piece)).status, 409, 'and nothing is made up')
    t.equal((await patch(gateway, path, offset, piece)).status, 204)
    known = offset + piece.length
    t.notOk(readdirSync(join(tree, 'alice')).includes('big'), 'nobody sees half of it')
  }
  const end = { 'upload-length': String(known + 3) }
  t.equal((await patch(gateway, path, known, Buffer.from('end'), end)).status, 204)
  const content = readFileSync(join(tree, 'alice/big'))
  t.equal(content.length, known + 3)
  t.equal(content.subarray(0, 6).toString(), 'begun ')
  t.ok(content.subarray(6, known).every((byte) => byte === 120))
  t.equal(content.subarray(known).toString(), 'end')
  t.same(leftovers(gateway, tree), [])

  const left = await begin(gateway, 'left')
  t.equal((await patch(gateway, left, 0, piece)).status, 204)
  await gateway.kill9()
  expire(gateway)
  await gateway.start()
  await eventually(() => leftovers(gateway, tree).length === 0, 20_000, 'the abandoned upload was not taken away')
  t.same(leftovers(gateway, tree), [])
})

/** What is kept of uploads has expired. Call it while no process of the gateway is alive. */
function expire(gateway: TestGateway): void {
  const database = new DatabaseSync(join(gateway.directory, 'state/state.sqlite'), { timeout: 5000 })
  try {
    database.exec('UPDATE uploads SET expires = 1; UPDATE holders SET expires = 0')
  } finally {
    database.close()
  }
}
