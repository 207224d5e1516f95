/** `portolan` with the ticket of its user, and the passwords that a KDC knows, at a whole gateway. */

import { writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { connect, type EndpointOptions } from '../../gateway/cli/endpoint.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { portolan, scratch } from '../cli/running.ts'
import { Browser } from '../gateway/browser.ts'
import type { Answer } from '../gateway/http.ts'
import { noKerberos, realm, startTicketWorld, type TicketWorld } from './world.ts'

t.setTimeout(120_000)

const skip = noKerberos()
const api = '/.portolan/api/v1'
const own = parsePath('/data/closed/own')

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

/** The environment of whoever owns a ticket cache, and no other. */
function environment(cache: string, more: Readonly<Record<string, string>> = {}) {
  const url = `http://localhost:${world.gateway.port}`
  return { ...world.kdc.environment, KRB5CCNAME: `FILE:${cache}`, PORTOLAN_URL: url, ...more }
}

/** What a command of that owner works with, in this process: libkrb5 reads the environment at every question. */
async function clientOf(t: Test, cache: string, options: EndpointOptions = {}, BEARER_TOKEN = '') {
  for (const [name, value] of Object.entries(environment(cache, { BEARER_TOKEN }))) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
  const client = await connect(options)
  t.teardown(() => client.close())
  return client
}

function basic(user: string, password: string, path = '/data/closed/own'): Promise<Answer> {
  const Authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  return world.gateway.request({ path, headers: { Authorization } })
}

t.test('the command is who the ticket says', { skip }, async (t) => {
  const { stdout, stderr } = await portolan(['whoami'], { env: environment(alice) })
  t.equal(stderr, '')
  t.match(stdout, new RegExp(`alice@${realm.replace('.', '\\.')}`))
  const client = await clientOf(t, alice)
  t.match(await client.whoami(), { id: `alice@${realm}`, user: 'alice@lab.example' })
  t.equal(await text((await client.get(own)).body), 'for alice alone\n')
  const bob = await clientOf(t, await world.login('bob'))
  await t.rejects(bob.get(own), { code: 'denied' })
})

t.test('an upload shows its ticket before the body', { skip }, async (t) => {
  const client = await clientOf(t, alice)
  const [file, body] = [parsePath('/data/from-ticket'), 'x'.repeat(300_000)]
  await client.put(file, Readable.from([body]))
  t.equal(await text((await client.get(file)).body), body)
})

t.test('a token that is found goes first, --auth says otherwise', { skip }, async (t) => {
  const token = await world.gateway.token('bob')
  const userOf = async (options: EndpointOptions) => (await (await clientOf(t, alice, options, token)).whoami()).user
  t.equal(await userOf({}), 'bob@lab.example')
  t.equal(await userOf({ auth: 'kerberos' }), 'alice@lab.example')
  t.notOk(await userOf({ auth: 'none' }))
})

t.test('without a ticket it goes without, or says what to do', { skip }, async (t) => {
  const none = `${scratch(t)}/none`
  t.notOk((await (await clientOf(t, none)).whoami()).user)
  const required = await clientOf(t, none, { auth: 'kerberos' })
  await t.rejects(required.whoami(), { message: /no Kerberos ticket for HTTP@localhost: run kinit/ })
  const stranger = await clientOf(t, await world.login('dave'))
  await t.rejects(stranger.get(own), { code: 'denied' }, 'a principal without an account is told so')
})

t.test('a name that the KDC does not know gets no ticket, and is not asked as anybody', { skip }, async (t) => {
  const url = `http://127.0.0.1:${world.gateway.port}`
  t.notOk((await (await clientOf(t, alice, { url })).whoami()).user)
  const required = await clientOf(t, alice, { url, auth: 'kerberos' })
  await t.rejects(required.whoami(), { message: /no Kerberos ticket for HTTP@127.0.0.1/ })
})

t.test('a KDC that hangs keeps no command for long', { skip }, async (t) => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => void sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    silent.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = silent.address()
  const kdc = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const KRB5_CONFIG = `${scratch(t)}/krb5.conf`
  const defaults = `default_realm = ${realm}\ndns_canonicalize_hostname = false\nudp_preference_limit = 1`
  writeFileSync(KRB5_CONFIG, `[libdefaults]\n${defaults}\n[realms]\n${realm} = {\nkdc = ${kdc}\n}\n`)
  const cache = await world.login('alice')
  const started = performance.now()
  const { code, stdout } = await portolan(['whoami', '--json'], { env: environment(cache, { KRB5_CONFIG }) })
  t.equal(code, 0)
  t.match(JSON.parse(stdout), { user: null }, 'it goes without')
  t.ok(sockets.length > 0, 'the KDC was asked')
  t.ok(performance.now() - started < 20_000, 'libkrb5 itself waits for longer')
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
  const visit = () => browser.visit('/data/closed/own')
  t.equal((await visit()).status, 200)
  const steps = (await browser.visit(`${api}/whoami?explain=true`)).text
  t.match(steps, /begun with the Kerberos password of alice@LAB.EXAMPLE/)
  const order = { name: 'laptop', path: '/data/closed' }
  const json = { 'Content-Type': 'application/json' }
  const made = await browser.visit(`${api}/app-passwords`, { body: JSON.stringify(order), headers: json })
  t.equal(made.status, 201, made.text)
  const { password } = made.json() as { readonly password: string }
  gateway.credentials.add(password)
  t.equal((await basic('alice', password)).status, 200, 'for programs, as anybody who signed in')
  const headers = {
    Authorization: `Basic ${Buffer.from('alice:alice-pw').toString('base64')}`,
    'Content-Type': 'application/macaroon-request',
  }
  const minted = await gateway.request({ method: 'POST', path: '/data/closed/own', headers, body: '{}' })
  t.equal(minted.status, 200, minted.text)
  const { macaroon: token } = minted.json() as { readonly macaroon: string }
  gateway.credentials.add(token)
  const byMacaroon = () => gateway.request({ path: '/data/closed/own', token })
  t.equal((await byMacaroon()).status, 200)
  const admin = await gateway.token('admin')
  const ban = (method: string, query: string, more = {}) =>
    gateway.request({ method, path: `${api}/bans${query}`, token: admin, ...more })
  const entry = JSON.stringify({ name: `principal:alice@${realm}`, note: 'test' })
  t.match((await ban('POST', '', { headers: json, body: entry })).status, /^20/)
  t.not((await visit()).status, 200)
  t.not((await basic('alice', 'alice-pw')).status, 200)
  t.not((await basic('alice', password)).status, 200, 'nor by what he handed on')
  t.not((await byMacaroon()).status, 200)
  t.match((await ban('DELETE', `?${new URLSearchParams({ name: `principal:alice@${realm}` })}`)).status, /^20/)
  t.equal((await visit()).status, 200)
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
