/** `portolan` with the ticket of its user, and the passwords that a KDC knows, at a whole gateway. */

import t from 'tap'
import { portolan, scratch } from '../cli/running.ts'
import { Browser } from '../gateway/browser.ts'
import type { Answer } from '../gateway/http.ts'
import { noKerberos, realm, startTicketWorld, type TicketWorld } from './world.ts'

t.setTimeout(120_000)

const skip = noKerberos()
const api = '/.portolan/api/v1'

let world: TicketWorld
let alice: string

t.before(async () => {
  if (skip) return
  world = await startTicketWorld(t, {
    more: { passwords: { ways: ['accounts', 'kerberos'], remember: '2s' } },
  })
  for (const name of ['alice-pw', 'bob-pw']) world.gateway.credentials.add(name)
  alice = await world.login('alice')
})

/** As the owner of a ticket cache. */
function run(cache: string, words: readonly string[], env: Readonly<Record<string, string>> = {}, input = '') {
  const url = { PORTOLAN_URL: `http://localhost:${world.gateway.port}` }
  return portolan(words, { env: { ...world.kdc.environment, KRB5CCNAME: `FILE:${cache}`, ...url, ...env }, input })
}

function basic(user: string, password: string, path = '/data/closed/own'): Promise<Answer> {
  const Authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  return world.gateway.request({ path, headers: { Authorization } })
}

t.test('the command is who the ticket says', { skip }, async (t) => {
  const me = await run(alice, ['whoami', '--json'])
  t.equal(me.stderr, '')
  t.match(JSON.parse(me.stdout), { id: `alice@${realm}`, user: 'alice@lab.example' })
  t.match((await run(alice, ['whoami'])).stdout, new RegExp(`alice@${realm.replace('.', '\\.')}`))
  t.equal((await run(alice, ['cat', '/data/closed/own'])).stdout, 'for alice alone\n')
  const bob = await run(await world.login('bob'), ['cat', '/data/closed/own'])
  t.equal(bob.code, 1)
  t.match(bob.stderr, /You may not/)
})

t.test('an upload shows its ticket before the body', { skip }, async (t) => {
  const text = 'x'.repeat(300_000)
  const put = await run(alice, ['put', '-', '/data/from-ticket'], {}, text)
  t.equal(put.stderr, '')
  t.equal(put.code, 0)
  t.equal((await run(alice, ['cat', '/data/from-ticket'])).stdout, text)
})

t.test('a token that is found goes first, --auth says otherwise', { skip }, async (t) => {
  const BEARER_TOKEN = await world.gateway.token('bob')
  const idOf = async (...words: string[]) =>
    (JSON.parse((await run(alice, ['whoami', '--json', ...words], { BEARER_TOKEN })).stdout) as { user: unknown }).user
  t.equal(await idOf(), 'bob@lab.example')
  t.equal(await idOf('--auth', 'kerberos'), 'alice@lab.example')
  t.notOk(await idOf('--auth', 'none'))
})

t.test('without a ticket it goes without, or says what to do', { skip }, async (t) => {
  const none = `${scratch(t)}/none`
  t.match(JSON.parse((await run(none, ['whoami', '--json'])).stdout), { user: null })
  const required = await run(none, ['whoami', '--auth', 'kerberos'])
  t.equal(required.code, 1)
  t.match(required.stderr, /no Kerberos ticket for HTTP@localhost: run kinit/)
  const stranger = await run(await world.login('dave'), ['ls', '/data'])
  t.equal(stranger.code, 1, 'a principal without an account is told so')
  t.match(stranger.stderr, /You may not/)
})

t.test('a name that the KDC does not know gets no ticket, and is not asked as anybody', { skip }, async (t) => {
  const url = `http://127.0.0.1:${world.gateway.port}`
  t.match(JSON.parse((await run(alice, ['whoami', '--json', '--url', url])).stdout), { user: null })
  const required = await run(alice, ['whoami', '--url', url, '--auth', 'kerberos'])
  t.match(required.stderr, /no Kerberos ticket for HTTP@127.0.0.1/)
})

t.test('the password that the KDC knows opens what the ticket opens', { skip }, async (t) => {
  for (const user of ['alice', 'alice@lab.example', `alice@${realm}`]) {
    const answer = await basic(user, 'alice-pw')
    t.equal(answer.text, 'for alice alone\n', user)
    t.match(await world.gateway.auditOf(answer), { principal: 'basic:alice@lab.example', user: 'alice@lab.example' })
  }
  const me = await basic('alice', 'alice-pw', `${api}/whoami?explain=true`)
  t.match(me.text, /says Kerberos of alice@LAB.EXAMPLE/)
  t.equal((await basic('bob', 'bob-pw')).status, 403)
  const wrong = await basic('alice', 'bob-pw')
  t.equal(wrong.status, 401)
  const { reason } = await world.gateway.auditOf(wrong)
  t.match(reason, { rule: 'password', text: /Kerberos: it is not the password/ })
  t.notMatch(wrong.text, /Kerberos|account/, 'the caller is not told')
  for (const user of ['dave', 'alice/admin', 'alice@OTHER.EXAMPLE', '*)(uid=*']) {
    t.equal((await basic(user, 'alice-pw')).status, 401, user)
  }
})

t.test('a session begun with it goes on, and ends with a ban of the principal', { skip }, async (t) => {
  const { gateway } = world
  const browser = new Browser(() => gateway.port)
  t.equal((await browser.signInByPassword('alice', 'bob-pw', '/data/')).status, 401)
  t.equal((await browser.signInByPassword('alice', 'alice-pw', '/data/')).status, 303)
  const own = () => browser.visit('/data/closed/own')
  t.equal((await own()).status, 200)
  const steps = (await browser.visit(`${api}/whoami?explain=true`)).text
  t.match(steps, /begun with the Kerberos password of alice@LAB.EXAMPLE/)
  const order = { name: 'laptop', path: '/data/closed' }
  const json = { 'Content-Type': 'application/json' }
  const made = await browser.visit(`${api}/app-passwords`, { body: JSON.stringify(order), headers: json })
  t.equal(made.status, 201, made.text)
  const { password } = made.json() as { readonly password: string }
  gateway.credentials.add(password)
  t.equal((await basic('alice', password)).status, 200, 'for programs, as anybody who signed in')
  const admin = await gateway.token('admin')
  const ban = (method: string, query: string, more = {}) =>
    gateway.request({ method, path: `${api}/bans${query}`, token: admin, ...more })
  const entry = JSON.stringify({ name: `principal:alice@${realm}`, note: 'test' })
  t.match((await ban('POST', '', { headers: json, body: entry })).status, /^20/)
  t.not((await own()).status, 200)
  t.not((await basic('alice', 'alice-pw')).status, 200)
  t.match((await ban('DELETE', `?${new URLSearchParams({ name: `principal:alice@${realm}` })}`)).status, /^20/)
  t.equal((await own()).status, 200)
})

t.test('a KDC that is down is no wrong password', { skip }, async (t) => {
  await world.kdc.pause()
  const answer = await basic('carol', 'carol-pw')
  t.equal(answer.status, 503)
  t.ok(Number(answer.headers['retry-after']) > 0)
  await world.kdc.resume()
  t.equal((await basic('carol', 'carol-pw', '/data/hello')).status, 200)
})

t.test('no password is in a log', { skip }, async (t) => {
  const texts = [world.gateway.logText(), world.gateway.auditText(), world.gateway.stderr]
  for (const text of texts) t.notMatch(text, /-pw\b/)
})
