/** What protects a connection to a directory, and what does not count as protection. */

import t, { type Test } from 'tap'
import { ldapProblems } from '../../acl/identity/ldap/check.ts'
import type { LdapOptions } from '../../acl/identity/ldap/options.ts'
import { noSlapd, reader, Slapd } from '../peers/slapd.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'
import { Way } from './way.ts'

const found = async (t: Test, change: Partial<LdapOptions>) => {
  const { source } = worldOf(t, optionsFor('rfc2307', change))
  const account = await outcome(source.find('alice'))
  return typeof account === 'string' ? account : 'found'
}

/** ExtendedResponse (RFC 4511, section 4.12) with message id 1. */
const extended = (result: number) =>
  Buffer.from(`300c02010178070a01${result.toString(16).padStart(2, '0')}04000400`, 'hex')
/** BindResponse "success" with message id 2: what the next answer would be. */
const bound = Buffer.from('300c02010261070a010004000400', 'hex')

t.test('TLS', { skip: noSlapd() }, async (t) => {
  const slapd = await Slapd.start(t)
  const { ca } = slapd
  const stranger = ca.replace(/ca\.pem$/, 'stranger.pem')
  await t.test('a certificate of the authority, for that name, is accepted', async (t) => {
    t.equal(await found(t, { servers: [slapd.tlsUrl], ca }), 'found')
    t.equal(await found(t, { servers: [`ldaps://127.0.0.1:${slapd.tlsPort}`], ca }), 'found')
    t.equal(await found(t, { servers: [slapd.url], startTls: true, ca }), 'found')
  })
  await t.test('any other is refused, before anything is said', async (t) => {
    const way = await Way.open(t, { to: slapd.tlsPort, host: '127.0.0.2' })
    const wrongName = await found(t, { servers: [`ldaps://127.0.0.2:${way.port}`], ca })
    t.match(wrongName, /^unavailable account-source: .*ERR_TLS_CERT_ALTNAME_INVALID/)
    t.match(await found(t, { servers: [slapd.tlsUrl], ca: stranger }), /^unavailable .*its certificate or its TLS/)
    t.match(await found(t, { servers: [slapd.tlsUrl] }), /^unavailable .*its certificate or its TLS/)
    t.match(await found(t, { servers: [slapd.url], startTls: true, ca: stranger }), /^unavailable .*its certificate/)
    t.match(await found(t, { servers: [slapd.tlsUrl], ca: '/nowhere' }), /^unavailable .*\/nowhere cannot be read/)
  })
  await t.test('StartTLS that somebody takes out is no reason to go on without', async (t) => {
    for (const result of [2, 53]) {
      const way = await Way.open(t, { to: slapd.port, change: () => extended(result) })
      t.match(await found(t, { servers: [way.url], startTls: true, ca }), /^unavailable .*refuses StartTLS/)
      t.notOk(Buffer.concat(way.sent).includes(reader.password), 'nothing was said')
    }
  })
  await t.test('what comes in the clear behind the answer is not taken for an answer', async (t) => {
    const way = await Way.open(t, { to: slapd.port, change: (answer) => Buffer.concat([answer, bound]) })
    t.match(await found(t, { servers: [way.url], startTls: true, ca }), /^unavailable .*more than one answer/)
    const cut = await Way.open(t, { to: slapd.port, change: (answer) => Buffer.concat([answer, bound.subarray(0, 5)]) })
    t.match(await found(t, { servers: [cut.url], startTls: true, ca }), /^unavailable .*more than one answer/)
  })
  await t.test('an answer may come in pieces, and must be one', async (t) => {
    let first = true
    const way = await Way.open(t, {
      to: slapd.port,
      change: (answer) => {
        const all = first ? answer.subarray(0, 6) : answer
        first = false
        return all
      },
    })
    t.match(
      await found(t, { servers: [way.url], startTls: true, ca, connectDeadline: 300 }),
      /^unavailable .*within 300 ms/,
    )
    for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', '0\x84\xff\xff\xff\xff', '0\x80', '0\x02\x01\x01']) {
      const strange = await Way.open(t, { to: slapd.port, change: () => Buffer.from(answer, 'latin1') })
      const said = await found(t, { servers: [strange.url], startTls: true, ca, connectDeadline: 300 })
      t.match(said, /^unavailable account-source/, JSON.stringify(answer))
    }
  })
})

t.test('off loopback there is no directory without TLS', async (t) => {
  const problems = (servers: readonly string[], startTls = false) =>
    [...ldapProblems(optionsFor('rfc2307', { servers, startTls }))].map(({ path }) => path.join('.'))
  for (const url of ['ldaps://ldap.example.org', 'ldap://127.0.0.1', 'ldap://localhost:3890', 'ldap://[::1]']) {
    t.same(problems([url]), [], url)
  }
  for (const url of ['ldap://ldap.example.org', 'ldap://127.0.0.1.example.org', 'ldap://[::2]', 'ldap://0.0.0.0']) {
    t.same(problems([url]), ['servers.0'], url)
    t.same(problems([url], true), [], `${url} with StartTLS`)
  }
  const bad = [
    'http://x',
    'ldap://',
    'ldaps://x/dc=y',
    'ldaps://u@x',
    'ldaps://x:0',
    'ldaps://x:99999',
    'ldaps://x?sub',
    'x',
  ]
  for (const url of bad) t.same(problems([url]), ['servers.0'], url)
})
