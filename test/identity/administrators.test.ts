/** Who is an administrator, whatever he came with. */

import t from 'tap'
import { administratorBy, isAdministrator } from '../../acl/identity/administrators.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { issuerP, makeSetting, outcome } from './setting.ts'

const administrators = ['admin@desy.de', 'group:wheel@desy.de']
const person: Principal = { id: 'x', user: 'carol@desy.de', groups: new Set(['wheel@desy.de']), grants: 'unbounded' }

t.test('an entry names a user, or a group of the domain', (t) => {
  const by = (parts: Partial<Principal>) => administratorBy({ ...person, ...parts }, { administrators })
  t.equal(by({}), 'group:wheel@desy.de')
  t.equal(by({ user: 'admin@desy.de', groups: new Set() }), 'admin@desy.de')
  const strangers: ReadonlyArray<Partial<Principal>> = [
    { groups: new Set() },
    { groups: new Set(['wheel@iam', 'wheel', 'WHEEL@desy.de', 'group:wheel@desy.de', 'admin@desy.de']) },
    { user: 'group:wheel@desy.de', groups: new Set() },
    { user: 'wheel@desy.de', groups: new Set() },
    { user: undefined },
  ]
  for (const parts of strangers)
    t.equal(by(parts), undefined, JSON.stringify({ ...parts, groups: [...(parts.groups ?? [])] }))
  t.end()
})

t.test('a credential with bounds, or one that was derived, makes nobody an administrator', (t) => {
  const grant = { kind: 'read', path: parsePath('/'), directoryOnly: false } as const
  const bounded: ReadonlyArray<Partial<Principal>> = [
    { grants: [] },
    { grants: [grant] },
    { within: [grant] },
    { macaroon: new Secret('m') },
    { counted: 'x' },
  ]
  t.ok(isAdministrator(person, { administrators }))
  for (const parts of bounded)
    t.notOk(isAdministrator({ ...person, ...parts }, { administrators }), Object.keys(parts).join())
  t.end()
})

t.test('a group that a mapping rule joins makes an administrator, and a reload ends it at once', async (t) => {
  const mapping = [
    { issuer: 'login', claim: 'preferred_username', account: '{value}' },
    { issuer: 'login', group: 'ops', joins: 'cms' },
  ] as const
  const { service, options, token } = await makeSetting(t, { mapping, administrators: ['group:cms@desy.de'] })
  const plain = { iss: issuerP, 'wlcg.ver': undefined, preferred_username: 'bob' }
  const member = token({ ...plain, entitlements: ['ops'] })
  t.match(await outcome(service, member), { user: 'bob@desy.de', administrator: true })
  t.match(await outcome(service, token({ ...plain, entitlements: ['cms'] })), { administrator: undefined })
  t.match(await outcome(service, token({ ...plain, entitlements: ['cms@desy.de'] })), { administrator: undefined })
  await service.reload({ ...options, administrators: ['group:p01@desy.de'] })
  t.match(await outcome(service, member), { user: 'bob@desy.de', administrator: undefined })
  t.match(await service.principalOf('alice'), { administrator: true }, 'by a group of the account')
})

t.test('whoami tells each step of a token, and nothing of the token itself', async (t) => {
  const { service, options, token } = await makeSetting(t)
  const mapping = options.mapping.map((rule, index) => ({ ...rule, line: 40 + index }))
  await service.reload({ ...options, mapping })
  const text = token({ sub: 'sub-alice', 'wlcg.groups': ['/cms', '/cms/x'] })
  const principal = await service.authenticate({ kind: 'bearer', token: new Secret(text) })
  const steps = (await service.explainCredential?.(principal)) ?? []
  t.same(
    steps.map(({ step }) => step),
    [
      'credential',
      'form',
      'issuer',
      'algorithm',
      'key',
      'signature',
      'claims',
      'scopes',
      'mapping',
      'mapping',
      'account',
      'groups',
    ].concat(['administrator', 'bounds', 'expires']),
  )
  const said = (step: string) => steps.filter((each) => each.step === step).map((each) => each.text)
  t.match(said('mapping'), [
    /mapping rule 1 \(line 40\) maps to account alice/,
    /rule 3 \(line 42\) counts group "\/cms" as cms/,
  ])
  t.match(said('account'), [/account alice of source 1 \(file\), uid 2001, gid 2001, further gids 3001 3002/])
  t.match(said('groups'), [
    /p01@desy\.de \(of the account\), cms@desy\.de \(joined by a mapping rule\), \/cms@vo \(of its issuer\), \/cms\/x@vo \(of its issuer\)/,
  ])
  t.match(said('administrator'), [/^no entry/])
  t.ok(steps.every(({ passed }) => passed))
  t.notMatch(JSON.stringify(steps), text.split('.')[2] ?? '?')
})

t.test('whoami of somebody whose account has gone meanwhile ends in the step that refuses him', async (t) => {
  const { service, options, token } = await makeSetting(t)
  const text = token({ sub: 'sub-alice' })
  const principal = await service.authenticate({ kind: 'bearer', token: new Secret(text) })
  await service.reload({ ...options, mapping: [] })
  t.match((await service.explainCredential?.(principal))?.at(-1), { step: 'mapping-none', passed: false })
  t.match(await service.explainCredential?.(await service.authenticate({ kind: 'none' })), [
    { step: 'credential' },
    {},
    {},
  ])
})
