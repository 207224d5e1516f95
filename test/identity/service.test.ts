import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import type { Holder } from '../../acl/identity/options.ts'
import { createIdentity } from '../../acl/identity/service.ts'
import { Secret } from '../../acl/secret.ts'
import { directoryFor, makeKey, signToken } from './issuer.ts'
import { accounts, issuerI, issuerP, makeSetting, outcome, refusal } from './setting.ts'

const read = { scope: 'storage.read:/' }
const plain = { iss: issuerP, 'wlcg.ver': undefined }

t.test('a caller without a credential is anonymous', async (t) => {
  const { service } = await makeSetting(t)
  t.match(await service.authenticate({ kind: 'none' }), { id: 'anonymous', user: undefined })
})

t.test('a principal carries its token as a secret that no dump shows', async (t) => {
  const { service, token } = await makeSetting(t)
  const text = token(read)
  const principal = await service.authenticate({ kind: 'bearer', token: new Secret(text) })
  t.equal(principal.credential?.secret.reveal(), text)
  t.notMatch(inspect(principal, { depth: 9, showHidden: true }) + JSON.stringify(principal), text.slice(0, 20))
})

t.test('a verified token is believed for five minutes without another look', async (t) => {
  const { service, token, clock, directory } = await makeSetting(t)
  const text = token(read)
  const first = await outcome(service, text)
  t.equal(await outcome(service, text), first)
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify({ keys: [makeKey('k2').jwk] }))
  clock.pass(299)
  t.equal(await outcome(service, text), first)
  clock.pass(1)
  t.equal(await outcome(service, text), 'unauthenticated token-key', 'its key was withdrawn meanwhile')
})

t.test('calls with one new token share one verification', async (t) => {
  const { service, token } = await makeSetting(t)
  const text = token(read)
  const answers = await Promise.all(Array.from({ length: 100 }, () => outcome(service, text)))
  t.equal(new Set(answers).size, 1)
  t.type(answers[0], 'object')
})

t.test('a refused token is refused again from memory, a mapping that was mended is seen at once', async (t) => {
  const { service, options, token, clock } = await makeSetting(t)
  const expired = token({ ...read, exp: clock.now() / 1000 - 1 })
  t.equal(await outcome(service, expired), 'unauthenticated token-expired')
  t.equal(await outcome(service, expired), 'unauthenticated token-expired')
  const unmapped = token({ sub: 'sub-carol' })
  t.equal(await outcome(service, unmapped), 'denied mapping-none')
  const mapping = [...options.mapping, { issuer: 'vo', subject: 'sub-carol', account: 'bob' }]
  await service.reload({ ...options, mapping })
  t.match(await outcome(service, unmapped), { user: 'bob@desy.de' })
})

t.test('a ban holds for credentials that were verified before it', async (t) => {
  const banned = new Set<string | undefined>()
  const isRevoked = ({ id, user, tokenId }: Holder): boolean => [id, user, tokenId].some((name) => banned.has(name))
  const { service, token } = await makeSetting(t, { revocations: { isRevoked } })
  const text = token({ ...read, jti: 'j7' })
  for (const name of [`${issuerI}|sub-robot`, 'vo-prod@desy.de', `${issuerI}|j7`]) {
    t.type(await outcome(service, text), 'object')
    banned.add(name)
    t.equal(await outcome(service, text), 'denied revoked', name)
    t.equal(await outcome(service, token({ ...read, jti: 'j7', exp: undefined })), 'unauthenticated token-expired')
    banned.clear()
  }
  t.type(await outcome(service, text), 'object', 'and ends with its lifting')
})

t.test('administrators are those of the configuration, and no capability makes one', async (t) => {
  const setting = await makeSetting(t)
  const { service, options, token } = setting
  const admin = await outcome(service, token({ ...plain, preferred_username: 'admin' }))
  t.match(admin, { user: 'admin@desy.de', administrator: true })
  const mapping = [{ issuer: 'vo', subject: 'sub-robot', account: 'admin' }]
  await service.reload({ ...options, mapping })
  const bounded = await outcome(service, token(read))
  t.match(bounded, { user: 'admin@desy.de', administrator: undefined })
})

t.test('groups joined by rule bring their gid, and gid 0 cannot be joined', async (t) => {
  const { service, options, token } = await makeSetting(t)
  const member = token({ sub: 'sub-alice', 'wlcg.groups': ['/cms', '/cms/x'] })
  const principal = await outcome(service, member)
  if (typeof principal === 'string') throw new Error(principal)
  t.same([...principal.groups].toSorted(), ['/cms/x@vo', '/cms@vo', 'cms@desy.de', 'p01@desy.de'])
  t.same(principal.posix, { uid: 2001, gid: 2001, gids: [3001, 3002] })
  await service.reload({ ...options, mapping: [...options.mapping, { issuer: 'vo', group: '/cms', joins: 'wheel' }] })
  t.equal(await outcome(service, member), 'denied account-refused')
})

t.test('accounts are refused behind good tokens too', async (t) => {
  const { service, token } = await makeSetting(t)
  const cases = { low: 'account-refused', nosuch: 'account-unknown', root: 'mapping-none', Bob: 'mapping-none' }
  for (const [name, rule] of Object.entries(cases)) {
    t.equal(await outcome(service, token({ ...plain, preferred_username: name })), `denied ${rule}`, name)
  }
})

t.test('a bad reload changes nothing', async (t) => {
  const { service, options, token } = await makeSetting(t)
  const principal = await outcome(service, token(read))
  await t.rejects(service.reload({ ...options, domain: '@' }), { code: 'invalid' })
  await t.rejects(service.reload({ ...options, accounts: [{ file: '/nonexistent' }] }), { code: 'invalid' })
  t.same(await outcome(service, token(read)), principal)
})

t.test('a reload reads account files again and forgets what was cached', async (t) => {
  const { service, options, token, directory } = await makeSetting(t)
  const text = token(read)
  t.match(await outcome(service, text), { posix: { uid: 2100 } })
  writeFileSync(join(directory, 'accounts.yaml'), accounts.replace('uid: 2100', 'uid: 2200'))
  t.match(await outcome(service, text), { posix: { uid: 2100 } }, 'not before')
  await service.reload(options)
  t.match(await outcome(service, text), { posix: { uid: 2200 } })
})

t.test('principalOf gives the account without bounds, or nothing', async (t) => {
  const { service } = await makeSetting(t)
  t.match(await service.principalOf('alice@desy.de'), { id: 'account:alice@desy.de', grants: 'unbounded' })
  t.match(await service.principalOf('admin'), { user: 'admin@desy.de', administrator: true })
  for (const name of ['nosuch', 'alice@example.org', 'low', 'root', '../alice', '2001', '']) {
    t.equal(await service.principalOf(name), undefined, name)
  }
})

t.test('judge tells every step that was passed, and the rule that refused', async (t) => {
  const { service, token, key, claims } = await makeSetting(t)
  const good = await service.judge(new Secret(token(read)))
  t.match(good, { accepted: true, payload: { sub: 'sub-robot' }, principal: { user: 'vo-prod@desy.de' } })
  const names = ['form', 'issuer', 'algorithm', 'key', 'signature', 'claims', 'scopes', 'mapping', 'account', 'groups']
  t.same(
    good.steps.map(({ step }) => step),
    names,
  )
  const bad = await service.judge(new Secret(signToken(makeKey('k1'), claims(read))))
  t.match(bad, { accepted: false, header: { kid: 'k1' }, principal: undefined })
  t.same(bad.steps.at(-1)?.step, 'token-signature')
  t.match(await service.judge(new Secret('rubbish')), { accepted: false, steps: [{ step: 'token-format' }] })
  const ambiguous = signToken(key, claims({ sub: 'sub-alice', 'wlcg.groups': ['/vo'] }))
  const steps = (await service.judge(new Secret(ambiguous))).steps
  t.match(steps.at(-1), { step: 'mapping-ambiguous', text: /rule 1: alice, mapping rule 2: vo-prod/ })
})

t.test('checkIssuers reports keys and the accounts that the configuration names', async (t) => {
  const { service, options } = await makeSetting(t)
  const mapping = [...options.mapping, { issuer: 'vo', subject: 'x', account: 'ghost' }]
  await service.reload({ ...options, mapping })
  const findings = await service.checkIssuers()
  t.equal(findings.filter(({ subject, level }) => subject === 'issuer-keys' && level === 'ok').length, 4)
  t.match(
    findings.filter(({ level }) => level === 'error'),
    [{ subject: 'account', text: /ghost/ }],
  )
})

t.test('the development issuer keeps its key, hides it, and is verified like any other', async (t) => {
  const directory = join(directoryFor(t), 'issuer')
  const issuer = await createDevelopmentIssuer(directory, 'https://demo.invalid')
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(statSync(join(directory, 'development-key.json')).mode & 0o777, 0o600)
  t.notMatch(readFileSync(issuer.jwksFile, 'utf8'), /"d"/)
  const early = await issuer.sign({ sub: 's', aud: 'gw', preferred_username: 'alice' })
  const again = await createDevelopmentIssuer(directory, 'https://demo.invalid')
  const file = join(directory, 'accounts.yaml')
  writeFileSync(file, accounts, { mode: 0o600 })
  const keys = { jwksFile: again.jwksFile }
  const line = { issuer: again.issuer, name: 'demo', keys, audiences: ['gw'], profile: 'plain' } as const
  const service = await createIdentity({
    domain: 'desy.de',
    issuers: [line],
    mapping: [{ issuer: 'demo', claim: 'preferred_username', account: '{value}' }],
    accounts: [{ file }],
    minUid: 1000,
    administrators: [],
  })
  t.teardown(() => service.close())
  t.match(await outcome(service, early), { user: 'alice@desy.de' })
  const credential = { kind: 'bearer', token: new Secret(await again.sign({ aud: 'gw' })) } as const
  t.equal(
    refusal(await service.authenticate(credential).catch((error: unknown) => error)),
    'unauthenticated token-profile',
  )
})
