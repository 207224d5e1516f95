import fc from 'fast-check'
import t from 'tap'
import { parseObject } from '../../acl/json.ts'
import { encode, makeKey, signRaw, signToken } from './issuer.ts'
import { audience, issuerP, issuerS, makeSetting, outcome, refusal } from './setting.ts'

const read = { scope: 'storage.read:/' }

t.test('a token has exactly one spelling', async (t) => {
  const { service, token } = await makeSetting(t)
  const good = token(read)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['empty', ''],
    ['opaque', 'abcdef'],
    ['two parts', `${header}.${payload}`],
    ['four parts', `${good}.${signature}`],
    ['encrypted', `${header}.a.b.c.d`],
    ['padding', `${header}.${payload}==.${signature}`],
    ['base64', `${header}.${payload}.${signature.replace(/.$/, '/')}`],
    ['white space', `${header}.${payload}.${signature} `],
    ['line end', `${header}\n.${payload}.${signature}`],
    ['empty payload', `${header}..${signature}`],
    ['list', `${encode([])}.${payload}.${signature}`],
    ['null', `${encode('null')}.${payload}.${signature}`],
    ['not JSON', `${encode('{')}.${payload}.${signature}`],
    [
      'not UTF-8',
      `${Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')}.${payload}.${signature}`,
    ],
    ['byte order mark', `${encode('\ufeff{"alg":"ES256","kid":"k1"}')}.${payload}.${signature}`],
  ]
  t.type(await outcome(service, good), 'object')
  for (const [name, text] of cases) t.equal(await outcome(service, text), 'unauthenticated token-format', name)
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const next = last[last.indexOf(signature.at(-1) ?? '') + 1] ?? ''
  t.equal(await outcome(service, good.slice(0, -1) + next), 'unauthenticated token-format', 'unused bits set')
})

t.test('a signature of zeros or of another token is none', async (t) => {
  const { service, token } = await makeSetting(t)
  const [header, payload] = token(read).split('.')
  const other = token({ scope: 'storage.modify:/' }).split('.')[2]
  const zeros = Buffer.alloc(64).toString('base64url')
  for (const signature of [zeros, other, 'AAAA']) {
    t.equal(await outcome(service, `${header}.${payload}.${signature}`), 'unauthenticated token-signature')
  }
})

t.test('headers: extensions, algorithms and types outside the configuration are refused', async (t) => {
  const { service, token, key, claims } = await makeSetting(t)
  const cases: ReadonlyArray<readonly [Record<string, unknown>, string]> = [
    [{ crit: ['b64'], b64: true }, 'unauthenticated token-format'],
    [{ crit: [] }, 'unauthenticated token-format'],
    [{ typ: 'JWT' }, 'ok'],
    [{ typ: 'application/AT+JWT' }, 'ok'],
    [{ typ: undefined }, 'ok'],
    [{ typ: 'secevent+jwt' }, 'unauthenticated token-type'],
    [{ typ: 'dpop+jwt' }, 'unauthenticated token-type'],
    [{ typ: 1 }, 'unauthenticated token-type'],
  ]
  for (const [header, expected] of cases) {
    const result = await outcome(service, token(read, header))
    t.equal(typeof result === 'string' ? result : 'ok', expected, JSON.stringify(header))
  }
  for (const alg of [
    'none',
    'None',
    'nOnE',
    'HS256',
    'HS512',
    'hs256',
    'ES384',
    'PS256',
    'EdDSA',
    'RS1',
    '',
    7,
    undefined,
  ]) {
    const text = `${encode({ alg, kid: 'k1' })}.${encode(claims(read))}.AAAA`
    t.equal(await outcome(service, text), 'unauthenticated token-algorithm', String(alg))
  }
  const asRsa = signRaw({ alg: 'RS256', kid: 'k1' }, claims(read), makeKey('k1', 'RS256').privateKey)
  t.equal(await outcome(service, asRsa), 'unauthenticated token-key', 'the key of this kid is for ES256')
  t.type(await outcome(service, signToken(key, claims(read))), 'object')
})

t.test('times are numbers of seconds of this age, and lives are short', async (t) => {
  const { service, token, clock } = await makeSetting(t)
  const now = Math.floor(clock.now() / 1000)
  const cases: ReadonlyArray<readonly [Record<string, unknown>, string]> = [
    [{ exp: undefined }, 'unauthenticated token-expired'],
    [{ exp: String(now + 100) }, 'unauthenticated token-profile'],
    [{ exp: (now + 100) * 1000 }, 'unauthenticated token-profile'],
    [{ exp: -1 }, 'unauthenticated token-profile'],
    [{ exp: null }, 'unauthenticated token-profile'],
    [{ exp: now + 0.5 }, 'ok'],
    [{ exp: now - 0.5 }, 'unauthenticated token-expired'],
    [{ iat: undefined }, 'unauthenticated token-profile'],
    [{ iat: now + 59 }, 'ok'],
    [{ iat: now + 61 }, 'unauthenticated token-not-yet-valid'],
    [{ iat: `${now}` }, 'unauthenticated token-profile'],
    [{ nbf: undefined }, 'ok'],
    [{ nbf: [now] }, 'unauthenticated token-profile'],
    [{ exp: now + 6 * 3600 }, 'ok'],
    [{ exp: now + 6 * 3600 + 1 }, 'unauthenticated token-lifetime'],
    [{ iat: now - 6 * 3600, exp: now + 1 }, 'unauthenticated token-lifetime'],
    [
      { iss: issuerP, 'wlcg.ver': undefined, iat: undefined, exp: now + 86_401, preferred_username: 'bob' },
      'unauthenticated token-lifetime',
    ],
    [{ iss: issuerP, 'wlcg.ver': undefined, scope: undefined, iat: undefined, preferred_username: 'bob' }, 'ok'],
  ]
  for (const [change, expected] of cases) {
    const result = await outcome(service, token({ ...read, ...change }))
    t.equal(typeof result === 'string' ? result : 'ok', expected, JSON.stringify(change))
  }
})

t.test('claims are of their types and within their bounds', async (t) => {
  const { service, token } = await makeSetting(t)
  const sci = { iss: issuerS, 'wlcg.ver': undefined, ver: 'scitoken:2.0', scope: 'read:/a' }
  const groups = (count: number): string[] => Array.from({ length: count }, (_, index) => `/g${index}`)
  const alice = { sub: 'sub-alice', scope: undefined }
  const cases: ReadonlyArray<readonly [string, Record<string, unknown>, string]> = [
    ['no sub', { ...read, sub: undefined }, 'unauthenticated token-profile'],
    ['sub of 255', { ...read, sub: 's'.repeat(255) }, 'ok'],
    ['sub of 256', { ...read, sub: 's'.repeat(256) }, 'unauthenticated token-profile'],
    ['sub not ASCII', { ...read, sub: 'ä' }, 'unauthenticated token-profile'],
    ['sub with line end', { ...read, sub: 'a\nb' }, 'unauthenticated token-profile'],
    ['sub a number', { ...read, sub: 7 }, 'unauthenticated token-profile'],
    ['aud a number', { ...read, aud: 7 }, 'unauthenticated token-profile'],
    ['aud mixed', { ...read, aud: [audience, 7] }, 'unauthenticated token-profile'],
    ['aud empty', { ...read, aud: [] }, 'unauthenticated token-audience'],
    ['aud many', { ...read, aud: [...groups(100), audience] }, 'unauthenticated token-profile'],
    ['ANY is for SciTokens', { ...read, aud: 'ANY' }, 'unauthenticated token-audience'],
    ['scope a list', { scope: ['storage.read:/'] }, 'unauthenticated token-scope'],
    ['scope with a quote', { scope: 'storage.read:/"' }, 'unauthenticated token-scope'],
    ['scope with a tab', { scope: 'storage.read:/\tstorage.modify:/' }, 'unauthenticated token-scope'],
    ['many scopes', { scope: groups(257).join(' ') }, 'unauthenticated token-scope'],
    ['500 groups', { ...alice, 'wlcg.groups': groups(500) }, 'ok'],
    ['501 groups', { ...alice, 'wlcg.groups': groups(501) }, 'unauthenticated token-profile'],
    ['groups as text', { ...alice, 'wlcg.groups': '/cms' }, 'unauthenticated token-profile'],
    ['group without slash', { ...alice, 'wlcg.groups': ['cms'] }, 'unauthenticated token-profile'],
    ['group with @', { ...alice, 'wlcg.groups': ['/cms@desy.de'] }, 'unauthenticated token-profile'],
    ['group with dots', { ...alice, 'wlcg.groups': ['/cms/../atlas'] }, 'unauthenticated token-profile'],
    ['wlcg.ver a number', { ...read, 'wlcg.ver': 1 }, 'unauthenticated token-profile'],
    ['wlcg.ver missing', { ...read, 'wlcg.ver': undefined }, 'unauthenticated token-profile'],
    ['wlcg.ver 1', { ...read, 'wlcg.ver': '1' }, 'unauthenticated token-profile'],
    ['wlcg.ver 10.0', { ...read, 'wlcg.ver': '10.0' }, 'unauthenticated token-profile'],
    ['SciToken 2.0 ignores the unknown', { ...sci, more: 1 }, 'ok'],
    ['SciToken 1.0 does not', { ...sci, ver: undefined, more: 1 }, 'unauthenticated token-profile'],
    ['SciToken 1.0', { ...sci, ver: undefined }, 'ok'],
    ['SciToken 3.0', { ...sci, ver: 'scitoken:3.0' }, 'unauthenticated token-profile'],
    ['SciToken without scope', { ...sci, scope: undefined }, 'unauthenticated token-scope'],
    ['SciToken without sub', { ...sci, sub: undefined }, 'ok'],
    ['claim typ of a refresh token', { ...read, typ: 'Refresh' }, 'unauthenticated token-type'],
    ['claim typ of Keycloak', { ...read, typ: 'Bearer', nonce: 'n' }, 'ok'],
    ['logout token', { ...read, events: {} }, 'unauthenticated token-type'],
    [
      'narrowed token of a plain issuer',
      { iss: issuerP, preferred_username: 'bob', scope: 'openid storage.read:/' },
      'unauthenticated token-scope',
    ],
    [
      'narrowed SciToken of a plain issuer',
      { iss: issuerP, preferred_username: 'bob', scope: 'read:/a' },
      'unauthenticated token-scope',
    ],
    ['plain issuer', { iss: issuerP, preferred_username: 'bob', scope: 'openid profile' }, 'ok'],
    [
      'plain issuer, constructor',
      { iss: issuerP, preferred_username: ['bob'], scope: 'openid' },
      'denied mapping-none',
    ],
  ]
  for (const [name, change, expected] of cases) {
    const result = await outcome(service, token(change))
    t.equal(typeof result === 'string' ? result : 'ok', expected, name)
  }
})

t.test('a reason names the claim and never shows the token', async (t) => {
  const { service, token } = await makeSetting(t)
  const { Secret } = await import('../../acl/secret.ts')
  const { StorageError } = await import('../../gateway/core/errors.ts')
  const bad = token({ ...read, aud: 'https://other.example.org' })
  const error = await service
    .authenticate({ kind: 'bearer', token: new Secret(bad) })
    .catch((thrown: unknown) => thrown)
  const reason = StorageError.reasonOf(StorageError.from(error))
  t.match(reason?.text, /^aud "https:\/\/other\.example\.org" is none of/)
  t.equal(refusal(error), 'unauthenticated token-audience')
  t.equal(StorageError.from(error).message, 'the credential was not accepted')
  t.notMatch(JSON.stringify(reason), bad.split('.')[1] ?? '')
})

t.test('JSON with a member named twice is found at any depth, however it is written', async (t) => {
  const cases: ReadonlyArray<readonly [string, boolean]> = [
    ['{"a":1,"b":1}', true],
    ['{"a":1,"a":1}', false],
    ['{"a":1,"\\u0061":1}', false],
    ['{"x":{"a":1},"y":{"a":1}}', true],
    ['{"x":[{"a":1},{"a":1,"b":"a","a" \\n: 2}]}'.replace('\\n', '\n'), false],
    ['{"a":"\\"a\\":1","b":"}"}', true],
    ['{"__proto__":1,"__proto__":2}', false],
    ['{"a":"x\\\\","a":1}', false],
  ]
  for (const [text, expected] of cases) t.equal(parseObject(Buffer.from(text)).object !== undefined, expected, text)
})

t.test('every object that JSON.stringify writes is read as it was', async (t) => {
  const details = fc.check(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
      const text = JSON.stringify(object)
      const { object: parsed } = parseObject(Buffer.from(text))
      return JSON.stringify(parsed) === JSON.stringify(JSON.parse(text))
    }),
    { numRuns: 500 },
  )
  t.notOk(details.failed, fc.defaultReportMessage(details) ?? 'holds')
})
