/** The start of the machine that sessions are told. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { bootOf } from '../../gateway/serve/boot.ts'
import { gatewayWithData } from '../client-fs/gateways.ts'
import { openFs } from './client.ts'

t.test('it is another one after each start, and tells nothing of its name', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-boot-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'boot_id')
  const key = Buffer.alloc(32, 1)
  const named = (id: string, by = key) => {
    writeFileSync(file, `${id}\n`)
    return bootOf(by, file)
  }
  const id = '0b5a9d0e-6c1f-4d57-9f3a-7d6f0e1c2b3a'
  const first = named(id)
  t.match(first, /^[A-Za-z0-9_-]{43}$/)
  t.equal(named(id), first)
  t.not(named('another'), first)
  t.not(named(id, Buffer.alloc(32, 2)), first, 'of another gateway')
  t.equal(bootOf(key, join(directory, 'none')), undefined)
  t.end()
})

t.test('sessions are told it, where there is one', async (t) => {
  const { mount } = await openFs(t, { fs: { boot: 'this-start' } })
  const client = await mount()
  t.match((await client.begin()).json, { boot: 'this-start' })
  const other = await (await openFs(t)).mount()
  t.notOk('boot' in (await other.begin()).json)
})

t.test('all processes of a gateway tell the same, also after it was started again', async (t) => {
  const gateway = await gatewayWithData(t, { workers: 2 })
  const boots = new Set<unknown>()
  const workers = new Set<unknown>()
  const look = async () => {
    const body = JSON.stringify({ versions: [1], client: 'test' })
    const headers = {
      authorization: `Bearer ${await gateway.standingToken('alice')}`,
      'content-type': 'application/json',
    }
    const answer = await gateway.request({ method: 'POST', path: '/.portolan/fs/v1/session', headers, body })
    const { boot, worker } = answer.json() as Record<string, unknown>
    boots.add(boot)
    workers.add(worker)
  }
  for (let time = 0; time < 20 && workers.size < 2; time++) await look()
  await gateway.kill9()
  await gateway.start()
  await look()
  t.ok(workers.size >= 2)
  t.equal(boots.size, 1)
  t.type([...boots][0], 'string')
})
