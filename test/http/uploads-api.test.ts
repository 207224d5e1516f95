/** Unfinished uploads in the REST interface. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { everything } from '../core/world.ts'
import { ace, aclOf, alice, ask, callOf, openDoor } from './door.ts'

const list = '/.portolan/api/v1/uploads'

async function setUp(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-uploads-api-'))
  const state = await openState({ directory })
  let storage: Storage | undefined
  const around = ({ namespace }: Storage) => {
    const bounds = { uploads: 10, bytes: 1e9, spool: 1e9 }
    const uploads = { state, spoolDirectory: join(directory, 'spool'), lifetime: 3600, bounds }
    storage = new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: directory, uploads })
    return storage
  }
  const { port } = await openDoor(t, { acl: aclOf(ace('EVERYONE@', everything)), around })
  t.teardown(async () => {
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  if (!storage) throw new Error('the door has asked for no storage')
  return { port, uploads: storage.uploads }
}

t.test('uploads are shown to whose they are, and taken away by them', async (t) => {
  const { port, uploads } = await setUp(t)
  const { id, expires } = await uploads.create(callOf(alice), parsePath('/data/f'), { size: 10 })
  await uploads.append(callOf(alice), id, 0, Readable.from([Buffer.from('abc')]))
  const { status, text } = await ask(port, 'GET', list, { as: 'alice' })
  t.equal(status, 200)
  t.match(JSON.parse(text), {
    uploads: [
      { id, path: '/data/f', offset: 3, length: 10, user: alice.user, expires: new Date(expires * 1000).toISOString() },
    ],
  })
  t.same(JSON.parse((await ask(port, 'GET', list, { as: 'bob' })).text), { uploads: [] })
  t.equal((await ask(port, 'GET', `${list}?x=1`, { as: 'alice' })).status, 400)
  t.equal((await ask(port, 'DELETE', `${list}/${id}`, { as: 'bob' })).status, 404)
  t.equal((await ask(port, 'DELETE', `${list}/${id}`)).status, 404)
  t.equal((await ask(port, 'DELETE', `${list}/${id}`, { as: 'alice' })).status, 204)
  t.equal((await ask(port, 'DELETE', `${list}/${id}`, { as: 'alice' })).status, 404)
  t.same(JSON.parse((await ask(port, 'GET', list, { as: 'alice' })).text), { uploads: [] })
})
