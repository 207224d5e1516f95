/** Sessions, application passwords and wrong guesses at the door of a whole gateway with two workers. */

import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hashPassword } from '../../acl/identity/password.ts'
import { Secret } from '../../acl/secret.ts'
import { Browser } from './browser.ts'
import { startTestGateway } from './harness.ts'
import { accountsFile, asRoot, named, password, service, type UserName, users } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(240_000)
const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        tree.file('alice/note.txt', 'alice', 'hello')
        tree.directory('alice/in', 'alice')
        tree.file('alice/in/side', 'alice', 'inside')
      },
    },
  ],
  workers: 2,
  passwords: true,
})
const api = '/.portolan/api/v1'
const whoami = `${api}/whoami`
const newBrowser = () => new Browser(() => gateway.port)
const json = { 'Content-Type': 'application/json' }

async function signedIn(user: UserName, secret = password): Promise<Browser> {
  const browser = newBrowser()
  const answer = await browser.signInByPassword(user, secret, '/lab/')
  if (answer.status !== 303) throw new Error(`${answer.status} ${answer.text}`)
  gateway.credentials.add(browser.cookies.get('portolan-session') ?? '')
  return browser
}

const userOf = async (browser: Browser) => (await browser.visit(whoami)).json().user
/** In every process: requests take turns between them. */
async function isNobody(browser: Browser): Promise<boolean> {
  for (let turn = 0; turn < 6; turn++) if ((await userOf(browser)) !== null) return false
  return true
}

async function make(order: object, by: { browser?: Browser; user?: UserName; token?: string } = {}) {
  const { browser, ...others } = by
  const body = JSON.stringify(order)
  const path = `${api}/app-passwords`
  const answer = browser
    ? await browser.visit(path, { body, headers: json })
    : await gateway.request({ method: 'POST', path, headers: json, body, ...others })
  const made = answer.status === 201 ? answer.json() : undefined
  if (made) gateway.credentials.add(made.password)
  return { status: answer.status, answer, made }
}

const basic = (user: string, secret: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
})
const asked = (method: string, path: string, user: string, secret: string, body?: string) =>
  gateway.request({
    method,
    path,
    headers: { Depth: '0', ...basic(user, secret) },
    ...(body !== undefined && { body }),
  })

t.test('a password begins a session, which is listed and ended by whose it is', async (t) => {
  const browser = await signedIn('alice')
  t.match(browser.told[0], /^portolan-session=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/)
  t.match((await browser.visit(whoami)).json(), { user: named('alice'), id: `basic:${named('alice')}` })
  const elsewhere = await signedIn('alice')
  const { sessions } = (await browser.visit(`${api}/sessions`)).json()
  t.equal(sessions.length, 2)
  t.same(
    sessions.map(({ current }: { current: boolean }) => current),
    [false, true],
    'the newest first',
  )
  t.notMatch(JSON.stringify(sessions), browser.cookies.get('portolan-session') ?? '?')
  const bob = await signedIn('bob')
  const target = `${api}/sessions/${sessions[0].id}`
  t.equal((await bob.visit(target, { method: 'DELETE' })).status, 404)
  t.equal((await browser.visit(target, { method: 'DELETE', site: 'cross-site' })).status, 403)
  t.equal((await browser.visit(target, { method: 'DELETE', site: 'unsaid' })).status, 403)
  t.equal((await browser.visit(target, { method: 'DELETE' })).status, 204)
  await eventually(() => isNobody(elsewhere), 2000, 'the session did not end everywhere')
  t.equal(await userOf(browser), named('alice'))
  t.match(gateway.auditText(), /"action":"revoke".*session [\w-]{16} of alice@lab\.example/)
})

t.test('signing out takes the button of the page, and ends the session everywhere', async (t) => {
  const browser = await signedIn('carol')
  const kept = newBrowser()
  for (const [name, value] of browser.cookies) kept.cookies.set(name, value)
  const csrf = await browser.token('/.portolan/logout')
  t.equal((await browser.visit('/.portolan/logout', { form: {} })).status, 403)
  t.equal((await browser.visit('/.portolan/logout', { form: { csrf }, site: 'cross-site' })).status, 403)
  const others = await (await signedIn('bob')).token('/.portolan/logout')
  t.equal((await browser.visit('/.portolan/logout', { form: { csrf: others } })).status, 403, "somebody else's form")
  t.equal(await userOf(browser), named('carol'))
  t.equal((await browser.visit('/.portolan/logout', { form: { csrf } })).status, 303)
  t.notOk(browser.cookies.has('portolan-session'))
  await eventually(() => isNobody(kept), 2000, 'the session did not end everywhere')
})

t.test('forms of other sites change nothing, whatever credential the browser adds', async (t) => {
  const browser = await signedIn('alice')
  const own = gateway.url
  const form = { csrf: await browser.token('/.portolan/account'), name: 'x', path: '/', days: '1' }
  const foreign: ReadonlyArray<Readonly<Record<string, string>>> = [
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Sec-Fetch-Site': 'cross-site', Origin: own },
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { Origin: `${own}.evil.example` },
    { Origin: own.replace('http:', 'https:') },
    { Origin: own.replace(/:\d+$/, ':1') },
  ]
  for (const headers of foreign) {
    const answer = await browser.visit('/.portolan/account', { form, headers, site: 'unsaid' })
    t.equal(answer.status, 403, JSON.stringify(headers))
    for (const method of ['PUT', 'DELETE', 'MKCOL', 'MOVE', 'PROPPATCH', 'LOCK', 'POST']) {
      const credential = { ...headers, ...basic('alice', password) }
      const sent = { method, path: '/lab/alice/forged', headers: credential, body: 'x' }
      t.equal((await gateway.request(sent)).status, 403, `${method} ${JSON.stringify(headers)}`)
    }
  }
  t.match(gateway.auditText(), /"rule":"cross-site"/)
  t.equal((await gateway.get('/lab/alice/forged', 'alice')).status, 404)
  for (const headers of [{ Origin: own }, { 'Sec-Fetch-Site': 'same-origin', Origin: 'null' }, {}]) {
    const sent = {
      method: 'PUT',
      path: '/lab/alice/own',
      headers: { ...headers, ...basic('alice', password) },
      body: 'x',
    }
    t.ok((await gateway.request(sent)).status < 300, JSON.stringify(headers))
  }
  const bound = await browser.visit('/.portolan/account', { form, headers: { Origin: own }, site: 'unsaid' })
  t.equal(bound.status, 200, 'a page of ours in a browser that says no more than Origin')
})

t.test('a form that is old, empty or of another caller is none', async (t) => {
  const browser = await signedIn('alice')
  const csrf = await browser.token('/.portolan/account')
  const [issued, signature] = csrf.split('.')
  const old = `${(Date.now() - 25 * 3_600_000).toString(36)}.${signature}`
  for (const wrong of ['', 'x', `${issued}.${'A'.repeat(43)}`, old, `${csrf}x`]) {
    const form = { csrf: wrong, name: 'y', path: '/', days: '1' }
    t.equal((await browser.visit('/.portolan/account', { form })).status, 403, wrong)
  }
})

t.test('an application password serves a WebDAV client within its bounds, and no further', async (t) => {
  const browser = await signedIn('alice')
  const order = { name: 'laptop', path: '/lab/alice/in', allow: ['read'], validity: 'P30D', networks: ['127.0.0.0/8'] }
  const { made, status } = await make(order, { browser })
  t.equal(status, 201)
  t.match(made, { user: named('alice'), path: '/lab/alice/in', allow: ['read'], used: null, password: /^pw-/ })
  t.ok(Date.parse(made.expires) - Date.now() > 29 * 86_400_000, 'it outlives the session')
  t.equal((await make(order, { browser })).status, 412, 'its name is taken')
  const cases: ReadonlyArray<readonly [string, string, number]> = [
    ['PROPFIND', '/lab/alice/in', 207],
    ['GET', '/lab/alice/in/side', 200],
    ['GET', '/lab/alice/note.txt', 403],
    ['PUT', '/lab/alice/in/new', 403],
    ['DELETE', '/lab/alice/in/side', 403],
  ]
  for (const [method, path, expected] of cases) {
    const answer = await asked(method, path, 'alice', made.password, method === 'PUT' ? 'x' : undefined)
    t.equal(answer.status, expected, `${method} ${path}`)
  }
  t.equal((await asked('GET', '/lab/alice/in/side', named('alice'), made.password)).status, 200, 'with the domain')
  t.equal((await asked('GET', '/lab/alice/in/side', 'bob', made.password)).status, 401, "with another's name")
  t.equal((await asked('GET', '/lab/alice/in/side', 'alice', `${made.password}x`)).status, 401)
  const [listed] = (await browser.visit(`${api}/app-passwords`)).json().appPasswords
  t.match(listed, { id: made.id, name: 'laptop', used: /^20/ })
  t.notOk('password' in listed)
  t.match((await browser.visit('/.portolan/account')).text, 'laptop')
  const by = { ...json, ...basic('alice', made.password) }
  const body = JSON.stringify({ name: 'more' })
  const more = await gateway.request({ method: 'POST', path: `${api}/app-passwords`, headers: by, body })
  t.equal(more.status, 403, 'it makes no other one')
  t.equal((await newBrowser().signInByPassword('alice', made.password)).status, 403, 'and begins no session')
  t.match(gateway.auditText(), /"action":"issue".*application password [\w-]{16} \(\\"laptop\\"\) until/)
  const target = `${api}/app-passwords/${made.id}`
  t.equal((await gateway.request({ method: 'DELETE', path: target, user: 'bob' })).status, 404)
  t.equal((await browser.visit(target, { method: 'DELETE' })).status, 204)
  await eventually(() => refused(made.password), 2000, 'it was not revoked everywhere')
})

async function refused(secret: string): Promise<boolean> {
  for (let turn = 0; turn < 6; turn++) {
    const { status } = await asked('GET', '/lab/alice/in/side', 'alice', secret)
    if (status < 400) return false
  }
  return true
}

t.test('an application password is no wider and lives no longer than the token it was made with', async (t) => {
  const exp = Math.floor(Date.now() / 1000) + 600
  const token = await gateway.token('alice', { scope: 'storage.read:/lab/alice/in', exp })
  const { made } = await make({ name: 'narrow', validity: 'P30D' }, { token })
  t.equal(Date.parse(made.expires), exp * 1000)
  t.equal((await asked('GET', '/lab/alice/in/side', 'alice', made.password)).status, 200)
  t.equal((await asked('PUT', '/lab/alice/in/new', 'alice', made.password, 'x')).status, 403)
  t.equal((await asked('GET', '/lab/alice/note.txt', 'alice', made.password)).status, 403)
  for (const order of [
    {},
    { name: '' },
    { name: 'a', allow: [] },
    { name: 'a', allow: ['all'] },
    { name: 'a', path: 'x' },
    { name: 'a', validity: 'PT0S' },
    { name: 'a', networks: ['x'] },
    { name: 'a\n' },
  ]) {
    t.equal((await make(order, { user: 'alice' })).status, 400, JSON.stringify(order))
  }
  t.equal((await make({ name: 'a' })).status, 401)
})

t.test('the page makes one and shows it once', async (t) => {
  const browser = await signedIn('bob')
  const csrf = await browser.token('/.portolan/account')
  const form = { csrf, name: '<b>phone</b>', path: '/lab/bob', read: 'yes', days: '7' }
  const page = await browser.visit('/.portolan/account', { form })
  const [, secret = ''] = /<code>(pw-[\w-]+)<\/code>/.exec(page.text) ?? []
  gateway.credentials.add(secret)
  t.match(page.text, '&lt;b&gt;phone')
  t.notMatch(page.text, '<b>phone')
  t.equal(page.headers['cache-control'], 'no-store')
  t.equal((await asked('PROPFIND', '/lab/bob', 'bob', secret)).status, 207)
  t.notMatch((await browser.visit('/.portolan/account')).text, secret)
  const { id } = (await browser.visit(`${api}/app-passwords`)).json().appPasswords[0]
  t.equal((await browser.visit('/.portolan/account', { form: { csrf, revoke: id } })).status, 303)
  await eventually(
    async () => (await asked('PROPFIND', '/lab/bob', 'bob', secret)).status === 401,
    2000,
    'it is still good',
  )
  t.equal((await browser.visit('/.portolan/account', { form: { ...form, days: '0' } })).status, 400)
})

t.test('a ban ends sessions and application passwords in every process', async (t) => {
  const browser = await signedIn('carol')
  const { made } = await make({ name: 'banned' }, { browser })
  t.equal((await asked('PROPFIND', '/lab', 'carol', made.password)).status, 207)
  const ban = JSON.stringify({ name: `user:${named('carol')}` })
  const post = { method: 'POST', path: `${api}/bans`, headers: json, body: ban, user: 'admin' as const }
  t.equal((await gateway.request(post)).status, 204)
  await eventually(() => isNobody(browser), 2000, 'the session did not end everywhere')
  const isShut = async () => {
    for (let turn = 0; turn < 6; turn++) {
      if ((await asked('PROPFIND', '/lab', 'carol', made.password)).status < 400) return false
    }
    return true
  }
  await eventually(isShut, 2000, 'the application password is still good')
  t.equal((await newBrowser().signInByPassword('carol', password)).status, 403)
})

t.test(
  'guesses are counted by all processes together, before a hash is computed, and keep nobody out who is in',
  async (t) => {
    const owner = await signedIn('admin')
    const app = (await make({ name: 'sync' }, { browser: owner })).made
    const guesses = Array.from({ length: 12 }, (_, guess) => asked('GET', whoami, 'admin', `guess-${guess}`))
    const answers = await Promise.all(guesses)
    const wrong = answers.filter(({ status }) => status === 401).length
    t.ok(wrong >= 5 && wrong < 8, `${wrong} were looked at`)
    const late = answers.find(({ status }) => status === 429)
    t.match(late?.headers['retry-after'], /^[1-9]\d?$/)
    t.notOk(late?.headers['www-authenticate'], 'a browser is not asked again')
    const visitor = newBrowser()
    const form = { csrf: await visitor.token('/.portolan/login'), user: 'admin', password: 'guess', to: '/' }
    const isSlowed = async () => (await visitor.visit('/.portolan/login', { form })).status === 429
    await eventually(isSlowed, 20_000, 'the form lets one guess on')
    t.equal(await userOf(owner), named('admin'), 'the owner goes on')
    t.equal((await asked('GET', whoami, 'admin', app.password)).status, 200, 'and so do his programs')
  },
)

t.test('a changed password, and a removed account, end what was begun with them', async (t) => {
  const [alice, bob] = [await signedIn('alice'), await signedIn('bob')]
  const { made } = await make({ name: 'left' }, { browser: bob })
  const file = join(gateway.directory, 'accounts.yaml')
  const text = await accountsFile(true)
  const { alice: a, admin } = users
  const changed = await hashPassword(new Secret('another one'))
  const anew = JSON.stringify({
    users: { alice: { ...a, passwordHash: changed }, admin },
    groups: JSON.parse(JSON.stringify({ p01: { gid: 64_821 }, photon: { gid: 64_822 } })),
  })
  writeFileSync(file, anew)
  if (asRoot) chownSync(file, service.uid, service.gid)
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  await eventually(() => isNobody(alice), 2000, 'the changed password still counts')
  await eventually(() => isNobody(bob), 2000, 'the removed account still counts')
  t.ok((await asked('PROPFIND', '/lab/bob', 'bob', made.password)).status >= 400)
  t.equal((await newBrowser().signInByPassword('alice', 'another one')).status, 303)
  writeFileSync(file, text)
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
})

t.test('no log and no store holds a cookie or a password', async (t) => {
  await gateway.stop()
  const logs = gateway.auditText() + gateway.logText() + gateway.stderr
  for (const secret of gateway.credentials) t.notOk(secret !== '' && logs.includes(secret), 'not told')
})
