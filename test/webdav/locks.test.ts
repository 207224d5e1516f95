/** LOCK, UNLOCK and If over HTTP, with two worker processes that take turns (RFC 4918, sections 6, 7, 9.10 and 10.4). */

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { portolan } from '../cli/running.ts'
import { noNative, startTestGateway } from '../gateway/harness.ts'
import type { Answer, Sent } from '../gateway/http.ts'
import type { UserName } from '../gateway/people.ts'
import { makeLab, Owned } from '../gateway/tree.ts'

t.setTimeout(180_000)

const native = '/native'
const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [
    { path: '/lab', make: (top) => void makeLab(top) },
    ...(noNative
      ? []
      : [
          {
            path: native,
            enforce: 'native' as const,
            make: (top: string) => {
              const tree = new Owned(top)
              tree.directory('alice', 'alice', 0o755)
            },
          },
        ]),
  ],
})

const info = (scope: 'exclusive' | 'shared', owner = '<D:owner>me</D:owner>') =>
  `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype>${owner}</D:lockinfo>`

function ask(method: string, path: string, user: UserName, headers: Sent['headers'] = {}, body?: string) {
  return gateway.request({ method, path, user, headers, ...(body !== undefined && { body }) })
}

async function lock(
  path: string,
  user: UserName,
  headers: Sent['headers'] = {},
  scope: 'exclusive' | 'shared' = 'exclusive',
) {
  const answer = await ask('LOCK', path, user, headers, info(scope))
  return { answer, token: /<(.*)>/.exec(String(answer.headers['lock-token']))?.[1] ?? '' }
}

const unlock = (path: string, user: UserName, token: string) =>
  ask('UNLOCK', path, user, { 'Lock-Token': `<${token}>` })
const submit = (token: string) => ({ If: `(<${token}>)` })
const statusOf = (answer: Promise<Answer>) => answer.then(({ status }) => status)

t.test('a LOCK tells its token, its time and its owner as it was told', async (t) => {
  const owner = '<D:owner><x:href xmlns:x="urn:x" kind="a&amp;b">mailto:a@b</x:href> &lt;A&gt;</D:owner>'
  const headers = { Timeout: 'Infinite, Second-4100000000', Depth: '0' }
  const {
    status,
    text,
    headers: told,
  } = await ask('LOCK', '/lab/p01/l.txt', 'alice', headers, info('exclusive', owner))
  t.equal(status, 201)
  t.match(told['lock-token'], /^<urn:uuid:[0-9a-f-]{36}>$/)
  t.match(text, '<D:lockroot><D:href>/lab/p01/l.txt</D:href></D:lockroot>')
  t.match(text, /<D:timeout>Second-\d+<\/D:timeout>/)
  t.match(text, '<x:href xmlns:x="urn:x" kind="a&amp;b">mailto:a@b</x:href> &lt;A&gt;')
  t.equal((await gateway.get('/lab/p01/l.txt', 'carol')).text, '', 'an empty file is there')
  const found = await ask('PROPFIND', '/lab/p01/l.txt', 'carol', { Depth: '0' })
  t.match(found.text, '<D:activelock>')
  t.notMatch(found.text, 'urn:uuid', 'the token is for its holder')
  const token = String(told['lock-token']).slice(1, -1)
  t.match((await ask('PROPFIND', '/lab/p01/l.txt', 'alice', { Depth: '0' })).text, token)
  const refused = await ask('PUT', '/lab/p01/l.txt', 'carol', {}, 'x')
  t.equal(refused.status, 423)
  t.match(refused.text, '<D:lock-token-submitted><D:href>/lab/p01/l.txt</D:href></D:lock-token-submitted>')
  const again = await ask('LOCK', '/lab/p01/l.txt', 'carol', {}, info('shared'))
  t.equal(again.status, 423)
  t.match(again.text, '<D:no-conflicting-lock><D:href>/lab/p01/l.txt</D:href></D:no-conflicting-lock>')
  t.equal(await statusOf(unlock('/lab/p01/l.txt', 'carol', token)), 403)
  t.equal(await statusOf(unlock('/lab/p01', 'alice', token)), 409)
  t.equal(await statusOf(unlock('/lab/p01/l.txt', 'alice', token)), 204)
  t.equal(await statusOf(unlock('/lab/p01/l.txt', 'alice', token)), 409)
  t.equal(await statusOf(ask('PUT', '/lab/p01/l.txt', 'carol', {}, 'x')), 204)
})

t.test('what cannot be a LOCK is refused', async (t) => {
  const rows: ReadonlyArray<readonly [number, string, Sent['headers'], string | undefined]> = [
    [400, '/lab/p01/q', {}, undefined],
    [400, '/lab/p01/q', { Depth: '1' }, info('shared')],
    [400, '/lab/p01/q', {}, '<D:lockinfo xmlns:D="DAV:"/>'],
    [400, '/lab/p01/q', {}, '<lockinfo/>'],
    [400, '/lab/p01/q', {}, info('shared').replace('<D:lockinfo', '<!DOCTYPE x [<!ENTITY e "e">]><D:lockinfo')],
    [422, '/lab/p01/q', {}, info('shared').replace('<D:write/>', '<D:read/>')],
    [409, '/lab/p01/no/q', {}, info('shared')],
    [403, '/lab/alice/a.txt', {}, info('shared')],
    [413, '/lab/p01/q', {}, info('shared', `<D:owner>${'x'.repeat(5000)}</D:owner>`)],
    [412, '/lab/p01/q', { If: '(<urn:uuid:none>)' }, undefined],
    [412, '/lab/p01/q', { If: '(["nothing"])' }, info('shared')],
  ]
  for (const [status, path, headers, body] of rows) {
    t.equal(
      await statusOf(ask('LOCK', path, 'carol', headers, body)),
      status,
      `${path} ${body} ${JSON.stringify(headers)}`,
    )
  }
  t.equal(await statusOf(gateway.get('/lab/p01/q', 'carol')), 404, 'nothing was made')
  t.equal(await statusOf(ask('UNLOCK', '/lab/p01', 'carol', {})), 400)
  t.equal(await statusOf(gateway.request({ method: 'LOCK', path: '/lab/p01/q', body: info('shared') })), 401)
})

t.test('a collection is locked with all that is in it, and all methods honour that', async (t) => {
  await ask('MKCOL', '/lab/p01/box', 'alice')
  await ask('MKCOL', '/lab/p01/out', 'alice')
  await gateway.put('/lab/p01/box/f', 'alice', 'f')
  await gateway.put('/lab/p01/x', 'carol', 'x')
  const { token, answer } = await lock('/lab/p01/box', 'alice')
  t.equal(answer.status, 200)
  const at = (path: string) => new URL(path, gateway.url).href
  const set =
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><c xmlns="urn:c">1</c></D:prop></D:set></D:propertyupdate>'
  const tries: ReadonlyArray<readonly [string, string, Sent['headers'], string?]> = [
    ['PUT', '/lab/p01/box/f', {}, 'x'],
    ['PUT', '/lab/p01/box/n', {}, 'x'],
    ['PUT', '/lab/p01/./box/f'.replace('/.', ''), {}, 'x'],
    ['DELETE', '/lab/p01/box/f', {}],
    ['DELETE', '/lab/p01/box', {}],
    ['MKCOL', '/lab/p01/box/d', {}],
    ['PROPPATCH', '/lab/p01/box/f', {}, set],
    ['COPY', '/lab/p01/x', { Destination: at('/lab/p01/box/x') }],
    ['COPY', '/lab/p01/x', { Destination: at('/lab/p01/box/f') }],
    ['MOVE', '/lab/p01/x', { Destination: at('/lab/p01/box/x') }],
    ['MOVE', '/lab/p01/box/f', { Destination: at('/lab/p01/f') }],
    ['MOVE', '/lab/p01/box', { Destination: at('/lab/p01/box2') }],
    ['MOVE', '/lab/p01/out', { Destination: at('/lab/p01/box') }],
    ['LOCK', '/lab/p01/box/n', {}, info('shared')],
  ]
  for (const [method, path, headers, body] of tries) {
    t.equal(await statusOf(ask(method, path, 'carol', headers, body)), 423, `${method} ${path}`)
  }
  t.equal(await statusOf(ask('PUT', '/lab/p01/box/f', 'carol', submit(token), 'x')), 423, 'a token of another')
  const tagged = { If: `<${at('/lab/p01/box')}> (<${token}>)` }
  t.equal(await statusOf(ask('PUT', '/lab/p01/box/n', 'alice', tagged, 'x')), 201, 'tagged with the lock root')
  t.equal(await statusOf(ask('MKCOL', '/lab/p01/box/d', 'alice', tagged)), 201)
  t.equal(await statusOf(ask('LOCK', '/lab/p01/box/f', 'alice', submit(token))), 200, 'refreshed at a member')
  t.equal(await statusOf(ask('DELETE', '/lab/p01/box', 'alice', submit(token))), 204)
  t.equal(await statusOf(ask('MKCOL', '/lab/p01/box', 'carol')), 201, 'the lock went with it')
})

t.test('a version in If is compared when the change is made', async (t) => {
  const { headers } = await gateway.put('/lab/p01/v', 'alice', 'one')
  const { token } = await lock('/lab/p01/v', 'alice')
  const wrong = { If: `(<${token}> ["nonsense"]) (Not <DAV:no-lock> ["other"])` }
  t.equal(await statusOf(ask('PUT', '/lab/p01/v', 'alice', wrong, 'x')), 412)
  const right = { If: `(<${token}> [${headers.etag}])` }
  t.equal(await statusOf(ask('PUT', '/lab/p01/v', 'alice', right, 'two')), 204)
  t.equal(await statusOf(ask('PUT', '/lab/p01/v', 'alice', right, 'three')), 412)
  t.equal((await gateway.get('/lab/p01/v', 'alice')).text, 'two')
  const { headers: now } = await gateway.get('/lab/p01/v', 'alice')
  await unlock('/lab/p01/v', 'alice', token)
  const same = { If: `([${now.etag}])` }
  const writers = Array.from({ length: 20 }, (_, index) => ask('PUT', '/lab/p01/v', 'alice', same, `writer ${index}`))
  const statuses = (await Promise.all(writers)).map(({ status }) => status)
  t.equal(statuses.filter((status) => status === 204).length, 1, 'of twenty with one version one wins')
  t.equal(statuses.filter((status) => status === 412).length, 19)
})

t.test('a file made by LOCK is written as a new one, as davfs2 does', async (t) => {
  const { token, answer } = await lock('/lab/p01/fresh', 'alice', { Depth: '0', Timeout: 'Second-1800' })
  t.equal(answer.status, 201)
  const headers = { If: `<${new URL('/lab/p01/fresh', gateway.url).href}> (<${token}>)`, 'If-None-Match': '*' }
  t.equal(await statusOf(ask('PUT', '/lab/p01/fresh', 'alice', headers, 'content')), 204)
  t.equal(await statusOf(ask('PUT', '/lab/p01/fresh', 'alice', headers, 'content')), 412)
  t.equal(await statusOf(unlock('/lab/p01/fresh', 'alice', token)), 204)
})

t.test('an empty file that was there before its lock is not a new one', async (t) => {
  await gateway.put('/lab/p01/empty', 'alice', '')
  const { token, answer } = await lock('/lab/p01/empty', 'alice', { Depth: '0' })
  t.equal(answer.status, 200)
  const headers = { ...submit(token), 'If-None-Match': '*' }
  t.equal(await statusOf(ask('PUT', '/lab/p01/empty', 'alice', headers, 'content')), 412)
  t.equal(await statusOf(unlock('/lab/p01/empty', 'alice', token)), 204)
})

t.test('conditions of a LOCK hold when it is granted', async (t) => {
  const { headers } = await gateway.put('/lab/p01/cond', 'alice', 'x')
  const rows = [
    [412, '/lab/p01/cond', { 'If-None-Match': '*' }],
    [412, '/lab/p01/cond', { 'If-Match': '"other"' }],
    [412, '/lab/p01/cond-none', { 'If-Match': '*' }],
    [404, '/lab/p01/cond/', {}],
    [200, '/lab/p01/cond', { 'If-Match': String(headers.etag) }],
    [201, '/lab/p01/cond-new', { 'If-None-Match': '*' }],
  ] as const
  for (const [status, path, wanted] of rows) {
    const { answer, token } = await lock(path, 'alice', wanted)
    t.equal(answer.status, status, `${path} ${JSON.stringify(wanted)}`)
    if (status >= 300) continue
    const refresh = { If: `(<${token}> Not <DAV:no-lock>)` }
    t.equal(await statusOf(ask('LOCK', path, 'alice', refresh)), 200, 'one token is to hold')
    t.equal(await statusOf(unlock(path, 'alice', token)), 204)
  }
  t.equal(await statusOf(gateway.get('/lab/p01/cond-none', 'alice')), 404)
})

/** Once more where a busy machine says 503, as clients do; what else is wrong is told in full. */
async function patiently(t: Test, wanted: readonly number[], send: () => Promise<Answer>): Promise<Answer> {
  for (let left = 60; ; left--) {
    const answer = await send()
    if (answer.status !== 503 || left === 0) {
      if (!wanted.includes(answer.status)) t.fail(`${answer.status}, not ${wanted}: ${answer.text}`)
      return answer
    }
    t.comment(`503: ${answer.text}`)
    await sleep(1000 * Number(answer.headers['retry-after'] ?? 1))
  }
}

t.test('whatever process answers, nobody writes while a lock is held', async (t) => {
  let isOver = false
  let refused = 0
  const writers = Array.from({ length: 4 }, async (_, index) => {
    for (let count = 0; !isOver; count++) {
      const put = () => gateway.put('/lab/p01/hot', 'carol', `writer ${index}, ${count}`)
      if ((await patiently(t, [201, 204, 423], put)).status === 423) refused++
    }
  })
  for (let round = 0; round < 10; round++) {
    const locked = await patiently(t, [200, 201], () => ask('LOCK', '/lab/p01/hot', 'alice', {}, info('exclusive')))
    const token = /<(.*)>/.exec(String(locked.headers['lock-token']))?.[1] ?? ''
    const read = (user: UserName) => patiently(t, [200], () => gateway.get('/lab/p01/hot', user))
    const { text } = await read('alice')
    await sleep(50)
    t.equal((await read('alice')).text, text, 'nothing has changed')
    await patiently(t, [204], () => gateway.put('/lab/p01/hot', 'alice', `round ${round}`, submit(token)))
    t.equal((await read('carol')).text, `round ${round}`)
    await patiently(t, [204], () => unlock('/lab/p01/hot', 'alice', token))
    await patiently(t, [204], () => gateway.put('/lab/p01/hot', 'alice', 'mine'))
  }
  isOver = true
  await Promise.all(writers)
  t.ok(refused > 0, `${refused} writes were refused`)
})

t.test('locks are shown and ended by the REST interface and on the command line', async (t) => {
  await gateway.put('/lab/p01/shown', 'alice', 'x')
  const { token } = await lock('/lab/p01/shown', 'alice')
  const list = async (user: UserName, query = {}) => (await gateway.api('locks', query, user)).json().locks
  t.match(await list('alice', { path: '/lab/p01' }), [
    { token, path: '/lab/p01/shown', scope: 'exclusive', depth: 'infinity' },
  ])
  t.same(await list('carol'), [])
  t.same(await list('alice', { path: '/lab/alice' }), [])
  t.match(await list('admin'), [{ token }])
  const end = (user: UserName) =>
    ask('DELETE', `/.portolan/api/v1/locks?token=${encodeURIComponent(token)}`, user).then(({ status }) => status)
  t.equal(await end('carol'), 404)
  const run = async (user: UserName, ...words: string[]) =>
    portolan(words, { env: { BEARER_TOKEN: await gateway.standingToken(user), PORTOLAN_URL: gateway.url } })
  const shown = await run('alice', 'locks', '/lab/p01')
  t.equal(shown.code, 0, shown.stderr)
  t.match(shown.stdout, `/lab/p01/shown  ${'alice@lab.example'}  exclusive  and below`)
  t.equal((await run('carol', 'unlock', '/lab/p01/shown')).code === 0, false)
  t.equal((await run('admin', 'unlock', '/lab/p01/shown')).code, 0)
  t.equal(await statusOf(gateway.put('/lab/p01/shown', 'carol', 'x')), 204)
})

t.test('where the kernel decides, who may write there may lock', { skip: noNative }, async (t) => {
  await gateway.put(`${native}/alice/f`, 'alice', 'x')
  t.equal((await lock(`${native}/alice/f`, 'bob')).answer.status, 403)
  t.equal((await lock(`${native}/alice/new`, 'bob')).answer.status, 403)
  t.equal((await lock(`${native}/alice`, 'bob')).answer.status, 403)
  const { token, answer } = await lock(`${native}/alice`, 'alice')
  t.equal(answer.status, 200)
  t.equal(await statusOf(gateway.put(`${native}/alice/f`, 'alice', 'x')), 423)
  t.equal(await statusOf(gateway.put(`${native}/alice/f`, 'alice', 'x', submit(token))), 204)
  t.equal(await statusOf(unlock(`${native}/alice`, 'alice', token)), 204)
})

t.test('a lock outlives a crash of the gateway', async (t) => {
  const { token } = await lock('/lab/p01/kept', 'alice')
  await gateway.kill9()
  await gateway.start()
  t.equal(await statusOf(gateway.put('/lab/p01/kept', 'carol', 'x')), 423)
  t.equal(await statusOf(gateway.put('/lab/p01/kept', 'alice', 'x', submit(token))), 204)
  t.equal(await statusOf(unlock('/lab/p01/kept', 'alice', token)), 204)
})
