/** AARC-G069, and what it takes from AARC-G002. */

import t from 'tap'
import {
  nameOfEntitlement,
  namesFulfilled,
  namespaceOf,
  parseEntitlement,
  readEntitlements,
  satisfies,
} from '../../acl/identity/entitlements.ts'
import type { IssuerOptions } from '../../acl/identity/options.ts'
import { refusal } from './setting.ts'

const name = (text: string) => {
  const parsed = parseEntitlement(text)
  return parsed && nameOfEntitlement(parsed)
}

t.test('who holds one fulfils what is required of him, or not', async (t) => {
  const group = 'urn:geant:helmholtz.de:group'
  const cases: ReadonlyArray<readonly [string, string, boolean]> = [
    ['urn:geant:h-df.de:group:aai-admin', 'urn:geant:h-df.de:group:aai-admin:role=member#x', true],
    ['urn:geant:h-df.de:group:aai-admin:role=member', 'urn:geant:h-df.de:group:aai-admin', false],
    [`${group}:HIFIS`, `${group}:HIFIS:dev#login.helmholtz.de`, true],
    [`${group}:HIFIS:dev`, `${group}:HIFIS`, false],
    [`${group}:HIFIS`, `${group}:HIFISX`, false],
    [`${group}:HIFIS`, `${group}:hifis`, false],
    [`${group}:HIFIS`, 'URN:GEANT:Helmholtz.DE:group:HIFIS', true],
    [`${group}:HIFIS:role=member`, `${group}:HIFIS:dev:role=member`, false],
    [`${group}:HIFIS:role=member`, `${group}:HIFIS:role=Member`, false],
    [`${group}:HIFIS:role=member`, `${group}:HIFIS:role=member`, true],
    [`${group}:HIFIS:role=member`, `${group}:HIFIS:role=manager`, false],
    [`${group}:HIFIS`, 'urn:geant:helmholtz.de:sub:group:HIFIS', false],
    ['urn:geant:helmholtz.de:sub:group:HIFIS', `${group}:HIFIS`, false],
    [`${group}:HIFIS`, 'urn:mace:helmholtz.de:group:HIFIS', false],
    [`${group}:HIFIS#one`, `${group}:HIFIS#two`, true],
    [`${group}:HIFIS:admin`, `${group}:HIFIS%3Aadmin`, false],
  ]
  for (const [required, held, expected] of cases) {
    const [a, b] = [parseEntitlement(held), parseEntitlement(required)]
    if (!a || !b) t.fail(`${held} or ${required} cannot be read`)
    else t.equal(satisfies(a, b), expected, `${required} by ${held}`)
  }
})

t.test('one form for all that mean the same', async (t) => {
  const finnish = 'urn:nid:example.org:group:Minun%20Ryhm%C3%A4ni'
  t.equal(name('UrN:NiD:ExAmPlE.oRg:group:Minun%20Ryhm%c3%a4ni'), finnish)
  t.equal(name('urn:nid:example.org:group:Minun Ryhmäni#authority'), finnish, 'as AARC-G002 writes it')
  t.equal(name(`${finnish}?=x`), finnish, 'without q-component')
  t.equal(name(`${finnish}?+x#y`), finnish, 'without r-component')
  t.equal(name('urn:a:b:group:g:role=r%2fs'), 'urn:a:b:group:g:role=r%2Fs')
  t.equal(name('urn:a:b:c:group:group:x'), 'urn:a:b:c:group:group:x', 'a group that is called group')
  t.equal(name('urn:a:group:group:x'), 'urn:a:group:group:x', 'a namespace that is called group')
  t.equal(parseEntitlement('urn:a:b:group:x#y#z')?.authority, 'y#z')
})

t.test('what is none is none', async (t) => {
  const bad = [
    '',
    'urn',
    'urn:a:b',
    'urn:a:group:x',
    'urn:a:b:group',
    'urn:a:b:group:',
    'urn:a:b:group::x',
    'urn:a::group:x',
    'urn:a:b:group:x:',
    'urn:a:b:group:role=x',
    'urn:a:b:group:x:role=',
    'urn:a:b:group:x:role=a:y',
    'urn:a:b:group:x:role=a:role=b',
    'urn:a:b:Group:x',
    'url:a:b:group:x',
    'urn:a:b:group:x%',
    'urn:a:b:group:x%2',
    'urn:a:b:group:x%zz',
    'urn:a:b:group:x\n',
    'urn:a:b:group:\ud800',
    `urn:a:b:group:${'x'.repeat(1024)}`,
    `urn:a:b:group${':x'.repeat(17)}`,
  ]
  for (const text of bad) t.equal(parseEntitlement(text), undefined, JSON.stringify(text.slice(0, 50)))
  for (const text of ['urn:a', 'urn:a:', 'urn:a:b:', 'x:a:b', 'urn:a:b c']) t.equal(namespaceOf(text), undefined, text)
})

t.test('a member of a group is one of those above it', async (t) => {
  const held = parseEntitlement('urn:a:b:group:x:y:role=m')
  t.same(held && namesFulfilled(held), ['urn:a:b:group:x', 'urn:a:b:group:x:y', 'urn:a:b:group:x:y:role=m'])
})

const issuer: IssuerOptions = {
  issuer: 'https://login.example.org',
  name: 'login',
  keys: { jwksFile: '/nowhere' },
  audiences: ['x'],
  profile: 'plain',
  entitlements: { namespaces: ['urn:geant:Example.org'] },
}

function read(payload: Readonly<Record<string, unknown>>, options = issuer): readonly string[] | string {
  try {
    return readEntitlements(payload, options).map(nameOfEntitlement)
  } catch (error) {
    return refusal(error)
  }
}

t.test('those of other namespaces do not count, and both claims are read', async (t) => {
  const eduperson_entitlement = ['urn:geant:example.org:group:a', 'urn:geant:helmholtz.de:group:a', 'https://x', '']
  const entitlements = 'urn:geant:EXAMPLE.org:group:b#login.example.org'
  t.same(read({ eduperson_entitlement, entitlements }), [
    'urn:geant:example.org:group:a',
    'urn:geant:example.org:group:b',
  ])
  t.same(read({}), [])
  const { entitlements: _none, ...without } = issuer
  t.same(read({ eduperson_entitlement }, without), [], 'without a namespace none counts')
  t.same(read({ eduperson_entitlement: [7] }, without), [], 'and none is looked at')
})

t.test('an issuer may be held to authorities', async (t) => {
  const held = {
    ...issuer,
    entitlements: { namespaces: ['urn:geant:example.org'], authorities: ['login.example.org'] },
  }
  const group = 'urn:geant:example.org:group'
  t.same(read({ entitlements: [`${group}:a#login.example.org`, `${group}:b#evil.example`, `${group}:c`] }, held), [
    `${group}:a`,
  ])
})

t.test('a claim that cannot be read is not passed over', async (t) => {
  const bad = [
    [7],
    [null],
    { value: 'x' },
    [['urn:geant:example.org:group:a']],
    Array.from({ length: 501 }, () => 'x'),
    ['urn:geant:example.org:group:a%'],
    ['URN:geant:example.org:group'],
    [`urn:geant:example.org:group:${'a'.repeat(2000)}`],
  ]
  for (const entitlements of bad) {
    t.equal(read({ entitlements }), 'unauthenticated token-profile', JSON.stringify(entitlements).slice(0, 60))
  }
  t.same(read({ constructor: ['urn:geant:example.org:group:a'] }), [])
})
