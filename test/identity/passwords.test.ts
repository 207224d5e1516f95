import { scryptSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createGate } from '../../acl/identity/gate.ts'
import { hashPassword, isPasswordHash, verifyPassword } from '../../acl/identity/password.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { directoryFor } from './issuer.ts'
import { makeSetting, refusal } from './setting.ts'

t.setTimeout(120_000)

/** A hash of the least cost that is accepted. */
function quickHash(password: string): string {
  const salt = Buffer.from('0123456789abcdef')
  const hash = scryptSync(password, salt, 32, { N: 16_384, r: 8, p: 1 })
  return `scrypt$16384$8$1$${salt.toString('base64url')}$${hash.toString('base64url')}`
}

async function setUp(t: Test) {
  const file = join(directoryFor(t), 'passwords.yaml')
  const users = [
    `  alice: { uid: 2001, gid: 2001, passwordHash: "${quickHash('right')}" }`,
    `  admin: { uid: 2002, gid: 2002, passwordHash: "${quickHash('right')}" }`,
    `  low: { uid: 7, gid: 7, passwordHash: "${quickHash('right')}" }`,
    '  carol: { uid: 2003, gid: 2003 }',
  ]
  writeFileSync(file, ['users:', ...users, ''].join('\n'), { mode: 0o600 })
  const setting = await makeSetting(t, { accounts: [{ file }], mapping: [], issuers: [] })
  const signIn = async (user: string, password: string, from = '192.0.2.1'): Promise<string> => {
    try {
      const credential = { kind: 'basic', user, password: new Secret(password), from } as const
      return (await setting.service.authenticate(credential)).id
    } catch (error) {
      return refusal(error)
    }
  }
  return { ...setting, file, signIn }
}

t.test('a password hash is checked with its own parameters', async (t) => {
  const hash = await hashPassword(new Secret('pässword'))
  t.match(hash, /^scrypt\$32768\$8\$3\$/)
  t.equal(await verifyPassword(new Secret('pässword'), hash), true)
  t.equal(await verifyPassword(new Secret('password'), hash), false)
  t.not(hash, await hashPassword(new Secret('pässword')), 'salted')
  t.equal(await verifyPassword(new Secret('right'), quickHash('right')), true)
  t.equal(await verifyPassword(new Secret('right'), 'right'), false)
})

t.test('hashes that cost too little or too much are none', async (t) => {
  const [, , , , salt, hash] = quickHash('x').split('$')
  const cases: ReadonlyArray<readonly [string, boolean]> = [
    [`scrypt$16384$8$1$${salt}$${hash}`, true],
    [`scrypt$8192$8$1$${salt}$${hash}`, false],
    [`scrypt$16385$8$1$${salt}$${hash}`, false],
    [`scrypt$1048576$8$1$${salt}$${hash}`, false],
    [`scrypt$16384$1$1$${salt}$${hash}`, false],
    [`scrypt$16384$8$99$${salt}$${hash}`, false],
    [`scrypt$16384$8$1$AAAA$${hash}`, false],
    [`scrypt$16384$8$1$${salt}$AAAA`, false],
    [`bcrypt$16384$8$1$${salt}$${hash}`, false],
  ]
  for (const [text, expected] of cases) t.equal(isPasswordHash(text), expected, text)
})

t.test('Basic: who knows the password of a file account is that account', async (t) => {
  const { signIn } = await setUp(t)
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ['alice', 'right', 'basic:alice@desy.de'],
    ['alice@desy.de', 'right', 'basic:alice@desy.de'],
    ['alice', 'wrong', 'unauthenticated password'],
    ['alice', '', 'unauthenticated password'],
    ['alice', 'x'.repeat(1025), 'unauthenticated password'],
    ['alice@example.org', 'right', 'unauthenticated password'],
    ['carol', 'right', 'unauthenticated password'],
    ['nosuch', 'right', 'unauthenticated password'],
    ['low', 'right', 'unauthenticated password'],
    ['Alice', 'right', 'unauthenticated password'],
    ['constructor', 'right', 'unauthenticated password'],
  ]
  for (const [user, password, expected] of cases) t.equal(await signIn(user, password), expected, `${user} ${password}`)
})

t.test('Basic: an administrator is one, and has no bounds of a credential', async (t) => {
  const { service } = await setUp(t)
  const password = new Secret('right')
  const admin = await service.authenticate({ kind: 'basic', user: 'admin', password })
  t.match(admin, { user: 'admin@desy.de', grants: 'unbounded', administrator: true })
  const alice = await service.authenticate({ kind: 'basic', user: 'alice', password })
  t.equal(alice.administrator, undefined)
  t.equal(await service.authenticate({ kind: 'basic', user: 'alice', password }), alice, 'cached')
})

t.test('guessing is slowed down for each account and address, and good callers are not', async (t) => {
  const { signIn, clock } = await setUp(t)
  t.equal(await signIn('alice', 'right', 'b'), 'basic:alice@desy.de')
  for (let index = 0; index < 5; index++)
    t.equal(await signIn('alice', `guess-${index}`, 'a'), 'unauthenticated password')
  t.equal(await signIn('alice', 'guess', 'a'), 'busy attempts')
  t.equal(await signIn('admin', 'right', 'a'), 'basic:admin@desy.de', 'another account')
  t.equal(await signIn('alice', 'wrong', 'b'), 'unauthenticated password', 'another address')
  t.equal(await signIn('alice', 'right', 'b'), 'basic:alice@desy.de')
  clock.pass(1)
  t.equal(await signIn('alice', 'guess', 'a'), 'unauthenticated password')
  clock.pass(1)
  t.equal(await signIn('alice', 'guess', 'a'), 'busy attempts', 'the delay doubles')
  clock.pass(1)
  clock.pass(300)
  t.equal(await signIn('alice', 'right', 'a'), 'basic:alice@desy.de')
  for (let index = 0; index < 5; index++)
    t.equal(await signIn('alice', `guess-${index}`, 'a'), 'unauthenticated password')
})

t.test('many calls with one good password at once all pass, and are checked once', async (t) => {
  const { signIn } = await setUp(t)
  const answers = await Promise.all(Array.from({ length: 64 }, () => signIn('alice', 'right')))
  t.same([...new Set(answers)], ['basic:alice@desy.de'])
})

t.test('guesses sent at once do not all pass for the first', async (t) => {
  const { signIn } = await setUp(t)
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => signIn('alice', `guess-${index}`)))
  t.equal(answers.filter((answer) => answer === 'unauthenticated password').length, 5)
  t.equal(answers.filter((answer) => answer === 'busy attempts').length, 7)
})

t.test('whoever sends guesses from all addresses of a network does not keep others waiting for long', async (t) => {
  const { signIn } = await setUp(t)
  const guesses = Array.from({ length: 60 }, (_, index) =>
    signIn(`user${index}`, 'guess', `2001:db8:${index.toString(16)}::1`),
  )
  const owner = signIn('alice', 'right', '198.51.100.7')
  t.equal(await owner, 'basic:alice@desy.de')
  const answers = Map.groupBy(await Promise.all(guesses), (answer) => answer)
  t.equal(answers.get('unauthenticated password')?.length, 32)
  t.equal(answers.get('busy no reason')?.length, 28)
  t.equal(await signIn('user7', 'guess', '2001:db8::1'), 'unauthenticated password', 'there is room again')
})

t.test('a gate lets so many work, so many wait, and turns the rest away', async (t) => {
  const gate = createGate({ running: 2, waiting: 1 })
  const ends = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  let running = 0
  const work = async (end: Promise<void>): Promise<void> => {
    running++
    await end
    running--
  }
  const works = ends.map(({ promise }) => gate(() => work(promise)))
  t.equal(running, 2)
  await t.rejects(
    gate(async () => {}),
    { code: 'busy' },
  )
  ends[0].resolve()
  await works[0]
  ends[1].resolve()
  await works[1]
  t.equal(running, 1)
  ends[2].resolve()
  await Promise.all(works)
  await t.rejects(
    gate(() => Promise.reject(new StorageError('internal', 'x'))),
    { code: 'internal' },
  )
  await gate(async () => t.pass('a failure gives its place back'))
})
