/** People who link identities of issuers to their accounts, at the door of a whole gateway with two workers. */

import t from 'tap'
import { portolan } from '../cli/running.ts'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'
import { Browser } from './browser.ts'
import { type Asked, audience, startTestGateway } from './harness.ts'
import { named, password, type UserName, userNames } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(240_000)

const staff = await startOidcIssuer(t)
const home = await startOidcIssuer(t)
const people = ['s-alice', 's-bob', 's-x', 's-y', 'o\'<b>dd&"name', 'carol', 'shared'] as const
for (const name of people) home.people.set(name, {})
for (const name of userNames) staff.people.set(name, { preferred_username: name })
home.people.set('is-carol', { preferred_username: 'carol' })
home.people.set('with-mail', { email: 'alice@lab.example', email_verified: true, name: 'alice' })
const trusted = (url: string, name: string) => ({
  ...{ issuer: url, name, keys: { discovery: true }, insecure: true, audiences: [audience], profile: 'plain' },
})
const loginAt = ({ client }: typeof staff, name: string) => ({
  ...{ issuer: name, label: `The ${name} issuer`, clientId: client.id, clientSecret: { file: `${name}.secret` } },
})
const size = 48 * 1024 * 1024
const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        tree.file('alice/note.txt', 'alice', 'hello')
        tree.file('alice/large', 'alice', Buffer.alloc(size))
      },
    },
  ],
  workers: 2,
  passwords: true,
  secrets: { 'staff.secret': staff.client.secret, 'home.secret': home.client.secret },
  more: {
    issuers: [trusted(staff.url, 'staff'), trusted(home.url, 'home')],
    mapping: [
      { issuer: 'staff', claim: 'preferred_username', account: '{value}' },
      { issuer: 'home', claim: 'preferred_username', account: '{value}' },
    ],
    login: { issuers: [loginAt(staff, 'staff'), loginAt(home, 'home')] },
    links: { issuers: ['home'] },
  },
})
staff.redirectUris.add(`${gateway.url}/.portolan/login/callback/staff`)
home.redirectUris.add(`${gateway.url}/.portolan/login/callback/home`)
const api = '/.portolan/api/v1'
const page = '/.portolan/account'
const newBrowser = () => new Browser(() => gateway.port)
const targetOf = ({ pathname, search }: URL) => `${pathname}${search}`

async function byPassword(user: UserName): Promise<Browser> {
  const browser = newBrowser()
  const answer = await browser.signInByPassword(user, password)
  if (answer.status !== 303) throw new Error(`${answer.status} ${answer.text}`)
  return browser
}

/** From the account's page to the issuer; where the browser then is sent back to is not visited yet. */
async function leave(browser: Browser, who: string): Promise<string> {
  const left = await browser.visit(`${page}/link?issuer=home`)
  if (left.status !== 303) throw new Error(`${left.status} ${left.text}`)
  return targetOf(await home.consent(left.headers.location ?? '', who))
}

/** All the way but the last button; the answer is where the issuer sent the browser. */
async function show(browser: Browser, who: string) {
  return browser.visit(await leave(browser, who), { site: 'cross-site' })
}

/** The fields of the page that asks. */
async function formOf(browser: Browser) {
  const { text } = await browser.visit(`${page}/link`)
  const fieldOf = (name: string) => new RegExp(`name="${name}" value="([^"]+)"`).exec(text)?.[1] ?? ''
  return { csrf: fieldOf('csrf'), proof: fieldOf('proof') }
}

async function confirm(browser: Browser, note = '') {
  return browser.visit(`${page}/link`, { form: { ...(await formOf(browser)), note } })
}

async function link(browser: Browser, who: string, note = '') {
  const shown = await show(browser, who)
  return shown.status === 303 ? confirm(browser, note) : shown
}

const tokens = new Map<UserName | undefined, string>()
for (const name of userNames) tokens.set(name, await staff.accessToken(name, audience))

/** With a token of the issuer that has a rule for everybody. */
function ask(path: string, user?: UserName, more: Omit<Asked, 'path'> = {}) {
  const token = tokens.get(user)
  return gateway.request({ path, ...more, ...(token !== undefined && { token }) })
}

async function linksOf(user: UserName, query = ''): Promise<Record<string, unknown>[]> {
  return (await ask(`${api}/links${query}`, user)).json().links
}

async function unlinkAll(): Promise<void> {
  for (const { id } of await linksOf('admin', '?all=true')) {
    await ask(`${api}/links/${id}`, 'admin', { method: 'DELETE' })
  }
}

const tokenOf = async (who: string) => {
  const token = await home.accessToken(who, audience)
  gateway.credentials.add(token)
  return token
}
const userOf = async (token: string) => {
  const { status, ...answer } = await gateway.request({ path: `${api}/whoami`, token })
  return status === 200 ? answer.json().user : status
}

t.test('signed in with the account one signs in at the issuer too, is asked, and both are one', async (t) => {
  const browser = await byPassword('alice')
  const account = await browser.visit(page)
  t.match(account.text, 'Linked identities')
  t.match(account.text, `href="${gateway.url}${page}/link?issuer=home">Link an identity of The home issuer`)
  t.notMatch(account.text, 'Link an identity of The staff issuer')
  const token = await tokenOf('s-alice')
  t.equal(await userOf(token), 403)
  const shown = await show(browser, 's-alice')
  t.match(shown, { status: 303, headers: { location: `${page}/link` } })
  t.equal(await userOf(token), 403, 'nothing is linked before one has said so')
  const asked = await browser.visit(`${page}/link`)
  t.match(asked.text, /s-alice.*The home issuer.*alice@lab\.example/s)
  t.match(asked.text, home.url)
  t.match(asked.headers, { 'cache-control': 'no-store' })
  const done = await confirm(browser, 'my other self')
  t.match(done, { status: 303, headers: { location: page } })
  t.equal(await userOf(token), named('alice'))
  const elsewhere = newBrowser()
  const back = await elsewhere.visit('/.portolan/login?issuer=home&to=%2Flab%2F')
  await elsewhere.visit(targetOf(await home.consent(back.headers.location ?? '', 's-alice')), { site: 'cross-site' })
  t.match((await elsewhere.visit(`${api}/whoami`)).json(), { user: named('alice'), id: `${home.url}|s-alice` })
  const [kept] = await linksOf('alice')
  t.match(kept, {
    subject: 's-alice',
    issuer: home.url,
    user: named('alice'),
    note: 'my other self',
    label: 'The home issuer',
  })
  t.match((await browser.visit(page)).text, /s-alice.*my other self.*Unlink/s)
  t.match(gateway.auditText(), /"action":"link".*s-alice.*was shown/)
  t.match(gateway.auditText(), /"action":"link".*link \w[\w-]{15} of .*s-alice.* to alice@lab\.example/)
  t.equal((await confirm(browser)).status, 403, 'what was shown is good once')
  await unlinkAll()
})

t.test('by e-mail or a name nobody is taken for anybody', async (t) => {
  t.equal(await userOf(await tokenOf('with-mail')), 403)
})

t.test('an identity that stands for an account already is not linked', async (t) => {
  const [alice, bob] = [await byPassword('alice'), await byPassword('bob')]
  t.equal((await link(alice, 'shared')).status, 303)
  const taken = await show(bob, 'shared')
  t.equal(taken.status, 409)
  t.match(taken.text, /Nothing was linked.*linked to another account/s)
  t.notMatch(taken.text, 'alice', 'whose it is is not told')
  t.match((await show(alice, 'is-carol')).text, /stands for another account/)
  t.notMatch((await show(alice, 'is-carol')).text, 'carol@')
  t.match((await show(await byPassword('carol'), 'is-carol')).text, /stands for your account already/)
  const again = await link(alice, 'shared')
  t.equal(again.status, 303, 'once more is proven anew')
  t.equal((await linksOf('alice')).length, 1)
  t.same(await linksOf('bob'), [])
  await unlinkAll()
})

t.test('of two who link one identity at once one is told that he is late', async (t) => {
  const [alice, bob] = [await byPassword('alice'), await byPassword('bob')]
  for (const each of [alice, bob]) t.equal((await show(each, 's-x')).status, 303)
  const answers = await Promise.all([alice, bob].map((each) => confirm(each)))
  t.same(answers.map(({ status }) => status).toSorted(), [303, 409])
  t.equal((await linksOf('admin', '?all=true')).length, 1)
  await unlinkAll()
})

t.test('who came by a link adds none, and others than browsers neither', async (t) => {
  const alice = await byPassword('alice')
  await link(alice, 's-alice')
  const guest = newBrowser()
  const left = await guest.visit('/.portolan/login?issuer=home')
  await guest.visit(targetOf(await home.consent(left.headers.location ?? '', 's-alice')), { site: 'cross-site' })
  t.equal((await guest.visit(`${api}/whoami`)).json().user, named('alice'))
  t.notMatch((await guest.visit(page)).text, 'Link an identity')
  const refused = await guest.visit(`${page}/link?issuer=home`)
  t.match(refused, { status: 403, text: /sign in with the account itself/ })
  const token = await tokenOf('s-alice')
  const headers = { Authorization: `Bearer ${token}` }
  t.equal((await gateway.request({ path: `${page}/link?issuer=home`, headers })).status, 403)
  const basic = { Authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` }
  t.equal((await gateway.request({ path: `${page}/link?issuer=home`, headers: basic })).status, 403)
  t.equal((await newBrowser().visit(`${page}/link?issuer=home`)).status, 401)
  t.equal((await alice.visit(`${page}/link?issuer=staff`)).status, 404)
  t.equal((await alice.visit(`${page}/link?issuer=nobody`)).status, 404)
  await unlinkAll()
})

t.test('nobody links his identity to the account of somebody else', async (t) => {
  const alice = await byPassword('alice')
  const mallory = await byPassword('bob')
  const answer = await leave(mallory, 's-bob')
  t.equal((await alice.visit(answer, { site: 'cross-site' })).status, 401, "mallory's answer in alice's browser")
  for (const [name, value] of mallory.cookies) if (name !== 'portolan-session') alice.cookies.set(name, value)
  t.equal((await alice.visit(answer, { site: 'cross-site' })).status, 403, 'with his cookie of the way there')
  const proven = await show(mallory, 's-bob')
  t.equal(proven.status, 303)
  for (const [name, value] of mallory.cookies) if (name !== 'portolan-session') alice.cookies.set(name, value)
  t.match(await alice.visit(`${page}/link`), { status: 303, headers: { location: page } }, 'with his proof')
  const csrf = await alice.token(page)
  const form = await formOf(mallory)
  t.equal((await alice.visit(`${page}/link`, { form: { ...form, csrf } })).status, 403)
  for (const site of ['cross-site', 'same-site', 'unsaid'] as const) {
    t.equal((await mallory.visit(`${page}/link`, { form, site })).status, 403, site)
  }
  t.equal((await mallory.visit(`${page}/link`, { form: { ...form, csrf } })).status, 403, "with alice's form")
  t.equal((await mallory.visit(`${page}/link`, { form: { proof: form.proof } })).status, 403)
  t.same(await linksOf('admin', '?all=true'), [])
})

t.test('the button links what its page shows, not what another tab has proven since', async (t) => {
  const alice = await byPassword('alice')
  await show(alice, 's-alice')
  const form = await formOf(alice)
  // As a page of somebody else's could make it happen, in a browser that he has signed in at the issuer as himself.
  t.equal((await show(alice, 's-bob')).status, 303)
  t.equal((await alice.visit(`${page}/link`, { form })).status, 403)
  t.equal((await alice.visit(`${page}/link`, { form: { csrf: form.csrf } })).status, 403, 'nor without a word of which')
  t.same(await linksOf('admin', '?all=true'), [])
})

t.test('the session that began it is the one that ends it', async (t) => {
  const browser = await byPassword('alice')
  const answer = await leave(browser, 's-y')
  const kept = browser.cookies.get('portolan-login') ?? ''
  await browser.signInByPassword('alice', password)
  browser.cookies.set('portolan-login', kept)
  t.equal((await browser.visit(answer, { site: 'cross-site' })).status, 403, 'another session of the same person')
  const second = await byPassword('alice')
  const left = await leave(second, 's-y')
  second.cookies.delete('portolan-session')
  t.equal((await second.visit(left, { site: 'cross-site' })).status, 403, 'no session')
  t.notOk(second.cookies.has('portolan-session'), 'and none is begun')
  const third = await byPassword('alice')
  const spoiled = (await leave(third, 's-y')).replace('/callback/home', '/callback/staff')
  t.equal((await third.visit(spoiled, { site: 'cross-site' })).status, 401, 'at the address of another issuer')
  const fourth = await byPassword('alice')
  const other = (await leave(fourth, 's-y')).replace(/state=[^&]+/, 'state=x')
  t.equal((await fourth.visit(other, { site: 'cross-site' })).status, 401, 'with another state')
  t.same(await linksOf('admin', '?all=true'), [])
})

t.test('odd names of identities are shown as they are', async (t) => {
  const browser = await byPassword('alice')
  const odd = 'o\'<b>dd&"name'
  await show(browser, odd)
  const escaped = 'o&#39;&lt;b&gt;dd&amp;&quot;name'
  t.match((await browser.visit(`${page}/link`)).text, escaped)
  t.equal((await confirm(browser, '<script>')).status, 303)
  const { text } = await browser.visit(page)
  t.match(text, escaped)
  t.match(text, '&lt;script&gt;')
  t.notMatch(text, '<script>')
  t.equal((await show(browser, 's-y')).status, 303)
  t.match(await confirm(browser, 'x'.repeat(201)), { status: 400, text: /the note is too long/ })
  await unlinkAll()
})

t.test('unlinked on the page, what came by the link ends within two seconds, what is being sent too', async (t) => {
  const browser = await byPassword('alice')
  await link(browser, 's-alice')
  const token = await tokenOf('s-alice')
  const guest = newBrowser()
  const left = await guest.visit('/.portolan/login?issuer=home')
  await guest.visit(targetOf(await home.consent(left.headers.location ?? '', 's-alice')), { site: 'cross-site' })
  const macaroon = (
    await gateway.request({
      ...{ method: 'POST', path: '/lab/alice/', body: '{}', token },
      headers: { 'Content-Type': 'application/macaroon-request' },
    })
  ).json().macaroon
  gateway.credentials.add(macaroon)
  for (const each of [token, macaroon]) t.equal(await userOf(each), named('alice'))
  const sending = await gateway.open({ path: '/lab/alice/large', token })
  sending.on('error', () => {})
  const [kept] = await linksOf('alice')
  const csrf = await browser.token(page)
  const started = performance.now()
  t.equal((await browser.visit(page, { form: { csrf, unlink: String(kept?.id) } })).status, 303)
  const gone = async () => {
    // Requests take turns between the workers.
    for (let turn = 0; turn < 6; turn++) {
      for (const each of [token, macaroon]) if ((await userOf(each)) === named('alice')) return false
      if ((await guest.visit(`${api}/whoami`)).json().user !== null) return false
    }
    return true
  }
  await eventually(gone, 4000, 'the identity goes on')
  const cut = await gateway.auditOf({ headers: sending.headers })
  t.match(cut, { action: 'read', outcome: 'refused', code: 'denied', reason: { rule: 'revoked' } })
  t.ok(performance.now() - started < 10_000, 'what was being sent was cut')
  sending.destroy()
  t.match(gateway.auditText(), /"action":"unlink".*s-alice/)
  t.equal((await browser.visit(page, { form: { csrf, unlink: 'nothing' } })).status, 404)
})

t.test('a banned group is cut off, at every door and in every process', async (t) => {
  const name = 'group:p01@lab.example'
  const asked = () => ask('/lab/alice/note.txt', 'alice')
  t.equal((await asked()).status, 200)
  const session = await byPassword('alice')
  const sending = await gateway.open({ path: '/lab/alice/large', token: tokens.get('alice') ?? '' })
  sending.on('error', () => {})
  const headers = { 'Content-Type': 'application/json' }
  const ban = (body: object) => ask(`${api}/bans`, 'admin', { method: 'POST', headers, body: JSON.stringify(body) })
  t.equal((await ban({ name: 'group:p01' })).status, 400)
  const started = performance.now()
  t.equal((await ban({ name })).status, 204)
  const over = async () => {
    for (let turn = 0; turn < 6; turn++) {
      if ((await asked()).status !== 403) return false
      if ((await session.visit(`${api}/whoami`)).json().user !== null) return false
    }
    return true
  }
  await eventually(over, 4000, 'the group goes on')
  const cut = await gateway.auditOf({ headers: sending.headers })
  t.match(cut, { action: 'read', outcome: 'refused', code: 'denied', reason: { rule: 'revoked' } })
  t.ok(performance.now() - started < 10_000, 'what was being sent was cut')
  sending.destroy()
  t.equal((await ask(`${api}/whoami`, 'bob')).status, 200, 'who is not of the group')
  t.equal((await ask(`${api}/whoami`, 'carol')).status, 403, 'who is')
  const lift = `${api}/bans?${new URLSearchParams({ name })}`
  t.equal((await ask(lift, 'admin', { method: 'DELETE' })).status, 204)
  const isBack = async () => {
    for (let turn = 0; turn < 6; turn++) if ((await asked()).status !== 200) return false
    return true
  }
  await eventually(isBack, 4000, 'he stays out')
})

t.test('links are told to whom they concern', async (t) => {
  const alice = await byPassword('alice')
  await link(alice, 's-x')
  const [kept] = await linksOf('alice')
  t.same(await linksOf('bob'), [])
  t.equal((await ask(`${api}/links?all=true`, 'bob')).status, 403)
  t.equal((await ask(`${api}/links`)).status, 401)
  t.equal((await linksOf('admin', `?user=${named('alice')}`)).length, 1)
  const remove = (user?: UserName) => ask(`${api}/links/${kept?.id}`, user, { method: 'DELETE' })
  t.equal((await remove('bob')).status, 404)
  t.equal((await remove()).status, 401)
  t.equal((await remove('alice')).status, 204)
  t.equal((await remove('alice')).status, 404)
})

t.test('the command line shows links, takes them back, and bans groups', async (t) => {
  const browser = await byPassword('alice')
  await link(browser, 'o\'<b>dd&"name', 'mine')
  const run = (words: readonly string[], as: UserName = 'alice') =>
    portolan(words, { env: { PORTOLAN_URL: gateway.url, BEARER_TOKEN: tokens.get(as) ?? '' } })
  const [listed, whole, banned, wrong] = await Promise.all([
    run(['link', 'list']),
    run(['link', 'list', '--all', '--json'], 'admin'),
    run(['ban', 'group:nobody@lab.example', '--until', '1h'], 'admin'),
    run(['link', 'remove', 'not an id']),
  ])
  t.match(listed, { code: 0, stdout: /^\w[\w-]{15} +20\d\d-.*o'<b>dd&"name at http:.*mine\n$/ })
  const [all] = JSON.parse(whole.stdout)
  t.match(all, { subject: 'o\'<b>dd&"name', user: named('alice'), label: 'The home issuer' })
  t.equal(wrong.code, 2)
  t.equal((await run(['link', 'remove', all.id])).code, 0)
  t.same(await linksOf('alice'), [])
  t.equal(banned.code, 0)
  t.match((await ask(`${api}/bans`, 'admin')).json().bans, [{ name: 'group:nobody@lab.example' }])
})

t.test('no log holds a code or a cookie', async (t) => {
  const browser = await byPassword('alice')
  const answer = await leave(browser, 's-y')
  const pending = browser.cookies.get('portolan-login') ?? ''
  await browser.visit(answer, { site: 'cross-site' })
  const code = new URL(answer, 'http://x').searchParams.get('code') ?? ''
  const secrets = [code, pending, ...browser.cookies.values(), ...gateway.credentials]
  await gateway.stop()
  const logs = gateway.auditText() + gateway.logText() + gateway.stderr
  for (const secret of secrets) t.notOk(logs.includes(secret), 'not told')
})
