/** Temporary keys for S3: never more than the token they came from. */

import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { S3Keys, S3Session, S3SessionOrder } from '../../acl/identity/identity.ts'
import type { IdentityService } from '../../acl/identity/service.ts'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { bearer, macaroonWorld } from './macaroon-world.ts'
import { grantsOf, issuerI, refusal } from './setting.ts'

function keysOf({ s3 }: IdentityService): S3Keys {
  if (s3) return s3
  throw new Error('no access keys')
}

async function setUp(t: Test) {
  const world = await macaroonWorld(t)
  const { service, token } = world
  const s3 = keysOf(service)
  const other = await world.another()
  const there = keysOf(other.service)
  const assume = async (claims: Readonly<Record<string, unknown>> = {}, order: Partial<S3SessionOrder> = {}) => {
    const principal = await service.authenticate(bearer(token({ sub: 'sub-alice', ...claims })))
    return s3.assume(principal, { duration: 3600, ...order })
  }
  const whose = async (session: S3Session, keys = s3) => {
    try {
      return (await keys.key(session.accessKeyId, session.sessionToken.reveal())) ?? 'unknown'
    } catch (error) {
      return refusal(error)
    }
  }
  const principalOf = async (session: S3Session) => {
    const key = await whose(session)
    if (typeof key === 'string') throw new Error(key)
    return key.principal
  }
  return { ...world, s3, other, there, assume, whose, principalOf }
}

t.test('a session stands for the holder of the token, in every process, with nothing kept for it', async (t) => {
  const { service, token, s3, there, whose } = await setUp(t)
  const text = token({ sub: 'sub-alice' })
  const holder = await service.authenticate(bearer(text))
  const made = await s3.assume(holder, { duration: 3600 })
  t.match(made.accessKeyId, /^ASIA[A-Z2-7]{16}$/)
  t.match(made.secret.reveal(), /^[A-Za-z0-9+/]{40}$/)
  t.match(made.sessionToken.reveal(), /^ps1\.[0-9a-z]{8,9}-[0-9a-f]{16}\.[\w-]+$/)
  t.ok(made.packed > 0 && made.packed <= 100)
  for (const keys of [s3, there]) {
    const key = await whose(made, keys)
    if (typeof key === 'string') throw new Error(key)
    t.equal(key.secret.reveal(), made.secret.reveal())
    const { id, user, groups, posix, grants, expires, counted, credential } = key.principal
    t.equal(id, `${issuerI}|sub-alice#s3-key:${made.accessKeyId}`)
    t.same({ user, groups, posix, grants }, { ...pick(holder) })
    t.equal(counted, holder.id)
    t.equal(expires, made.expires / 1000)
    t.equal(credential?.secret.reveal(), text, 'for storage that decides by it')
    t.same(credential?.audiences, holder.credential?.audiences)
  }
  t.same(await s3.list(holder, false), [])
  t.equal(await s3.key(made.accessKeyId, undefined), undefined, 'without its token it is nobody’s')
  t.notMatch(JSON.stringify(made), made.secret.reveal())
})

function pick({ user, groups, posix, grants }: Awaited<ReturnType<IdentityService['authenticate']>>) {
  return { user, groups, posix, grants }
}

t.test('it ends with its time, and with the token', async (t) => {
  const { clock, assume, whose } = await setUp(t)
  const short = await assume({}, { duration: 900 })
  t.equal(short.expires, clock.now() + 900_000)
  const long = await assume({}, { duration: 43_200 })
  t.equal(long.expires, clock.now() + 3_600_000, 'the token is good for an hour')
  t.type(await whose(short), Object)
  clock.pass(900)
  t.equal(await whose(short), 'unauthenticated key-expired')
  t.type(await whose(long), Object)
  clock.pass(2700)
  t.equal(await whose(long), 'unauthenticated key-expired')
})

t.test('scopes of the token bound it, and a policy besides them', async (t) => {
  const { assume, principalOf } = await setUp(t)
  const scope = { scope: 'storage.read:/a storage.create:/b/' }
  const bounded = await principalOf(await assume(scope))
  t.same(grantsOf(bounded), ['read:/vo/a', 'create:/vo/b/'])
  t.equal(bounded.within, undefined)
  t.equal(bounded.user, 'alice@desy.de')
  t.same([...bounded.groups], ['p01@desy.de'], 'no groups beside capabilities, but those of the account')
  const path = parsePath('/vo/a/x')
  const grants = [
    { kind: 'download', path, directoryOnly: true, except: [parsePath('/vo/a/x/y')] },
    { kind: 'list', path, directoryOnly: false, exact: true },
  ] as const
  const narrowed = await principalOf(await assume(scope, { grants }))
  t.same(narrowed.grants, grants)
  t.same(narrowed.within, bounded.grants)
  const plain = await principalOf(await assume({}, { grants }))
  t.same(plain.grants, grants)
  t.equal(plain.within, undefined)
  t.same((await principalOf(await assume({}, { grants: [] }))).grants, [], 'nothing is left')
})

t.test('what was changed, cut, or belongs to another key is no session token', async (t) => {
  const { assume, whose } = await setUp(t)
  const made = await assume()
  const other = await assume()
  const text = made.sessionToken.reveal()
  const flip = (at: number) => `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
  const [head = '', epoch = '', body = ''] = text.split('.')
  const bad = [
    ...[flip(40), flip(text.length - 8), flip(60), text.slice(0, -4), `${text}AAAA`, '', 'x', head],
    ...[`ps2.${epoch}.${body}`, `${head}.${epoch.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))}.${body}`],
    ...[`${head}.${epoch}.${'A'.repeat(40)}`, other.sessionToken.reveal(), 'x'.repeat(60_000), `${text} `],
  ]
  for (const each of bad) {
    t.equal(
      await whose({ ...made, sessionToken: new Secret(each) }),
      'unauthenticated token-malformed',
      each.slice(0, 80),
    )
  }
})

t.test('bans of the account, the subject, the token and the key end it, also what it is doing', async (t) => {
  const { service, other, there, assume, whose, principalOf } = await setUp(t)
  const made = await assume()
  const admin = await principalOf(made)
  const running = await whose(made, there)
  if (typeof running === 'string') throw new Error(running)
  const names = [
    'user:alice@desy.de',
    `principal:${issuerI}|sub-alice`,
    `token:${issuerI}|j1`,
    `s3-key:${made.accessKeyId}`,
  ]
  for (const name of names) {
    await service.bans?.add(admin, { name, note: '', until: undefined })
    await other.revocations.refresh()
    t.equal(await whose(made), 'denied revoked', name)
    t.equal(await whose(made, there), 'denied revoked', name)
    t.equal(other.service.isRevoked?.(running.principal), true)
    await service.bans?.remove(name)
    await other.revocations.refresh()
    t.type(await whose(made, there), Object)
  }
})

t.test('whoever has the session token can end it', async (t) => {
  const { s3, there, other, assume, whose, principalOf } = await setUp(t)
  const made = await assume()
  const rest = await assume()
  const alice = await principalOf(rest)
  t.type(await whose(made, there), Object)
  t.equal(await s3.endSession(alice, made.sessionToken), made.accessKeyId)
  await other.revocations.refresh()
  t.equal(await whose(made), 'unauthenticated key-disabled')
  t.equal(await whose(made, there), 'unauthenticated key-disabled')
  t.type(await whose(rest), Object)
  await t.rejects(s3.endSession(alice, new Secret('ps1.nothing')), { code: 'invalid' })
})

t.test('new keys for macaroons at once end all sessions; usually none', async (t) => {
  const { service, other, there, assume, whose } = await setUp(t)
  const made = await assume()
  t.type(await whose(made, there), Object)
  await service.macaroons?.rotate(false)
  t.type(await whose(made), Object)
  await service.macaroons?.rotate(true)
  await other.revocations.refresh()
  for (const keys of [undefined, there]) t.type(await whose(made, keys), 'string')
})

t.test('it ends with the trust in the issuer, and with the account', async (t) => {
  const { service, options, assume, whose } = await setUp(t)
  const made = await assume()
  await service.reload({ ...options, issuers: [], mapping: [] })
  t.equal(await whose(made), 'unauthenticated key-disabled')
  await service.reload(options)
  t.type(await whose(made), Object)
  await service.reload({ ...options, minUid: 2002 })
  t.equal(await whose(made), 'denied account-refused')
})

t.test('nothing is made with a session, and none with anything but a token of an issuer', async (t) => {
  const { service, s3, token, assume, principalOf } = await setUp(t)
  const session = await principalOf(await assume())
  const path = parsePath('/')
  const denied = { code: 'denied' }
  await t.rejects(s3.assume(session, { duration: 900 }), denied)
  await t.rejects(s3.create(session, { name: 'lasting', networks: [] }), denied)
  await t.rejects(async () => service.macaroons?.issue(session, { path, caveats: [] }), denied)
  const order = { path, activities: ['DOWNLOAD'], networks: [] }
  await t.rejects(async () => service.shares?.create(session, order), denied)
  const alice = await service.authenticate(bearer(token({ sub: 'sub-alice' })))
  const issued = await service.macaroons?.issue(alice, { path, caveats: ['activity:DOWNLOAD'] })
  const derived = await service.authenticate(bearer(issued?.macaroon.reveal() ?? ''))
  await t.rejects(s3.assume(derived, { duration: 900 }), denied)
  const { credential: _, ...person } = alice
  for (const by of [person, { ...alice }]) await t.rejects(s3.assume(by, { duration: 900 }), denied, 'not let in here')
})

t.test('a token that is too long is left out, and too much of it is refused', async (t) => {
  const { assume, principalOf } = await setUp(t)
  const noise = (bytes: number) => randomBytes(bytes).toString('base64url')
  const long = await assume({ note: noise(6500) })
  t.equal((await principalOf(long)).credential, undefined)
  t.ok(long.sessionToken.reveal().length < 4096)
  const grants = Array.from({ length: 60 }, () => {
    return { kind: 'download', path: parsePath(`/${noise(150)}`), directoryOnly: false } as const
  })
  await t.rejects(assume({}, { grants }), { code: 'too-large' })
  t.ok((await assume({}, { grants: grants.slice(0, 20) })).sessionToken.reveal().length <= 8192)
})
