/** Earlier versions at the HTTP door. */

import t, { type Test } from 'tap'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { versioned } from '../core/versioned.ts'
import { callBy, mountOf } from '../core/world.ts'
import { ace, aclOf, ask, looking, openDoor, store } from './door.ts'

/** /data/f was "first" and is "second". */
async function setUp(t: Test) {
  const acl = aclOf(ace('EVERYONE@', looking))
  const [now, then] = [new MemoryBackend(acl), new MemoryBackend(acl)]
  for (const [memory, content] of [
    [now, 'second'],
    [then, 'first'],
  ] as const) {
    const namespace = new Namespace([mountOf('/data', memory)])
    await store(new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: t.testdir() }), '/data/f', content)
  }
  const setting = await openDoor(t, { mount: { backend: versioned(now, then), base: root } })
  return { ...setting, now, then }
}

const list = '/.portolan/api/v1/versions?path=/data/f'

t.test('versions are listed with their names, times and tags', async (t) => {
  const { port } = await setUp(t)
  const { status, text } = await ask(port, 'GET', list, { as: 'bob' })
  t.equal(status, 200)
  t.match(JSON.parse(text), {
    path: '/data/f',
    versions: [{ version: 'v1', kept: '1970-01-01T00:00:01.000Z', type: 'file', size: 5, etag: /^"/ }],
  })
  t.equal((await ask(port, 'GET', '/.portolan/api/v1/versions')).status, 400)
})

t.test('GET and HEAD with ?version= give an earlier state, with its own tag', async (t) => {
  const { port } = await setUp(t)
  const { text } = await ask(port, 'GET', list)
  const [version] = JSON.parse(text).versions
  const old = await ask(port, 'GET', '/data/f?version=v1')
  t.match(old, { status: 200, text: 'first' })
  t.equal(old.headers.etag, version.etag)
  t.match(await ask(port, 'GET', '/data/f'), { status: 200, text: 'second' })
  const head = await ask(port, 'HEAD', '/data/f?version=v1')
  t.equal(head.headers['content-length'], '5')
  t.match(await ask(port, 'GET', '/data/f?version=v1', { headers: { range: 'bytes=1-2' } }), {
    status: 206,
    text: 'ir',
  })
  t.equal((await ask(port, 'GET', '/data/f?version=v1', { headers: { 'if-none-match': version.etag } })).status, 304)
})

t.test('what is asked wrongly, or not allowed, is refused', async (t) => {
  const { port, now } = await setUp(t)
  const status = async (target: string, as = 'bob') => (await ask(port, 'GET', target, { as })).status
  t.equal(await status('/data/f?version=v2'), 404)
  t.equal(await status('/data/f?version=v1&version=v2'), 400)
  t.equal(await status('/data/?version=v1'), 405)
  t.equal(await status('/data?version=v1'), 405)
  now.replaceAcl(parsePath('/f'), aclOf())
  t.equal(await status('/data/f?version=v1'), 403)
  t.equal(await status(list), 403)
  t.equal(await status('/data/f?version=v1', 'alice'), 200)
})

t.test('a time that no calendar holds is no failure', async (t) => {
  const { port, then } = await setUp(t)
  const call = callBy('keeper')
  const pending = await then.setAttributes(parsePath('/f'), { modified: 10n ** 25n }, call)
  await pending.proceed()
  await pending.release()
  const { status, text } = await ask(port, 'GET', list)
  t.equal(status, 200)
  t.match(JSON.parse(text).versions, [{ modified: '1970-01-01T00:00:00.000Z' }])
})
