/** Tokens through the door: what a credential opens, and what it does not. */

import { createHmac, createPublicKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { audience, type Claims, issuerUrl, startTestGateway } from './harness.ts'
import { named } from './people.ts'
import { eventually } from './processes.ts'
import { everything, Guarded, look } from './tree.ts'

/** The area of the issuer: everything alice's, who is its account, and one file of the group p01. */
function makeArea(top: string): void {
  const tree = new Guarded(top)
  tree.directory('', 'alice', [`A:fd:OWNER@:${everything}`, `A::EVERYONE@:${look}`])
  for (const name of ['foo', 'd', 't', 'free']) tree.directory(name, 'alice')
  for (const name of ['a', 'foobar', 'bar', 'foo/x', 'd/x', 't/f']) tree.file(name, 'alice', `content of ${name}`)
  tree.file('group', 'alice', 'for p01', [`A::OWNER@:${everything}`, `A:g:${named('p01')}:${look}`])
}

t.setTimeout(120_000)
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/vo', make: makeArea, more: { createParents: true } }],
  basePath: '/vo',
  more: {
    mapping: [
      { issuer: 'lab-issuer', subject: 'bob', account: 'bob' },
      { issuer: 'lab-issuer', subject: 'twice', account: 'bob' },
      { issuer: 'lab-issuer', subject: 'twice', account: 'carol' },
      { issuer: 'lab-issuer', group: '/vo', joins: 'p01' },
    ],
  },
})

const now = () => Math.floor(Date.now() / 1000)
const holder = 'somebody'

t.test('scopes bound what a token opens', async (t) => {
  const token = (claims: Claims) => gateway.token('alice', { sub: holder, ...claims })
  interface Vector {
    readonly id: string
    readonly claims: Claims
    readonly method?: string
    readonly path: string
    readonly statuses: readonly number[]
  }
  const vectors: readonly Vector[] = [
    { id: 'K01', claims: { scope: 'storage.read:/' }, path: '/vo/a', statuses: [200] },
    {
      id: 'K09',
      claims: { scope: 'storage.read:/', aud: ['https://other.example', audience] },
      path: '/vo/a',
      statuses: [200],
    },
    { id: 'K15', claims: { scope: 'storage.read' }, path: '/vo/a', statuses: [401] },
    { id: 'K16', claims: { scope: 'storage.read:/foo' }, path: '/vo/foobar', statuses: [403] },
    { id: 'K16, what it is for', claims: { scope: 'storage.read:/foo' }, path: '/vo/foo/x', statuses: [200] },
    { id: 'K17', claims: { scope: 'storage.read:/foo/../bar' }, path: '/vo/bar', statuses: [401, 403] },
    { id: 'K18', claims: { scope: 'storage.read:/foo' }, path: '/vo/foo/%2e%2e/bar', statuses: [400, 403] },
    { id: 'K19', claims: { scope: 'storage.create:/d' }, method: 'PUT', path: '/vo/d/x', statuses: [403, 412] },
    { id: 'K20', claims: { scope: 'storage.create:/d' }, method: 'DELETE', path: '/vo/d/x', statuses: [403] },
    {
      id: 'K19, K20, what it is for',
      claims: { scope: 'storage.create:/d' },
      method: 'PUT',
      path: '/vo/d/y',
      statuses: [201],
    },
    { id: 'K23', claims: { scope: 'storage.create:/new/e' }, method: 'PUT', path: '/vo/new/e/f', statuses: [201] },
    {
      id: 'K23, beside it',
      claims: { scope: 'storage.create:/new/e' },
      method: 'PUT',
      path: '/vo/new/f',
      statuses: [403],
    },
    { id: 'K24', claims: { scope: 'storage.stage:/t' }, path: '/vo/t/f', statuses: [403] },
    {
      id: 'K26',
      claims: { sub: 'bob', scope: 'compute.create', 'wlcg.groups': ['/vo'] },
      path: '/vo/group',
      statuses: [403],
    },
    {
      id: 'K27',
      claims: { sub: 'bob', scope: 'openid', 'wlcg.groups': ['/vo/sub'] },
      path: '/vo/group',
      statuses: [403],
    },
    {
      id: 'K27, the group itself',
      claims: { sub: 'bob', scope: 'openid', 'wlcg.groups': ['/vo'] },
      path: '/vo/group',
      statuses: [200],
    },
    { id: 'K28', claims: { scope: 'storage.read:/', 'wlcg.ver': '1.2' }, path: '/vo/a', statuses: [200] },
    { id: 'K29', claims: { scope: 'storage.read:/', 'wlcg.ver': '2.0' }, path: '/vo/a', statuses: [401] },
  ]
  for (const { id, claims, method = 'GET', path, statuses } of vectors) {
    const body = method === 'PUT' ? { body: 'from the token' } : {}
    const { status } = await gateway.request({ method, path, token: await token(claims), ...body })
    t.ok(statuses.includes(status), `${id}: ${method} ${path} with ${JSON.stringify(claims)} gives ${status}`)
  }
  const { text } = await gateway.request({ path: '/vo/d/x', token: await token({ scope: 'storage.read:/d' }) })
  t.equal(text, 'content of d/x', 'K19: the content is unchanged')
})

t.test('a token beside another credential is refused, also of the same token', async (t) => {
  const token = await gateway.token('alice', { sub: holder, scope: 'storage.read:/' })
  for (const parameter of ['authz', 'access_token']) {
    const { status } = await gateway.request({
      path: `/vo/a?${parameter}=${encodeURIComponent(`Bearer ${token}`)}`,
      token,
    })
    t.equal(status, 400, `K33: header and ${parameter}`)
  }
  const { status } = await gateway.request({ path: `/vo/a?authz=${token}` })
  t.equal(status, 401, 'and one in the URL alone is none')
})

t.test('a token stops at its end, also one that was accepted before', async (t) => {
  const exp = now() + 3
  const token = await gateway.token('alice', { sub: holder, scope: 'storage.read:/', exp })
  t.equal((await gateway.request({ path: '/vo/a', token })).status, 200)
  let status = 200
  await eventually(
    async () => {
      const started = Date.now()
      status = (await gateway.request({ path: '/vo/a', token })).status
      if (started / 1000 >= exp) t.equal(status, 401, 'K39: nobody is let in after its end')
      return status !== 200
    },
    10_000,
    'a token that ended was not refused',
  )
  t.equal(status, 401)
  t.ok(Date.now() / 1000 >= exp, 'and not before')
})

t.test('what is no good token is refused, and explain names the reason', async (t) => {
  const key = JSON.parse(readFileSync(join(gateway.directory, 'issuer/development-key.json'), 'utf8'))
  const good = {
    iss: issuerUrl,
    sub: holder,
    aud: audience,
    'wlcg.ver': '1.0',
    scope: 'storage.read:/',
    iat: now(),
    exp: now() + 600,
  }
  const es256 = { alg: 'ES256', typ: 'at+jwt', kid: key.kid }
  const signed = (header: object, payload: string) => {
    const input = `${encode(JSON.stringify(header))}.${encode(payload)}`
    const signature = sign('sha256', Buffer.from(input), { key, format: 'jwk', dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  }
  const withSecret = (payload: object) => {
    const input = `${encode(JSON.stringify({ ...es256, alg: 'HS256' }))}.${encode(JSON.stringify(payload))}`
    const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
  }
  const of = (changes: Claims) => signed(es256, JSON.stringify({ ...good, ...changes }))
  t.equal(
    (await gateway.request({ path: '/vo/a', token: of({}) })).status,
    200,
    'the same without a mistake is accepted',
  )

  const vectors: ReadonlyArray<readonly [what: string, token: string, status: number, rule: RegExp]> = [
    ['K02: alg none', `${encode('{"alg":"none"}')}.${encode(JSON.stringify(good))}.`, 401, /^token-/],
    ['K03: HS256 with the public key', withSecret(good), 401, /^token-algorithm/],
    ['K04: no kid', signed({ alg: 'ES256', typ: 'at+jwt' }, JSON.stringify(good)), 401, /^token-/],
    ['K07: another spelling of the issuer', of({ iss: `${issuerUrl}/` }), 401, /^token-issuer/],
    ['K08: another spelling of the audience', of({ aud: `${audience}/` }), 401, /^token-audience/],
    ['K11: expired', of({ exp: now() - 1 }), 401, /^token-expired/],
    ['K13: not yet valid', of({ nbf: now() + 120 }), 401, /^token-not-yet-valid/],
    ['K14: no audience', of({ aud: undefined }), 401, /^token-audience/],
    ['K32: an ID token', of({ at_hash: 'x' }), 401, /^token-type/],
    ['K36: bound to a certificate', of({ cnf: { 'x5t#S256': 'x' } }), 401, /^token-binding/],
    [
      'K40: scope twice',
      signed(es256, JSON.stringify(good).replace('{', '{"scope":"storage.read:/",')),
      401,
      /^token-/,
    ],
    ['a signature of another key', of({}).replace(/\.[^.]+$/, `.${'A'.repeat(86)}`), 401, /^token-/],
    ['17 KiB', of({ more: 'x'.repeat(13_000) }), 401, /^token-size/],
    ['two mappings', of({ sub: 'twice', scope: 'openid' }), 403, /^mapping-ambiguous/],
    ['no mapping', of({ scope: 'openid' }), 403, /^mapping-none/],
  ]
  for (const [what, token, status, rule] of vectors) {
    gateway.credentials.add(token)
    const answer = await gateway.request({ path: '/vo/a', token })
    t.equal(answer.status, status, what)
    t.match(answer.headers['content-type'], 'application/problem+json', `${what}: a problem document`)
    if (status === 401)
      t.match(answer.headers['www-authenticate'], /^Bearer .*error="invalid_token"/, `${what}: a challenge`)
    t.notOk('reason' in answer.json(), `${what}: without the reason`)
    t.match(answer.json().explain, '/explain?path=', `${what}: with a link to it`)
    const explained = (
      await gateway.request({ path: '/.portolan/api/v1/explain?path=/vo/a&action=read', token })
    ).json()
    t.equal(explained.allowed, false, `${what}: explained`)
    t.match(
      explained.steps.find(({ allowed }: { allowed: unknown }) => allowed === false)?.reason.rule,
      rule,
      `${what}: by its rule`,
    )
  }
  const huge = await gateway.request({ path: '/vo/a', token: of({ more: 'x'.repeat(100 * 1024) }) })
  t.ok([400, 401, 431].includes(huge.status), `K38: 100 KiB gives ${huge.status}`)
  for (const credential of gateway.credentials) {
    t.notOk(gateway.auditText().includes(credential), 'no refused token is in the audit log')
    t.notOk(gateway.logText().includes(credential), 'nor in the log')
  }
})

function encode(text: string): string {
  return Buffer.from(text).toString('base64url')
}

t.test('a token for a path lists what leads there, and sees no other name', async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [
      { path: '/lab/deep', make: makeArea },
      { path: '/other', make: makeArea },
    ],
  })
  const token = await gateway.token('alice', { scope: 'storage.read:/lab/deep/foo' })
  const names = async (path: string) => {
    const answer = await gateway.request({ path, token, headers: { Accept: 'application/json' } })
    return answer.status === 200 ? answer.json().entries.map(({ name }: { name: string }) => name) : answer.status
  }
  t.same(await names('/'), ['lab'])
  t.same(await names('/lab/'), ['deep'])
  t.same(await names('/lab/deep/'), ['foo'])
  t.same(await names('/lab/deep/foo/'), ['x'])
  t.same(await names('/other/'), 403)
  t.same(await names('/lab/deep/d/'), 403)
  t.equal((await gateway.request({ path: '/lab/deep/a', token })).status, 403)
  const written = await gateway.token('alice', { scope: 'storage.create:/lab/deep/free' })
  const listed = await gateway.request({ path: '/lab/deep/', token: written, headers: { Accept: 'application/json' } })
  t.same(
    listed.json().entries.map(({ name }: { name: string }) => name),
    ['free'],
    'also of a token that may not read',
  )
})
