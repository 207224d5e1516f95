/** What administrators do for others, at the door of a whole gateway with two workers. */

import t from 'tap'
import { Browser } from './browser.ts'
import { startTestGateway } from './harness.ts'
import type { Json } from './http.ts'
import { named, password, type UserName } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  workers: 2,
  passwords: true,
})
const api = '/.portolan/api/v1'
const json = { 'Content-Type': 'application/json' }

async function ask(method: string, name: string, user: UserName, body?: object, token?: string) {
  const sent = body === undefined ? {} : { headers: json, body: JSON.stringify(body) }
  const answer = await gateway.request({ method, path: `${api}/${name}`, user, ...(token && { token }), ...sent })
  const told: Json = answer.text === '' ? undefined : answer.json()
  return { status: answer.status, told, answer }
}

async function signedIn(user: UserName): Promise<Browser> {
  const browser = new Browser(() => gateway.port)
  const answer = await browser.signInByPassword(user, password, '/lab/')
  if (answer.status !== 303) throw new Error(`${answer.status} ${answer.text}`)
  gateway.credentials.add(browser.cookies.get('portolan-session') ?? '')
  return browser
}

const idsOf = (entries: ReadonlyArray<{ readonly id: string }>) => entries.map(({ id }) => id)

t.test('sessions of others are told of in parts, by user, and ended; each look is written down', async (t) => {
  const browsers = [await signedIn('alice'), await signedIn('alice'), await signedIn('bob'), await signedIn('alice')]
  const own = await ask('GET', `sessions?user=${named('alice')}`, 'alice')
  t.equal(own.told.sessions.length, 3, 'her own')
  t.equal(own.told.next, undefined)
  const all = await ask('GET', 'sessions?all=true', 'admin')
  t.equal(all.told.sessions.length, 4)
  const ids: string[] = []
  let after = ''
  for (let part = 0; part < 4; part++) {
    const { told } = await ask('GET', `sessions?user=${named('alice')}&limit=1${after}`, 'admin')
    ids.push(...idsOf(told.sessions))
    after = `&after=${told.next}`
    if (told.next === undefined) break
  }
  t.same(ids, idsOf(own.told.sessions), 'the same ones in the same order')
  const refused = await ask('GET', 'sessions?all=true', 'bob')
  t.equal(refused.status, 403)
  t.match(await gateway.auditOf(refused.answer), {
    ...{ action: 'inspect', outcome: 'refused', user: named('bob'), about: 'sessions of all' },
    reason: { rule: 'administrator' },
  })
  t.match(await gateway.auditOf(all.answer), {
    action: 'inspect',
    outcome: 'ok',
    user: named('admin'),
    about: 'sessions of all',
  })
  t.equal((await ask('GET', `sessions?user=${named('alice')}`, 'bob')).status, 403)
  for (const query of ['limit=0', 'limit=1001', 'limit=x', 'after=1', 'after=.', 'all=yes', 'user=a&user=b', 'x=1']) {
    t.equal((await ask('GET', `sessions?${query}`, 'admin')).status, 400, query)
  }
  const [id = ''] = ids
  t.equal((await ask('DELETE', `sessions/${id}`, 'bob')).status, 404)
  const ended = await ask('DELETE', `sessions/${id}`, 'admin')
  t.equal(ended.status, 204)
  t.match(await gateway.auditOf(ended.answer), {
    ...{ action: 'revoke', outcome: 'ok', user: named('admin'), about: `session ${id}` },
    reason: { text: `session ${id} of ${named('alice')}` },
  })
  const last = browsers.at(-1)
  const isNobody = async () => (await last?.visit(`${api}/whoami`))?.json().user === null
  await eventually(isNobody, 2000, 'the session did not end')
})

t.test('keys, links and application passwords of others are listed by user, switched off and taken away', async (t) => {
  const key = await ask('POST', 's3-keys', 'alice', { name: 'laptop' })
  t.equal(key.status, 201, key.answer.text)
  gateway.credentials.add(key.told.secret)
  const bobs = await ask('POST', 's3-keys', 'bob', { name: 'laptop' })
  gateway.credentials.add(bobs.told.secret)
  const share = await ask('POST', 'shares', 'alice', { path: '/lab/alice/note.txt' })
  t.equal(share.status, 201, share.answer.text)
  const secret = await ask('POST', 'app-passwords', 'alice', { name: 'rclone' })
  gateway.credentials.add(secret.told.password)
  const cases = [
    ['s3-keys', 'keys', key.told.id],
    ['shares', 'shares', share.told.id],
    ['app-passwords', 'appPasswords', secret.told.id],
  ] as const
  for (const [name, member, id] of cases) {
    const { told } = await ask('GET', `${name}?user=${named('alice')}`, 'admin')
    t.same(idsOf(told[member]), [id], name)
    t.equal((await ask('GET', `${name}?user=${named('alice')}`, 'bob')).status, 403, name)
    t.same((await ask('GET', `${name}?user=nobody@example.org`, 'admin')).told[member], [], name)
    t.equal((await ask('GET', `${name}?all=true&limit=1`, 'admin')).told[member].length, 1, name)
  }
  t.equal((await ask('PUT', `s3-keys/${key.told.id}`, 'bob', { enabled: false })).status, 404)
  t.match((await ask('PUT', `s3-keys/${key.told.id}`, 'admin', { enabled: false })).told, { enabled: false })
  for (const [name, , id] of cases) {
    const refused = await ask('DELETE', `${name}/${id}`, 'bob')
    t.equal(refused.status, 404, name)
    t.match(await gateway.auditOf(refused.answer), {
      action: 'revoke',
      outcome: 'refused',
      user: named('bob'),
      about: new RegExp(id),
    })
    const done = await ask('DELETE', `${name}/${id}`, 'admin')
    t.equal(done.status, 204, name)
    const line = await gateway.auditOf(done.answer)
    t.match(line, { action: 'revoke', outcome: 'ok', user: named('admin') })
    t.match(JSON.stringify(line.reason), named('alice'), `${name}: on whom`)
  }
  t.equal((await ask('GET', 's3-keys?all=true', 'admin')).told.keys.length, 1)
})

t.test('a credential that was found is banned by what it is called', async (t) => {
  const found = await gateway.token('alice', { jti: 'lost-1' })
  const whoami = () => gateway.request({ path: `${api}/whoami`, token: found })
  t.equal((await whoami()).status, 200)
  t.equal((await ask('POST', 'revocations', 'bob', { token: found })).status, 403)
  const done = await ask('POST', 'revocations', 'admin', { token: found, note: 'in a log' })
  t.same(done.told, { name: `token:${gateway.issuer.issuer}|lost-1`, until: null })
  t.match(await gateway.auditOf(done.answer), { action: 'ban', outcome: 'ok', reason: { text: done.told.name } })
  await eventually(async () => (await whoami()).status === 403, 2000, 'the token is good still')
  const headers = { 'Content-Type': 'application/macaroon-request' }
  const asked = { method: 'POST', path: '/lab/alice', user: 'alice', headers, body: '{}' } as const
  const { macaroon } = (await gateway.request(asked)).json()
  gateway.credentials.add(macaroon)
  const second = await ask('POST', 'revocations', 'admin', { token: macaroon })
  t.match(second.told, { name: /^macaroon:[\w-]{16}$/, until: /^20/ })
  const note = () => gateway.request({ path: '/lab/alice/note.txt', token: macaroon })
  await eventually(async () => (await note()).status === 403, 2000, 'the macaroon is good still')
  const nameless = [
    await gateway.token('alice', { jti: undefined }),
    'rubbish',
    'a.b.c',
    'pw-aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    '',
  ]
  for (const token of nameless)
    t.equal((await ask('POST', 'revocations', 'admin', { token })).status, 400, token.slice(0, 9))
  const names = (told: Json) => told.bans.map(({ name }: { name: string }) => name)
  const whole = await ask('GET', 'bans', 'admin')
  t.ok(names(whole.told).includes(done.told.name))
  const parts: string[] = []
  for (let after: string | undefined; ; ) {
    const query = `limit=1${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`
    const { told } = await ask('GET', `bans?${query}`, 'admin')
    parts.push(...names(told))
    after = told.next
    if (after === undefined) break
  }
  t.same(parts, names(whole.told))
  const nobody = await gateway.request({ path: `${api}/bans` })
  t.equal(nobody.status, 401, 'he may be an administrator when he has signed in')
  t.ok(nobody.headers['www-authenticate'])
  const looked = await ask('GET', 'bans', 'bob')
  t.match(await gateway.auditOf(looked.answer), { action: 'inspect', outcome: 'refused', about: 'bans' })
})

t.test('an administrator is one by his group, until it is taken from the list', async (t) => {
  const list = () => ask('GET', 'sessions?all=true', 'carol')
  t.equal((await list()).status, 403)
  gateway.configure((config) => {
    config.administrators = [named('admin'), `group:${named('p01')}`]
  })
  t.equal((await gateway.reload()).msg, 'the configuration was taken over')
  t.equal((await list()).status, 200)
  t.match(
    (await ask('GET', 'whoami?explain=true', 'carol')).told.steps.find(
      ({ step }: { step: string }) => step === 'administrator',
    ),
    {
      text: /^by "group:p01@lab\.example"/,
    },
  )
  const bounded = await gateway.token('admin', { scope: 'storage.read:/' })
  t.equal((await ask('GET', 'sessions?all=true', 'admin', undefined, bounded)).status, 403, 'not with a capability')
  gateway.configure((config) => {
    config.administrators = [named('admin')]
  })
  await gateway.reload()
  t.equal((await list()).status, 403, 'at once')
  t.equal((await ask('GET', 'sessions?all=true', 'admin')).status, 200)
  gateway.configure((config) => {
    config.administrators = ['group:p01@other.example']
  })
  t.equal((await gateway.reload()).msg, 'bad configuration; the old one stays')
})

t.test('whoami tells each kind of credential how it came to its user', async (t) => {
  const browser = await signedIn('alice')
  const told = async (asked: Parameters<typeof gateway.request>[0]) => {
    const { steps } = (await gateway.request({ ...asked, path: `${api}/whoami?explain=true` })).json()
    return (steps as { step: string; text: string; passed: boolean }[]).map(({ step, text }) => `${step}: ${text}`)
  }
  const page = await browser.visit('/.portolan/whoami')
  t.equal(page.status, 200)
  t.match(page.text, /begun with a password/)
  t.match(page.text, /account alice of source 1 \(file\)/)
  t.match(await told({ path: '', user: 'alice' }), [/^credential: a bearer token/, /^form/])
  const basic = { Authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` }
  t.match(await told({ path: '', headers: basic }), [
    /^credential: a user name and a password/,
    /^account: account alice/,
  ])
  const made = await ask('POST', 'app-passwords', 'alice', { name: 'explained', allow: ['read'], path: '/lab/alice' })
  gateway.credentials.add(made.told.password)
  const app = { Authorization: `Basic ${Buffer.from(`alice:${made.told.password}`).toString('base64')}` }
  const steps = await told({ path: '', headers: app })
  t.match(steps[0], /^credential: application password [\w-]{16} of /)
  t.ok(
    steps.some((step) => /^bounds: may .*download "\/lab\/alice"/.test(step)),
    steps.join('\n'),
  )
  t.ok(steps.some((step) => /^expires: 20/.test(step)))
  const share = await ask('POST', 'shares', 'alice', { path: '/lab/alice/note.txt' })
  const link = new URL(share.told.url).searchParams.get('authz') ?? ''
  gateway.credentials.add(link)
  const guest = await gateway.request({ path: `${api}/whoami?explain=true`, token: link })
  t.match(guest.json(), { id: `share:${share.told.id}`, user: named('alice'), groups: [] })
  t.notOk(guest.text.includes(gateway.issuer.issuer), 'where and as whom its maker signs in is nothing to a guest')
  const path = encodeURIComponent('/lab/alice/note.txt')
  const why = await gateway.request({ path: `${api}/explain?action=read&path=${path}`, token: link })
  t.match(why.json(), { principal: { id: `share:${share.told.id}` }, allowed: true })
  t.same((await told({ path: '' }))[0], 'credential: none: without one only what is open to everyone is there')
  t.equal((await gateway.request({ path: `${api}/whoami?explain=maybe`, user: 'alice' })).status, 400)
})

t.test('no secret is in any log', async (t) => {
  const logs = gateway.auditText() + gateway.logText() + gateway.stderr
  for (const credential of gateway.credentials) t.notOk(logs.includes(credential), credential.slice(0, 4))
})
