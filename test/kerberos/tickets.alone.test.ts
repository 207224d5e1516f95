/** Tickets of a real KDC at a gateway with two worker processes: who is let in, who is not, and what is said of it. */

import { once } from 'node:events'
import { renameSync, statSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Line, TestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { eventually } from '../gateway/processes.ts'
import {
  alias,
  give,
  http,
  noKerberos,
  otherRealm,
  realm,
  startTicketWorld,
  type TicketWorld,
  tokensOf,
} from './world.ts'

t.setTimeout(280_000)
const skip = noKerberos()

let world: TicketWorld
let alice: string

t.before(async () => {
  if (skip) return
  world = await startTicketWorld(t, { workers: 2 })
  alice = await world.login('alice')
})

function show(token: string, path = '/data/hello', more: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return world.gateway.request({ path, headers: { Authorization: `Negotiate ${token}`, ...more } })
}

async function one(cache: string, order = {}): Promise<string> {
  const [token = ''] = await tokensOf(world.kdc, cache, order)
  return token
}

/** Why the gateway refused it, as its audit log has it. */
async function refusal(answer: Pick<Answer, 'headers'>, gateway: TestGateway = world.gateway): Promise<Line> {
  const { reason } = await gateway.auditOf(answer)
  return reason as Line
}

t.test('who shows no credential is told that a ticket would do, and a page is shown to people', { skip }, async (t) => {
  const answer = await world.gateway.get('/data/hello')
  t.equal(answer.status, 401)
  t.match(answer.headers['www-authenticate'], /^Bearer realm="portolan", Negotiate/)
  const page = await world.gateway.get('/data/hello', undefined, { Accept: 'text/html' })
  t.notMatch(page.headers['www-authenticate'], /Negotiate/, 'a browser asks nobody for anything')
  t.match(page.text, /\/\.portolan\/login/)
  const script = await world.gateway.get('/data/hello', undefined, { 'X-Requested-With': 'script' })
  t.notMatch(script.headers['www-authenticate'], /Negotiate/)
})

t.test('a ticket opens what its owner may read, and the gateway proves itself', { skip }, async (t) => {
  const answer = await show(await one(alice), '/data/closed/own')
  t.equal(answer.status, 200)
  t.equal(answer.text, 'for alice alone\n')
  t.match(answer.headers['www-authenticate'], /^Negotiate [A-Za-z0-9+/]{40,}={0,2}$/)
  const cookie = answer.headers['set-cookie'] ?? []
  t.match(cookie, [/^portolan-ticket=k1\..*; Path=\/; Max-Age=(?:299|300); HttpOnly; SameSite=Strict$/])
  const line = await world.gateway.auditOf(answer)
  t.match(line, { principal: `alice@${realm}`, user: 'alice@lab.example', outcome: 'ok' })
  const bob = await show(await one(await world.login('bob')), '/data/closed/own')
  t.equal(bob.status, 403)
  t.match(bob.headers['www-authenticate'], /^Negotiate /, 'the answer goes with any response')
  const bare = await show(await one(alice, { mechanism: 'bare' }))
  t.equal(bare.status, 200, 'without SPNEGO around it')
})

t.test('whoami by ticket shows the name and the account', { skip }, async (t) => {
  const answer = await show(await one(alice), '/.portolan/api/v1/whoami')
  t.match(answer.json(), { id: `alice@${realm}`, user: 'alice@lab.example' })
})

t.test('curl reads, writes and lists by ticket', { skip }, async (t) => {
  const { kdc, gateway } = world
  const base = `http://localhost:${gateway.port}`
  const curl = (...words: readonly string[]) =>
    kdc.as(alice, ['curl', '-sS', '--negotiate', '-u', ':', '-w', ' %{http_code}', ...words])
  t.equal(await curl(`${base}/data/hello`), 'hello\n 200')
  const big = Buffer.alloc(3_000_000, 'x').toString()
  const put = [
    '-T',
    '-',
    '-H',
    'Expect: 100-continue',
    '-H',
    'Transfer-Encoding:',
    '-H',
    `Content-Length: ${big.length}`,
  ]
  const written = await kdc.as(
    alice,
    ['curl', '-sS', '--negotiate', '-u', ':', '-w', ' %{http_code}', ...put, `${base}/data/written`],
    { input: big },
  )
  t.match(written, / 201$/)
  t.equal((await curl(`${base}/data/written`)).length, big.length + 4)
  t.match(await curl('-X', 'PROPFIND', '-H', 'Depth: 1', `${base}/data/`), /<D:href>\/data\/written<.* 207$/is)
  const named = ['--resolve', `alias.lab.example:${gateway.port}:127.0.0.1`]
  t.equal(await curl(...named, `http://alias.lab.example:${gateway.port}/data/hello`), 'hello\n 200', 'a second name')
})

t.test('with a cookie jar the second request carries no ticket', { skip }, async (t) => {
  const { kdc, gateway } = world
  const jar = `${alice}-jar`
  const base = `http://localhost:${gateway.port}`
  const first = ['curl', '-sS', '--negotiate', '-u', ':', '-c', jar, '-w', ' %{http_code}', `${base}/data/hello`]
  t.equal(await kdc.as(alice, first), 'hello\n 200')
  const next = ['curl', '-sSv', '--stderr', '-', '-b', jar, `${base}/data/closed/own`]
  for (let count = 0; count < 4; count++) {
    const text = await kdc.as(alice, next)
    t.match(text, /for alice alone/, 'at any process')
    t.notMatch(text, /authorization: negotiate/i)
  }
  const put = [
    'curl',
    '-sS',
    '-b',
    jar,
    '-X',
    'PUT',
    '--data-binary',
    'x',
    '-w',
    '%{http_code}',
    `${base}/data/by-cookie`,
  ]
  t.equal(await kdc.as(alice, put), '201')
})

t.test('nothing is remembered of a connection', { skip }, async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const ask = (headers: Record<string, string>) =>
    new Promise<number>((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port: world.gateway.port, path: '/data/hello', agent, headers })
      call.on('response', (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      })
      call.on('error', reject)
      call.end()
    })
  const Authorization = `Negotiate ${await one(alice)}`
  t.equal(await ask({ Authorization }), 200)
  t.equal(await ask({}), 401, 'of the next request nothing is known')
  t.equal(await ask({ Authorization }), 401, 'and the ticket was shown before')
})

t.test('a token is good once, at whichever process, also after a restart', { skip }, async (t) => {
  const token = await one(alice)
  const all = await Promise.all(Array.from({ length: 8 }, () => show(token)))
  t.equal(all.filter(({ status }) => status === 200).length, 1)
  t.equal(all.filter(({ status }) => status === 401).length, 7)
  for (const refused of all.filter(({ status }) => status === 401)) {
    t.match(await refusal(refused), { rule: 'kerberos-ticket', text: /replay/i })
    t.notMatch(refused.text, /replay/i, 'why, is for the audit log')
  }
  const replays = statSync(join(world.gateway.directory, 'state/kerberos-replays'))
  t.equal(replays.mode & 0o777, 0o600, 'what was seen lies in the state directory')
  world.gateway.kill9()
  await world.gateway.start()
  t.equal((await show(token)).status, 401)
  t.equal((await show(await one(alice))).status, 200)
})

t.test('a ticket for another service is refused', { skip }, async (t) => {
  const other = await show(await one(alice, { service: 'host@localhost' }))
  t.equal(other.status, 401)
  t.match(await refusal(other), { rule: 'kerberos-service', text: new RegExp(`host/localhost@${realm}`) })
  t.match(other.headers['www-authenticate'], /^Bearer.*Negotiate(?:,|$)/, 'the plain challenge again')
  // The name of the service is outside of what is encrypted: the key that opens the ticket counts.
  const forged = Buffer.from(await one(alice, { service: 'host@localhost', mechanism: 'bare' }), 'base64')
  forged.write('HTTP', forged.indexOf('host'))
  t.match(await refusal(await show(forged.toString('base64'))), { rule: 'kerberos-service', text: /host\/localhost/ })
  const strange = `HTTP/strange.example@${realm}`
  await world.kdc.addKey(strange, `${world.kdc.directory}/strange.keytab`)
  const unknown = await show(await one(await world.login('alice'), { service: 'HTTP@strange.example' }))
  t.equal(unknown.status, 401)
  t.match(await refusal(unknown), { rule: 'kerberos-ticket' })
})

/** What the gateway answers to curl with that clock, as faketime takes it. */
async function curlAt(clock: string, cache: string): Promise<Pick<Answer, 'headers' | 'status'>> {
  const where = `http://localhost:${world.gateway.port}/data/hello`
  const words = [
    'curl',
    '-sS',
    '--negotiate',
    '-u',
    ':',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code} %header{x-request-id}',
    where,
  ]
  const [status = '', id = ''] = (await world.kdc.as(cache, words, { clock })).split(' ')
  return { status: Number(status), headers: { 'x-request-id': id } }
}

t.test('a clock that is ten minutes off is told in the audit log', { skip }, async (t) => {
  await world.kdc.as(alice, ['kvno', http])
  const answer = await curlAt('+10m', alice)
  t.equal(answer.status, 401)
  t.match(await refusal(answer), { rule: 'kerberos-ticket', text: /clock skew/i })
  t.equal((await curlAt('+4m', alice)).status, 200, 'four minutes are borne')
})

t.test('a ticket that has expired is refused', { skip }, async (t) => {
  const { kdc } = world
  await kdc.resume('-3h')
  const learn = async () => {
    const cache = await world.login('bob', ['-l', '1h'], '-3h')
    await kdc.as(cache, ['kvno', http], { clock: '-3h' })
    return cache
  }
  const old = await learn().finally(() => kdc.resume())
  const answer = await curlAt('-3h', old)
  t.equal(answer.status, 401)
  t.match(await refusal(answer), { rule: 'kerberos-ticket', text: /expired/i })
})

t.test('somebody without an account here is nobody', { skip }, async (t) => {
  const answer = await show(await one(await world.login('dave')))
  t.equal(answer.status, 403)
  t.match(await refusal(answer), { rule: 'account-unknown' })
  t.equal(answer.headers['set-cookie'], undefined)
})

t.test('another realm is let in where it is listed, after a reload', { skip }, async (t) => {
  const cache = await world.login(`alice@${otherRealm}`)
  const stranger = await show(await one(cache))
  t.equal(stranger.status, 403)
  t.match(await refusal(stranger), { rule: 'kerberos-realm' })
  const rules = [`RULE:[1:$1@$0](.*@OTHER\\.EXAMPLE)s/@.*//`, 'DEFAULT']
  const change = (more: object) =>
    world.gateway.configure((config) => {
      config.kerberos = { keytab: world.keytab, realm, services: [http, alias], ...more }
    })
  change({ realms: [otherRealm], rules })
  t.match(await world.gateway.reload(), { msg: 'the configuration was taken over' })
  const known = await show(await one(cache), '/data/closed/own')
  t.equal(known.status, 200)
  t.match(await world.gateway.auditOf(known), { principal: `alice@${otherRealm}`, user: 'alice@lab.example' })
  change({})
  await world.gateway.reload()
})

t.test('what is no ticket is refused, and NTLM by its name', { skip }, async (t) => {
  const ntlm = await show('TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKALpHAAAADw==')
  t.equal(ntlm.status, 401)
  t.match(await refusal(ntlm), { rule: 'kerberos-token', text: /NTLM/ })
  for (const token of ['', 'YWJj', 'oUMwQaADCgEC']) t.equal((await show(token)).status, 401, token)
  for (const token of ['***', 'YWJ', 'a'.repeat(5)]) t.equal((await show(token)).status, 400, token)
})

t.test('pages of others make no browser write with a ticket or its cookie', { skip }, async (t) => {
  const cookie = cookieOf(await show(await one(alice)))
  const put = (headers: Record<string, string>) =>
    world.gateway.request({ method: 'PUT', path: '/data/forged', headers, body: 'x' })
  t.equal((await put({ Cookie: cookie, 'Sec-Fetch-Site': 'cross-site' })).status, 403)
  t.equal((await put({ Cookie: cookie, 'Sec-Fetch-Site': 'same-site' })).status, 403)
  t.equal((await put({ Cookie: cookie, Origin: 'https://evil.example' })).status, 403)
  const Authorization = `Negotiate ${await one(alice)}`
  t.equal((await put({ Authorization, Origin: 'https://evil.example' })).status, 403)
  t.equal((await put({ Cookie: cookie, 'Sec-Fetch-Site': 'same-origin' })).status, 201)
  t.equal((await put({ Cookie: `${cookie}x` })).status, 401)
  t.equal((await put({ Cookie: `${cookie}; ${cookie}` })).status, 401, 'two of them are none')
})

t.test('a ban holds within two seconds for tickets and cookies, at all processes', { skip }, async (t) => {
  const { gateway } = world
  const bob = await world.login('bob')
  const cookie = cookieOf(await show(await one(bob)))
  const ask = () => gateway.get('/data/hello', undefined, { Cookie: cookie })
  for (let count = 0; count < 4; count++) t.equal((await ask()).status, 200)
  // Nobody reads it, so it does not come to an end by itself.
  const running = await gateway.open({ path: '/data/big', headers: { Cookie: cookie } })
  t.equal(running.statusCode, 200)
  const cut = once(running.socket, 'close', { signal: AbortSignal.timeout(10_000) })
  running.on('error', () => {})
  const name = `principal:bob@${realm}`
  const body = JSON.stringify({ name, note: 'test' })
  const banned = await gateway.request({
    method: 'POST',
    path: '/.portolan/api/v1/bans',
    user: 'admin',
    headers: { 'Content-Type': 'application/json' },
    body,
  })
  t.ok(banned.status < 300, banned.text)
  await sleep(2000)
  for (let count = 0; count < 4; count++) t.equal((await ask()).status, 401)
  const answer = await show(await one(bob))
  t.equal(answer.status, 403)
  t.match(await refusal(answer), { rule: 'revoked' })
  running.resume()
  await t.resolves(cut, 'what was under way ends within ten seconds')
  t.equal(running.complete, false)
})

t.test('two hundred tickets at once are all looked at', { skip }, async (t) => {
  const tokens = await tokensOf(world.kdc, alice, { count: 200 })
  const answers = await Promise.all(tokens.map((token) => show(token)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
})

t.test('a browser signs in with its ticket and has a session', { skip }, async (t) => {
  const { gateway } = world
  const page = await gateway.get('/.portolan/login?to=%2Fdata%2F', undefined, { Accept: 'text/html' })
  t.match(page.text, /Sign in with Kerberos/)
  const path = '/.portolan/login/kerberos?to=%2Fdata%2F'
  const asked = await gateway.get(path, undefined, { Accept: 'text/html' })
  t.equal(asked.status, 401)
  t.equal(asked.headers['www-authenticate'], 'Negotiate')
  t.match(asked.text, /no Kerberos ticket/)
  const entered = await show(await one(alice), path)
  t.equal(entered.status, 303)
  t.equal(entered.headers.location, '/data/')
  const set = entered.headers['set-cookie'] ?? []
  t.ok(
    set.some((each) => each.startsWith('portolan-ticket=; Path=/; Max-Age=0')),
    'no ticket shown before speaks beside it',
  )
  const session = set.find((each) => each.startsWith('portolan-session='))
  const Cookie = session?.split(';')[0] ?? ''
  t.equal((await gateway.get('/data/closed/own', undefined, { Cookie })).text, 'for alice alone\n')
  const me = await gateway.get('/.portolan/api/v1/whoami', undefined, { Cookie })
  t.match(me.json(), { id: `alice@${realm}`, user: 'alice@lab.example' })
  const fetched = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' }
  t.equal((await show(await one(alice), path, fetched)).status, 403, 'no picture in a page of others begins a session')
  const again = await show(await one(alice), '/.portolan/login/kerberos?to=%2F%2Fevil.example', { Cookie })
  t.equal(again.headers.location, '/')
  const hasEnded = async () => (await gateway.get('/data/closed/own', undefined, { Cookie })).status === 401
  await eventually(hasEnded, 2000, 'the session before has not ended')
  const next =
    (again.headers['set-cookie'] ?? []).find((each) => each.startsWith('portolan-session='))?.split(';')[0] ?? ''
  const leaving = await gateway.get('/.portolan/logout', undefined, { Cookie: next })
  const body = new URLSearchParams({ csrf: /name="csrf" value="([^"]+)"/.exec(leaving.text)?.[1] ?? '' }).toString()
  const headers = { Cookie: next, 'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Site': 'same-origin' }
  const left = await gateway.request({ method: 'POST', path: '/.portolan/logout', headers, body })
  const dropped = (left.headers['set-cookie'] ?? []).map((each) => each.split(';').slice(0, 3).join(';'))
  t.same(dropped, ['portolan-session=; Path=/; Max-Age=0', 'portolan-ticket=; Path=/; Max-Age=0'])
})

t.test('keys are changed under load, and old ones are good while the keytab holds them', { skip }, async (t) => {
  const { kdc, keytab } = world
  const before = await world.login('alice')
  await kdc.as(before, ['kvno', http])
  const [early, late] = [await tokensOf(kdc, before, { count: 60 }), await tokensOf(kdc, before, { count: 2 })]
  const load = (async () => {
    const answers: Answer[] = []
    for (const token of early) answers.push(await show(token))
    return answers.map(({ status }) => status)
  })()
  await kdc.addKey(http, keytab)
  give(keytab)
  const after = await world.login('alice')
  t.equal((await show(await one(after))).status, 200, 'a ticket for the new key')
  t.same(new Set(await load), new Set([200]), 'tickets for the old key')
  t.equal((await show(late[0] ?? '')).status, 200)
  const fresh = `${keytab}.new`
  await kdc.addKey(http, fresh)
  give(fresh)
  renameSync(fresh, keytab)
  const [newest] = await tokensOf(kdc, await world.login('alice'))
  t.equal((await show(newest ?? '')).status, 200, 'another file in its place counts at once')
  t.equal((await show(late[1] ?? '')).status, 401, 'and the old key is gone')
})

function cookieOf(answer: Answer): string {
  return answer.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
}

t.test('no ticket and no cookie is in a log', { skip }, async (t) => {
  const token = await one(alice).catch(() => '')
  const answer = await show(token)
  const cookie = cookieOf(answer).split('=')[1] ?? ''
  await world.gateway.auditOf(answer)
  const text = world.gateway.logText() + world.gateway.auditText()
  t.notOk(text.includes(token.slice(20, 80)))
  if (cookie !== '') t.notOk(text.includes(cookie))
})
