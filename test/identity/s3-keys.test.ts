/** Access keys of S3: whose they are, what they are good for, and how they end in every process. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { S3KeyOrder, S3Keys } from '../../acl/identity/identity.ts'
import type { IdentityService } from '../../acl/identity/service.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { bearer, macaroonWorld } from './macaroon-world.ts'
import { grantsOf, issuerI, refusal } from './setting.ts'

function keysOf({ s3 }: IdentityService): S3Keys {
  if (s3) return s3
  throw new Error('no access keys')
}

async function setUp(t: Test) {
  const world = await macaroonWorld(t)
  const { service } = world
  const s3 = keysOf(service)
  const alice = await service.authenticate(bearer(world.token({ sub: 'sub-alice' })))
  const other = await world.another()
  const there = keysOf(other.service)
  const make = (more: Partial<S3KeyOrder> = {}, by = alice) => s3.create(by, { name: 'laptop', networks: [], ...more })
  const found = async (keys: S3Keys, id: string, token?: string) => {
    try {
      return (await keys.key(id, token)) ?? 'unknown'
    } catch (error) {
      return refusal(error)
    }
  }
  return { ...world, s3, alice, other, there, make, found }
}

t.test('a key stands for who made it, in every process, until its end', async (t) => {
  const { s3, there, make, found, clock } = await setUp(t)
  const { secret, ...made } = await make()
  t.match(made.id, /^AKIA[A-Z2-7]{16}$/)
  t.match(secret.reveal(), /^[A-Za-z0-9+/]{40}$/)
  t.match(made, { user: 'alice@desy.de', name: 'laptop', enabled: true, path: '/', activities: 'all', used: undefined })
  for (const keys of [s3, there]) {
    const key = await keys.key(made.id, undefined)
    t.equal(key?.secret.reveal(), secret.reveal())
    t.equal(key?.principal.user, 'alice@desy.de')
    t.equal(key?.principal.id, `${issuerI}|sub-alice#s3-key:${made.id}`)
    t.equal(key?.principal.posix?.uid, 2001)
    t.equal(key?.principal.administrator, undefined)
    t.equal(await found(keys, `${made.id.slice(0, -1)}_`), 'unknown')
    t.equal(await found(keys, 'x'), 'unknown')
    t.equal(await found(keys, made.id, 'ps1.rubbish'), 'unauthenticated token-malformed')
  }
  t.notMatch(JSON.stringify([await s3.key(made.id, undefined), made]), secret.reveal())
  clock.pass(3601)
  t.equal(await found(s3, made.id), 'unknown', 'the token that it was made with has ended')
  t.equal(await found(there, made.id), 'unknown')
})

t.test('the state store tells no secret', async (t) => {
  const { make, stateDirectory } = await setUp(t)
  const { secret } = await make()
  for (const name of readdirSync(stateDirectory)) {
    t.notOk(readFileSync(join(stateDirectory, name)).includes(secret.reveal()), name)
  }
})

t.test('bounds of the key and of the credential that it was made with hold together', async (t) => {
  const { service, token, s3, make } = await setUp(t)
  const job = await service.authenticate(bearer(token({ scope: 'storage.read:/a storage.create:/b' })))
  const { id } = await make({ path: parsePath('/vo/a'), activities: ['LIST'], networks: ['192.0.2.0/24'] }, job)
  const principal = (await s3.key(id, undefined))?.principal
  t.same(grantsOf(principal ?? ''), ['list:/vo/a'])
  t.same(
    principal?.within?.map(({ kind, path }) => `${kind}:${path}`),
    ['read:/vo/a', 'create:/vo/b'],
  )
  t.equal(principal?.addresses?.includes('192.0.2.9'), true)
  t.equal(principal?.addresses?.includes('198.51.100.1'), false)
  t.equal(principal?.expires, job.expires, 'it ends with the token')
  t.same(
    (await s3.list(job, false)).map((key) => key.id),
    [id],
  )
})

t.test('disabled, enabled and removed keys are so in every process', async (t) => {
  const { service, s3, there, other, revocations, alice, make, found } = await setUp(t)
  const { id } = await make()
  const key = await there.key(id, undefined)
  const isCut = () => other.service.isRevoked?.(key?.principal as Principal)
  t.equal(isCut(), false)
  t.equal((await s3.setEnabled(alice, id, false)).enabled, false)
  t.equal(await found(s3, id), 'unauthenticated key-disabled')
  await other.revocations.refresh()
  t.equal(isCut(), true, 'what runs is cut')
  t.equal(await found(there, id), 'unauthenticated key-disabled', 'although it is remembered')
  await s3.setEnabled(alice, id, true)
  await other.revocations.refresh()
  t.type(await found(s3, id), Object)
  t.type(await found(there, id), Object)
  t.equal(isCut(), false)
  await service.bans?.add(alice, { name: `s3-key:${id}`, note: '', until: undefined })
  await s3.setEnabled(alice, id, false)
  await s3.setEnabled(alice, id, true)
  await revocations.refresh()
  t.equal(await found(s3, id), 'denied revoked', 'its owner does not lift the ban of an administrator')
  await service.bans?.remove(`s3-key:${id}`)
  t.type(await found(s3, id), Object)
  await s3.remove(alice, id)
  await other.revocations.refresh()
  t.equal(await found(s3, id), 'unknown')
  t.equal(await found(there, id), 'unknown')
  t.equal(isCut(), true)
  await t.rejects(s3.remove(alice, id), { code: 'not-found' })
})

t.test('bans of a user, a subject and a token end the keys that were made', async (t) => {
  const { service, s3, alice, make, found } = await setUp(t)
  const { id } = await make()
  for (const name of ['user:alice@desy.de', `principal:${issuerI}|sub-alice`, `token:${issuerI}|j1`]) {
    t.type(await found(s3, id), Object)
    await service.bans?.add(alice, { name, note: '', until: undefined })
    t.equal(await found(s3, id), 'denied revoked', name)
    await service.bans?.remove(name)
  }
})

t.test('a key that could not be removed whole is good no more, and can be removed again', async (t) => {
  const { service, options, s3, there, other, alice, make, found } = await setUp(t)
  const { id } = await make()
  t.type(await found(there, id), Object)
  const broken = async () => Promise.reject(new StorageError('unavailable', 'the state store does not answer'))
  for (const part of ['secrets', 'keys'] as const) {
    if (!options.s3) throw new Error('no options')
    const failing = new Proxy(options.s3[part], {
      get: (target, name) => (name === 'remove' ? broken : Reflect.get(target, name).bind?.(target)),
    })
    await service.reload({ ...options, s3: { ...options.s3, [part]: failing } })
    await t.rejects(s3.remove(alice, id), { code: 'unavailable' })
    await other.revocations.refresh()
    t.equal(await found(there, id), 'unauthenticated key-disabled', part)
  }
  await service.reload(options)
  await s3.remove(alice, id)
  t.equal(await found(there, id), 'unknown')
})

t.test('whoever ends many sessions can still switch a key off', async (t) => {
  const { service, options, s3, alice, make, found } = await setUp(t)
  const { id } = await make()
  if (!options.s3) throw new Error('no options')
  const narrow = new Proxy(options.s3.revocations, {
    get: (target, name) => {
      if (name === 'add') return (entry: Parameters<typeof target.add>[0]) => target.add(entry, 1)
      return name === 'now' ? target.now : Reflect.get(target, name).bind(target)
    },
  })
  await service.reload({ ...options, s3: { ...options.s3, revocations: narrow } })
  const session = async () => (await s3.assume(alice, { duration: 900 })).sessionToken
  await s3.endSession(alice, await session())
  await t.rejects(s3.endSession(alice, await session()), { code: 'busy' }, 'as many as there may be')
  await s3.setEnabled(alice, id, false)
  t.equal(await found(s3, id), 'unauthenticated key-disabled')
})

t.test('nobody switches, removes or sees the keys of others, but an administrator', async (t) => {
  const { service, token, s3, alice, make } = await setUp(t)
  const { id } = await make()
  const robot = await service.authenticate(bearer(token({ sub: 'robot', 'wlcg.groups': ['/vo'] })))
  for (const work of [s3.setEnabled(robot, id, false), s3.remove(robot, id)]) {
    await t.rejects(work, { code: 'not-found' })
  }
  t.same(await s3.list(robot, false), [])
  await t.rejects(s3.list(robot, true), { code: 'denied' })
  const job = await service.authenticate(bearer(token({ sub: 'sub-alice', scope: 'storage.read:/' })))
  t.same(
    (await s3.list(job, false)).map((key) => key.id),
    [id],
    'the same subject with less',
  )
  const admin = { ...alice, id: 'admin', user: 'admin@desy.de', administrator: true }
  t.same(
    (await s3.list(admin, true)).map((key) => key.id),
    [id],
  )
  t.equal((await s3.setEnabled(admin, id, false)).enabled, false)
})

t.test('with a capability nobody switches on what its owner has switched off', async (t) => {
  const { service, token, s3, alice, make, found } = await setUp(t)
  const { id } = await make()
  const job = await service.authenticate(bearer(token({ sub: 'sub-alice', scope: 'storage.read:/' })))
  await s3.setEnabled(job, id, false)
  await t.rejects(s3.setEnabled(job, id, true), { code: 'denied' })
  t.equal(await found(s3, id), 'unauthenticated key-disabled')
  await s3.setEnabled(alice, id, true)
  t.type(await found(s3, id), Object)
})

t.test('nothing is made with a key', async (t) => {
  const { service, s3, make } = await setUp(t)
  const { id } = await make()
  const key = await s3.key(id, undefined)
  if (!key) throw new Error('no key')
  const { principal } = key
  const path = parsePath('/')
  await t.rejects(s3.create(principal, { name: 'more', networks: [] }), { code: 'denied' })
  await t.rejects(s3.assume(principal, { duration: 900 }), { code: 'denied' })
  await t.rejects(async () => service.macaroons?.issue(principal, { path, caveats: [] }), { code: 'denied' })
  const order = { path, activities: ['DOWNLOAD'], networks: [] }
  await t.rejects(async () => service.shares?.create(principal, order), { code: 'denied' })
})

t.test('names are one’s own, and there are not too many', async (t) => {
  const { s3, alice, make } = await setUp(t)
  await make()
  await t.rejects(make(), { code: 'exists' })
  for (const name of ['', ' a', 'a\n', 'x'.repeat(101)]) await t.rejects(make({ name }), { code: 'invalid' }, name)
  await t.rejects(make({ name: 'b', activities: [] }), { code: 'invalid' })
  await t.rejects(make({ name: 'b', activities: ['FLY'] }), { code: 'invalid' })
  await t.rejects(make({ name: 'b', networks: ['everywhere'] }), { code: 'invalid' })
  for (let at = 1; at < 100; at++) await make({ name: `key ${at}` })
  await t.rejects(make({ name: 'one more' }), { code: 'busy' })
  t.equal((await s3.list(alice, false)).length, 100)
})

t.test('the time of the last use is written down, once a minute', async (t) => {
  const { s3, there, alice, make, clock } = await setUp(t)
  const { id } = await make()
  const key = await s3.key(id, undefined)
  if (!key) throw new Error('no key')
  t.equal((await there.list(alice, false))[0]?.used, undefined, 'looking it up is no use')
  const first = clock.now()
  await s3.noteUse(key)
  t.equal((await there.list(alice, false))[0]?.used, first)
  clock.pass(30)
  await s3.noteUse(key)
  t.equal((await there.list(alice, false))[0]?.used, first)
  clock.pass(31)
  await s3.noteUse(key)
  t.equal((await there.list(alice, false))[0]?.used, clock.now())
})

t.test('a use that cannot be written down is no use refused', async (t) => {
  const { service, options, s3, alice, make } = await setUp(t)
  const { id } = await make()
  const session = await s3.assume(alice, { duration: 900 })
  let touched: string[] = []
  const touch = async (name: string) => {
    touched.push(name)
    throw new StorageError('unavailable', 'the state store does not answer')
  }
  if (!options.s3) throw new Error('no options')
  const keys = new Proxy(options.s3.keys, {
    get: (target, name) =>
      name === 'touch' ? touch : name === 'now' ? target.now : Reflect.get(target, name).bind(target),
  })
  await service.reload({ ...options, s3: { ...options.s3, keys } })
  const key = await s3.key(id, undefined)
  const temporary = await s3.key(session.accessKeyId, session.sessionToken.reveal())
  if (!key || !temporary) throw new Error('no key')
  await s3.noteUse(key)
  t.same(touched, [id])
  touched = []
  const { credential: _, ...bare } = temporary.principal
  await s3.noteUse({ ...temporary, principal: bare })
  t.same(touched, [], 'nothing is kept of temporary ones')
})

t.test('a key that has ended goes with its secret', async (t) => {
  const { options, token, service, make, clock } = await setUp(t)
  const { id } = await make({ validity: 60 })
  t.ok(await options.s3?.secrets.get(`s3-key:${id}`))
  clock.pass(61)
  const later = await service.authenticate(bearer(token({ sub: 'sub-alice', jti: 'j2' })))
  await make({}, later)
  t.equal(await options.s3?.secrets.get(`s3-key:${id}`), undefined)
})

t.test('a fixed key pair is for an account as it is', async (t) => {
  const { options, s3, found } = await setUp(t)
  const { keepFixedKey } = await import('../../acl/identity/s3-keys.ts')
  if (!options.s3) throw new Error('no options')
  const pair = { id: 'DEMOKEYOFBOB0000', secret: new Secret('open sesame'), user: 'bob@desy.de', name: 'demo' }
  await keepFixedKey(options.s3, pair)
  await keepFixedKey(options.s3, pair)
  const key = await s3.key(pair.id, undefined)
  t.equal(key?.secret.reveal(), 'open sesame')
  t.equal(key?.principal.user, 'bob@desy.de')
  await keepFixedKey(options.s3, { ...pair, id: 'DEMOKEYOFNOBODY0', user: 'nobody-here@desy.de', name: 'other' })
  t.equal(await found(s3, 'DEMOKEYOFNOBODY0'), 'denied account-unknown')
})
