/** Tokens about which their issuer is asked: which are, what its answer must say, how long it counts. */

import { inspect } from 'node:util'
import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { makeClock } from '../identity/issuer.ts'
import { audience, grantsOf } from '../identity/setting.ts'
import { alice, identityFor, issuerOf, shown } from './asking.ts'
import { type Claims, json, TokenService } from './token-service.ts'

t.test('an opaque token is who its issuer says, and is asked about once in a while', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  const token = issuer.opaque({ ...alice, jti: 'j1', groups: ['photon'], scope: 'openid profile' })
  const answers = await Promise.all(Array.from({ length: 50 }, () => shown(service, token)))
  const [first] = answers
  t.match(first, { id: `${issuer.url}|a-1`, user: 'alice@desy.de', grants: 'unbounded' })
  t.ok(typeof first === 'object' && first.groups.has('photon@main'))
  t.match(first, { credential: { kind: 'bearer', issuer: issuer.url, audiences: [audience] } })
  t.equal(issuer.times('/introspect'), 1, 'calls at once share one question')
  t.equal(new Set(answers).size, 1)
  t.notMatch(inspect(first, { depth: 9, showHidden: true }), token)
  clock.pass(59)
  t.equal(await shown(service, token), first)
  t.equal(issuer.times('/introspect'), 1)
  issuer.tokens.delete(token)
  clock.pass(1)
  t.equal(await shown(service, token), 'unauthenticated token-inactive', 'ended by its issuer a minute ago at most')
  t.equal(issuer.times('/.well-known/openid-configuration'), 1, 'its metadata is known')
})

t.test('what the answer must say', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  const now = Math.floor(Date.now() / 1000)
  const rows: ReadonlyArray<readonly [string, Claims, string]> = [
    ['nothing more', {}, 'ok'],
    ['no issuer', { iss: undefined }, 'ok'],
    ['no kind', { token_type: undefined }, 'ok'],
    ['no end', { exp: undefined }, 'ok'],
    ['not active', { active: false }, 'unauthenticated token-inactive'],
    ['another issuer', { iss: `${issuer.url}/` }, 'unauthenticated token-issuer'],
    ['another audience', { aud: `${audience}/` }, 'unauthenticated token-audience'],
    ['no audience', { aud: undefined }, 'unauthenticated token-audience'],
    ['an audience among others', { aud: ['x', audience] }, 'ok'],
    ['ended', { exp: now - 1 }, 'unauthenticated token-expired'],
    ['an end in milliseconds', { exp: Date.now() * 1000 }, 'unauthenticated token-profile'],
    ['an end that is text', { exp: String(now + 60) }, 'unauthenticated token-profile'],
    ['not yet valid', { nbf: now + 120 }, 'unauthenticated token-not-yet-valid'],
    ['too long a life', { exp: now + 90_000 }, 'unauthenticated token-lifetime'],
    ['no subject', { sub: undefined }, 'unauthenticated token-profile'],
    ['a subject that is no text', { sub: 7 }, 'unauthenticated token-profile'],
    ['DPoP', { token_type: 'DPoP' }, 'unauthenticated token-type'],
    ['a refresh token', { token_use: 'refresh_token' }, 'unauthenticated token-type'],
    ["Keycloak's refresh token", { typ: 'Refresh' }, 'unauthenticated token-type'],
    ['bound to a key', { cnf: { jkt: 'x' } }, 'unauthenticated token-binding'],
    ['capabilities, where there are none', { scope: 'openid storage.read:/' }, 'unauthenticated token-scope'],
    ['groups that are no list', { groups: 'photon' }, 'unauthenticated token-profile'],
    ['nobody here', { uid: 'nobody-here' }, 'denied account-unknown'],
    ['nobody by any rule', { uid: undefined }, 'denied mapping-none'],
  ]
  for (const [what, claims, expected] of rows) {
    const said = await shown(service, issuer.opaque({ ...alice, ...claims }))
    t.equal(typeof said === 'string' ? said : 'ok', expected, what)
  }
})

t.test('an end that nobody names is that of the answer', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main', { remember: 30 })])
  const said = await shown(service, issuer.opaque({ ...alice, exp: undefined }))
  const left = typeof said === 'string' ? 0 : (said.expires ?? 0) - Date.now() / 1000
  t.ok(left > 20 && left <= 30, `${left} s`)
})

t.test('capabilities of opaque tokens bound them', async (t) => {
  const issuer = await TokenService.start(t)
  const wlcg = { profile: 'wlcg', basePath: '/vo', account: 'vo-prod' } as const
  const service = await identityFor(t, [issuerOf(issuer, 'main', {}, wlcg as never)])
  const token = issuer.opaque({
    sub: 's',
    aud: audience,
    'wlcg.ver': '1.0',
    scope: 'storage.read:/a storage.create:/b/',
  })
  t.same(grantsOf(await shown(service, token)), ['read:/vo/a', 'create:/vo/b/'])
})

t.test('what is sent to whom', async (t) => {
  const [first, second, third] = [await TokenService.start(t), await TokenService.start(t), await TokenService.start(t)]
  const issuers = [
    issuerOf(first, 'first', { prefix: 'one_' }),
    issuerOf(second, 'second', { length: { least: 20, most: 40 } }),
    issuerOf(third, 'third', { authentication: 'post' }),
  ]
  const service = await identityFor(t, issuers)
  const asked = () => [first, second, third].map(({ shown: tokens }) => tokens.length)
  t.match(await shown(service, first.opaque(alice, 'one_')), { id: `${first.url}|a-1` })
  t.same(asked(), [1, 0, 0], 'a marked token is shown to its issuer alone')
  t.equal(await shown(service, `one_${'x'.repeat(30)}`), 'unauthenticated token-inactive')
  t.same(asked(), [2, 0, 0], 'also when it does not know it')
  t.match(await shown(service, third.opaque(alice)), { id: `${third.url}|a-1` })
  t.same(asked(), [2, 1, 1], 'others to those that name no mark, one after the other')
  t.match(await shown(service, third.opaque(alice, 'x'.repeat(30))), { id: `${third.url}|a-1` })
  t.same(asked(), [2, 1, 2], 'where its length fits')
  const before = [first, second, third].map(({ asked: requests }) => requests.length)
  for (const [token, rule] of [
    ['short', 'token-format'],
    ['x'.repeat(5000), 'token-format'],
    ['x'.repeat(20_000), 'token-size'],
    [`${'x'.repeat(20)}\n${'y'.repeat(20)}`, 'token-format'],
    [`${'x'.repeat(30)} `, 'token-format'],
    [`${'x'.repeat(15)}=${'y'.repeat(15)}`, 'token-format'],
    ['eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.', 'token-algorithm'],
    ['eyJhIjoxLCJhIjoyfQ.eyJzdWIiOiJhIn0.AAAA', 'token-format'],
    ['eyJlbmMiOiJ4In0.a.b.c.d', 'token-format'],
  ] as const) {
    t.equal(await shown(service, token), `unauthenticated ${rule}`, token.slice(0, 40))
  }
  t.same(
    [first, second, third].map(({ asked: requests }) => requests.length),
    before,
    'and none of these to anybody',
  )
})

t.test('secrets of the gateway itself are shown to nobody', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  const sealed = `${'1'.repeat(8)}-${'0'.repeat(16)}.${'x'.repeat(60)}`
  for (const secret of [`pw-${'x'.repeat(16)}-${'y'.repeat(32)}`, `ps1.${sealed}`, `k1.${sealed}`]) {
    t.equal(await shown(service, secret), 'unauthenticated token-format')
  }
  t.same(issuer.shown, [])
})

t.test('an issuer without the section is asked nothing', async (t) => {
  const issuer = await TokenService.start(t)
  const { introspection: _, ...options } = issuerOf(issuer, 'main')
  const service = await identityFor(t, [options])
  t.equal(await shown(service, issuer.opaque(alice)), 'unauthenticated token-format')
  t.same(issuer.asked, [])
})

t.test('UserInfo adds what the first answer lacks, about the same person', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main', { userInfo: true })])
  const token = issuer.opaque({ sub: 'a-1', aud: audience, uid: 'alice' })
  const more = { sub: 'a-1', uid: 'bob', groups: ['photon'], aud: 'x', scope: 'storage.read:/', cnf: { jkt: 'x' } }
  issuer.people.set(token, more)
  const said = await shown(service, token)
  t.match(said, { user: 'alice@desy.de', grants: 'unbounded' }, 'and never takes anything back')
  t.ok(typeof said === 'object' && said.groups.has('photon@main'))
  const rows: ReadonlyArray<readonly [string, Claims | undefined, string]> = [
    ['of somebody else', { sub: 'b-1', groups: ['photon'] }, 'unauthenticated token-profile'],
    ['of nobody', { groups: ['photon'] }, 'unauthenticated token-profile'],
    ['refused', undefined, 'unauthenticated token-profile'],
  ]
  for (const [what, claims, expected] of rows) {
    const other = issuer.opaque(alice)
    if (claims) issuer.people.set(other, claims)
    t.equal(await shown(service, other), expected, what)
  }
})

t.test('an address is verified by who names it', async (t) => {
  const issuer = await TokenService.start(t)
  const mapping = [{ issuer: 'main', claim: 'email', match: '@desy.de', account: '{value}' }]
  const options = issuerOf(issuer, 'main', { userInfo: true, jwts: true }, { domains: ['desy.de'] })
  const service = await identityFor(t, [options], { mapping })
  const [sub, aud] = ['a-1', audience]
  const told = async (token: string, claims: Claims) => {
    issuer.people.set(token, { sub, ...claims })
    const found = await shown(service, token)
    return typeof found === 'string' ? found : found.user
  }
  const good = { email: 'alice@desy.de', email_verified: true }
  t.equal(await told(issuer.opaque({ sub, aud }), good), 'alice@desy.de')
  const other = { email: 'bob@desy.de', email_verified: true }
  t.equal(await told(issuer.opaque({ sub, aud, email: 'alice@desy.de' }), other), 'denied mapping-none')
  const signed = issuer.signed({ sub, aud, email: 'alice@desy.de' })
  issuer.tokens.set(signed, { sub, ...other })
  t.equal(await told(signed, other), 'denied mapping-none')
})

t.test('a token of somebody is shown to nobody else, whatever its length', async (t) => {
  const [first, second] = [await TokenService.start(t), await TokenService.start(t)]
  const length = { least: 16, most: 40 }
  const service = await identityFor(t, [
    issuerOf(first, 'first', { prefix: 'one_', length }),
    issuerOf(second, 'second'),
  ])
  for (const token of [`one_${'x'.repeat(60)}`, 'one_x']) {
    t.equal(await shown(service, token), 'unauthenticated token-format')
  }
  t.same([first.shown, second.shown], [[], []])
})

t.test('signed tokens end when their issuer says so, where it is asked about them', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main', { jwts: true, remember: 20 })], { now: clock.now })
  const known = (claims: Claims, more: Claims = {}) => {
    const token = issuer.signed({ ...alice, ...claims })
    issuer.tokens.set(token, { iss: issuer.url, sub: 'a-1', ...more })
    return token
  }
  const token = known({}, { groups: ['photon'] })
  const said = await shown(service, token)
  t.match(said, { user: 'alice@desy.de' })
  t.ok(
    typeof said === 'object' && said.groups.has('photon@main'),
    'claims of the answer count where the token has none',
  )
  issuer.tokens.delete(token)
  clock.pass(21)
  t.equal(await shown(service, token), 'unauthenticated token-inactive')
  const rows: ReadonlyArray<readonly [string, string, string]> = [
    ['unknown to it', issuer.signed(alice), 'unauthenticated token-inactive'],
    ['of another subject', known({}, { sub: 'b-1' }), 'unauthenticated token-inactive'],
    ['narrower by now', known({ scope: 'openid groups' }, { scope: 'openid' }), 'unauthenticated token-scope'],
    ['wider by now', known({ scope: 'openid' }, { scope: 'openid groups' }), 'ok'],
    ['narrowed where it says nothing', known({}, { scope: 'storage.read:/' }), 'unauthenticated token-scope'],
    ['bound to a key', known({}, { cnf: { jkt: 'x' } }), 'unauthenticated token-binding'],
  ]
  for (const [what, each, expected] of rows) {
    const answer = await shown(service, each)
    t.equal(typeof answer === 'string' ? answer : 'ok', expected, what)
  }
  const before = issuer.times('/introspect')
  t.equal(await shown(service, `${issuer.signed(alice).slice(0, -4)}AAAA`), 'unauthenticated token-signature')
  t.equal(issuer.times('/introspect'), before, 'nothing is asked about what it has not signed')
})

t.test('tokens without an audience count where the configuration says so', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main', { withoutAudience: true })])
  t.match(await shown(service, issuer.opaque({ ...alice, aud: undefined })), { user: 'alice@desy.de' })
  t.equal(await shown(service, issuer.opaque({ ...alice, aud: 'other' })), 'unauthenticated token-audience')
})

t.test('answers that no issuer should give open nothing, and refuse nobody', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const elsewhere = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  const open = { active: true, iss: issuer.url, ...alice, exp: Math.floor(Date.now() / 1000) + 600 }
  const rows: ReadonlyArray<readonly [string, Parameters<typeof json>[1], number?, string?]> = [
    ['HTML', '<html>', 200, 'text/html'],
    ['JSON that is called HTML', open, 200, 'text/html'],
    ['JSON without a kind', open, 200, ''],
    ['a signed answer', 'eyJhIjoxfQ.eyJhIjoxfQ.AAAA', 200, 'application/token-introspection+jwt'],
    ['a list', [open]],
    ['half of it', JSON.stringify(open).slice(0, 40)],
    ['active twice', JSON.stringify(open).replace('{', '{"active":false,')],
    ['active as text', { ...open, active: 'true' }],
    ['active as a number', { ...open, active: 1 }],
    ['nothing', {}],
    ['huge', { ...open, more: 'x'.repeat(300_000) }],
    ['our credentials refused', { error: 'invalid_client' }, 401],
    ['forbidden', {}, 403],
    ['too many requests', {}, 429],
    ['a failure', open, 500],
    ['another success', open, 201],
  ]
  for (const [what, body, status, type] of rows) {
    issuer.instead.set('/introspect', (_, response) => json(response, body, status, type))
    t.equal(await shown(service, issuer.opaque(alice)), 'unavailable introspection', what)
    clock.pass(120)
  }
  issuer.instead.set('/introspect', (_, response) => {
    response.writeHead(307, { location: `${elsewhere.url}/introspect` }).end()
  })
  t.equal(await shown(service, issuer.opaque(alice)), 'unavailable introspection', 'a redirect')
  t.same(elsewhere.asked, [], 'which nobody follows')
  clock.pass(120)
  issuer.instead.delete('/introspect')
  const token = issuer.opaque({ ...alice, iat: undefined, exp: undefined })
  t.match(await shown(service, token), { user: 'alice@desy.de' }, 'and then all is well again')
})

t.test('metadata that lead elsewhere are not followed', async (t) => {
  const [issuer, other] = [await TokenService.start(t), await TokenService.start(t)]
  for (const [what, metadata] of [
    ['another origin', { introspection_endpoint: `${other.url}/introspect` }],
    ['another issuer', { issuer: other.url }],
    ['no endpoint', { introspection_endpoint: undefined }],
    ['no address', { introspection_endpoint: '/introspect' }],
    ['a file', { introspection_endpoint: 'file:///etc/passwd' }],
  ] as const) {
    issuer.metadata = metadata
    const service = await identityFor(t, [issuerOf(issuer, 'main')])
    t.equal(await shown(service, issuer.opaque(alice)), 'unavailable introspection', what)
  }
  t.same(other.asked, [])
  issuer.metadata = { introspection_endpoint: `${other.url}/introspect` }
  const token = issuer.opaque(alice)
  other.tokens.set(token, issuer.tokens.get(token) ?? {})
  const service = await identityFor(t, [issuerOf(issuer, 'main', { origins: [other.url] })])
  t.match(await shown(service, token), { user: 'alice@desy.de' }, 'unless the configuration names where they lead')
})

t.test('check says whether an issuer can be asked', async (t) => {
  const issuer = await TokenService.start(t)
  const good = await identityFor(t, [issuerOf(issuer, 'main')])
  const text = async (service: typeof good) =>
    (await service.checkIssuers()).filter(({ subject }) => subject === 'introspection')
  t.match(await text(good), [{ level: 'ok' }])
  const wrong = await identityFor(t, [issuerOf(issuer, 'main', { clientSecret: new Secret('wrong') })])
  t.match(await text(wrong), [{ level: 'error', text: /main: it does not accept our client credentials/ }])
})
