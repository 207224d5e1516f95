/** An audit log that cannot be written, and logs that are rotated. */

import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startTestGateway, type TestGateway } from './harness.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(120_000)

function start(t: Test, more: Readonly<Record<string, unknown>> = {}): Promise<TestGateway> {
  return startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }], more })
}

t.test('a gateway that cannot write its audit log stops answering', async (t) => {
  const gateway = await start(t, { audit: { file: '/dev/full', onFailure: 'stop' } })
  const stopped = async () => (await gateway.get('/lab/', 'alice')).status === 503
  await eventually(stopped, 10_000, 'it went on')
  const answer = await gateway.put('/lab/alice/f', 'alice', 'x')
  t.equal(answer.status, 503)
  t.match(answer.headers['retry-after'], /^\d+$/)
  t.notOk(existsSync(join(gateway.tree('/lab'), 'alice/f')), 'and does nothing')
  t.equal((await gateway.api('acl', { path: '/lab' }, 'alice')).status, 503, 'nor by the interface')
})

t.test('where it is told to go on it does', async (t) => {
  const gateway = await start(t, { audit: { file: '/dev/full', onFailure: 'continue' } })
  for (let call = 0; call < 5; call++) t.equal((await gateway.put('/lab/alice/f', 'alice', 'x')).status < 300, true)
})

t.test('after a rotation both logs go on in new files', async (t) => {
  const gateway = await start(t)
  const log = (name: string) => join(gateway.directory, 'log', name)
  await gateway.auditOf(await gateway.get('/lab/', 'alice'))
  for (const name of ['audit.jsonl', 'portolan.log']) renameSync(log(name), log(`${name}.1`))
  gateway.signal('SIGHUP')
  await eventually(() => existsSync(log('audit.jsonl')) && existsSync(log('portolan.log')), 10_000, 'no new files came')
  await gateway.logged('the configuration was taken over')
  const answer = await gateway.get('/lab/', 'alice')
  t.match(await gateway.auditOf(answer), { action: 'list', outcome: 'ok' })
  t.notMatch(readFileSync(log('audit.jsonl.1'), 'utf8'), String(answer.headers['x-request-id']))
})

t.test('who is mapped no more is out at once, also with a token that was accepted before', async (t) => {
  const gateway = await start(t)
  t.equal((await gateway.get('/lab/', 'bob')).status, 200)
  gateway.configure((config) => {
    config.mapping = (config.mapping as { readonly subject: string }[]).filter(({ subject }) => subject !== 'bob')
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  t.equal((await gateway.get('/lab/', 'bob')).status, 403)
  t.equal((await gateway.get('/lab/', 'alice')).status, 200)
})
