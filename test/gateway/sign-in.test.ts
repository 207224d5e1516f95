/** People who sign in at an issuer, at the door of a whole gateway with two workers: the way in, and every way around it. */

import t from 'tap'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'
import { Browser } from './browser.ts'
import { audience, startTestGateway } from './harness.ts'
import { named } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)

const issuer = await startOidcIssuer(t)
const other = await startOidcIssuer(t)
for (const each of [issuer, other]) {
  each.people.set('alice', { preferred_username: 'alice', groups: ['staff', 'p09'] })
  each.people.set('nobody-here', { preferred_username: 'nobody-here' })
}
const trusted = (url: string, name: string) => ({
  issuer: url,
  name,
  keys: { discovery: true },
  insecure: true,
  audiences: [audience],
  profile: 'plain',
  groups: { claim: 'groups' },
})
const loginAt = ({ client }: typeof issuer, name: string) => ({
  issuer: name,
  label: `The ${name} issuer`,
  clientId: client.id,
  clientSecret: { file: `${name}.secret` },
})
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  workers: 2,
  passwords: true,
  secrets: { 'main.secret': issuer.client.secret, 'second.secret': other.client.secret },
  more: {
    issuers: [trusted(issuer.url, 'main'), trusted(other.url, 'second')],
    mapping: [
      { issuer: 'main', claim: 'preferred_username', account: '{value}' },
      { issuer: 'second', subject: 'alice', account: 'bob' },
      { issuer: 'main', group: 'p09', joins: 'p01' },
    ],
    login: { issuers: [loginAt(issuer, 'main'), { ...loginAt(other, 'second'), userInfo: true }] },
  },
})
issuer.redirectUris.add(`${gateway.url}/.portolan/login/callback/main`)
other.redirectUris.add(`${gateway.url}/.portolan/login/callback/second`)
const whoami = '/.portolan/api/v1/whoami'
const newBrowser = () => new Browser(() => gateway.port)

/** To the issuer and back; where it then stands is not visited yet. */
async function leave(browser: Browser, { name = 'main', to = '/lab/alice/' } = {}): Promise<URL> {
  const left = await browser.visit(`/.portolan/login?${new URLSearchParams({ issuer: name, to })}`)
  if (left.status !== 303) throw new Error(`${left.status} ${left.text}`)
  return new URL(left.headers.location ?? '')
}

const targetOf = ({ pathname, search }: URL) => `${pathname}${search}`

async function signIn(browser: Browser, way: { name?: string; to?: string; user?: string } = {}) {
  const at = way.name === 'second' ? other : issuer
  const back = await at.consent(await leave(browser, way), way.user ?? 'alice')
  return browser.visit(targetOf(back), { site: 'cross-site' })
}

t.test('somebody unknown is shown where to sign in, and programs are asked for a password', async (t) => {
  const browser = newBrowser()
  const page = await browser.visit('/lab/alice/')
  t.equal(page.status, 401)
  t.match(page.text, 'href="/.portolan/login?to=%2Flab%2Falice%2F"')
  t.equal(page.headers['www-authenticate'], 'Bearer realm="portolan"', 'no dialogue covers the page')
  const form = await browser.visit('/.portolan/login?to=%2Flab%2Falice%2F')
  t.match(form.text, 'The main issuer')
  t.match(form.text, 'name="password"')
  t.match(form.headers, { 'cache-control': 'no-store', 'referrer-policy': 'same-origin' })
  const both = 'Bearer realm="portolan", Basic realm="portolan", charset="UTF-8"'
  for (const sent of [
    { path: '/lab/alice/', method: 'PROPFIND', headers: { 'User-Agent': 'WebDAVFS/3.0.0 (03008000) Darwin/23.0.0' } },
    { path: '/lab/alice/', method: 'PROPFIND', headers: { Accept: 'text/html' } },
    { path: '/lab/alice/note.txt' },
    { path: '/lab/alice/note.txt', headers: { Accept: '*/*' } },
  ]) {
    const answer = await gateway.request(sent)
    t.equal(answer.status, 401)
    t.equal(answer.headers['www-authenticate'], both, `${sent.method} ${JSON.stringify(sent.headers)}`)
  }
})

t.test('an issuer says who it is, by the mapping that holds for its tokens too', async (t) => {
  const browser = newBrowser()
  const left = await leave(browser)
  t.equal(left.origin, issuer.url)
  t.match(Object.fromEntries(left.searchParams), {
    response_type: 'code',
    client_id: 'portolan',
    scope: 'openid',
    redirect_uri: `${gateway.url}/.portolan/login/callback/main`,
    code_challenge_method: 'S256',
    state: /^[\w-]{43}$/,
    nonce: /^[\w-]{43}$/,
  })
  const back = await browser.visit(targetOf(await issuer.consent(left, 'alice')), { site: 'cross-site' })
  t.equal(back.status, 303)
  t.equal(back.headers.location, '/lab/alice/')
  t.match(browser.told[0], /^portolan-session=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/)
  t.match(browser.told[1], /^portolan-login=; Path=\/; Max-Age=0/)
  gateway.credentials.add(browser.cookies.get('portolan-session') ?? '')
  const bySession = (await browser.visit(whoami)).json()
  const token = await issuer.accessToken('alice', audience)
  gateway.credentials.add(token)
  const { expires, ...byToken } = (await gateway.request({ path: whoami, token })).json()
  t.ok(expires)
  t.match(bySession, { ...byToken, expires: null })
  t.same(bySession.groups, ['p01@lab.example', 'photon@lab.example', 'staff@main', 'p09@main'])
  const listing = await browser.visit('/lab/alice/')
  t.match(listing.text, `Signed in as <span class="name">${named('alice')}`)
  t.equal(listing.headers['referrer-policy'], 'same-origin', 'else browsers send its forms with Origin: null')
  t.match(gateway.auditText(), /"action":"issue".*session [\w-]{16} by main until/)
})

t.test('claims may come from the UserInfo endpoint, and another issuer means somebody else', async (t) => {
  const browser = newBrowser()
  t.equal((await signIn(browser, { name: 'second' })).status, 303)
  t.match((await browser.visit(whoami)).json(), { user: named('bob'), id: `${other.url}|alice` })
  t.equal((await browser.visit('/lab/alice/note.txt')).status, 403)
})

t.test('a session is for people: pages, REST, GET, HEAD and forms; never for WebDAV', async (t) => {
  const browser = newBrowser()
  await signIn(browser)
  t.equal((await browser.visit('/lab/alice/note.txt')).text, 'hello')
  t.equal((await browser.visit('/lab/alice/note.txt', { method: 'HEAD' })).status, 200)
  const dav = (name: string, inner: string) => ({ body: `<D:${name} xmlns:D="DAV:">${inner}</D:${name}>` })
  const bodies: Readonly<Record<string, { body: string }>> = {
    PROPPATCH: dav('propertyupdate', '<D:set><D:prop><x xmlns="urn:x">1</x></D:prop></D:set>'),
    LOCK: dav('lockinfo', '<D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>'),
  }
  for (const method of ['PUT', 'DELETE', 'PROPFIND', 'PROPPATCH', 'MKCOL', 'LOCK', 'UNLOCK', 'MOVE', 'COPY']) {
    const headers = { Destination: `${gateway.url}/lab/alice/other`, Overwrite: 'F', 'Lock-Token': '<urn:x>' }
    const answer = await browser.visit('/lab/alice/note.txt', { method, headers, ...bodies[method] })
    t.equal(answer.status, 401, method)
  }
  const headers = { 'Content-Type': 'application/macaroon-request' }
  t.equal((await browser.visit('/lab/alice/', { method: 'POST', headers, body: '{}' })).status, 401)
  t.equal((await browser.visit('/lab/alice/note.txt')).text, 'hello', 'it is there still')
})

t.test('what is not the answer to the question begins no session', async (t) => {
  const attempts: ReadonlyArray<readonly [string, (browser: Browser) => Promise<string>]> = [
    [
      'another state',
      async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace(/state=[^&]+/, 'state=x'),
    ],
    ['no state', async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace(/&?state=[^&]+/, '')],
    [
      'another code',
      async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace(/code=[^&]+/, 'code=x'),
    ],
    ['two codes', async (b) => `${targetOf(await issuer.consent(await leave(b), 'alice'))}&code=y`],
    ['no', async (b) => targetOf(await issuer.consent(await leave(b), 'mallory'))],
    [
      'another iss',
      async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace(/iss=[^&]+/, 'iss=https://x'),
    ],
    ['no iss', async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace(/&?iss=[^&]+/, '')],
    [
      'the code of somebody else, begun in another browser',
      async (b) => {
        const code = (await issuer.consent(await leave(newBrowser()), 'alice')).searchParams.get('code') ?? ''
        const own = await leave(b)
        return `/.portolan/login/callback/main?${new URLSearchParams({ code, state: own.searchParams.get('state') ?? '', iss: issuer.url })}`
      },
    ],
    [
      'the whole answer of somebody else (login CSRF)',
      async () => targetOf(await issuer.consent(await leave(newBrowser()), 'alice')),
    ],
    [
      'the answer of one issuer at the address of another (mix-up)',
      async (b) => targetOf(await issuer.consent(await leave(b), 'alice')).replace('callback/main', 'callback/second'),
    ],
    ['an issuer that nobody knows', async () => '/.portolan/login/callback/third?code=x&state=y'],
    ['nothing', async () => '/.portolan/login/callback/main'],
  ]
  for (const [what, attack] of attempts) {
    const browser = newBrowser()
    const answer = await browser.visit(await attack(browser), { site: 'cross-site' })
    t.equal(answer.status, 401, `${what}: ${answer.text}`)
    t.notOk(browser.cookies.has('portolan-session'), what)
    t.notOk(browser.cookies.has('portolan-login'), `${what}: good for one try`)
    t.notMatch(String(answer.headers['www-authenticate']), 'Basic')
  }
})

t.test('ID tokens that are old, another one, unsigned by the issuer or for others are refused', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const spoiled: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
    ['expired', { iat: now - 900, exp: now - 600 }],
    ['another nonce', { nonce: 'x' }],
    ['another client', { aud: 'somebody-else' }],
    ['other clients too, and issued to one of them', { aud: ['portolan', 'x'], azp: 'x' }],
    ['another issuer', { iss: other.url }],
    ['not an issuer of ours', { iss: 'https://evil.example' }],
    ['no subject', { sub: undefined }],
    ['groups that are none', { groups: ['a\u0000b'] }],
  ]
  for (const [what, claims] of spoiled) {
    issuer.spoil = claims
    const browser = newBrowser()
    t.equal((await signIn(browser)).status, 401, what)
    t.notOk(browser.cookies.has('portolan-session'), what)
  }
  issuer.spoil = {}
  issuer.forge = true
  const forged = newBrowser()
  t.equal((await signIn(forged)).status, 401, 'a signature of another key')
  issuer.forge = false
  const stranger = await signIn(newBrowser(), { user: 'nobody-here' })
  t.equal(stranger.status, 403, 'who has no account')
  t.equal((await signIn(newBrowser())).status, 303, 'all is well again')
})

t.test('an answer is good once, also for who has kept the cookies', async (t) => {
  const browser = newBrowser()
  const back = targetOf(await issuer.consent(await leave(browser), 'alice'))
  const cookies = new Map(browser.cookies)
  t.equal((await browser.visit(back, { site: 'cross-site' })).status, 303)
  const thief = newBrowser()
  for (const [name, value] of cookies) thief.cookies.set(name, value)
  t.equal((await thief.visit(back, { site: 'cross-site' })).status, 401)
})

t.test('nobody makes the gateway ask an issuer as often as he likes', async (t) => {
  const browser = newBrowser()
  const back = targetOf(await issuer.consent(await leave(browser), 'alice')).replace(/code=[^&]+/, 'code=x')
  const { promise, resolve } = Promise.withResolvers<void>()
  issuer.held = promise
  let answered = 0
  const guesses = Array.from({ length: 200 }, async () => {
    const thief = newBrowser()
    for (const [name, value] of browser.cookies) thief.cookies.set(name, value)
    const { status } = await thief.visit(back, { site: 'cross-site' })
    answered++
    return status
  })
  await eventually(() => Promise.resolve(answered + issuer.waiting >= 60), 20_000, 'all of them wait')
  t.ok(issuer.waiting <= 16, `${issuer.waiting} requests at once by two workers`)
  resolve()
  issuer.held = undefined
  const statuses = new Set(await Promise.all(guesses))
  t.ok(issuer.mostWaiting <= 16, `${issuer.mostWaiting} at most`)
  t.same([...statuses].toSorted(), [401, 503])
  t.equal((await signIn(newBrowser())).status, 303, 'and everybody else signs in')
})

t.test('nobody can choose the session of somebody else, or be sent elsewhere', async (t) => {
  const browser = newBrowser()
  const planted = 'A'.repeat(43)
  browser.cookies.set('portolan-session', planted)
  t.equal((await signIn(browser, { to: '//evil.example/' })).headers.location, '/')
  t.not(browser.cookies.get('portolan-session'), planted)
  const first = browser.cookies.get('portolan-session') ?? ''
  await signIn(browser)
  const before = newBrowser()
  before.cookies.set('portolan-session', first)
  const ended = async () => (await before.visit(whoami)).json().user === null
  await eventually(ended, 5000, 'the session from before did not end')
})

t.test('two session cookies are none: a neighbour has tossed one in', async (t) => {
  const browser = newBrowser()
  await signIn(browser)
  const mallory = newBrowser()
  await signIn(mallory, { name: 'second' })
  const both = `${browser.cookie}; ${mallory.cookie}`
  for (const Cookie of [both, `${mallory.cookie}; ${browser.cookie}`]) {
    t.equal((await newBrowser().visit(whoami, { headers: { Cookie } })).json().user, null)
  }
  for (const value of ['', 'x', 'A'.repeat(43), `${browser.cookies.get('portolan-session')}x`]) {
    const answer = await newBrowser().visit(whoami, { headers: { Cookie: `portolan-session=${value}` } })
    t.equal(answer.json().user, null, value)
  }
})

t.test('an application password ends when its owner is mapped to its account no more', async (t) => {
  const browser = newBrowser()
  await signIn(browser)
  const body = JSON.stringify({ name: 'sync' })
  const sent = { body, headers: { 'Content-Type': 'application/json' } }
  const made = (await browser.visit('/.portolan/api/v1/app-passwords', sent)).json()
  gateway.credentials.add(made.password)
  const Authorization = `Basic ${Buffer.from(`alice:${made.password}`).toString('base64')}`
  const use = () => gateway.request({ path: whoami, headers: { Authorization } })
  const known = await use()
  t.match(known.json(), {
    user: named('alice'),
    groups: ['p01@lab.example', 'photon@lab.example', 'staff@main', 'p09@main'],
  })
  let rules: unknown
  gateway.configure((config) => {
    rules = config.mapping
    config.mapping = [{ issuer: 'main', subject: 'alice', account: 'carol' }]
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  t.equal((await use()).status, 401)
  t.equal((await browser.visit(whoami)).json().user, null, 'as his session')
  gateway.configure((config) => {
    config.mapping = rules
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  t.equal((await use()).status, 200)
})

t.test('no log holds a code, a cookie or a secret', async (t) => {
  const browser = newBrowser()
  const back = await issuer.consent(await leave(browser), 'alice')
  const pending = browser.cookies.get('portolan-login') ?? ''
  await browser.visit(targetOf(back))
  const secrets = [back.searchParams.get('code'), back.searchParams.get('state'), pending, ...browser.cookies.values()]
  await gateway.stop()
  const logs = gateway.auditText() + gateway.logText() + gateway.stderr
  for (const secret of [...secrets, ...gateway.credentials]) t.notOk(logs.includes(secret ?? '?'), 'not told')
})
