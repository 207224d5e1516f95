/** No is no: what a refusal tells, what it does not, and what explain and the audit log say of it. */

import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Answer, Json, Sent } from './http.ts'
import { named, password, type UserName } from './people.ts'
import { everything, look, makeArchive, makeLab, makeOpen } from './tree.ts'

t.setTimeout(120_000)
const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        tree.file('alice/there', 'alice', 'secret')
        tree.directory('alice/inside', 'alice')
        tree.directory('closed', 'alice', [`D:fd:${named('bob')}:${everything}`, `A:fd:EVERYONE@:${look}`])
        tree.file('closed/file', 'alice', 'not for bob')
        tree.file('shown', 'alice', 'look only', [`A::OWNER@:${everything}`, 'A::EVERYONE@:tcy'])
        symlinkSync('shown', join(top, 'link'))
      },
    },
    { path: '/lab/archive', make: (top) => void makeArchive(top), more: { readOnly: true } },
    { path: '/open', make: (top) => void makeOpen(top), more: { anonymous: true } },
  ],
  passwords: true,
})

/** What an answer tells, without what differs between any two answers: time, call id, and the name asked for. */
function told({ status, headers, text }: Answer, name: string): unknown {
  const { date: _, 'x-request-id': id, ...rest } = headers
  const names = [name, encodeURIComponent(name), ...(name.includes('/') ? [name.split('/')[0] ?? name] : [])]
  const general = (value: string) =>
    names.reduce((shorter, each) => shorter.replaceAll(each, 'NAME'), value.replaceAll(String(id), 'ID'))
  // The length of the name shows in the length of the answer, which therefore tells nothing.
  const { 'content-length': __, ...others } = rest
  return { status, headers: JSON.parse(general(JSON.stringify(others))), text: general(text) }
}

t.test('who may not look gets one answer for what is there and what is not', async (t) => {
  const requests: ReadonlyArray<Omit<Sent, 'path'>> = [
    { method: 'GET' },
    { method: 'GET', headers: { Accept: 'text/html' } },
    { method: 'GET', headers: { Range: 'bytes=0-1' } },
    { method: 'GET', headers: { 'If-None-Match': '*' } },
    { method: 'GET', headers: { 'If-Match': '"x"' } },
    { method: 'HEAD' },
    { method: 'PUT', body: 'x' },
    { method: 'PUT', body: 'x', headers: { 'If-None-Match': '*' } },
    { method: 'PUT', body: 'x', headers: { 'If-Match': '"x"' } },
    { method: 'DELETE' },
    { method: 'DELETE', headers: { 'If-Match': '"x"' } },
  ]
  const scoped = await gateway.token('alice', { scope: 'storage.read:/lab/p01' })
  const callers: ReadonlyArray<readonly [string, { readonly user?: UserName; readonly token?: string }, number]> = [
    ['bob', { user: 'bob' }, 403],
    ['a token for elsewhere', { token: scoped }, 403],
    ['nobody', {}, 401],
  ]
  for (const [who, caller, status] of callers) {
    for (const request of requests) {
      const what = `${who}: ${request.method} ${JSON.stringify(request.headers ?? {})}`
      // Of one depth each: the page of a refusal leads to the folder, which the name alone tells.
      for (const names of [
        ['there', 'inside', 'missing'],
        ['inside/x', 'there/x', 'absent/x'],
      ]) {
        const seen: unknown[] = []
        for (const name of names) {
          const answer = await gateway.request({ ...request, ...caller, path: `/lab/alice/${name}` })
          t.equal(answer.status, status, `${what} on ${name}`)
          seen.push(told(answer, name))
        }
        const [first, ...others] = seen.map((each) => JSON.stringify(each))
        for (const other of others) t.equal(other, first, `${what}: the same answer`)
      }
    }
    for (const api of ['acl', 'rights', 'usage', 'explain']) {
      const path = (name: string) => `/.portolan/api/v1/${api}?path=/lab/alice/${name}`
      const existing = told(await gateway.request({ ...caller, path: path('there') }), 'there')
      const missing = told(await gateway.request({ ...caller, path: path('missing') }), 'missing')
      t.same(existing, missing, `${who}: ${api} tells no more`)
    }
  }
})

interface Refusal {
  readonly what: string
  readonly user?: UserName
  readonly scope?: string
  readonly method?: string
  readonly path: string
  readonly status: number
  /** Which check says no, and its rule. */
  readonly check: string
  readonly rule: string
}

const refusals: readonly Refusal[] = [
  { what: 'no entry allows it', user: 'bob', path: '/lab/shown', status: 403, check: 'acl', rule: 'not-granted' },
  {
    what: 'an entry denies it',
    user: 'bob',
    path: '/lab/closed/file',
    status: 403,
    check: 'traverse',
    rule: 'traverse',
  },
  {
    what: 'the way is closed',
    user: 'bob',
    path: '/lab/alice/inside/x',
    status: 403,
    check: 'traverse',
    rule: 'traverse',
  },
  {
    what: 'no scope covers the path',
    user: 'alice',
    scope: 'storage.read:/lab/p01',
    path: '/lab/alice/there',
    status: 403,
    check: 'scope',
    rule: 'scope',
  },
  {
    what: 'the scope is for reading',
    user: 'alice',
    scope: 'storage.read:/',
    method: 'DELETE',
    path: '/lab/alice/there',
    status: 403,
    check: 'scope',
    rule: 'scope',
  },
  {
    what: 'the mount is read-only',
    user: 'alice',
    method: 'PUT',
    path: '/lab/archive/new',
    status: 403,
    check: 'mount',
    rule: 'read-only',
  },
  {
    what: 'a directory between mounts',
    user: 'alice',
    method: 'PUT',
    path: '/new',
    status: 403,
    check: 'mount',
    rule: 'read-only',
  },
  { what: 'nobody is calling', path: '/lab/alice/there', status: 401, check: 'credential', rule: 'anonymous' },
]

t.test('a refusal gives no reason but leads to explain, which does', async (t) => {
  for (const { what, user, scope, method = 'GET', path, status, check, rule } of refusals) {
    const token = user && scope ? await gateway.token(user, { scope }) : undefined
    const caller = { ...(user && { user }), ...(token && { token }) }
    const answer = await gateway.request({ method, path, ...caller, ...(method === 'PUT' && { body: 'x' }) })
    t.equal(answer.status, status, what)
    const problem = answer.json()
    t.match(answer.headers['content-type'], 'application/problem+json', `${what}: a problem document`)
    const keys = ['type', 'title', 'status', 'code', 'call', 'explain']
    t.same(Object.keys(problem).toSorted(), keys.toSorted(), `${what}: nothing else in it`)
    t.equal(problem.status, status)
    t.equal(problem.call, answer.headers['x-request-id'], `${what}: the call is named`)
    t.notMatch(answer.text, /OWNER@|EVERYONE@|traverse|scope for/, `${what}: no reason`)
    const link = new URL(problem.explain)
    t.equal(link.origin, gateway.url, `${what}: explain is here`)
    const explained = (await gateway.request({ path: link.pathname + link.search, ...caller })).json()
    t.equal(explained.allowed, false, `${what}: explained as refused`)
    t.equal(explained.path, path)
    const step = explained.steps.find(({ allowed }: Json) => allowed === false)
    t.same([step?.check, step?.reason.rule], [check, rule], `${what}: the step that said no`)
    t.equal(typeof step?.reason.text, 'string')
    const line = await gateway.auditOf(answer)
    t.equal(line.outcome, 'refused', `${what}: in the audit log`)
    if (check !== 'credential') t.equal((line.reason as Json)?.rule, rule, `${what}: with its rule`)
  }
})

t.test('an administrator may ask about others and see the entry, nobody else', async (t) => {
  const query = { path: '/lab/closed', action: 'list', user: 'bob' }
  const { status, json } = await gateway.api('explain', query, 'admin')
  t.equal(status, 200)
  const explained = json()
  t.equal(explained.allowed, false)
  t.equal(explained.principal.user, named('bob'))
  const step = explained.steps.find(({ allowed }: Json) => allowed === false)
  t.equal(step.reason.ace, 0, 'by its index')
  t.match(step.reason.text, `D:fd:${named('bob')}:`, 'and its text')
  t.equal((await gateway.api('explain', query, 'alice')).status, 403)
  t.equal((await gateway.api('explain', { ...query, user: 'nosuch' }, 'alice')).status, 403, 'for whoever it is')
  const own = (await gateway.api('explain', { path: '/lab/alice/there', action: 'read' }, 'bob')).json()
  t.notMatch(JSON.stringify(own), 'OWNER@', 'bob does not learn whom the ACL names')
})

t.test('a link is not followed, an unreadable ACL is a refusal', async (t) => {
  const listed = (await gateway.get('/lab/', 'alice', { Accept: 'application/json' })).json().entries
  t.match(
    listed.find(({ name }: Json) => name === 'link'),
    { type: 'symlink' },
  )
  t.equal((await gateway.get('/lab/link', 'alice')).status, 403)
  t.equal((await gateway.put('/lab/link', 'alice', 'x')).status, 403)
  t.equal((await gateway.get('/lab/shown', 'alice')).text, 'look only')
})

t.test('every call leaves one line, and no line holds a credential', async (t) => {
  const basic = (user: string, secret: string) => ({
    Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
  })
  gateway.credentials.add('a-wrong-password').add(basic('alice', password).Authorization.slice(6))
  gateway.credentials.add(basic('alice', 'a-wrong-password').Authorization.slice(6))
  const token = await gateway.standingToken('alice')
  const expired = await gateway.token('alice', { iat: 1, nbf: 1, exp: 2 })
  interface Expected {
    readonly sent: Sent & { readonly user?: UserName }
    readonly status: number
    readonly line: Json
  }
  const user = named('alice')
  const calls: readonly Expected[] = [
    {
      sent: { path: '/lab/alice/there', user: 'alice' },
      status: 200,
      line: { action: 'read', outcome: 'ok', user, bytes: 6, path: '/lab/alice/there', door: 'http' },
    },
    {
      sent: { path: '/lab/alice/there', user: 'alice', headers: { Range: 'bytes=0-1' } },
      status: 206,
      line: { action: 'read', outcome: 'ok', bytes: 2 },
    },
    { sent: { path: '/lab/alice/', user: 'alice' }, status: 200, line: { action: 'list', outcome: 'ok', user } },
    {
      sent: { method: 'PUT', path: '/lab/alice/n', user: 'alice', body: 'four' },
      status: 201,
      line: { action: 'create', outcome: 'ok', bytes: 4, path: '/lab/alice/n' },
    },
    {
      sent: { method: 'PUT', path: '/lab/alice/n', user: 'alice', body: 'fours' },
      status: 204,
      line: { action: 'replace', outcome: 'ok', bytes: 5 },
    },
    {
      sent: { method: 'DELETE', path: '/lab/alice/n', user: 'alice' },
      status: 204,
      line: { action: 'remove', outcome: 'ok' },
    },
    {
      sent: { path: '/lab/alice/none', user: 'alice' },
      status: 404,
      line: { action: 'read', outcome: 'failed', code: 'not-found' },
    },
    {
      sent: { path: '/lab/alice/there', user: 'bob' },
      status: 403,
      line: {
        action: 'read',
        outcome: 'refused',
        code: 'denied',
        user: named('bob'),
        reason: { rule: 'traverse', path: '/lab/alice' },
      },
    },
    {
      sent: { path: '/lab/alice/there' },
      status: 401,
      line: { outcome: 'refused', code: 'unauthenticated', user: null },
    },
    { sent: { path: '/open/readme.txt' }, status: 200, line: { outcome: 'ok', user: null, bytes: 7 } },
    {
      sent: { path: '/lab/alice/there', headers: basic('alice', password) },
      status: 200,
      line: { outcome: 'ok', user },
    },
    {
      sent: { path: '/lab/alice/there', headers: basic('alice', 'a-wrong-password') },
      status: 401,
      line: { action: 'authenticate', outcome: 'refused' },
    },
    {
      sent: { path: '/lab/alice/there', headers: { Authorization: `Bearer ${expired}` } },
      status: 401,
      line: { action: 'authenticate', outcome: 'refused', reason: { rule: 'token-expired' } },
    },
    { sent: { path: `/lab/alice/there?access_token=${token}` }, status: 401, line: { outcome: 'refused' } },
    {
      sent: { path: `/lab/alice/there?authz=${token}&password=${password}`, user: 'alice' },
      status: 400,
      line: { outcome: 'refused' },
    },
    {
      sent: { path: '/.portolan/api/v1/acl?path=/lab/alice/there', user: 'alice' },
      status: 200,
      line: { action: 'read-acl', outcome: 'ok', door: 'api' },
    },
    {
      sent: { path: '/.portolan/api/v1/explain?path=/lab/alice/there&action=read', user: 'bob' },
      status: 200,
      line: { action: 'explain', outcome: 'ok' },
    },
  ]
  for (const { sent, status, line } of calls) {
    const shown = `${sent.method ?? 'GET'} ${sent.path.replace(/=ey[^&]*/, '=TOKEN')} as ${sent.user ?? Object.keys(sent.headers ?? {}).join() ?? 'nobody'}`
    const answer = await gateway.request(sent)
    t.equal(answer.status, status, shown)
    const written = await gateway.auditOf(answer).catch((error: Error) => ({ error: error.message }))
    t.match(written, line, `${shown}: its line`)
    t.match(
      written,
      { time: String, call: String, principal: String, from: '127.0.0.1', ms: Number },
      `${shown}: and all of it`,
    )
  }
  await gateway.stop()
  const lines = gateway
    .auditText()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Json)
  const counts = Map.groupBy(lines, ({ call }) => call)
  t.ok(
    [...counts.values()].every((same) => same.length === 1),
    'one line a call',
  )
  for (const credential of gateway.credentials) {
    const [, , signature = credential] = credential.split('.')
    for (const [what, text] of [
      ['audit', gateway.auditText()],
      ['log', gateway.logText()],
      ['standard error', gateway.stderr],
    ] as const) {
      t.notOk(text.includes(credential) || text.includes(signature), `the ${what} holds no ${credential.slice(0, 8)}…`)
    }
  }
})
