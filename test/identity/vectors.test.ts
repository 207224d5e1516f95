/** The vectors K01 to K40 of token verification, as far as they are decided before any request path is known. */

import { createPublicKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { permitsPath } from '../../acl/authorizer.ts'
import type { Action } from '../../acl/needs.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { encode, makeKey, serveKeys, signRaw, signToken } from './issuer.ts'
import { audience, grantsOf, issuerI, issuerJ, issuerP, issuerS, makeSetting, outcome } from './setting.ts'

t.test('K01: a good token gives its grants below the prefix of the issuer and the account of the issuer', async (t) => {
  const { service, token } = await makeSetting(t)
  const principal = await outcome(service, token({ scope: 'storage.read:/' }))
  t.match(principal, { id: `${issuerI}|sub-robot`, user: 'vo-prod@desy.de', posix: { uid: 2100, gid: 2100 } })
  t.same(grantsOf(principal), ['read:/vo/'])
})

t.test('K02 to K04, K06: the header decides nothing that the configuration has not decided', async (t) => {
  const setting = await makeSetting(t)
  const { service, claims, key, token } = setting
  const scope = { scope: 'storage.read:/' }
  const pem = String(createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' }))
  const unsigned = `${encode({ alg: 'none', kid: 'k1' })}.${encode(claims(scope))}.`
  t.equal(await outcome(service, unsigned), 'unauthenticated token-algorithm', 'K02')
  t.equal(await outcome(service, unsigned.replace(/\.$/, '.AAAA')), 'unauthenticated token-algorithm', 'K02 signed')
  const confused = signRaw({ alg: 'HS256', kid: 'k1', typ: 'JWT' }, claims(scope), pem)
  t.equal(await outcome(service, confused), 'unauthenticated token-algorithm', 'K03')
  t.equal(await outcome(service, token(scope, { kid: undefined })), 'unauthenticated token-key', 'K04')
  t.equal(await outcome(service, token(scope, { kid: 7 })), 'unauthenticated token-key', 'kid is no string')
  t.equal(await outcome(service, token(scope, { kid: 'k'.repeat(256) })), 'unauthenticated token-key', 'kid too long')
  t.equal(
    await outcome(service, token(scope, { kid: "../../jwks' or 1=1 --" })),
    'unauthenticated token-key',
    'kid odd',
  )

  const thief = makeKey('k1')
  const trap = await serveKeys(t, [thief.jwk])
  const lures = { jku: `${trap.origin}/keys`, x5u: `${trap.origin}/cert`, jwk: thief.jwk, x5c: ['AAAA'] }
  t.match(await outcome(service, token(scope, lures)), { user: 'vo-prod@desy.de' }, 'K06: the lures are ignored')
  t.equal(await outcome(service, signToken(thief, claims(scope), lures)), 'unauthenticated token-signature', 'K06')
  t.same(trap.asked, [], 'K06: nothing was fetched')
})

t.test('K05: an unknown key is looked for once, and is good when the issuer has published it', async (t) => {
  const first = makeKey('first')
  const second = makeKey('second', 'RS256')
  const server = await serveKeys(t, [first.jwk])
  const issuer = server.origin
  const setting = await makeSetting(t, {
    issuers: [
      {
        issuer,
        name: 'vo',
        keys: { discovery: true },
        insecure: true,
        audiences: [audience],
        profile: 'wlcg',
        basePath: parsePath('/vo'),
        account: 'vo-prod',
      },
    ],
    mapping: [],
  })
  const { service, claims, clock } = setting
  const good = { iss: issuer, scope: 'storage.read:/' }
  t.match(await outcome(service, signToken(first, claims(good))), { user: 'vo-prod@desy.de' })
  t.equal(server.asked.length, 2, 'discovery and keys')
  const late = signToken(second, claims(good))
  t.equal(await outcome(service, late), 'unauthenticated token-key')
  t.equal(server.asked.length, 4, 'one refresh for the unknown key')
  server.keys = [first.jwk, second.jwk]
  t.equal(await outcome(service, late), 'unauthenticated token-key', 'within a minute nobody asks again')
  t.equal(server.asked.length, 4)
  clock.pass(61)
  t.match(await outcome(service, late), { user: 'vo-prod@desy.de' })
  t.equal(server.asked.length, 6, 'exactly one more refresh')
})

t.test('K07 to K15, K17, K28 to K40: claims', async (t) => {
  const { service, token, clock, claims, key } = await makeSetting(t)
  const now = Math.floor(clock.now() / 1000)
  const read = { scope: 'storage.read:/' }
  const cases: ReadonlyArray<readonly [string, Record<string, unknown>, string]> = [
    ['K07 slash', { ...read, iss: `${issuerI}/` }, 'unauthenticated token-issuer'],
    ['K07 case', { ...read, iss: 'https://VO.example.org' }, 'unauthenticated token-issuer'],
    ['K08', { ...read, aud: `${audience}/` }, 'unauthenticated token-audience'],
    ['K09', { ...read, aud: ['https://other.example.org', audience] }, 'ok'],
    ['K10', { ...read, aud: 'https://GW.example.org' }, 'unauthenticated token-audience'],
    ['K11', { ...read, exp: now }, 'unauthenticated token-expired'],
    ['K12', { ...read, nbf: now + 30 }, 'ok'],
    ['K13', { ...read, nbf: now + 120 }, 'unauthenticated token-not-yet-valid'],
    ['K14', { ...read, aud: undefined }, 'unauthenticated token-audience'],
    ['K15', { scope: 'storage.read' }, 'unauthenticated token-scope'],
    ['K15 beside a good one', { scope: 'storage.read:/ storage.create' }, 'unauthenticated token-scope'],
    ['K17', { scope: 'storage.read:/foo/../bar' }, 'unauthenticated token-scope'],
    ['K28', { ...read, 'wlcg.ver': '1.2' }, 'ok'],
    ['K29', { ...read, 'wlcg.ver': '2.0' }, 'unauthenticated token-profile'],
    ['K32', { sub: 'sub-alice', nonce: 'n', at_hash: 'h' }, 'unauthenticated token-type'],
    ['K32 nonce alone', { sub: 'sub-alice', nonce: 'n' }, 'unauthenticated token-type'],
    ['K32 aud is the client', { sub: 'sub-alice', azp: audience }, 'unauthenticated token-type'],
    ['K34', { iss: issuerS, 'wlcg.ver': undefined, ver: 'scitoken:2.0', scope: 'read:/a', aud: 'ANY' }, 'ok'],
    ['K36', { ...read, cnf: { 'x5t#S256': 'x' } }, 'unauthenticated token-binding'],
    ['K36 DPoP', { ...read, cnf: { jkt: 'x' } }, 'unauthenticated token-binding'],
  ]
  for (const [name, change, expected] of cases) {
    const kind = name.startsWith('K32') ? { typ: 'JWT' } : {}
    const result = await outcome(service, token(change, kind))
    t.equal(typeof result === 'string' ? result : 'ok', expected, name)
  }
  const twice = JSON.stringify(claims(read)).replace('{', '{"scope":"storage.modify:/",')
  t.equal(await outcome(service, signToken(key, twice)), 'unauthenticated token-format', 'K40')
  const long = token({ ...read, more: 'x'.repeat(100 * 1024) })
  t.equal(await outcome(service, long), 'unauthenticated token-size', 'K38')
})

t.test('K12: without leeway nbf is exact', async (t) => {
  const first = await makeSetting(t)
  const strict = first.options.issuers.map((issuer) => ({ ...issuer, leeway: 0 }))
  await first.service.reload({ ...first.options, issuers: strict })
  const now = Math.floor(first.clock.now() / 1000)
  const early = first.token({ scope: 'storage.read:/', nbf: now + 30 })
  t.equal(await outcome(first.service, early), 'unauthenticated token-not-yet-valid')
  first.clock.pass(30)
  t.type(await outcome(first.service, early), 'object', 'a token that was too early is good when its time has come')
})

t.test('K01, K16, K19 to K26, K30, K31, K34: what the scopes of a token permit on a path', async (t) => {
  const { service, token } = await makeSetting(t)
  const sci = { iss: issuerS, 'wlcg.ver': undefined, ver: 'scitoken:2.0', aud: 'ANY' }
  const cases: ReadonlyArray<readonly [string, Record<string, unknown>, Action, string, boolean]> = [
    ['K01', { scope: 'storage.read:/' }, 'read', '/vo/a', true],
    ['K01 outside the prefix', { scope: 'storage.read:/' }, 'read', '/other/a', false],
    ['K16', { scope: 'storage.read:/foo' }, 'read', '/vo/foobar', false],
    ['K16 below', { scope: 'storage.read:/foo' }, 'read', '/vo/foo/bar', true],
    ['K19', { scope: 'storage.create:/d' }, 'replace', '/vo/d/x', false],
    ['K19 new', { scope: 'storage.create:/d' }, 'create', '/vo/d/x', true],
    ['K20', { scope: 'storage.create:/d' }, 'remove', '/vo/d/x', false],
    ['K21 source', { scope: 'storage.create:/d' }, 'move-away', '/vo/d/x', true],
    ['K21 target', { scope: 'storage.create:/d' }, 'move-in-file', '/vo/d/y', true],
    ['K24', { scope: 'storage.stage:/t' }, 'read', '/vo/t/f', false],
    ['K25 poll', { scope: 'storage.poll:/t' }, 'locality', '/vo/t/f', true],
    ['K25 stage', { scope: 'storage.poll:/t' }, 'stage', '/vo/t/f', false],
    ['K26', { scope: 'compute.create', 'wlcg.groups': ['/vo'] }, 'read', '/vo/a', false],
    ['K30', { scope: 'storage.modify:/a' }, 'create', '/vo/b/x', false],
    ['K30 reading', { scope: 'storage.modify:/a' }, 'read', '/vo/a/x', false],
    ['K31', { iss: issuerJ, scope: 'storage.read:/' }, 'read', '/vo/a', false],
    ['K34', { ...sci, scope: 'read:/a' }, 'read', '/vo/a', true],
    ['K34 elsewhere', { ...sci, scope: 'read:/a' }, 'read', '/vo/b', false],
  ]
  for (const [name, change, action, path, expected] of cases) {
    const principal = await outcome(service, token(change))
    if (typeof principal === 'string') t.fail(`${name}: ${principal}`)
    else t.equal(permitsPath(principal, action, parsePath(path)).allowed, expected, `${name}: ${action} ${path}`)
  }
})

t.test('K19 to K25: grants are exactly the scopes, moved below the prefix', async (t) => {
  const { service, token } = await makeSetting(t)
  const scope = 'storage.create:/d/e storage.stage:/t openid storage.poll:/t storage.modify:/foo/bar/ storage.poll:/t'
  const expected = ['create:/vo/d/e', 'stage:/vo/t', 'poll:/vo/t', 'modify:/vo/foo/bar/']
  t.same(grantsOf(await outcome(service, token({ scope }))), expected)
})

t.test('K26: any capability, also one that is not for storage, makes the groups count for nothing', async (t) => {
  const { service, token } = await makeSetting(t)
  const principal = await outcome(service, token({ scope: 'compute.create', 'wlcg.groups': ['/vo', '/cms'] }))
  t.match(principal, { user: 'vo-prod@desy.de', grants: [] })
  t.same(typeof principal === 'string' ? principal : [...principal.groups], [])
})

t.test('K27: being in a group does not make anyone a member of its parent', async (t) => {
  const { service, token } = await makeSetting(t)
  const principal = await outcome(service, token({ sub: 'sub-alice', 'wlcg.groups': ['/vo/sub'] }))
  t.match(principal, { user: 'alice@desy.de', grants: 'unbounded' })
  t.same(typeof principal === 'string' ? principal : [...principal.groups].toSorted(), ['/vo/sub@vo', 'p01@desy.de'])
})

t.test('K35: a SciToken scope without a path means the whole area of its issuer', async (t) => {
  const { service, token } = await makeSetting(t)
  const sci = { iss: issuerS, 'wlcg.ver': undefined, ver: 'scitoken:2.0' }
  t.same(grantsOf(await outcome(service, token({ ...sci, scope: 'read' }))), ['read:/vo/'])
  t.same(grantsOf(await outcome(service, token({ ...sci, scope: 'write:/b' }))), ['modify:/vo/b'])
})

t.test('K37: a group of one issuer in the token of another counts for nothing', async (t) => {
  const { service, token } = await makeSetting(t)
  const entitlements = ['urn:geant:helmholtz.de:group:HIFIS']
  const own = await outcome(service, token({ iss: issuerP, 'wlcg.ver': undefined, entitlements }))
  t.match(own, { user: 'bob@desy.de' }, 'in a token of its own issuer it maps')
  t.equal(await outcome(service, token({ entitlements })), 'denied mapping-none')
})

t.test('K39: a token that was good ends with its time, also when the answer is cached', async (t) => {
  const { service, token, clock } = await makeSetting(t)
  const now = Math.floor(clock.now() / 1000)
  const short = token({ scope: 'storage.read:/', exp: now + 10 })
  t.match(await outcome(service, short), { expires: now + 10 })
  clock.pass(9.999)
  t.type(await outcome(service, short), 'object')
  clock.pass(0.001)
  t.equal(await outcome(service, short), 'unauthenticated token-expired')
})

t.test('two rules that name different accounts are a refusal', async (t) => {
  const { service, token } = await makeSetting(t)
  const both = token({ sub: 'sub-alice', 'wlcg.groups': ['/vo'] })
  t.equal(await outcome(service, both), 'denied mapping-ambiguous')
})

t.test('keys are those of their own issuer and not of another', async (t) => {
  const setting = await makeSetting(t)
  const other = makeKey('other')
  const jwksFile = join(setting.directory, 'other.json')
  writeFileSync(jwksFile, JSON.stringify({ keys: [other.jwk] }))
  const [first, second, ...rest] = setting.options.issuers
  if (first === undefined || second === undefined) throw new Error('issuers I and J are there')
  await setting.service.reload({ ...setting.options, issuers: [first, { ...second, keys: { jwksFile } }, ...rest] })
  const scope = { scope: 'storage.read:/' }
  const asJ = signToken(other, setting.claims({ ...scope, iss: issuerJ }))
  t.match(await outcome(setting.service, asJ), { user: 'j-prod@desy.de' })
  const asI = signToken(other, setting.claims(scope))
  t.equal(await outcome(setting.service, asI), 'unauthenticated token-key')
})
