import { scryptSync } from 'node:crypto'
import t from 'tap'
import type { Account, Accounts } from '../../acl/identity/accounts.ts'
import { attemptsInMemory } from '../../acl/identity/attempts.ts'
import { createPasswordCheck } from '../../acl/identity/basic.ts'
import type { KerberosPasswords, Verdict } from '../../acl/identity/kerberos/password.ts'
import type { IdentityOptions } from '../../acl/identity/options.ts'
import { byPassword, type PasswordSignedIn, signedInBy } from '../../acl/identity/password-sessions.ts'
import {
  hasPasswords,
  type PasswordOptions,
  type PasswordWay,
  recognize,
  withoutRealm,
} from '../../acl/identity/passwords.ts'
import { deny, refuse } from '../../acl/identity/refusal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'

const salt = Buffer.from('0123456789abcdef')
const key = scryptSync('filed', salt, 32, { N: 16_384, r: 8, p: 1 })
const passwordHash = `scrypt$16384$8$1$${salt.toString('base64url')}$${key.toString('base64url')}`

const known: Readonly<Record<string, Account>> = {
  alice: { name: 'alice', groups: [] },
  filed: { name: 'filed', groups: [], passwordHash },
}

interface World {
  readonly ways: readonly PasswordWay[]
  /** What the directory says of `listed`. */
  readonly directory?: boolean | 'closed' | 'down'
  /** What Kerberos says of any password. */
  readonly kerberos?: Verdict | 'down'
}

const down = () => new StorageError('unavailable', 'not now')

function make({ ways, directory, kerberos = { right: false, text: 'no' } }: World) {
  const asked: string[] = []
  const accounts: Accounts = {
    passwords: new Set(['filed']),
    asksPasswords: directory !== undefined,
    find: async (name) => known[name] ?? Promise.reject(deny('account-unknown', name)),
    findGroup: async () => undefined,
    async checkPassword(name) {
      asked.push(`directory ${name}`)
      if (directory === 'down') throw down()
      if (directory === 'closed') throw refuse('password', 'the account is closed')
      return directory
    },
    async *list() {},
    check: async () => [],
    unlisted: [],
    states: () => [],
    sourceOf: () => undefined,
    close: async () => {},
  }
  const realm: KerberosPasswords = {
    async check(client) {
      asked.push(`kerberos ${client}`)
      if (kerberos === 'down') throw down()
      return kerberos
    },
    close: () => {},
  }
  const rules = { accountOf: (principal: string) => principal.replace(/@.*/, '').replace('bob', 'guest') }
  const how = { realm: 'EXAMPLE.ORG', keytab: '/none', service: 'HTTP/gw@EXAMPLE.ORG', ...rules }
  const options = { passwords: { ways, kerberos: how, remember: 300 } }
  const means = { hashing: <T>(work: () => Promise<T>) => work(), kerberos: realm }
  const state = { options, accounts }
  const said: string[] = []
  const ask = async (user: string, password = 'secret') => {
    try {
      return (await recognize(user, new Secret(password), state, means, () => void said.push('no'))).by
    } catch (thrown) {
      const error = StorageError.from(thrown)
      const reason = StorageError.reasonOf(error)
      return `${error.code}${reason ? `: ${reason.text}` : ''}`
    }
  }
  return { ask, asked, said, state, realm }
}

const yes: Verdict = { right: true }
const no: Verdict = { right: false, text: 'it is not the password' }

t.test('one yes is enough, and who cannot tell has not said no', async (t) => {
  const both: readonly PasswordWay[] = ['accounts', 'kerberos']
  const cases: ReadonlyArray<readonly [World, string]> = [
    [{ ways: ['accounts'], directory: true }, 'directory'],
    [{ ways: ['accounts'], directory: false }, 'unauthenticated: account alice: its directory refused it'],
    [{ ways: ['accounts'], directory: 'closed' }, 'unauthenticated: account alice: the account is closed'],
    [{ ways: ['accounts'], directory: 'down' }, 'unavailable'],
    [{ ways: ['kerberos'], directory: true, kerberos: yes }, 'kerberos'],
    [
      { ways: ['kerberos'], directory: true, kerberos: no },
      'unauthenticated: account alice: Kerberos: it is not the password',
    ],
    [{ ways: ['kerberos'], kerberos: 'down' }, 'unavailable'],
    [{ ways: both, directory: false, kerberos: yes }, 'kerberos'],
    [{ ways: both, directory: true, kerberos: no }, 'directory'],
    [{ ways: ['kerberos', 'accounts'], directory: true, kerberos: no }, 'directory'],
    [{ ways: both, directory: 'down', kerberos: yes }, 'kerberos'],
    [{ ways: both, directory: 'down', kerberos: no }, 'unavailable'],
    [{ ways: both, directory: false, kerberos: 'down' }, 'unavailable'],
    [{ ways: both, kerberos: yes }, 'kerberos'],
  ]
  for (const [world, expected] of cases) t.equal(await make(world).ask('alice'), expected, JSON.stringify(world))
})

t.test('who knows that it is wrong is heard while another cannot tell, of any name alike', async (t) => {
  const both: readonly PasswordWay[] = ['accounts', 'kerberos']
  const cases: ReadonlyArray<readonly [World, user: string, isHeard: boolean]> = [
    [{ ways: both, kerberos: 'down' }, 'filed', true],
    [{ ways: both, kerberos: 'down' }, 'alice', true],
    [{ ways: both, kerberos: 'down' }, 'nosuch', true],
    [{ ways: both, directory: 'down', kerberos: no }, 'alice', true],
    [{ ways: both, directory: 'down', kerberos: 'down' }, 'alice', false],
    [{ ways: ['kerberos'], kerberos: 'down' }, 'alice', false],
    [{ ways: ['kerberos'], kerberos: 'down' }, 'nosuch', false],
  ]
  for (const [world, user, isHeard] of cases) {
    const { ask, said } = make(world)
    t.equal(await ask(user), 'unavailable')
    t.equal(said.length > 0, isHeard, `${user} ${JSON.stringify(world)}`)
  }
})

t.test('an outage of a KDC gives no free guesses at hashes', async (t) => {
  const { state, realm } = make({ ways: ['accounts', 'kerberos'], kerberos: 'down' })
  const check = createPasswordCheck(() => attempts, realm)
  const attempts = attemptsInMemory(() => 0)
  const guess = async (user: string, index: number) => {
    const attempt = { user, password: new Secret(`guess-${index}`), from: '192.0.2.1', wasRight: false }
    return check(attempt, state).catch((error) => StorageError.from(error).code)
  }
  for (const user of ['filed', 'nosuch']) {
    const codes: unknown[] = []
    for (let index = 0; index < 6; index++) codes.push(await guess(user, index))
    t.same(codes, [...Array.from({ length: 5 }, () => 'unavailable'), 'busy'], user)
  }
})

t.test('an account of a file has its hash for a password, and nobody asks a directory', async (t) => {
  const { ask, asked } = make({ ways: ['accounts'], directory: true })
  t.equal(await ask('filed', 'filed'), 'hash')
  t.equal(await ask('filed', 'other'), 'unauthenticated: account filed: the accounts file has another one')
  t.same(asked, [])
})

t.test('nobody is asked about a name without an account, but the answer is the same, and as late', async (t) => {
  const { ask, asked } = make({ ways: ['accounts', 'kerberos'], directory: true, kerberos: yes })
  const started = performance.now()
  t.equal(await ask('nosuch'), 'unauthenticated: no account nosuch with a password')
  t.ok(performance.now() - started > 350)
  t.same(asked, ['kerberos portolan-nobody@EXAMPLE.ORG'])
  t.equal(await make({ ways: ['kerberos'], kerberos: 'down' }).ask('nosuch'), 'unavailable', 'as for an account')
})

t.test('a principal that the rules make somebody else of has no password here', async (t) => {
  Object.assign(known, { bob: { name: 'bob', groups: [] } })
  const { ask, asked } = make({ ways: ['kerberos'], kerberos: yes })
  t.match(await ask('bob'), /bob@EXAMPLE.ORG is another account here/)
  t.same(asked, [])
})

t.test('a name with our own realm is the account, with another one it is nobody', async (t) => {
  const { state } = make({ ways: ['kerberos'] })
  for (const [user, expected] of [
    ['alice', 'alice'],
    ['alice@EXAMPLE.ORG', 'alice'],
    ['alice@OTHER.REALM', 'alice@OTHER.REALM'],
    ['alice@example.org', 'alice@example.org'],
    ['@EXAMPLE.ORG', ''],
  ] as const) {
    t.equal(withoutRealm(user, state.options), expected)
  }
  t.equal(withoutRealm('alice@EXAMPLE.ORG', {}), 'alice@EXAMPLE.ORG')
})

t.test('a form is shown where anybody could have a password', async (t) => {
  const { accounts } = make({ ways: ['accounts'] }).state
  const nobody = { ...accounts, passwords: new Set<string>() }
  t.equal(hasPasswords({ options: {}, accounts }), true)
  t.equal(hasPasswords({ options: {}, accounts: nobody }), false)
  t.equal(hasPasswords({ options: {}, accounts: { ...nobody, asksPasswords: true } }), true)
  t.equal(hasPasswords({ options: { passwords: { ways: ['kerberos'], remember: 1 } }, accounts: nobody }), true)
})

t.test('a session ends when passwords are not checked there any more', async (t) => {
  const { accounts } = make({ ways: ['accounts'], directory: true }).state
  const files: Accounts = { ...accounts, asksPasswords: false }
  const realm = 'EXAMPLE.ORG'
  const how = { realm, keytab: '/none', service: 'HTTP/gw@EXAMPLE.ORG', accountOf: () => 'alice' }
  const find = async (facts: PasswordSignedIn, user: string, passwords: PasswordOptions, from = accounts) => {
    const options: IdentityOptions = {
      ...{ domain: 'lab.example', issuers: [], mapping: [], accounts: [] },
      ...more,
      passwords,
    }
    try {
      return (await byPassword(`${user}@lab.example`, facts, { options, accounts: from }, () => {})).user
    } catch (error) {
      return StorageError.reasonOf(StorageError.from(error))?.text
    }
  }
  const more = { minUid: 1000, administrators: [] }
  const remember = 300
  const byTicket: PasswordSignedIn = { kind: 'kerberos-password', principal: `alice@${realm}` }
  const byBind: PasswordSignedIn = { kind: 'directory-password' }
  const filed = known.filed
  const byHash = signedInBy({ by: 'hash', account: filed ?? { name: '', groups: [] } })
  const ways = ['kerberos'] as const
  const cases: ReadonlyArray<readonly [PasswordSignedIn, user: string, PasswordOptions, expected: RegExp]> = [
    [byTicket, 'alice', { ways, kerberos: how, remember }, /^alice@lab.example$/],
    [byTicket, 'alice', { ways: ['accounts'], kerberos: how, remember }, /realm are not accepted/],
    [byTicket, 'alice', { ways, kerberos: { ...how, realm: 'OTHER' }, remember }, /realm are not accepted/],
    [byTicket, 'alice', { ways, kerberos: { ...how, accountOf: () => 'bob' }, remember }, /another account/],
    [byTicket, 'filed', { ways, kerberos: how, remember }, /realm are not accepted/],
    [byBind, 'alice', { ways: ['accounts'], remember }, /^alice@lab.example$/],
    [byBind, 'alice', { ways, kerberos: how, remember }, /not checked by a directory/],
    [byBind, 'filed', { ways: ['accounts'], remember }, /not checked by a directory/],
    [byHash, 'filed', { ways: ['accounts'], remember }, /^filed@lab.example$/],
    [byHash, 'filed', { ways, kerberos: how, remember }, /was changed/],
    [byHash, 'alice', { ways: ['accounts'], remember }, /was changed/],
  ]
  for (const [facts, user, options, expected] of cases) t.match(await find(facts, user, options), expected)
  t.match(await find(byBind, 'alice', { ways: ['accounts'], remember }, files), /not checked by a directory/)
  const unknown = { kind: 'fingerprint' } as unknown as PasswordSignedIn
  t.match(await find(unknown, 'alice', { ways: ['accounts'], remember }), /way that is not known/)
})
