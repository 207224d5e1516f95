/** Passwords that a directory checks: a bind as that person, on a connection that is good for nothing else. */

import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { labBase, noSlapd, person, Slapd } from '../peers/slapd.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'
import { Way } from './way.ts'

/** slapo-ppolicy(5). */
const policy = ['overlay ppolicy', `ppolicy_default "cn=policy,${labBase}"`, 'ppolicy_use_lockout']
const lab = [
  `dn: cn=policy,${labBase}\nobjectClass: namedObject\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\n`,
  'pwdMaxAge: 86400\npwdLockout: TRUE\npwdMaxFailure: 3\npwdMustChange: TRUE\npwdGraceAuthNLimit: 0\n\n',
  person(labBase, 'old', { uid: 20_010, more: ['pwdChangedTime: 20000101000000Z'] }),
  person(labBase, 'reset', { uid: 20_011, more: ['pwdReset: TRUE'] }),
  person(labBase, 'shut', { uid: 20_012, more: ['pwdAccountLockedTime: 000001010000Z'] }),
  person(labBase, 'guessed', { uid: 20_013 }),
  person(labBase, 'keyless', { uid: 20_014 }).replace(/^userPassword.*\n/m, ''),
].join('')

t.test('passwords', { skip: noSlapd() }, async (t) => {
  const slapd = await Slapd.start(t, { lab, database: policy })
  const way = await Way.open(t, { to: slapd.port })
  const { source } = worldOf(t, optionsFor('rfc2307', { servers: [way.url] }))
  const check = (name: string, password: string) => outcome(source.checkPassword(name, new Secret(password)))

  t.equal(await check('alice', 'alice-pw'), true)
  t.equal(await check('alice', 'wrong'), false)
  t.equal(await check('alice', 'bob-pw'), false)
  t.equal(await check('keyless', 'anything'), false)
  t.equal(await check('nobody-there', 'x'), undefined, 'nobody here who could have one')
  t.equal(await check('*', 'x'), undefined)

  const before = way.connections
  t.equal(await check('alice', ''), false, 'an empty one would be a bind as nobody, which succeeds')
  t.equal(way.connections, before, 'and is not even asked for')

  await t.test('who was checked last is not who asks next', async (t) => {
    t.equal(await check('bob', 'bob-pw'), true)
    t.ok(await source.find('guessed'), 'alice and bob may read nothing')
  })
  await t.test('a right password that may not be used is refused, with the reason for the log', async (t) => {
    for (const name of ['old', 'reset']) {
      t.match(await check(name, `${name}-pw`), /^unauthenticated password: .*expired, locked or to be changed/, name)
    }
    t.match(await check('shut', 'shut-pw'), /^denied account-refused: .*is locked/)
    for (let guess = 0; guess < 3; guess++) t.equal(await check('guessed', `wrong ${guess}`), false)
    t.match(await check('guessed', 'guessed-pw'), /^unauthenticated password/, 'locked by who guessed')
    t.ok(
      await worldOf(t, optionsFor('rfc2307', { servers: [way.url] })).source.find('guessed'),
      'but with a token he is let in',
    )
  })
  await t.test('without an answer nobody knows', async (t) => {
    await way.close()
    t.match(await check('alice', 'alice-pw'), /^unavailable account-source/)
    t.ok(await source.find('alice'), 'who she is, is known')
  })
})
