/** Passwords that a KDC knows, with MIT's own KDC, and with another one in its place. */

import { writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createKerberosPasswords } from '../../acl/identity/kerberos/password.ts'
import type { PasswordOptions } from '../../acl/identity/passwords.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { makeSetting, refusal } from '../identity/setting.ts'
import { Kdc, noKdc } from '../peers/kdc.ts'

t.setTimeout(120_000)

const realm = 'LAB.EXAMPLE'
const service = `HTTP/localhost@${realm}`
const users = {
  [`alice@${realm}`]: 'alice-pw',
  [`low@${realm}`]: 'low-pw',
  [`nobody@${realm}`]: 'nobody-pw',
  [`stranger@${realm}`]: 'stranger-pw',
  [`alice/admin@${realm}`]: 'admin-pw',
}

const skip = noKdc()

async function kdcFor(t: Test): Promise<{ readonly kdc: Kdc; readonly keytab: string; readonly wrongKeytab: string }> {
  const kdc = await Kdc.start({ realms: [realm], users })
  t.teardown(() => kdc.stop())
  const [keytab, wrongKeytab] = [join(kdc.directory, 'http.keytab'), join(kdc.directory, 'other.keytab')]
  await kdc.addKey(service, keytab)
  await kdc.addKey(`HTTP/elsewhere@${realm}`, wrongKeytab)
  use(t, kdc.environment.KRB5_CONFIG ?? '')
  return { kdc, keytab, wrongKeytab }
}

/** libkrb5 reads the environment at every question. */
function use(t: Test, file: string): void {
  const before = process.env.KRB5_CONFIG
  process.env.KRB5_CONFIG = file
  t.teardown(() => {
    if (before === undefined) delete process.env.KRB5_CONFIG
    else process.env.KRB5_CONFIG = before
  })
}

/** `right`, or why not. */
function asker(t: Test, keytab: string) {
  const passwords = createKerberosPasswords()
  t.teardown(() => passwords.close())
  return async (client: string, password: string, proof = { keytab, service }): Promise<string> => {
    try {
      const verdict = await passwords.check(client, new Secret(password), proof)
      return verdict.right ? 'right' : verdict.text
    } catch (thrown) {
      const error = StorageError.from(thrown)
      return `${error.code} ${StorageError.reasonOf(error)?.text}`
    }
  }
}

t.test('a KDC that proves itself says whether it is the password', { skip }, async (t) => {
  const { kdc, keytab, wrongKeytab } = await kdcFor(t)
  const [utf8, blank] = ['pässwörd€', 'with a blank']
  await kdc.addUser(`umlaut@${realm}`, utf8)
  await kdc.kadmin(realm, `addprinc -pw "${blank}" blank@${realm}`)
  await kdc.addUser(`gone@${realm}`, 'gone-pw', '-expire', 'yesterday')
  await kdc.addUser(`old@${realm}`, 'old-pw', '-pwexpire', 'yesterday')
  await kdc.addUser(`off@${realm}`, 'off-pw', '-allow_tix')
  await kdc.kadmin(realm, 'addpol -maxfailure 2 short')
  await kdc.addUser(`locked@${realm}`, 'locked-pw', '-policy', 'short', '+requires_preauth')
  const ask = asker(t, keytab)
  const cases: ReadonlyArray<readonly [user: string, password: string, expected: RegExp]> = [
    ['alice', 'alice-pw', /^right$/],
    ['umlaut', utf8, /^right$/],
    ['umlaut', 'password', /^it is not the password/],
    ['blank', blank, /^right$/],
    ['alice', 'alice-pW', /^it is not the password$/],
    ['alice', 'alice-pw ', /^it is not the password$/],
    ['alice', 'x'.repeat(1024), /^it is not the password$/],
    ['alice', '', /nobody’s password/],
    ['alice', 'alice-pw\0and more', /nobody’s password/],
    ['nosuch', 'alice-pw', /does not know the name/],
    ['gone', 'gone-pw', /account has expired/],
    ['old', 'old-pw', /password has expired/],
    ['off', 'off-pw', /locked or disabled/],
    ['locked', 'guess', /^it is not the password$/],
    ['locked', 'guess', /^it is not the password$/],
    ['locked', 'locked-pw', /locked or disabled/],
  ]
  for (const [user, password, expected] of cases) t.match(await ask(`${user}@${realm}`, password), expected, user)
  t.match(await ask(`alice@OTHER.REALM`, 'alice-pw'), /^unavailable .*name no KDC of the realm/)
  t.match(
    await ask(`alice@${realm}`, 'alice-pw', { keytab: wrongKeytab, service }),
    /^unavailable .*did not prove itself/,
  )
  t.match(await ask(`alice@${realm}`, 'alice-pw', { keytab: '/nosuch/file', service }), /^unavailable/)
  const many = await Promise.all(
    Array.from({ length: 20 }, (_, at) => ask(`alice@${realm}`, at % 2 ? 'alice-pw' : 'x')),
  )
  t.same(new Set(many), new Set(['right', 'it is not the password']))
  const [first, second] = many
  t.same([first, second], ['it is not the password', 'right'], 'none is answered for another')
})

t.test('whoever answers in the place of the KDC lets nobody in', { skip }, async (t) => {
  const { keytab } = await kdcFor(t)
  const forged = await Kdc.start({ realms: [realm], users: { [`alice@${realm}`]: 'chosen' } })
  t.teardown(() => forged.stop())
  await forged.addKey(service, join(forged.directory, 'forged.keytab'))
  use(t, forged.environment.KRB5_CONFIG ?? '')
  const ask = asker(t, keytab)
  t.match(await ask(`alice@${realm}`, 'chosen'), /^unavailable Kerberos: the KDC did not prove itself/)
  t.match(await ask(`alice@${realm}`, 'alice-pw'), /^it is not the password$/)
})

t.test('a KDC that is down or hangs is not a wrong password, and comes back', { skip }, async (t) => {
  const { kdc, keytab } = await kdcFor(t)
  const ask = asker(t, keytab)
  await kdc.pause()
  t.match(await ask(`alice@${realm}`, 'alice-pw'), /^unavailable Kerberos: no KDC of the realm answers/)
  await kdc.resume()
  t.equal(await ask(`alice@${realm}`, 'alice-pw'), 'right')
  const sockets: Socket[] = []
  const silent = createServer((socket) => void sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    silent.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = silent.address()
  const port = typeof address === 'object' ? address?.port : 0
  const config = join(kdc.directory, 'silent.conf')
  const lines = [
    '[libdefaults]',
    'udp_preference_limit = 1',
    '[realms]',
    `${realm} = {`,
    `kdc = 127.0.0.1:${port}`,
    '}',
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  use(t, config)
  const started = performance.now()
  const answers = await Promise.all([1, 2, 3].map(() => ask(`alice@${realm}`, 'alice-pw')))
  for (const answer of answers) t.match(answer, /^unavailable /)
  t.ok(performance.now() - started < 12_000, 'nobody waits for longer than the deadline')
})

/** The identity service with alice, carol and low, who may not be used. */
async function signingIn(t: Test, ways: PasswordOptions['ways'] = ['kerberos']) {
  const { kdc, keytab } = await kdcFor(t)
  const kerberos = { realm, keytab, service, accountOf: (principal: string) => principal.replace(/@.*$/, '') }
  const { service: identity, clock } = await makeSetting(t, {
    mapping: [],
    issuers: [],
    passwords: { ways, kerberos, remember: 60 },
  })
  const signIn = async (user: string, password: string, from = '192.0.2.1'): Promise<string> => {
    try {
      return (await identity.authenticate({ kind: 'basic', user, password: new Secret(password), from })).id
    } catch (error) {
      return refusal(error)
    }
  }
  return { kdc, clock, signIn }
}

t.test('Basic: the password of a principal is that of the account', { skip }, async (t) => {
  const { signIn } = await signingIn(t)
  const cases: ReadonlyArray<readonly [user: string, password: string, expected: string]> = [
    ['alice', 'alice-pw', 'basic:alice@desy.de'],
    ['alice@desy.de', 'alice-pw', 'basic:alice@desy.de'],
    [`alice@${realm}`, 'alice-pw', 'basic:alice@desy.de'],
    ['alice', 'bob-pw', 'unauthenticated password'],
    ['alice', '', 'unauthenticated password'],
    ['alice', 'x'.repeat(1025), 'unauthenticated password'],
    ['alice/admin', 'admin-pw', 'unauthenticated password'],
    [`alice/admin@${realm}`, 'admin-pw', 'unauthenticated password'],
    ['alice@OTHER.REALM', 'alice-pw', 'unauthenticated password'],
    [`alice@desy.de@${realm}`, 'alice-pw', 'unauthenticated password'],
    ['*)(uid=*', 'alice-pw', 'unauthenticated password'],
    ['alice\\', 'alice-pw', 'unauthenticated password'],
    ['a'.repeat(5000), 'alice-pw', 'unauthenticated password'],
    ['älice', 'alice-pw', 'unauthenticated password'],
    ['ALICE', 'alice-pw', 'unauthenticated password'],
    ['stranger', 'stranger-pw', 'unauthenticated password'],
    ['low', 'low-pw', 'unauthenticated password'],
    ['nobody', 'nobody-pw', 'unauthenticated password'],
  ]
  for (const [index, [user, password, expected]] of cases.entries()) {
    t.equal(await signIn(user, password, `192.0.${index}.1`), expected, `${user.slice(0, 40)} ${password.slice(0, 20)}`)
  }
})

t.test('guesses at a KDC are counted, its failures are not, and a changed password ends', { skip }, async (t) => {
  const { signIn, kdc, clock } = await signingIn(t)
  await kdc.pause()
  for (let index = 0; index < 7; index++) t.equal(await signIn('alice', `guess-${index}`), 'unavailable password')
  await kdc.resume()
  const guesses: string[] = []
  for (let index = 0; index < 10; index++) guesses.push(await signIn('alice', `guess-${index}`))
  t.same(new Set(guesses.slice(0, 5)), new Set(['unauthenticated password']))
  t.same(new Set(guesses.slice(5)), new Set(['busy attempts']))
  t.equal(await signIn('alice', 'alice-pw'), 'busy attempts')
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'basic:alice@desy.de', 'others are not kept out')
  await kdc.kadmin(realm, `cpw -pw changed alice@${realm}`)
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'basic:alice@desy.de', 'remembered')
  clock.pass(61)
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'unauthenticated password')
  t.equal(await signIn('alice', 'changed', '198.51.100.1'), 'basic:alice@desy.de')
})
