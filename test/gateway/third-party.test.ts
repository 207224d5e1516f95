/** Two gateways in processes of their own, on directory trees: one copies from and to the other as its configuration says. */

import t, { type Test } from 'tap'
import { startTestGateway, type TestGateway } from './harness.ts'
import { makeLab } from './tree.ts'

t.setTimeout(120_000)

const content = Buffer.from(Uint8Array.from({ length: 20_000_000 }, (_, i) => (i * 7919) % 251))

function start(t: Test, thirdParty: Record<string, unknown>): Promise<TestGateway> {
  const mounts = [{ path: '/lab', make: (top: string) => void makeLab(top) }]
  return startTestGateway(t, { workers: 2, mounts, more: { thirdParty } })
}

t.test('files go from one gateway to another and come back, in place of what was there', async (t) => {
  const [here, there] = await Promise.all([
    start(t, { hosts: ['127.0.0.1'], networks: ['127.0.0.0/8'], insecure: true }),
    start(t, {}),
  ])
  const credential = { TransferHeaderAuthorization: `Bearer ${await there.standingToken('alice')}` }
  const order = (path: string, headers: Record<string, string>) =>
    here.request({ method: 'COPY', path, user: 'alice', headers: { ...credential, ...headers } })

  await here.put('/lab/alice/source', 'alice', content)
  const pushed = await order('/lab/alice/source', { Destination: `${there.url}/lab/alice/target` })
  t.equal(pushed.status, 202)
  t.match(pushed.text, /success: Created\n$/)
  t.ok((await there.get('/lab/alice/target', 'alice')).body.equals(content))

  await here.put('/lab/alice/back', 'alice', 'old')
  const pulled = await order('/lab/alice/back', { Source: `${there.url}/lab/alice/target` })
  t.match(pulled.text, /success: Created\n$/)
  t.ok((await here.get('/lab/alice/back', 'alice')).body.equals(content))
  t.match(await here.auditOf(pulled), {
    action: 'replace',
    outcome: 'ok',
    path: '/lab/alice/back',
    bytes: content.length,
  })
  t.match(await here.logged('third-party copy'), { remote: there.url, outcome: 'ok' })
  const head = await here.request({
    method: 'HEAD',
    path: '/lab/alice/back',
    user: 'alice',
    headers: { 'Want-Digest': 'adler32' },
  })
  t.match(head.headers.digest, /^adler32=[0-9a-f]{8}$/)

  const refused = await here.request({
    method: 'COPY',
    path: '/lab/alice/none',
    user: 'alice',
    headers: {
      TransferHeaderAuthorization: `Bearer ${await there.standingToken('bob')}`,
      Source: `${there.url}/lab/alice/target`,
    },
  })
  t.match(refused.text, /failure: rejected GET: 403 Forbidden\n$/)
  t.equal((await here.get('/lab/alice/none', 'alice')).status, 404)
  const closed = await there.request({
    method: 'COPY',
    path: '/lab/alice/target',
    user: 'alice',
    headers: { Destination: `${here.url}/lab/alice/x` },
  })
  t.equal(closed.status, 502)
  for (const token of [...here.credentials, ...there.credentials])
    t.notOk(`${here.logText()}${here.auditText()}`.includes(token))
})
