import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkOptions } from '../../acl/identity/check-options.ts'
import { Keys } from '../../acl/identity/keys.ts'
import type { Algorithm, IssuerOptions, KeySourceOptions } from '../../acl/identity/options.ts'
import { directoryFor, type KeyServer, makeClock, makeKey, serveKeys } from './issuer.ts'
import { refusal } from './setting.ts'

const hour = 3600

function makeKeys(t: Test, keys: KeySourceOptions, change: Partial<IssuerOptions> = {}, deadline = 5000) {
  const clock = makeClock()
  const issuer: IssuerOptions = {
    issuer: 'https://vo.example.org',
    name: 'vo',
    keys,
    insecure: true,
    audiences: ['https://gw.example.org'],
    profile: 'plain',
    ...change,
  }
  const made = new Keys(issuer, { now: clock.now, deadline })
  t.teardown(() => made.close())
  const find = async (kid: string, algorithm: Algorithm = 'ES256'): Promise<string> => {
    try {
      await made.find(kid, algorithm)
      return 'ok'
    } catch (error) {
      return refusal(error)
    }
  }
  return { keys: made, clock, find }
}

/** What `portolan check` is told. */
async function problem(keys: Keys): Promise<string> {
  const findings = await keys.check()
  return findings.map(({ level, text }) => `${level}: ${text}`).join('; ')
}

async function withServer(t: Test, ...ids: string[]) {
  const server = await serveKeys(
    t,
    ids.map((id) => makeKey(id).jwk),
  )
  return { server, ...makeKeys(t, { discovery: true }, { issuer: server.origin }) }
}

t.test('discovery asks at the issuer, and the metadata must be of exactly this issuer', async (t) => {
  const { server, find, keys } = await withServer(t, 'a')
  t.equal(await find('a'), 'ok')
  t.same(server.asked, ['/.well-known/openid-configuration', '/keys'])
  server.metadata = { issuer: `${server.origin}/` }
  t.match(await problem(keys), /of another issuer/)
  t.equal(await find('a'), 'ok', 'the keys that were good stay')
})

t.test('an issuer with a final slash has its document below one slash', async (t) => {
  const server = await serveKeys(t, [makeKey('a').jwk])
  server.metadata = { issuer: `${server.origin}/` }
  const { find } = makeKeys(t, { discovery: true }, { issuer: `${server.origin}/` })
  t.equal(await find('a'), 'ok')
  t.equal(server.asked[0], '/.well-known/openid-configuration')
})

t.test('keys are fetched only from origins of the configuration', async (t) => {
  const elsewhere = await serveKeys(t, [makeKey('a').jwk])
  const { server, find, keys } = await withServer(t)
  for (const uri of [`${elsewhere.origin}/keys`, 'file:///etc/passwd', 'http://192.0.2.1/keys', 'not a url', 7]) {
    server.metadata = { jwks_uri: uri }
    t.match(await problem(keys), /not at an origin of the configuration/, String(uri))
  }
  t.equal(await find('a'), 'unavailable token-key')
  t.same(elsewhere.asked, [])
  server.metadata = { jwks_uri: `${elsewhere.origin}/keys` }
  const wider = makeKeys(t, { discovery: true, origins: [elsewhere.origin] }, { issuer: server.origin })
  t.equal(await wider.find('a'), 'ok')
})

t.test('a redirect is followed within the origin and not beyond', async (t) => {
  const elsewhere = await serveKeys(t, [makeKey('a').jwk])
  const server = await serveKeys(t, [makeKey('a').jwk])
  const { keys, find } = makeKeys(t, { jwksUrl: `${server.origin}/start` })
  const redirect = (location: string) => {
    server.answer = (request, response) => {
      if (request.url === '/keys') response.end(JSON.stringify({ keys: server.keys }))
      else response.writeHead(302, { location }).end()
    }
  }
  for (const location of [
    `${elsewhere.origin}/keys`,
    'http://localhost:1/keys',
    'https://127.0.0.1/keys',
    'file:///x',
  ]) {
    redirect(location)
    t.match(await problem(keys), /redirects to another origin/, location)
  }
  t.same(elsewhere.asked, [])
  redirect('/start')
  t.match(await problem(keys), /redirects too often/)
  redirect('/keys')
  t.match(await problem(keys), /1 usable keys/)
  t.equal(await find('a'), 'ok')
})

t.test('slow, huge and wrong answers end in their bounds and say what is wrong', async (t) => {
  const server = await serveKeys(t, [])
  const { keys } = makeKeys(t, { jwksUrl: `${server.origin}/keys` }, {}, 200)
  const cases: ReadonlyArray<readonly [RegExp, KeyServer['answer']]> = [
    [/in time/, () => {}],
    [/in time/, (_request, response) => void response.write('{')],
    [
      /larger than/,
      (_request, response) => {
        const more = (): void => {
          while (response.write(' '.repeat(65_536)));
        }
        response.on('drain', more)
        more()
      },
    ],
    [/status 500/, (_request, response) => void response.writeHead(500).end()],
    [/status 204/, (_request, response) => void response.writeHead(204).end()],
    [/not JSON/, (_request, response) => void response.end('<html>')],
    [/no list of keys/, (_request, response) => void response.end('{}')],
    [/a member twice/, (_request, response) => void response.end('{"keys":[],"keys":[]}')],
    [/cannot be reached/, (request) => void request.socket.destroy()],
  ]
  for (const [expected, answer] of cases) {
    server.answer = answer
    t.match(await problem(keys), expected)
  }
})

t.test('calls that need keys at once share one fetch', async (t) => {
  const { server, find } = await withServer(t, 'a')
  const answers = await Promise.all(Array.from({ length: 50 }, () => find('a')))
  t.same([...new Set(answers)], ['ok'])
  t.equal(server.asked.length, 2)
})

t.test('unknown keys cause one fetch a minute, however many are asked for', async (t) => {
  const { server, find, clock } = await withServer(t, 'a')
  t.equal(await find('a'), 'ok')
  for (let index = 0; index < 20; index++) t.equal(await find(`unknown-${index}`), 'unauthenticated token-key')
  t.equal(server.asked.length, 4)
  clock.pass(59)
  t.equal(await find('b'), 'unauthenticated token-key')
  t.equal(server.asked.length, 4)
  clock.pass(1)
  server.keys = [...server.keys, makeKey('b').jwk]
  t.same(await Promise.all([find('b'), find('b'), find('c')]), ['ok', 'ok', 'unauthenticated token-key'])
  t.equal(server.asked.length, 6)
})

t.test('a key that the issuer has withdrawn is gone after the refresh', async (t) => {
  const { server, find, clock } = await withServer(t, 'a', 'b')
  t.equal(await find('a'), 'ok')
  server.keys = server.keys.slice(1)
  t.equal(await find('a'), 'ok', 'not known yet')
  clock.pass(6 * hour)
  t.equal(await find('a'), 'unauthenticated token-key')
  t.equal(await find('b'), 'ok')
  t.equal(server.asked.length, 4)
})

t.test('halfway to the refresh keys are fetched while the call goes on', async (t) => {
  const { server, find, clock } = await withServer(t, 'a')
  t.equal(await find('a'), 'ok')
  clock.pass(3 * hour)
  const asked = Promise.withResolvers<void>()
  server.answer = () => asked.resolve()
  t.equal(await find('a'), 'ok', 'the call does not wait for the answer')
  await asked.promise
  t.equal(server.asked.length, 3)
})

t.test('keys of an issuer that is down are believed for two days, and asked for once a minute', async (t) => {
  const { server, find, clock } = await withServer(t, 'a')
  t.equal(await find('a'), 'ok')
  server.answer = (request) => void request.socket.destroy()
  clock.pass(7 * hour)
  t.equal(await find('a'), 'ok')
  const asked = server.asked.length
  t.equal(await find('a'), 'ok')
  t.equal(server.asked.length, asked, 'not again within the minute')
  clock.pass(40 * hour)
  t.equal(await find('a'), 'ok')
  clock.pass(hour)
  t.equal(await find('a'), 'unavailable token-key')
  server.answer = undefined
  clock.pass(10)
  t.equal(await find('a'), 'ok', 'and they are back when the issuer is')
})

t.test('weak, private, foreign and unusable keys are left out and reported', async (t) => {
  const good = makeKey('good', 'RS256')
  const ec = makeKey('ec')
  const weak = makeKey('weak', 'RS256', 1024)
  const bad: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
    ['fewer than 2048 bits', { ...weak.jwk }],
    ['more than 8192 bits', { ...good.jwk, kid: 'x', n: Buffer.alloc(1025, 255).toString('base64url') }],
    ['bad RSA exponent', { ...good.jwk, kid: 'x', e: 'AQ' }],
    ['bad RSA exponent', { ...good.jwk, kid: 'x', e: 'Ag' }],
    ['no usable kid', { ...good.jwk, kid: undefined }],
    ['no usable kid', { ...good.jwk, kid: 7 }],
    ['not for signatures', { ...good.jwk, kid: 'x', use: 'enc' }],
    ['not for verifying', { ...good.jwk, kid: 'x', key_ops: ['encrypt'] }],
    ['private or symmetric', { kty: 'oct', kid: 'x', k: 'c2VjcmV0' }],
    ['private or symmetric', { ...ec.privateKey.export({ format: 'jwk' }), kid: 'x' }],
    ['unknown type', { kty: 'oct', kid: 'x' }],
    ['unknown curve', { ...ec.jwk, kid: 'x', crv: 'secp256k1' }],
    ['unknown curve', { ...ec.jwk, kid: 'x', crv: 'constructor' }],
  ]
  const file = join(directoryFor(t), 'jwks.json')
  for (const [expected, jwk] of bad) {
    writeFileSync(file, JSON.stringify({ keys: [good.jwk, jwk, 'nonsense'] }))
    const { keys, find } = makeKeys(t, { jwksFile: file })
    t.match(await problem(keys), new RegExp(`1 usable keys; warning: .*${expected}.*; .*not an object`), expected)
    t.equal(await find('good', 'RS256'), 'ok')
    t.equal(await find('x', 'RS256'), 'unauthenticated token-key')
  }
})

t.test('a key serves only the algorithms that fit it, and two of one kid serve none', async (t) => {
  const rsa = makeKey('rsa', 'RS256')
  const free = { ...makeKey('free', 'RS256').jwk, alg: undefined }
  const off = { ...makeKey('off').jwk, x: makeKey('other').jwk.x }
  const list = [
    rsa.jwk,
    free,
    off,
    makeKey('two').jwk,
    makeKey('two').jwk,
    makeKey('ed', 'EdDSA').jwk,
    makeKey('ec').jwk,
  ]
  const file = join(directoryFor(t), 'jwks.json')
  writeFileSync(file, JSON.stringify({ keys: list }))
  const { find } = makeKeys(t, { jwksFile: file })
  const cases: ReadonlyArray<readonly [string, Algorithm, string]> = [
    ['rsa', 'RS256', 'ok'],
    ['rsa', 'PS256', 'unauthenticated token-key'],
    ['rsa', 'ES256', 'unauthenticated token-key'],
    ['free', 'PS512', 'ok'],
    ['free', 'RS256', 'ok'],
    ['off', 'ES256', 'unauthenticated token-key'],
    ['two', 'ES256', 'unauthenticated token-key'],
    ['ed', 'EdDSA', 'ok'],
    ['ec', 'ES384', 'unauthenticated token-key'],
    ['constructor', 'ES256', 'unauthenticated token-key'],
  ]
  for (const [kid, algorithm, expected] of cases) t.equal(await find(kid, algorithm), expected, `${kid} ${algorithm}`)
})

t.test('a key set file is read again when it has changed', async (t) => {
  const file = join(directoryFor(t), 'jwks.json')
  const { find, clock } = makeKeys(t, { jwksFile: file })
  t.equal(await find('a'), 'unavailable token-key', 'not there yet')
  writeFileSync(file, JSON.stringify({ keys: [makeKey('a').jwk] }))
  clock.pass(10)
  t.equal(await find('a'), 'ok')
  writeFileSync(file, JSON.stringify({ keys: [makeKey('b').jwk, makeKey('c').jwk] }))
  clock.pass(1)
  t.equal(await find('a'), 'unauthenticated token-key')
  t.equal(await find('b'), 'ok')
  writeFileSync(file, '{')
  clock.pass(1)
  t.equal(await find('b'), 'ok', 'a file that went bad leaves the last good keys')
  clock.pass(49 * hour)
  t.equal(await find('b'), 'unavailable token-key', 'but not for ever')
})

t.test('https is fetched with the trust anchors of the configuration and no others', async (t) => {
  const directory = directoryFor(t)
  const [key, cert] = [join(directory, 'tls.key'), join(directory, 'tls.crt')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const server = await serveKeys(t, [makeKey('a').jwk], { key: readFileSync(key), cert: readFileSync(cert) })
  const source = { discovery: true } as const
  const trusting = makeKeys(t, source, { issuer: server.origin, insecure: false, ca: cert })
  t.equal(await trusting.find('a'), 'ok')
  const plain = makeKeys(t, source, { issuer: server.origin, insecure: true })
  t.equal(await plain.find('a'), 'unavailable token-key', 'insecure does not mean any certificate')
  const lost = makeKeys(t, source, { issuer: server.origin, ca: join(directory, 'no.crt') })
  t.match(await problem(lost.keys), /trusted certificates cannot be read/)
})

t.test('addresses of keys: https, or http on loopback where the issuer is insecure', async (t) => {
  const cases: ReadonlyArray<readonly [string, boolean, boolean]> = [
    ['https://vo.example.org/jwk', false, true],
    ['http://127.0.0.1:80/jwk', true, true],
    ['http://[::1]/jwk', true, true],
    ['http://localhost/jwk', true, true],
    ['http://127.0.0.1:80/jwk', false, false],
    ['http://vo.example.org/jwk', true, false],
    ['http://127.0.0.1.example.org/jwk', true, false],
    ['http://169.254.169.254/jwk', true, false],
    ['file:///etc/passwd', true, false],
    ['https://user:word@vo.example.org/jwk', false, false],
    ['vo.example.org', true, false],
  ]
  for (const [jwksUrl, insecure, allowed] of cases) {
    const issuer = { issuer: 'x', name: 'vo', keys: { jwksUrl }, insecure, audiences: ['a'], profile: 'plain' } as const
    const check = (): void =>
      checkOptions({ domain: 'desy.de', issuers: [issuer], mapping: [], accounts: [], minUid: 1, administrators: [] })
    if (allowed) t.doesNotThrow(check, jwksUrl)
    else t.throws(check, { code: 'invalid' }, jwksUrl)
  }
})

t.test('a clock far from ours is reported', async (t) => {
  const { keys, find } = await withServer(t, 'a')
  t.equal(await find('a'), 'ok')
  t.match(await problem(keys), /clocks differ by \d+ s/)
})
