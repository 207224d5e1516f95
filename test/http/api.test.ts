import t from 'tap'
import { right } from '../../acl/acl.ts'
import { openApi } from '../../gateway/api/openapi.ts'
import { apiRoutes } from '../../gateway/api/routes.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { ace, aclOf, alice, ask, callOf, looking, openDoor, store } from './door.ts'

const api = '/.portolan/api/v1'

t.test('every route is described, and nothing else is', async (t) => {
  const { paths, servers } = openApi('https://gw.desy.de')
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method} ${path}`),
  )
  t.strictSame(described.toSorted(), apiRoutes.map(({ method, path }) => `${method.toLowerCase()} ${path}`).toSorted())
  t.same(servers, [{ url: 'https://gw.desy.de/.portolan/api/v1' }])
  const { port } = await openDoor(t)
  const document = JSON.parse((await ask(port, 'GET', `${api}/openapi.json`)).text)
  t.equal(document.openapi, '3.1.0')
  const refs = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name = '']) => name)
  for (const name of refs) t.ok(document.components.schemas[name], name)
})

t.test('whoami tells what the gateway takes the caller for', async (t) => {
  const { port } = await openDoor(t)
  t.match(JSON.parse((await ask(port, 'GET', `${api}/whoami`, { as: 'alice' })).text), {
    id: 'test|alice',
    user: 'alice@desy.de',
    grants: 'unbounded',
    administrator: false,
  })
  t.match(JSON.parse((await ask(port, 'GET', `${api}/whoami`)).text), { id: 'anonymous', user: null })
  t.equal((await ask(port, 'GET', `${api}/whoami`, { as: 'expired' })).status, 401)
  const basic = `Basic ${Buffer.from('bob:secret').toString('base64')}`
  t.match(JSON.parse((await ask(port, 'GET', `${api}/whoami`, { headers: { authorization: basic } })).text), {
    user: 'bob@desy.de',
  })
})

t.test('explain gives the reason that the problem kept back', async (t) => {
  const { port, storage } = await openDoor(t, { acl: aclOf(ace({ user: 'bob@desy.de' }, 1, 3, 'deny')) })
  await store(storage, '/data/a', 'x')
  const problem = JSON.parse((await ask(port, 'GET', '/data/a', { as: 'bob' })).text)
  const link = new URL(problem.explain)
  const explained = JSON.parse((await ask(port, 'GET', link.pathname + link.search, { as: 'bob' })).text)
  t.match(explained, { allowed: false, action: 'read', path: '/data/a', principal: { user: 'bob@desy.de' } })
  t.ok(explained.steps.some(({ allowed }: { allowed: unknown }) => allowed === false))
})

t.test('explain of a refused PUT speaks of the file that was in its way', async (t) => {
  const may = ace({ user: 'bob@desy.de' }, right.addFile | looking, 2)
  const { port, storage } = await openDoor(t, { acl: aclOf(may) })
  await store(storage, '/data/a', 'x')
  const problem = JSON.parse((await ask(port, 'PUT', '/data/a', { as: 'bob', body: 'y' })).text)
  const link = new URL(problem.explain)
  const explained = JSON.parse((await ask(port, 'GET', link.pathname + link.search, { as: 'bob' })).text)
  t.match(explained, { allowed: false, action: 'replace' })
  const fresh = await ask(port, 'GET', `${api}/explain?path=/data/new&action=create`, { as: 'bob' })
  t.match(JSON.parse(fresh.text), { allowed: true, action: 'create' })
})

t.test('explain also answers whoever could not get in', async (t) => {
  const { port } = await openDoor(t)
  const explained = await ask(port, 'GET', `${api}/explain?path=/data/a&action=read`, { as: 'expired' })
  t.equal(explained.status, 200)
  t.match(JSON.parse(explained.text), {
    allowed: false,
    steps: [{ check: 'credential', allowed: false, reason: { rule: 'token-expired' } }],
  })
  const guess = { authorization: `Basic ${Buffer.from('alice:wrong').toString('base64')}` }
  const refusal = JSON.parse((await ask(port, 'GET', `${api}/explain?path=/`, { headers: guess })).text)
  t.match(refusal.steps[0].reason.text, /user name or the password/)
})

t.test('only an administrator asks about others', async (t) => {
  const { port } = await openDoor(t)
  const about = (user: string, as: string) =>
    ask(port, 'GET', `${api}/explain?path=/data&action=list&user=${user}`, { as })
  t.equal((await about('bob', 'alice')).status, 403)
  t.equal((await about('nobody', 'alice')).status, 403)
  t.equal((await about('nobody', 'admin')).status, 404)
  t.match(JSON.parse((await about('bob', 'admin')).text), { principal: { user: 'bob@desy.de' }, allowed: true })
})

t.test('an ACL is read and replaced, under If-Match', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'x')
  const url = `${api}/acl?path=%2Fdata%2Fa`
  const json = { 'content-type': 'application/json' }
  const first = await ask(port, 'GET', url, { as: 'alice' })
  t.match(first.headers.etag, /^"[0-9a-f]+"$/)
  const acl = JSON.parse(first.text)
  const put = (headers: Record<string, string | undefined>, body: string, as = 'alice') =>
    ask(port, 'PUT', url, { as, headers: headers as Record<string, string>, body })
  const changed = { ...acl, aces: [{ type: 'deny', who: 'user:bob@desy.de', rights: 'r', flags: '' }, ...acl.aces] }
  t.equal((await put({ ...json, 'if-match': '"1"' }, JSON.stringify(changed))).status, 412)
  t.equal((await put(json, JSON.stringify(changed), 'bob')).status, 403)
  const second = await put({ ...json, 'if-match': first.headers.etag }, JSON.stringify(changed))
  t.equal(second.status, 200)
  t.equal(JSON.parse(second.text).aces.length, acl.aces.length + 1)
  t.equal((await ask(port, 'GET', '/data/a', { as: 'bob' })).status, 403)
  t.equal((await put({ ...json, 'if-match': first.headers.etag }, JSON.stringify(acl))).status, 412)

  const text = await ask(port, 'GET', url, { as: 'alice', headers: { accept: 'text/plain' } })
  t.match(text.text, /^D::bob@desy\.de:r/)
  const back = text.text.split('\n').slice(1).join('\n')
  t.equal((await put({ 'content-type': 'text/plain; charset=utf-8' }, back)).status, 200)
  t.equal((await ask(port, 'GET', '/data/a', { as: 'bob' })).status, 200)
})

t.test('a bad ACL is refused with its place', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'x')
  const cases: ReadonlyArray<readonly [string, string | undefined, string, number]> = [
    ['/data/a', 'application/json', '{', 400],
    ['/data/a', 'application/json', '{"aces":[{"type":"allow","who":"EVERYONE@","rights":"Z"}]}', 400],
    ['/data/a', 'application/json', '{"aces":[],"more":1}', 400],
    ['/data/a', 'application/json', '{"__proto__":{},"aces":[]}', 400],
    ['/data/a', 'text/plain', 'nonsense', 400],
    ['/data/a', 'text/plain', '\xff', 400],
    ['/data/a', 'application/xml', '<acl/>', 415],
    ['/data/a', undefined, '{"aces":[]}', 415],
    ['/data/a', 'application/json', ' '.repeat(1_100_000), 413],
    ['/data/none', 'application/json', '{"aces":[]}', 404],
    ['/data/..', 'application/json', '{"aces":[]}', 400],
    ['data', 'application/json', '{"aces":[]}', 400],
  ]
  for (const [path, type, body, expected] of cases) {
    const { status, headers } = await ask(port, 'PUT', `${api}/acl?path=${path}`, {
      as: 'alice',
      body: Buffer.from(body, 'latin1'),
      headers: type === undefined ? {} : { 'content-type': type },
    })
    t.equal(status, expected, `${path} ${type} ${body.slice(0, 40)}`)
    t.equal(headers['content-type'], 'application/problem+json')
  }
})

t.test('rights and usage answer for the caller', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', '12345')
  const rights = JSON.parse((await ask(port, 'GET', `${api}/rights?path=/data/a`, { as: 'bob' })).text)
  t.match(rights, { type: 'file', names: ['READ_DATA', 'EXECUTE', 'READ_ATTRIBUTES', 'READ_ACL'] })
  t.ok(rights.actions.includes('read') && !rights.actions.includes('replace'))
  t.match(JSON.parse((await ask(port, 'GET', `${api}/usage?path=/data`, { as: 'bob' })).text), { used: 5 })
})

t.test('mounts tells of the parts of the namespace', async (t) => {
  const { port } = await openDoor(t)
  const { mounts } = JSON.parse((await ask(port, 'GET', `${api}/mounts`, { as: 'bob' })).text)
  t.match(mounts, [{ path: '/data', readOnly: false, enforce: 'gateway', tape: null, note: null }])
})

t.test('bad parameters are refused', async (t) => {
  const { port } = await openDoor(t)
  for (const query of [
    '',
    'path',
    'path=a',
    'path=/a&path=/b',
    'path=/a&x=1',
    'path=/a%ff',
    'path=/a/../b',
    'path=/a%00',
  ]) {
    t.equal((await ask(port, 'GET', `${api}/rights?${query}`, { as: 'alice' })).status, 400, query)
  }
  t.equal((await ask(port, 'GET', `${api}/explain?path=/a&action=nonsense`, { as: 'alice' })).status, 400)
})

t.test('health and readiness ask for no credential', async (t) => {
  let isReady = true
  const { port } = await openDoor(t, { ready: () => isReady, mount: { anonymous: false } })
  t.equal((await ask(port, 'GET', `${api}/health`)).status, 200)
  t.equal((await ask(port, 'GET', `${api}/ready`)).status, 200)
  isReady = false
  const answer = await ask(port, 'GET', `${api}/ready`)
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '5')
})

t.test('everything below /.portolan is ours, however it is spelt', async (t) => {
  const { port, storage } = await openDoor(t)
  t.match((await ask(port, 'GET', '/.portolan/')).headers, { 'content-type': 'text/html; charset=utf-8' })
  t.equal((await ask(port, 'GET', '/.portolan')).status, 308)
  t.match((await ask(port, 'GET', '/.portolan/problems')).text, /id="denied"/)
  for (const path of ['/.portolan/x', '/%2eportolan/x', '/.portolan/api/v1/whoami/', '/.portolan/api/v2']) {
    const answer = await ask(port, 'GET', path)
    t.equal(answer.status, 404, path)
    t.equal(answer.headers['content-type'], 'application/problem+json')
  }
  t.equal((await ask(port, 'PUT', '/.portolan/x', { as: 'alice', body: 'x' })).status, 404)
  t.equal((await ask(port, 'PROPFIND', '/.portolan/', { as: 'alice' })).status, 405)
  await t.rejects(storage.stat(callOf(alice), parsePath('/.portolan')), { code: 'not-found' })
})
