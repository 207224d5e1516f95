/** `portolan uploads`, against a whole gateway. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named, type UserName } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { resident } from './resident.ts'

t.setTimeout(120_000)

const portolan = resident(t)

const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => makeLab(top) }] })

async function run(words: readonly string[], as: UserName = 'alice') {
  return portolan(words, { env: { PORTOLAN_URL: gateway.url, BEARER_TOKEN: await gateway.standingToken(as) } })
}

async function begin(name: string, length: Readonly<Record<string, string>>): Promise<string> {
  const metadata = { 'upload-metadata': `filename ${Buffer.from(name).toString('base64')}` }
  const headers = { 'tus-resumable': '1.0.0', ...metadata, ...length }
  const { headers: told } = await gateway.request({
    method: 'POST',
    path: '/.portolan/uploads/lab/alice/',
    user: 'alice',
    headers,
  })
  return String(told.location).split('/').at(-1) ?? ''
}

t.test('uploads are shown to whose they are, and taken away', async (t) => {
  const one = await begin('one', { 'upload-length': '10' })
  const other = await begin('other', { 'upload-defer-length': '1' })
  const hidden = () => readdirSync(join(gateway.tree('/lab'), 'alice')).filter((name) => name.startsWith('.portolan-'))
  t.equal(hidden().length, 2)
  const shown = await run(['uploads'])
  t.equal(shown.code, 0, shown.stderr)
  t.match(shown.stdout, new RegExp(`^${one} +\\S+ +0 of 10 bytes +until \\S+Z +/lab/alice/one$`, 'm'))
  t.match(shown.stdout, new RegExp(`^${other} +\\S+ +0 bytes +until \\S+Z +/lab/alice/other$`, 'm'))
  const { uploads } = JSON.parse((await run(['uploads', '--json'])).stdout)
  t.match(uploads, [{ path: String }, { path: String }])
  t.equal((await run(['uploads'], 'bob')).stdout, '')
  t.match((await run(['uploads'], 'admin')).stdout, named('alice'))
  t.not((await run(['uploads', 'cancel', one], 'bob')).code, 0)
  t.equal((await run(['uploads', 'cancel', '../locks'])).code, 2)
  t.equal(hidden().length, 2)
  const cancelled = await run(['uploads', 'cancel', one])
  t.equal(cancelled.code, 0, cancelled.stderr)
  t.equal((await run(['uploads', 'cancel', other], 'admin')).code, 0)
  t.not((await run(['uploads', 'cancel', one])).code, 0)
  t.same(hidden(), [])
  t.equal((await run(['uploads'])).stdout, '')
})
