/** Whose credential goes to dCache, in which form, and whose never does. */

import { mock } from 'node:test'
import { inspect } from 'node:util'
import t from 'tap'
import { isIntact, parseMacaroon } from '../../acl/macaroon.ts'
import { anonymous, type Grant, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { Delegation, type DelegationOptions } from '../../backends/dcache/credentials.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { alice, callBy, FakeDoor, issuer, rootKey, serveTokens, tokenWith } from './issuing.ts'

const base: DelegationOptions = {
  accepts: [{ issuer, audiences: ['dcache', 'any'] }],
  send: 'forward',
  capabilities: 'never',
  otherwise: 'refuse',
}
const service = async () => ({ scheme: 'Basic' as const, secret: new Secret('gateway:pass:word') })
const path = '/pnfs/desy.de/vo/file'

const grants: readonly Grant[] = [{ kind: 'read', path: parsePath('/pnfs'), directoryOnly: false }]
const { credential: _, ...keyed } = alice({ id: 's3:AKIA' })
const foreign = (change: object): Principal => {
  const { credential, ...rest } = alice()
  return { ...rest, ...(credential && { credential: { ...credential, ...change } }) }
}

function revealed(value: Secret | 'none' | undefined): string | undefined {
  return value instanceof Secret ? value.reveal() : value
}

/** What is sent: "token", "service", "nothing", "macaroon", or the rule of the refusal. */
async function sent(options: Partial<DelegationOptions>, principal: Principal): Promise<string> {
  const delegation = new Delegation({ ...base, ...options }, () => new FakeDoor())
  try {
    const value = (await delegation.authorize(callBy(principal), ['DOWNLOAD'], path))?.reveal()
    if (value === undefined) return 'nothing'
    if (value === `Basic ${Buffer.from('gateway:pass:word').toString('base64')}`) return 'service'
    return value === `Bearer ${principal.credential?.secret.reveal()}` ? 'token' : 'macaroon'
  } catch (thrown) {
    const error = StorageError.from(thrown)
    return `${error.code} ${StorageError.reasonOf(error)?.rule}`
  } finally {
    await delegation.close()
  }
}

t.test('who comes how decides what is sent and who enforces', async (t) => {
  const macaroon = { send: 'macaroon' } as const
  const standIn = { otherwise: 'service', service } as const
  const capable = { capabilities: 'forward' } as const
  const scoped = alice({ grants })
  const hidden = alice({}, { scope: 'openid storage.read:/' })
  const sci = alice({}, { scope: ['read:/', 'openid'] })
  const noScope = alice({ grants: [] })
  const rows: ReadonlyArray<readonly [string, Partial<DelegationOptions>, Principal, string, boolean]> = [
    ['an accepted token', {}, alice(), 'token', true],
    ['an accepted token, as macaroon', macaroon, alice(), 'macaroon', true],
    ['a token for any', {}, foreign({ audiences: ['x', 'any'] }), 'token', true],
    ['another audience', {}, foreign({ audiences: ['elsewhere'] }), 'denied credential', true],
    ['no audience', {}, foreign({ audiences: [] }), 'denied credential', true],
    ['another issuer', {}, foreign({ issuer: 'https://other.example.org' }), 'denied credential', true],
    ['another issuer, service', standIn, foreign({ issuer: 'https://other.example.org' }), 'service', false],
    ['scopes', {}, scoped, 'denied credential', true],
    ['scopes, service', standIn, scoped, 'service', false],
    ['scopes, forwarded', capable, scoped, 'token', true],
    ['scopes, forwarded and never made into a macaroon', { ...capable, ...macaroon }, scoped, 'token', true],
    [
      'scopes of a token that dCache does not accept',
      capable,
      { ...foreign({ issuer: 'x' }), grants },
      'denied credential',
      true,
    ],
    ['scopes that the gateway does not look at', macaroon, hidden, 'denied credential', true],
    ['scopes of SciTokens that the gateway does not look at', standIn, sci, 'service', false],
    ['capabilities, none of them for storage', {}, noScope, 'denied credential', true],
    ['Kerberos', {}, foreign({ kind: 'kerberos' }), 'denied credential', true],
    ['an S3 key', {}, keyed, 'denied credential', true],
    ['an S3 key, service', standIn, keyed, 'service', false],
    ['nobody', {}, anonymous, 'nothing', true],
    ['nobody, service', standIn, anonymous, 'nothing', true],
    [
      'a credential of nobody known',
      standIn,
      { ...foreign({ issuer: 'x' }), user: undefined },
      'denied credential',
      true,
    ],
    ['a token that has ended', {}, alice({ expires: 1 }), 'unauthenticated token-expired', true],
  ]
  for (const [name, options, principal, expected, enforces] of rows) {
    t.equal(await sent(options, principal), expected, name)
    const delegation = new Delegation({ ...base, ...options }, () => new FakeDoor())
    t.equal(delegation.enforces(principal), enforces, `${name}: enforces`)
  }
  t.throws(() => new Delegation({ ...base, otherwise: 'service' }, () => new FakeDoor()), { code: 'invalid' })
})

t.test('a refusal says why, and no credential', async (t) => {
  const delegation = new Delegation(base, () => new FakeDoor())
  const error: unknown = await delegation.authorize(callBy(alice({ grants })), ['LIST'], path).catch((thrown) => thrown)
  t.match(StorageError.reasonOf(StorageError.from(error)), { rule: 'credential', text: /storage scopes/ })
  t.notMatch(inspect(error, { depth: 9 }), /eyJ/)
  t.equal(inspect(await delegation.authorize(callBy(alice()), ['LIST'], path)), '[secret]')
})

t.test('a macaroon is good for the directory, the activities and minutes, and each request gets its own', async (t) => {
  for (const format of ['v1', 'v2'] as const) {
    const door = new FakeDoor()
    door.format = format
    const delegation = new Delegation({ ...base, send: 'macaroon', validity: 300 }, () => door)
    const call = callBy(alice())
    const value = (await delegation.authorize(call, ['DOWNLOAD', 'READ_METADATA'], path))?.reveal() ?? ''
    const { macaroon } = parseMacaroon(value.replace(/^Bearer /, ''))
    t.ok(isIntact(macaroon, rootKey))
    t.same(
      macaroon.caveats.filter((caveat) => !caveat.startsWith('before:')),
      [
        'id:1000;1000;alice',
        'path:/pnfs/desy.de/vo',
        'activity:LIST,DOWNLOAD,READ_METADATA',
        'activity:DOWNLOAD,READ_METADATA',
      ],
    )
    const [asked] = door.asked
    t.match(JSON.parse(String(asked?.body)), { validity: /^PT(300|299)S$/ })
    t.equal(revealed(asked?.authorization), `Bearer ${call.principal.credential?.secret.reveal()}`)
    t.equal(asked?.headers?.['content-type'], 'application/macaroon-request')
  }
})

t.test('macaroons are kept by credential, directory and kind of activity', async (t) => {
  const door = new FakeDoor()
  const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
  const mine = callBy(alice())
  await delegation.authorize(mine, ['DOWNLOAD'], '/a/f')
  await delegation.authorize(mine, ['READ_METADATA', 'LIST'], '/a/g')
  t.equal(door.asked.length, 1)
  await delegation.authorize(mine, ['UPLOAD'], '/a/g')
  t.equal(door.asked.length, 2, 'another kind of activity')
  await delegation.authorize(mine, ['DOWNLOAD'], '/b/f')
  t.equal(door.asked.length, 3, 'another directory')
  await delegation.authorize(callBy(alice({}, { jti: '2' })), ['DOWNLOAD'], '/a/f')
  t.equal(door.asked.length, 4, 'another token')
  await delegation.authorize(mine, ['LIST'], '/')
  t.equal(door.asked.at(-1)?.path, '/')
})

t.test('who asks at the same time shares one question, and may leave alone', async (t) => {
  const door = new FakeDoor()
  const { promise, resolve } = Promise.withResolvers<void>()
  door.gate = promise
  const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
  const leaving = new AbortController()
  const principal = alice()
  const first = delegation.authorize(callBy(principal, leaving.signal), ['LIST'], '/a/f')
  const second = delegation.authorize(callBy(principal), ['LIST'], '/a/f')
  leaving.abort()
  await t.rejects(first, { code: 'cancelled' })
  resolve()
  t.match((await second)?.reveal(), /^Bearer /)
  t.equal(door.asked.length, 1)
})

t.test('a macaroon does not outlive the token, nor what the door granted', async (t) => {
  const soon = Math.floor(Date.now() / 1000) + 40
  const door = new FakeDoor()
  const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
  await delegation.authorize(callBy(alice({ expires: soon })), ['LIST'], '/a/f')
  t.match(JSON.parse(String(door.asked[0]?.body)), { validity: /^PT(40|39|38)S$/ })
  door.longest = -1
  const call = callBy(alice({}, { jti: '2' }))
  await delegation.authorize(call, ['LIST'], '/a/f')
  await delegation.authorize(call, ['LIST'], '/a/f')
  t.equal(door.asked.length, 3, 'one that has ended is not given again')
})

t.test('what the door answers instead of a macaroon', async (t) => {
  const rows: ReadonlyArray<readonly [number, string, string]> = [
    [200, '{}', 'unavailable'],
    [200, '{"macaroon":"eyJhbGciOiJub25lIn0.e30."}', 'unavailable'],
    [200, '{"macaroon":7}', 'unavailable'],
    [200, 'null', 'unavailable'],
    [400, '<html>', 'denied'],
    [401, '<html>', 'denied'],
    [403, '<html>', 'denied'],
    [500, '<html>', 'unavailable'],
  ]
  for (const [status, body, expected] of rows) {
    const door = new FakeDoor()
    door.answer = { status, body }
    const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
    const ask = () => delegation.authorize(callBy(alice()), ['LIST'], '/a/f')
    await t.rejects(ask(), { code: expected }, `${status} ${body}`)
  }
})

t.test('who is refused does not ask again at once', async (t) => {
  const door = new FakeDoor()
  door.answer = { status: 403, body: '' }
  const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
  const call = callBy(alice())
  for (let round = 0; round < 3; round++) {
    await t.rejects(delegation.authorize(call, ['LIST'], '/a/f'), { code: 'denied' })
  }
  t.equal(door.asked.length, 1)
})

t.test('another try is worth it only with a credential that was not fresh', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => mock.timers.reset())
  const door = new FakeDoor()
  const delegation = new Delegation({ ...base, send: 'macaroon' }, () => door)
  const call = callBy(alice())
  const first = await delegation.authorize(call, ['LIST'], '/a/f')
  t.notOk(first && delegation.refused(call, first), 'fresh')
  mock.timers.tick(10_000)
  const again = await delegation.authorize(call, ['LIST'], '/a/f')
  t.equal(door.asked.length, 1)
  t.ok(again && delegation.refused(call, again))
  await delegation.authorize(call, ['LIST'], '/a/f')
  t.equal(door.asked.length, 2)
  t.notOk(delegation.refused(call, new Secret('Bearer of somebody else')))
})

t.test('tokens are exchanged by the endpoint', async (t) => {
  const endpoint = await serveTokens(t)
  const exchange = {
    endpoint: endpoint.url,
    client: async () => ({ id: 'gate way', secret: new Secret('p:w&d') }),
    audience: 'dcache',
    scope: 'openid',
    issuers: [issuer],
  }
  const fresh = tokenWith({ iss: issuer, sub: 'alice', scope: 'openid' })
  const good = {
    access_token: fresh,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 600,
  }
  const scoped = () => callBy(alice({ grants }, { jti: String(Math.random()) }))
  endpoint.answer = good
  const delegation = new Delegation({ ...base, exchange }, () => new FakeDoor())
  const call = scoped()
  t.ok(delegation.enforces(call.principal))
  t.equal((await delegation.authorize(call, ['LIST'], path))?.reveal(), `Bearer ${fresh}`)
  await delegation.authorize(call, ['UPLOAD'], '/elsewhere')
  t.equal(endpoint.asked.length, 1, 'kept')
  const other = scoped()
  await Promise.all(Array.from({ length: 20 }, () => delegation.authorize(other, ['LIST'], path)))
  t.equal(endpoint.asked.length, 2, 'and asked for once by all who wait')
  const [asked] = endpoint.asked
  t.same(Object.fromEntries(asked?.form ?? []), {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: call.principal.credential?.secret.reveal(),
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: 'dcache',
    scope: 'openid',
  })
  t.equal(asked?.headers.authorization, `Basic ${Buffer.from('gate+way:p%3Aw%26d').toString('base64')}`)

  const rows: ReadonlyArray<readonly [string, number, unknown, string]> = [
    ['no token', 200, { ...good, access_token: undefined }, 'denied exchange'],
    ['a token with a line break', 200, { ...good, access_token: 'a\r\nX: b' }, 'denied exchange'],
    ['an endless token', 200, { ...good, access_token: 'x'.repeat(20_000) }, 'denied exchange'],
    [
      'a refresh token',
      200,
      { ...good, issued_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'denied exchange',
    ],
    ['no bearer token', 200, { ...good, token_type: 'N_A' }, 'denied exchange'],
    ['more scope than asked for', 200, { ...good, scope: 'openid storage.modify:/' }, 'denied exchange'],
    ['a scope in the token', 200, { ...good, access_token: tokenWith({ scope: 'storage.read:/' }) }, 'denied exchange'],
    ['another subject', 200, { ...good, access_token: tokenWith({ iss: issuer, sub: 'bob' }) }, 'denied exchange'],
    ['a token that has ended', 200, { ...good, access_token: tokenWith({ exp: 1 }) }, 'denied exchange'],
    ['no life', 200, { ...good, expires_in: 0 }, 'denied exchange'],
    ['another audience', 200, { ...good, access_token: tokenWith({ aud: ['other'] }) }, 'denied exchange'],
    ['ours among several audiences', 200, { ...good, access_token: tokenWith({ aud: ['other', 'dcache'] }) }, 'ok'],
    ['another actor', 200, { ...good, access_token: tokenWith({ act: { sub: 'somebody' } }) }, 'denied exchange'],
    ['no actor that could be read', 200, { ...good, access_token: tokenWith({ act: 'gate way' }) }, 'denied exchange'],
    [
      'us as actor, after another',
      200,
      { ...good, access_token: tokenWith({ act: { sub: 'gate way', act: { sub: 'somebody' } } }) },
      'ok',
    ],
    [
      'us as actor by the client id',
      200,
      { ...good, access_token: tokenWith({ act: { sub: '7', client_id: 'gate way' } }) },
      'ok',
    ],
    ['a subject of another issuer', 200, { ...good, access_token: tokenWith({ iss: 'x', sub: '7' }) }, 'ok'],
    ['an opaque token', 200, { ...good, access_token: 'opaque' }, 'ok'],
    ['a refusal', 400, { error: 'invalid_grant', error_description: 'eyJ' }, 'denied exchange'],
    ['an unknown client', 401, { error: 'invalid_client' }, 'unavailable undefined'],
    ['HTML', 200, '<html>', 'denied exchange'],
    ['a failure', 500, '', 'unavailable undefined'],
    ['too much', 200, 'x'.repeat(100_000), 'unavailable undefined'],
  ]
  for (const [name, status, answer, expected] of rows) {
    Object.assign(endpoint, { status, answer })
    const result = await delegation.authorize(scoped(), ['LIST'], path).then(
      () => 'ok',
      (error) => `${error.code} ${StorageError.reasonOf(error)?.rule}`,
    )
    t.equal(result, expected, name)
  }
  const before = endpoint.asked.length
  t.equal(await sent({ exchange }, foreign({ issuer: 'https://other.example.org' })), 'denied credential')
  t.equal(await sent({ exchange }, foreign({ bound: true })), 'denied credential')
  t.equal(endpoint.asked.length, before, 'neither tokens of other issuers nor bound ones are shown to it')
  await delegation.close()
})

t.test('an exchanged token can ask for macaroons', async (t) => {
  const endpoint = await serveTokens(t)
  endpoint.answer = {
    access_token: 'opaque',
    issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_type: 'bearer',
    expires_in: 60,
  }
  const client = async () => ({ id: 'gateway', secret: new Secret('x') })
  const exchange = { endpoint: endpoint.url, client, issuers: [issuer] }
  const door = new FakeDoor()
  const delegation = new Delegation({ ...base, send: 'macaroon', exchange }, () => door)
  await delegation.authorize(callBy(alice({ grants })), ['LIST'], path)
  t.equal(revealed(door.asked[0]?.authorization), 'Bearer opaque')
  t.match(JSON.parse(String(door.asked[0]?.body)), { validity: /^PT(30|29)S$/ }, 'no longer than the exchanged token')
})

t.test('an exchanged token that is refused later is exchanged anew', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => mock.timers.reset())
  for (const send of ['forward', 'macaroon'] as const) {
    const endpoint = await serveTokens(t)
    const client = async () => ({ id: 'gateway', secret: new Secret('x') })
    const answer = {
      issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_type: 'bearer',
      expires_in: 3600,
    }
    endpoint.answer = { ...answer, access_token: 'first' }
    const door = new FakeDoor()
    const exchange = { endpoint: endpoint.url, client, issuers: [issuer] }
    const delegation = new Delegation({ ...base, send, exchange }, () => door)
    const call = callBy(alice({ grants }))
    const first = await delegation.authorize(call, ['LIST'], '/a/f')
    t.notOk(first && delegation.refused(call, first), `${send}: fresh`)
    endpoint.answer = { ...answer, access_token: 'second' }
    mock.timers.tick(10_000)
    if (send === 'forward') {
      const again = await delegation.authorize(call, ['LIST'], '/a/f')
      t.equal(again?.reveal(), 'Bearer first')
      t.ok(again && delegation.refused(call, again), 'no longer fresh')
      t.equal((await delegation.authorize(call, ['LIST'], '/a/f'))?.reveal(), 'Bearer second')
    } else {
      door.answer = { status: 401, body: '' }
      await t.rejects(delegation.authorize(call, ['LIST'], '/b/f'), { code: 'denied' })
      door.answer = undefined
      await delegation.authorize(call, ['LIST'], '/c/f')
      t.equal(revealed(door.asked.at(-1)?.authorization), 'Bearer second')
    }
    t.equal(endpoint.asked.length, 2)
    await delegation.close()
  }
})

t.test('secrets go to a token endpoint by TLS alone', async (t) => {
  const client = async () => ({ id: 'gateway', secret: new Secret('x') })
  const make = (endpoint: string, scope?: string) => () =>
    new Delegation(
      {
        ...base,
        exchange: { endpoint: new URL(endpoint), client, issuers: [issuer], ...(scope !== undefined && { scope }) },
      },
      () => new FakeDoor(),
    )
  t.throws(make('http://idp.example.org/token'), { code: 'invalid' })
  t.throws(make('ftp://127.0.0.1/token'), { code: 'invalid' })
  t.throws(make('https://idp.example.org/token', 'openid storage.read:/'), { code: 'invalid' })
  t.doesNotThrow(make('http://[::1]:8080/token'))
})
