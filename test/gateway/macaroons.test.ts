/** Macaroons and share links at the door of a whole gateway with two workers: made, used, followed, taken back, not told. */

import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { attenuate, parseMacaroon, serializeMacaroon } from '../../acl/macaroon.ts'
import { startTestGateway } from './harness.ts'
import type { Answer, Sent } from './http.ts'
import { named, password, type UserName } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)
const size = 64 * 1024 * 1024
const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        tree.file('alice/note.txt', 'alice', 'hello')
        tree.directory('alice/run 1;x', 'alice')
        tree.file('alice/run 1;x/data', 'alice', 'raw')
        tree.file('alice/large', 'alice', Buffer.alloc(size))
        tree.file('alice/other', 'alice', 'not shared')
      },
    },
  ],
  workers: 2,
  passwords: true,
})
const type = 'application/macaroon-request'
const json = { 'Content-Type': 'application/json' }

async function ask(path: string, request: unknown, by: { user?: UserName; token?: string } = { user: 'alice' }) {
  const body = request === undefined ? '' : JSON.stringify(request)
  return gateway.request({ method: 'POST', path, headers: { 'Content-Type': type }, body, ...by })
}

/** The text of a macaroon for the path, kept to be looked for in the logs. */
async function macaroonFor(path: string, request: unknown, by?: { user?: UserName; token?: string }): Promise<string> {
  const answer = await ask(path, request, by)
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  const { macaroon } = answer.json()
  gateway.credentials.add(macaroon)
  return macaroon
}

async function share(order: object, user: UserName = 'alice') {
  const answer = await gateway.request({
    method: 'POST',
    path: '/.portolan/api/v1/shares',
    headers: json,
    body: JSON.stringify(order),
    user,
  })
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`)
  const made = answer.json()
  const { pathname, search } = new URL(made.url)
  const token = search.slice('?authz='.length)
  gateway.credentials.add(token)
  return { ...made, target: `${pathname}${search}`, pathname, token }
}

const post = (name: string, body: object, user: UserName) =>
  gateway.request({
    method: 'POST',
    path: `/.portolan/api/v1/${name}`,
    headers: json,
    body: JSON.stringify(body),
    user,
  })

/** Asks on new connections, which workers take in turn, until no answer is other than that. */
async function agreed(sent: Sent & { token?: string }, status: number): Promise<number> {
  const start = performance.now()
  let inARow = 0
  const look = async () => {
    inARow = (await gateway.request(sent)).status === status ? inARow + 1 : 0
  }
  while (inARow < 6) {
    await look()
    if (performance.now() - start > 20_000) throw new Error(`not everybody answers ${status}`)
  }
  return performance.now() - start
}

t.test('a request for a macaroon is answered as dCache answers it', async (t) => {
  const order = { caveats: ['activity:DOWNLOAD,LIST', 'ip:127.0.0.0/8'], validity: 'PT30M' }
  const answer = await ask('/lab/alice/', order)
  t.equal(answer.status, 200)
  t.match(answer.headers, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  const { macaroon, uri, expires_in } = answer.json()
  gateway.credentials.add(macaroon)
  const base = gateway.url.replace(/\/$/, '')
  t.same(uri, {
    targetWithMacaroon: `${base}/lab/alice/?authz=${macaroon}`,
    baseWithMacaroon: `${base}/?authz=${macaroon}`,
    target: `${base}/lab/alice/`,
    base: `${base}/`,
  })
  t.ok(expires_in > 1790 && expires_in <= 1800, `${expires_in} s, as XRootD tells it`)
  const { caveats } = parseMacaroon(macaroon).macaroon
  t.same(caveats.slice(0, 3), ['path:/lab/alice', 'activity:DOWNLOAD,LIST', 'ip:127.0.0.0/8'])
  t.match(caveats[3], /^before:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.match(await gateway.auditOf(answer), { action: 'issue', path: '/lab/alice', user: named('alice'), outcome: 'ok' })
  t.equal((await ask('/', undefined)).status, 200, 'an empty body asks for what is usual')
  t.same(parseMacaroon(await macaroonFor('/', {})).macaroon.caveats.length, 1, 'and "/" for no bound but time')
})

t.test('what makes no sense is refused', async (t) => {
  const bad: readonly unknown[] = [
    { caveats: 'activity:LIST' },
    { caveats: [1] },
    { caveats: ['id:0;0;root'] },
    { caveats: ['iid:x'] },
    { caveats: ['nonsense'] },
    { caveats: Array.from({ length: 100 }, () => 'activity:LIST') },
    { validity: 3600 },
    { validity: 'P10Y' },
    { validity: 'PT0S' },
    [],
    'text',
    null,
  ]
  for (const request of bad) t.equal((await ask('/lab', request)).status, 400, JSON.stringify(request))
  const raw = { method: 'POST', path: '/lab', headers: { 'Content-Type': type }, user: 'alice' } as const
  t.equal((await gateway.request({ ...raw, body: '{' })).status, 400)
  t.equal((await gateway.request({ ...raw, body: ' '.repeat(20_000) })).status, 413)
  t.equal((await gateway.request({ ...raw, body: '', headers: {} })).status, 415)
  t.equal((await gateway.request({ ...raw, body: '', user: undefined } as Sent)).status, 401)
})

t.test('it opens its path, in the header and in the URL, and nothing else', async (t) => {
  const token = await macaroonFor('/lab/alice', { caveats: ['activity:DOWNLOAD'] })
  for (const path of [
    '/lab/alice/note.txt',
    `/lab/alice/note.txt?authz=${token}`,
    `/lab/alice/note.txt?authz=Bearer%20${token}`,
  ]) {
    const answer = await gateway.request({ path, ...(path.includes('?') ? {} : { token }) })
    t.same([answer.status, answer.text], [200, 'hello'])
    t.match(await gateway.auditOf(answer), { user: named('alice'), principal: /#macaroon:[\w-]{16}$/, action: 'read' })
  }
  const refused: readonly (readonly [string, string])[] = [
    ['PUT', '/lab/alice/note.txt'],
    ['DELETE', '/lab/alice/note.txt'],
    ['PUT', '/lab/alice/new'],
    ['GET', '/lab/alice/'],
  ]
  for (const [method, path] of refused) {
    t.equal((await gateway.request({ method, path, token, body: '' })).status, 403, `${method} ${path}`)
  }
  t.equal((await gateway.request({ path: '/lab/bob/x', token })).status, 403)
  const both = `/lab/alice/note.txt?authz=${token}`
  t.equal((await gateway.request({ path: both, token })).status, 400, 'one credential, not two')
  t.equal((await gateway.request({ path: `${both}&authz=${token}` })).status, 400)
  t.equal((await gateway.request({ path: `/lab/alice/note.txt?authz=${await gateway.token('alice')}` })).status, 401)
  t.match((await gateway.api('whoami', { authz: token })).json(), { user: named('alice'), administrator: false })
})

t.test('addresses and sizes are bounds that Storage keeps', async (t) => {
  const elsewhere = await macaroonFor('/lab/alice', { caveats: ['ip:192.0.2.0/24,2001:db8::/32'] })
  const answer = await gateway.request({ path: '/lab/alice/note.txt', token: elsewhere })
  t.equal(answer.status, 403)
  t.match(await gateway.auditOf(answer), { reason: { rule: 'address' }, principal: /#macaroon:/ })
  const token = await macaroonFor('/lab/alice', { caveats: ['activity:UPLOAD,READ_METADATA', 'max-upload:10'] })
  const me = await gateway.request({ path: '/.portolan/api/v1/whoami', token })
  t.match(me.json(), { maxUpload: 10, grants: [{ kind: 'look', path: '/lab/alice' }, { kind: 'upload' }] })
  const put = (path: string, body: string | Readable) => gateway.request({ method: 'PUT', path, token, body })
  t.equal((await put('/lab/alice/small', '0123456789')).status, 201)
  t.equal((await put('/lab/alice/big', '0123456789a')).status, 413)
  t.equal((await put('/lab/alice/chunked', Readable.from(['x'.repeat(20)]))).status, 413)
  t.equal((await put('/lab/alice/small', 'again')).status, 403, 'replacing takes DELETE too')
  t.equal((await gateway.get('/lab/alice/big', 'alice')).status, 404)
})

t.test('a holder makes narrower ones, by himself and here', async (t) => {
  const token = await macaroonFor('/lab/alice', { caveats: ['activity:DOWNLOAD,LIST'] })
  const { macaroon, format } = parseMacaroon(token)
  const own = serializeMacaroon(attenuate(macaroon, 'path:/run 1;x', 'activity:LIST'), format)
  gateway.credentials.add(own)
  t.equal((await gateway.request({ path: '/lab/alice/run%201%3Bx/', token: own })).status, 200)
  t.equal((await gateway.request({ path: '/lab/alice/run%201%3Bx/data', token: own })).status, 403)
  const ours = await macaroonFor('/lab/alice/run%201%3Bx', { caveats: ['activity:DOWNLOAD,UPLOAD'] }, { token })
  t.equal((await gateway.request({ path: '/lab/alice/run%201%3Bx/data', token: ours })).text, 'raw')
  t.equal((await gateway.request({ path: '/lab/alice/note.txt', token: ours })).status, 403)
  t.equal(
    (await gateway.request({ method: 'PUT', path: '/lab/alice/run%201%3Bx/n', token: ours, body: '' })).status,
    403,
  )
  t.equal((await ask('/lab', {}, { token })).status, 403, 'not a wider one')
})

t.test('a browser that follows a link gets a cookie for that path and a clean URL', async (t) => {
  const { target, pathname, token } = await share({ path: '/lab/alice/run 1;x', validity: 'PT1H', note: 'for you' })
  t.equal(pathname, '/lab/alice/run%201%3Bx/')
  const html = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
  const first = await gateway.get(`${target}&version=1`, undefined, { ...html, 'Sec-Fetch-Mode': 'navigate' })
  t.equal(first.status, 303)
  t.match(first.headers, {
    location: `${pathname}?version=1`,
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  })
  const [cookie = ''] = first.headers['set-cookie'] ?? []
  t.match(cookie, /^portolan-link=[\w-]+; Path=\/lab\/alice\/run%201%3Bx; Max-Age=3\d\d\d; HttpOnly; SameSite=Lax$/)
  const Cookie = `theme=dark; ${cookie.split(';')[0]}`
  const page = await gateway.get(pathname, undefined, { ...html, Cookie })
  t.equal(page.status, 200)
  t.match(page.text, /data/)
  t.equal(page.headers['referrer-policy'], 'no-referrer')
  t.match(await gateway.auditOf(page), { user: named('alice'), principal: /#share:[\w-]{16}$/ })
  t.equal((await gateway.get(`${pathname}data`, undefined, { Cookie })).text, 'raw')
  t.equal((await gateway.get('/lab/alice/note.txt', undefined, { Cookie })).status, 403, 'it opens no other path')
  for (const method of ['PUT', 'DELETE', 'POST', 'MKCOL', 'PROPFIND']) {
    const sent = { method, path: `${pathname}data`, headers: { Cookie }, body: '' }
    t.equal((await gateway.request(sent)).status, method === 'POST' ? 415 : 401, `${method} does not take the cookie`)
  }
  const api = await gateway.request({ path: '/.portolan/api/v1/whoami', headers: { Cookie } })
  t.equal(api.json().user, null, 'nor does the REST interface')
  const stale = `portolan-link=AAAA; ${cookie.split(';')[0]}`
  t.equal((await gateway.get(`${pathname}data`, undefined, { Cookie: stale })).status, 200, 'a dead one beside it')
  t.equal((await gateway.get(`${pathname}data`, undefined, { Cookie: 'portolan-link=AAAA' })).status, 401)
  const program = await gateway.get(`${pathname}data?authz=${token}`)
  t.same([program.status, program.text], [200, 'raw'], 'a program is served at once')
  t.equal(program.headers['referrer-policy'], 'no-referrer')
  const dead = await gateway.get(`${pathname}?authz=${token.slice(0, -8)}`, undefined, html)
  t.equal(dead.status, 401)
  t.notMatch(String(dead.headers['www-authenticate']), /Basic/, 'a guest is not asked for a password')
})

t.test('links are made, listed and taken back over REST', async (t) => {
  const made = await share({ path: '/lab/alice/note.txt', networks: ['127.0.0.1'], validity: 'P1D' })
  t.match(made, { user: named('alice'), path: '/lab/alice/note.txt', allow: ['read'], networks: ['127.0.0.1'] })
  t.equal((await gateway.get(made.target)).text, 'hello')
  const list = async (user: UserName, all = false) =>
    (await gateway.api('shares', all ? { all: 'true' } : {}, user)).json().shares.map(({ id }: { id: string }) => id)
  t.ok((await list('alice')).includes(made.id))
  t.notMatch(JSON.stringify((await gateway.api('shares', {}, 'alice')).json()), made.token.slice(-40))
  t.same(await list('bob'), [])
  t.ok((await list('admin', true)).includes(made.id))
  t.equal((await gateway.api('shares', { all: 'true' }, 'bob')).status, 403)
  const remove = (user?: UserName) =>
    gateway.request({ method: 'DELETE', path: `/.portolan/api/v1/shares/${made.id}`, ...(user && { user }) })
  t.equal((await remove()).status, 401)
  t.equal((await remove('bob')).status, 404)
  const gone = await remove('alice')
  t.equal(gone.status, 204)
  const ms = await agreed({ path: made.target }, 403)
  t.ok(ms < 3000, `refused by all after ${Math.round(ms)} ms`)
  t.match(await gateway.auditOf(gone), {
    action: 'revoke',
    user: named('alice'),
    reason: { text: new RegExp(made.id) },
  })
  t.notOk((await list('alice')).includes(made.id))
  const bad: readonly (readonly [object, number])[] = [
    [{}, 400],
    [{ path: 'x' }, 400],
    [{ path: '/lab/alice', allow: ['everything'] }, 400],
    [{ path: '/lab/alice', allow: [] }, 400],
    [{ path: '/lab/alice', networks: ['all'] }, 400],
    [{ path: '/lab/alice', network: ['127.0.0.1'] }, 400],
    [{ path: '/lab/alice/none' }, 404],
    [{ path: '/lab/bob' }, 403],
  ]
  for (const [order, status] of bad)
    t.equal((await post('shares', order, 'alice')).status, status, JSON.stringify(order))
  const form = {
    method: 'POST',
    path: '/.portolan/api/v1/shares',
    body: '{"path":"/lab/alice"}',
    user: 'alice',
  } as const
  t.equal(
    (await gateway.request({ ...form, headers: { 'Content-Type': 'text/plain' } })).status,
    415,
    'no form can send it',
  )
})

t.test('a link for uploads takes new files and shows none', async (t) => {
  const { token } = await share({ path: '/lab/alice/run 1;x', allow: ['upload'] })
  const put = (name: string) =>
    gateway.request({ method: 'PUT', path: `/lab/alice/run%201%3Bx/${name}`, token, body: 'new' })
  t.equal((await put('in')).status, 201)
  t.equal((await put('in')).status, 403)
  t.equal((await gateway.request({ path: '/lab/alice/run%201%3Bx/in', token })).status, 403)
  t.equal((await gateway.request({ path: '/lab/alice/run%201%3Bx/', token })).status, 403)
})

t.test('whoever has a macaroon can end it, also for a transfer that is under way', async (t) => {
  const token = await macaroonFor('/lab/alice', {})
  const running = await gateway.open({ path: '/lab/alice/large', token })
  running.on('error', () => {})
  const start = performance.now()
  t.equal((await post('macaroons/revoke', { macaroon: 'AAAA' }, 'bob')).status, 400)
  t.equal((await post('macaroons/revoke', { macaroon: token }, 'bob')).status, 204, 'as who found it lying about')
  const ms = await agreed({ path: '/lab/alice/note.txt', token }, 403)
  t.ok(ms < 3000, `refused by all after ${Math.round(ms)} ms`)
  const line = await gateway.auditOf({ headers: running.headers })
  t.match(line, { action: 'read', outcome: 'refused', code: 'denied', reason: { rule: 'revoked' } })
  t.ok(performance.now() - start < 10_000, `cut after ${Math.round(performance.now() - start)} ms`)
  running.destroy()
})

t.test('a ban of the issuer ends what he handed on, and its lifting brings it back', async (t) => {
  const token = await macaroonFor('/lab/alice', {})
  t.equal((await post('bans', { name: `user:${named('alice')}` }, 'bob')).status, 403)
  t.equal((await post('bans', { name: 'alice' }, 'admin')).status, 400)
  t.equal(
    (await post('bans', { name: `user:${named('alice')}`, validity: 'PT1H', note: 'lost laptop' }, 'admin')).status,
    204,
  )
  await agreed({ path: '/lab/alice/note.txt', token }, 403)
  await agreed({ path: '/lab/alice/note.txt', token: await gateway.token('alice') }, 403)
  const basic = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`
  await agreed({ path: '/lab/alice/note.txt', headers: { Authorization: basic } }, 403)
  t.match((await gateway.api('bans', {}, 'admin')).json().bans.at(-1), {
    note: 'lost laptop',
    name: `user:${named('alice')}`,
  })
  const path = `/.portolan/api/v1/bans?name=${encodeURIComponent(`user:${named('alice')}`)}`
  t.equal((await gateway.request({ method: 'DELETE', path, user: 'admin' })).status, 204)
  t.equal((await gateway.request({ method: 'DELETE', path, user: 'admin' })).status, 404)
  await agreed({ path: '/lab/alice/note.txt', token }, 200)
})

t.test('what was made before is good after a restart, until administrators end it', async (t) => {
  const token = await macaroonFor('/lab/alice', {})
  const link = await share({ path: '/lab/alice/note.txt' })
  await gateway.stop()
  await gateway.start()
  for (const path of ['/lab/alice/note.txt', link.target]) {
    t.equal((await gateway.request({ path, ...(path === link.target ? {} : { token }) })).text, 'hello')
  }
  t.equal((await post('macaroons/rotate', {}, 'bob')).status, 403)
  t.equal((await post('macaroons/rotate', {}, 'admin')).status, 200)
  t.equal((await gateway.request({ path: '/lab/alice/note.txt', token })).text, 'hello', 'a rotation spares them')
  t.equal((await post('macaroons/rotate', { atOnce: true }, 'admin')).status, 200)
  const refused = async (answer: Promise<Answer>) => [401, 403].includes((await answer).status)
  await eventually(async () => refused(gateway.request({ path: '/lab/alice/note.txt', token })), 10_000, 'it goes on')
  await eventually(async () => refused(gateway.get(link.target)), 10_000, 'the link goes on')
  await agreed({ path: '/lab/alice/note.txt', token: await macaroonFor('/lab/alice', {}) }, 200)
})

t.test('no log and no file tells what opens anything', async (t) => {
  await gateway.stop()
  const { readFileSync, readdirSync } = await import('node:fs')
  const files = ['log', 'state'].flatMap((name) => {
    const directory = join(gateway.directory, name)
    return readdirSync(directory).map((file) => join(directory, file))
  })
  t.ok(gateway.credentials.size > 12)
  for (const file of files) {
    const bytes = readFileSync(file, 'latin1')
    for (const credential of gateway.credentials) {
      // Of a macaroon the end is its signature.
      if (bytes.includes(credential) || (credential.length > 100 && bytes.includes(credential.slice(-40)))) t.fail(file)
    }
  }
  t.match(gateway.logText(), /authz=\[secret\]/)
})
