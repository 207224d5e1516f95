/** Distinguished names as text (RFC 4514, sections 2 to 4). */

import t from 'tap'
import { isDn, nameIn, normalDn, parseDn } from '../../acl/identity/ldap/dn.ts'

t.test('the examples of RFC 4514, section 4, are understood', async (t) => {
  t.same(parseDn('UID=jsmith,DC=example,DC=net')?.[0], [{ type: 'uid', value: 'jsmith' }])
  t.same(parseDn('OU=Sales+CN=J.  Smith,DC=example,DC=net')?.[0], [
    { type: 'ou', value: 'Sales' },
    { type: 'cn', value: 'J.  Smith' },
  ])
  t.equal(nameIn('CN=James \\"Jim\\" Smith\\, III,DC=example,DC=net', 'cn'), 'James "Jim" Smith, III')
  t.equal(nameIn('CN=Before\\0dAfter,DC=example,DC=net', 'cn'), 'Before\rAfter')
  t.equal(nameIn('1.3.6.1.4.1.1466.0=#04024869', '1.3.6.1.4.1.1466.0'), '#04024869')
  t.equal(nameIn('CN=Lu\\C4\\8Di\\C4\\87', 'cn'), 'Lučić')
})

const same: readonly (readonly [string, string])[] = [
  ['cn=p01,ou=groups,dc=x', 'CN=P01, OU=Groups , DC=X'],
  ['cn=a\\,b,dc=x', 'cn=a\\2Cb,dc=x'],
  ['cn=a\\,b,dc=x', 'cn="a,b";dc=x'],
  ['cn=a+ou=b,dc=x', 'ou=b+cn=a,dc=x'],
  ['cn=a  b,dc=x', 'cn=a b,dc=x'],
  ['cn=\\61lice,dc=x', 'CN=alice;DC= x'],
]

t.test('two ways to write one name are one name', async (t) => {
  for (const [one, other] of same) t.equal(normalDn(one), normalDn(other), `${one} | ${other}`)
})

const different: readonly (readonly [string, string])[] = [
  ['cn=a\\,b,dc=x', 'cn=a,cn=b,dc=x'],
  ['cn=a\\+ou=b,dc=x', 'cn=a+ou=b,dc=x'],
  ['cn=a,dc=x', 'cn=a,dc=x,dc=x'],
  ['cn=a,dc=x', 'ou=a,dc=x'],
]

t.test('two names are never taken for one', async (t) => {
  for (const [one, other] of different) t.not(normalDn(one), normalDn(other), `${one} | ${other}`)
})

t.test('what is no name is refused', async (t) => {
  const bad = ['alice', '=a', 'cn', 'cn=a,', 'cn=a,b', 'cn=\\', 'cn=\\ff', '-a=b', `cn=${'a'.repeat(9000)}`]
  for (const text of bad) t.equal(parseDn(text), undefined, text.slice(0, 20))
  t.notOk(isDn(''), 'the root is no entry')
  t.ok(isDn('cn=reader,dc=x'))
})
