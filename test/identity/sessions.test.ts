import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { IdentityOptions, SignInOptions } from '../../acl/identity/options.ts'
import { hashPassword } from '../../acl/identity/password.ts'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'
import { makeSetting, refusal } from './setting.ts'

const quick = await hashPassword(new Secret('right'))
const accountsOf = (hash: string) => `users:\n  alice: { uid: 2001, gid: 2001, passwordHash: "${hash}" }\n`

/** An identity with a state store, both on one clock. */
async function setUp(t: Test, change: (stores: State) => Partial<SignInOptions> = () => ({})) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-sessions-'))
  const file = join(directory, 'accounts.yaml')
  writeFileSync(file, accountsOf(quick), { mode: 0o600 })
  let now = 1_700_000_000_000
  const state = await openState({ directory, now: () => now })
  const revocations = await RevocationList.open(state.revocations, (error) => t.fail(String(error)))
  const signIn: SignInOptions = {
    ...{ issuers: [], passwords: true, idle: 600, lifetime: 3600 },
    ...{ sessions: state.sessions, appPasswords: state.appPasswords, attempts: state.attempts },
    ...{ appPasswordLifetime: 3600, maxAppPasswordLifetime: 7200, revocations: state.revocations },
    ...change(state),
  }
  const options: Partial<IdentityOptions> = {
    ...{ accounts: [{ file }], mapping: [], issuers: [], administrators: ['alice@desy.de'], now: () => now },
    ...{ revocations, bans: state.revocations, signIn },
  }
  const setting = await makeSetting(t, options)
  t.teardown(async () => {
    await revocations.close()
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const { service } = setting
  const { sessions, appPasswords } = service
  if (!sessions || !appPasswords) throw new Error('no sessions')
  const basic = (password = 'right') =>
    service.authenticate({ kind: 'basic', user: 'alice', password: new Secret(password), from: '192.0.2.1' })
  const by = async (secret: Secret) => {
    try {
      return (await service.authenticate({ kind: 'session', secret })).id
    } catch (error) {
      return refusal(error)
    }
  }
  const pass = (seconds: number) => {
    now += seconds * 1000
  }
  const begin = async () => sessions.begin(await basic(), { agent: 'Browser/1', from: '192.0.2.1' })
  return { ...setting, file, sessions, appPasswords, basic, begin, by, pass }
}

t.test('a session ends when it is not used, and after its lifetime anyway', async (t) => {
  const { begin, by, pass } = await setUp(t)
  const idle = await begin()
  t.equal(await by(idle.secret), 'basic:alice@desy.de')
  pass(599)
  t.equal(await by(idle.secret), 'basic:alice@desy.de')
  pass(601)
  t.equal(await by(idle.secret), 'unauthenticated session', 'not used for ten minutes')
  const busy = await begin()
  for (let minute = 0; minute < 59; minute++) {
    pass(60)
    t.equal(await by(busy.secret), 'basic:alice@desy.de')
  }
  pass(61)
  t.equal(await by(busy.secret), 'unauthenticated session', 'an hour is over')
})

t.test('the same person as with the password, but known to come by a session', async (t) => {
  const { service, begin, basic } = await setUp(t)
  const { id, secret } = await begin()
  const principal = await service.authenticate({ kind: 'session', secret })
  t.match(principal, { ...(await basic()), session: id, administrator: true })
  t.equal(principal.expires, undefined)
})

t.test('a session begins with signing in, and with nothing else', async (t) => {
  const { service, begin, sessions, appPasswords, basic } = await setUp(t)
  const browser = { agent: '', from: '' }
  const own = await service.authenticate({ kind: 'session', secret: (await begin()).secret })
  await t.rejects(sessions.begin(own, browser), { code: 'denied' }, 'not with another session')
  const { password } = await appPasswords.create(await basic(), { name: 'x', networks: [] })
  const app = await service.authenticate({ kind: 'basic', user: 'alice', password })
  await t.rejects(sessions.begin(app, browser), { code: 'denied' }, 'not with an application password')
  await t.rejects(appPasswords.create(app, { name: 'y', networks: [] }), { code: 'denied' })
  t.same(await sessions.list(app), [], 'which sees none either')
  t.notOk(app.administrator)
  t.not(app.grants, 'unbounded')
})

t.test('the secret is kept nowhere, only its hash', async (t) => {
  const { begin, options, appPasswords, basic } = await setUp(t)
  const { secret } = await begin()
  const { password } = await appPasswords.create(await basic(), { name: 'x', networks: [] })
  const kept = JSON.stringify([
    await options.signIn?.sessions.list('alice@desy.de', 0, 10),
    await options.signIn?.appPasswords.list(undefined, 10),
  ])
  t.notMatch(kept, secret.reveal())
  t.notMatch(kept, password.reveal().slice(-32))
})

t.test('a changed password and a lost account end a session, also one that was just looked at', async (t) => {
  const { service, begin, by, options, file } = await setUp(t)
  const { secret } = await begin()
  t.equal(await by(secret), 'basic:alice@desy.de')
  writeFileSync(file, accountsOf(await hashPassword(new Secret('right'))), { mode: 0o600 })
  await service.reload(options)
  t.equal(await by(secret), 'unauthenticated session', 'also to the same word')
  writeFileSync(file, accountsOf(quick), { mode: 0o600 })
  await service.reload(options)
  t.equal(await by(secret), 'basic:alice@desy.de')
  writeFileSync(file, 'users: {}\n', { mode: 0o600 })
  await service.reload(options)
  t.equal(await by(secret), 'denied account-unknown')
})

t.test('a session ends also when no more can be told to be revoked', async (t) => {
  let isFull = false
  const { begin, by, basic, sessions } = await setUp(t, (stores) => ({
    revocations: {
      ...{ now: stores.revocations.now, serial: () => stores.revocations.serial() },
      ...{ list: () => stores.revocations.list(), remove: (name: string) => stores.revocations.remove(name) },
      add(entry, most) {
        if (isFull) throw new StorageError('busy', 'too much is revoked already')
        return stores.revocations.add(entry, most)
      },
    },
  }))
  const { id, secret } = await begin()
  t.equal(await by(secret), 'basic:alice@desy.de')
  isFull = true
  await t.rejects(sessions.end(await basic(), id), { code: 'busy' })
  t.equal(await by(secret), 'unauthenticated session')
})

t.test('guesses that come too early do not reach the store every time', async (t) => {
  let changes = 0
  const { basic, pass } = await setUp(t, ({ attempts }) => ({
    attempts: {
      now: attempts.now,
      change(names, decide) {
        changes++
        return attempts.change(names, decide)
      },
    },
  }))
  const refused = async (guess: number) => {
    try {
      await basic(`guess-${guess}`)
      return ''
    } catch (error) {
      return refusal(error)
    }
  }
  for (let guess = 0; guess < 5; guess++) t.equal(await refused(guess), 'unauthenticated password')
  for (let guess = 5; guess < 100; guess++) t.equal(await refused(guess), 'busy attempts')
  t.equal(changes, 6)
  pass(1)
  t.equal(await refused(100), 'unauthenticated password', 'a second later it is looked at')
})

t.test('application passwords end by themselves, and live no longer than is allowed', async (t) => {
  const { service, appPasswords, basic, pass } = await setUp(t)
  const principal = await basic()
  const { password, expires, created } = await appPasswords.create(principal, { name: 'a', networks: [] })
  t.equal(expires - created, 3_600_000)
  const long = await appPasswords.create(principal, { name: 'b', networks: [], validity: 1e6 })
  t.equal(long.expires - long.created, 7_200_000)
  await service.authenticate({ kind: 'basic', user: 'alice', password })
  pass(3601)
  await t.rejects(service.authenticate({ kind: 'basic', user: 'alice', password }), { code: 'unauthenticated' })
  t.same(
    (await appPasswords.list(principal, false)).map(({ name }) => name),
    ['b'],
  )
})
