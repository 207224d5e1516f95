/** Macaroons in URLs and cookies at the door, and what is never told of them. */

import t from 'tap'
import type { Credential, Identity } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { redactTarget } from '../../gateway/http/redact.ts'
import { ask, identity, openDoor, person, store } from './door.ts'

const path = parsePath('/data/dir')

/** `guest` opens /data/dir for a minute, `long` fits into no cookie, `gone` is revoked while it is used. */
function guests(revoked = new Set<string>()): Identity {
  const macaroons: Readonly<Record<string, string>> = { guest: 'guest', gone: 'gone', ['x'.repeat(4000)]: 'long' }
  return {
    ...identity,
    async authenticate(credential: Credential) {
      const text = credential.kind === 'bearer' ? credential.token.reveal() : ''
      const name = macaroons[text]
      if (name === undefined) return identity.authenticate(credential)
      if (revoked.has(name))
        throw new StorageError('denied', 'revoked', { reason: { rule: 'revoked', text: 'revoked' } })
      const kinds = ['look', 'list', 'download', 'upload'] as const
      return person('alice', {
        id: `test|alice#share:${name}`,
        grants: kinds.map((kind) => ({ kind, path, directoryOnly: false })),
        expires: Date.now() / 1000 + 60,
        macaroon: new Secret(text),
      })
    },
  }
}

const html = { accept: 'text/html' }

t.test('over TLS the cookie is one that nobody else can set', async (t) => {
  const { port, storage } = await openDoor(t, { identity: guests(), publicUrl: 'https://localhost' })
  await store(storage, '/data/dir', 'x')
  const answer = await ask(port, 'GET', '/data/dir?authz=guest', { headers: html })
  t.equal(answer.status, 303)
  t.match(answer.headers['set-cookie'], [
    /^__Secure-portolan-link=guest; Path=\/data\/dir; Max-Age=\d\d; HttpOnly; SameSite=Lax; Secure$/,
  ])
  const with_ = (cookie: string) => ask(port, 'GET', '/data/dir', { headers: { cookie } })
  t.equal((await with_('__Secure-portolan-link=guest')).text, 'x')
  t.match(await with_('portolan-link=guest'), { status: 200 }, 'as anybody may look here')
})

t.test('only a navigation is sent on; where no cookie can hold it the answer is given at once', async (t) => {
  const { port, storage } = await openDoor(t, { identity: guests() })
  await store(storage, '/data/dir', 'x')
  const get = async (query: string, headers: Record<string, string>) =>
    (await ask(port, 'GET', `/data/dir?${query}`, { headers })).status
  t.equal(await get('authz=guest', { ...html, 'sec-fetch-mode': 'cors' }), 200)
  t.equal(await get('authz=guest', { accept: '*/*', 'sec-fetch-mode': 'navigate' }), 303)
  t.equal(await get('authz=guest', {}), 200)
  t.equal(await get(`authz=${'x'.repeat(4000)}`, html), 200)
  t.equal((await ask(port, 'HEAD', '/data/dir?authz=guest', { headers: html })).status, 200)
})

t.test('a macaroon in the URL is one under whatever spelling, and never two', async (t) => {
  const { port, storage } = await openDoor(t, { identity: guests(), mount: { anonymous: false } })
  await store(storage, '/data/dir', 'x')
  const get = async (query: string, as?: string) =>
    (await ask(port, 'GET', `/data/dir?${query}`, { ...(as !== undefined && { as }) })).status
  const cases: readonly (readonly [string, number])[] = [
    ['authz=guest', 200],
    ['%61uthz=guest', 200],
    ['authz=Bearer%20guest', 200],
    ['authz=Bearer+guest', 200],
    ['download&authz=guest', 200],
    ['authz=guest&authz=guest', 400],
    ['authz=guest&%61uthz=guest', 400],
    ['authz=', 401],
    ['authz=a.b.c', 401],
    ['authz=%00', 401],
    ['authz=Basic%20abc', 401],
    ['authz', 401],
    ['AUTHZ=guest', 401],
    ['', 401],
  ]
  for (const [query, status] of cases) t.equal(await get(query), status, query)
  t.equal(await get('authz=guest', 'alice'), 400, 'nor one beside a header')
})

t.test('a clean URL is one of ours', async (t) => {
  const { port, storage } = await openDoor(t, { identity: guests() })
  await store(storage, '/data/dir', 'x')
  for (const [target, status, location] of [
    ['//evil.example/?authz=guest', 400, undefined],
    ['//evil.example/data/dir?authz=guest', 400, undefined],
    ['/%2fevil.example/?authz=guest', 400, undefined],
    ['/\\evil.example/?authz=guest', 303, '/%5Cevil.example/'],
    ['http://localhost//evil.example?authz=guest', 400, undefined],
    ['http://localhost/data/dir?authz=guest', 303, '/data/dir'],
    ['http://evil.example/data/dir?authz=guest', 421, undefined],
    ['/data/dir?next=//evil.example&authz=guest&sort=name', 303, '/data/dir?next=//evil.example&sort=name'],
    ['/data/dir??authz=guest', 303, '/data/dir'],
    ['/?authz=guest', 303, '/'],
  ] as const) {
    const answer = await ask(port, 'GET', target, { headers: { ...html, 'sec-fetch-mode': 'navigate' } })
    t.same([answer.status, answer.headers.location], [status, location], target)
    t.equal(answer.headers['referrer-policy'], 'no-referrer', target)
    t.match(answer.headers['cache-control'], /no-store/, target)
  }
})

t.test('what a link opens is kept by no cache that others share', async (t) => {
  const { port, storage } = await openDoor(t, { identity: guests(), mount: { anonymous: false } })
  await store(storage, '/data/dir', 'x')
  for (const method of ['GET', 'HEAD']) {
    for (const sent of [{ target: '/data/dir?authz=guest' }, { target: '/data/dir', cookie: 'portolan-link=guest' }]) {
      const { target, cookie } = { cookie: '', ...sent }
      const answer = await ask(port, method, target, { headers: { cookie } })
      t.match(answer, { status: 200, headers: { 'cache-control': /private|no-store/ } }, `${method} ${target}`)
    }
  }
})

t.test('logs show neither, however it is written', async (t) => {
  for (const target of [
    ...[
      '/a?authz=SECRET',
      '/a?x=1&%61uthz=SECRET',
      '/a?authz=Bearer%20SECRET',
      '/a?Authz=SECRET#y',
      '/a??authz=SECRET',
    ],
    ...['/a?x=1;authz=SECRET', '/a?authz+=SECRET', '/a?authz=x&authz=SECRET', '/a?%61%75%74%68%7a=SECRET'],
    ...['http://u:SECRET@h/a?x', '/a?#authz=SECRET'],
  ]) {
    t.notMatch(redactTarget(target), /SECRET/, target)
  }
  const { port, storage, lines, audit } = await openDoor(t, { identity: guests() })
  await store(storage, '/data/dir', 'x')
  await ask(port, 'GET', '/data/dir?authz=guest', { headers: { cookie: 'portolan-link=guest' } })
  await ask(port, 'GET', '/data/dir', { headers: { cookie: 'portolan-link=SECRET' } })
  for (const query of [
    'authz=SECRET',
    'authz=SECRET&authz=SECRET',
    'authz=SE.CRET',
    '%61uthz=SECRET',
    '?authz=SECRET',
  ]) {
    const answer = await ask(port, 'GET', `/data/none?${query}`, { headers: html })
    t.notMatch(answer.text + JSON.stringify(answer.headers), /SE\.?CRET/, query)
  }
  t.notMatch(JSON.stringify([lines, audit.records]), /authz=guest|SE\.?CRET/)
})

t.test('on one connection one caller is never taken for another', async (t) => {
  const { port, storage, audit } = await openDoor(t, { identity: guests() })
  await store(storage, '/data/dir', 'x')
  const { Agent } = await import('node:http')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const get = (target: string, options = {}) => ask(port, 'GET', target, { agent, ...options })
  await get('/data/dir')
  await get('/data/dir?authz=guest')
  await get('/data/dir', { headers: { cookie: 'portolan-link=guest' } })
  await get('/data/dir', { as: 'bob' })
  await get('/data/dir')
  const callers = audit.records.slice(-5).map(({ principal }) => principal)
  const guest = 'test|alice#share:guest'
  t.same(callers, ['anonymous', guest, guest, 'test|bob', 'anonymous'])
})
