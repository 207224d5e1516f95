/** explain and the rights of everybody over HTTP: how much, to whom, how often. */

import t from 'tap'
import type { Identity } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { Pacing } from '../../gateway/api/pace.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { HttpError } from '../../gateway/http/errors.ts'
import type { Exchange } from '../../gateway/http/exchange.ts'
import { accept, pageOf } from '../web/world.ts'
import { ace, aclOf, alice, ask, callOf, identity, looking, openDoor, person, store } from './door.ts'

const api = '/.portolan/api/v1'
const page = '/.portolan/explain'

/** Accounts alice, bob and a crowd; bob2 is banned. */
function crowd(size: number): Identity {
  async function* principals(): AsyncIterable<Principal> {
    yield person('alice')
    yield person('bob')
    yield person('bob2')
    for (let number = 0; number < size; number++) yield person(`user${number}`)
  }
  return {
    ...identity,
    people: () => ({ principals: principals(), unlisted: ['source 2 (system)'] }),
    isRevoked: ({ user }) => user === 'bob2@desy.de',
  }
}

/** Status and time to wait of a refusal. */
function waitOf(spend: () => void): unknown {
  try {
    spend()
  } catch (error) {
    if (error instanceof HttpError) return [error.status, error.retryAfter]
    throw error
  }
  return 'not refused'
}

t.test('whoever asks too often waits, and nobody else does', async (t) => {
  let now = 0
  const pacing = new Pacing({ perMinute: 60, now: () => now })
  const by = (from: string, principal = alice) => ({ from, principal }) as unknown as Exchange
  for (let count = 0; count < 60; count++) pacing.spendCaller(by('192.0.2.1'))
  t.match(
    waitOf(() => pacing.spendCaller(by('192.0.2.2'))),
    [429, 1],
    'wherever from',
  )
  pacing.spendCaller(by('192.0.2.1', person('bob')))
  now += 1000
  pacing.spendCaller(by('192.0.2.1'))
  t.same(
    waitOf(() => pacing.spendCaller(by('192.0.2.1'), 10)),
    [429, 10],
  )
  now += 3_600_000
  pacing.spendCaller(by('192.0.2.1'), 1000)
  t.throws(() => pacing.spendCaller(by('192.0.2.1')), { code: 'busy' }, 'a dear one takes a minute of them')
  for (let count = 0; count < 480; count++) pacing.spendAddress(by('2001:db8::1'))
  t.throws(() => pacing.spendAddress(by('2001:db8::1')), { code: 'busy' })
  t.throws(() => pacing.spendAddress(by('2001:db8::2')), { code: 'busy' }, 'a network of IPv6 is one')
  pacing.spendAddress(by('2001:db8:0:1::1'))
})

t.test('questions beyond the limit are answered by 429 and when to ask again', async (t) => {
  const { port, storage } = await openDoor(t, { explainPerMinute: 3 })
  await store(storage, '/data/a', 'x')
  const question = `${api}/explain?path=/data/a&action=read`
  const statuses: number[] = []
  for (let count = 0; count < 5; count++) statuses.push((await ask(port, 'GET', question, { as: 'alice' })).status)
  t.same(statuses, [200, 200, 200, 429, 429])
  const answer = await ask(port, 'GET', question, { as: 'alice' })
  t.match(answer.headers['retry-after'], /^(1\d|20)$/)
  t.match(JSON.parse(answer.text), { code: 'busy', status: 429 })
  t.equal((await ask(port, 'GET', question, { as: 'bob' })).status, 200, 'bob may')
  const shown = await pageOf(port, `${page}?path=/data/a&action=read`, 'alice')
  t.equal(shown.status, 429)
  t.equal((await ask(port, 'GET', `${api}/whoami?explain=true`, { as: 'alice' })).status, 429, 'nor how he got in')
  t.equal((await ask(port, 'GET', `${api}/whoami`, { as: 'alice' })).status, 200)
  t.equal((await ask(port, 'GET', '/data/a', { as: 'alice' })).status, 200, 'everything else goes on')
  // Whoever has no credential, or a bad one, is counted by address: 8 times as much.
  let status = 200
  let count = 0
  for (; status === 200 && count < 60; count++) {
    status = (await ask(port, 'GET', question, count % 2 ? { as: 'expired' } : {})).status
  }
  t.equal(status, 429, `after ${count} questions`)
  t.ok(count > 10, `${count} questions`)
})

t.test('the anonymous cause no call to a storage', async (t) => {
  const calls: string[] = []
  const { port, storage, backend } = await openDoor(t)
  await store(storage, '/data/a', 'x')
  const walk = backend.walk.bind(backend)
  backend.walk = (...args) => {
    calls.push('walk')
    return walk(...args)
  }
  for (const place of [`${api}/explain`, page]) {
    for (const path of ['/data/a', '/data/none', '/data', '/']) {
      const { status } = await ask(port, 'GET', `${place}?path=${path}&action=read`, { headers: { accept } })
      t.equal(status, 200)
    }
  }
  t.same(calls, [])
  t.equal((await ask(port, 'GET', `${api}/acl/effective?path=/data/a`)).status, 501, 'and there are no accounts')
  const told = JSON.parse((await ask(port, 'GET', `${api}/explain?path=/data/a`)).text)
  t.match(told, { allowed: 'unknown', principal: { user: null }, advice: /Sign in/ })
})

t.test('everybody who may is listed, with the entry, to who may read the ACL', async (t) => {
  const acl = aclOf(ace({ user: 'bob2@desy.de' }, looking), ace({ user: 'bob@desy.de' }, looking))
  const { port, storage } = await openDoor(t, { acl, identity: crowd(300) })
  await store(storage, '/data/a', 'x')
  const question = (more: string, as: string) => ask(port, 'GET', `${api}/acl/effective?path=/data/a${more}`, { as })
  const answer = await question('', 'alice')
  t.equal(answer.status, 200, answer.text)
  const told = JSON.parse(answer.text)
  t.match(told, { path: '/data/a', action: 'read', type: 'file', owner: 'alice@desy.de', exact: true, complete: true })
  t.equal(told.lookedAt, 303)
  t.same(
    told.users.map(({ user }: { user: string }) => user),
    ['alice@desy.de', 'bob@desy.de'],
  )
  t.match(told.users[1], { allowed: true, rule: 'ace', ace: 2, path: '/data/a', text: /A:.*:bob@desy\.de:/ })
  t.ok(told.notes.some((note: string) => note.includes('source 2 (system)')))
  const all = JSON.parse((await question('&all=true', 'bob')).text)
  t.equal(all.users.length, 303)
  t.match(all.users[2], { user: 'bob2@desy.de', allowed: false, rule: 'revoked' })
  t.equal((await question('&action=remove', 'admin')).status, 200)
  for (const [more, as, status] of [
    ['', 'reader', 403],
    ['&all=yes', 'alice', 400],
    ['&action=fly', 'alice', 400],
    ['&path=/data/b', 'alice', 400],
  ] as const) {
    t.equal((await question(more, as)).status, status, `${more} as ${as}`)
  }
  t.equal((await ask(port, 'GET', `${api}/acl/effective?path=/data/a`)).status, 401)
})

t.test('there is an end to a long list, and it is said', async (t) => {
  const { port, storage } = await openDoor(t, { identity: crowd(12_000) })
  await store(storage, '/data/a', 'x')
  const { text } = await ask(port, 'GET', `${api}/acl/effective?path=/data/a`, { as: 'alice' })
  const told = JSON.parse(text)
  t.equal(told.users.length, 10_000)
  t.equal(told.complete, false)
  t.match(told.notes[0], 'more users')
})

t.test('the page tells the same, and a refusal leads to it', async (t) => {
  const { port, storage } = await openDoor(t, { acl: aclOf(ace({ user: 'bob@desy.de' }, 0xa0)) })
  await storage.mkdir(callOf(alice), parsePath('/data/dir'))
  await store(storage, '/data/dir/a <b>"c', 'x')
  const refused = await pageOf(port, '/data/dir/a%20%3Cb%3E%22c', 'bob')
  const [, link = ''] = /href="http:\/\/localhost([^"]+)">Ask why/.exec(refused.text) ?? []
  t.match(link, '/.portolan/explain?path=')
  const told = await pageOf(port, link.replaceAll('&amp;', '&'), 'bob')
  t.equal(told.status, 200)
  t.same(told.barriers, [])
  t.match(told.text, 'bob@desy.de may not read /data/dir/a &lt;b&gt;&quot;c')
  t.notMatch(told.text, /<b>/)
  t.match(told.text, /Ask alice@desy\.de, the owner of/)
  t.match(told.text, '<form method="get" action="explain">')
  t.notMatch(told.text, 'name="user"', 'others are for administrators')
  t.notMatch(told.text, /<script|onclick|javascript:/i)
  t.match(told.headers['content-security-policy'], /default-src 'none'/)
  t.match(told.headers['cache-control'], 'no-store')
  const about = await pageOf(port, `${page}?path=/data/dir&action=list&user=bob`, 'admin')
  t.match(about.text, /bob@desy\.de may not list/)
  t.match(about.text, 'name="user"')
  t.equal((await pageOf(port, `${page}?path=/data/dir&action=list&user=bob`, 'alice')).status, 403)
  t.equal((await pageOf(port, `${page}?path=/data/dir&action=list&user=`, 'alice')).status, 200, 'an empty field')
})

t.test('the page is there without a question, and says what is wrong with one', async (t) => {
  const { port } = await openDoor(t)
  const empty = await pageOf(port, page, 'alice')
  t.equal(empty.status, 200)
  t.same(empty.barriers, [])
  for (const query of ['path=data', 'path=/a&action=fly', 'path=', 'path=/a/../b']) {
    const answer = await pageOf(port, `${page}?${query}`, 'alice')
    t.equal(answer.status, 400, query)
    t.match(answer.text, 'role="alert"', query)
  }
  const expired = await pageOf(port, `${page}?path=/data&action=list`, 'expired')
  t.equal(expired.status, 200)
  t.match(expired.text, /refused by token-expired/)
  t.equal((await pageOf(port, page, 'expired')).status, 401)
  const unknown = await pageOf(port, `${page}?path=/data&action=list`)
  t.match(unknown.text, /may or may not list/)
})

t.test('whom an administrator asks about is written down, and a banned one is told as such', async (t) => {
  const { port, audit } = await openDoor(t, {
    identity: { ...crowd(0), isRevoked: ({ user }) => user === 'bob@desy.de' },
  })
  const about = (user: string, as = 'admin') =>
    ask(port, 'GET', `${api}/explain?path=/data&action=list&user=${user}`, { as })
  t.match(JSON.parse((await about('alice')).text), { allowed: true })
  t.match(audit.records.at(-1), { action: 'explain', user: 'admin@desy.de', about: 'alice@desy.de', outcome: 'ok' })
  const told = JSON.parse((await about('bob')).text)
  t.match(told, { allowed: false, steps: [{ check: 'credential', reason: { rule: 'revoked' } }], advice: /ban/ })
})
