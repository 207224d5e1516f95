import t from 'tap'
import { checkOptions } from '../../acl/identity/check-options.ts'
import { type Linked, mapCertificate, mapToken } from '../../acl/identity/mapping.ts'
import type { IdentityOptions, IssuerOptions, MappingRule } from '../../acl/identity/options.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { root } from '../../gateway/core/path.ts'

const iam: IssuerOptions = {
  issuer: 'https://iam.example.org/',
  name: 'iam',
  keys: { jwksFile: '/nowhere' },
  audiences: ['https://gw.desy.de'],
  profile: 'wlcg',
  basePath: root,
  account: 'vo-prod',
}

interface Asked {
  readonly subject?: string
  readonly payload?: Readonly<Record<string, unknown>>
  readonly groups?: readonly string[]
  readonly hasCapabilities?: boolean
  readonly linked?: readonly Linked[]
}

function map(rules: readonly MappingRule[], asked: Asked, issuer = iam): string {
  const { subject = 's1', payload = {}, groups = [], hasCapabilities = false, linked = [] } = asked
  try {
    const mapped = mapToken({ issuer, subject, payload, groups, hasCapabilities, linked }, rules)
    return [mapped.account, ...mapped.groups, ...[...mapped.joins].map((name) => `+${name}`)].join(' ')
  } catch (error) {
    return StorageError.reasonOf(StorageError.from(error))?.rule ?? 'no reason'
  }
}

const bySubject: MappingRule = { issuer: 'iam', subject: 's1', account: 'alice' }
const byClaim: MappingRule = { issuer: 'iam', claim: 'preferred_username', account: '{value}' }
const byGroup: MappingRule = { issuer: 'iam', group: '/cms', account: 'cms-shared' }
const joining: MappingRule = { issuer: 'iam', group: '/cms', joins: 'cms' }
const all = [bySubject, byClaim, byGroup, joining]

t.test('which account a token stands for', async (t) => {
  const cases: ReadonlyArray<readonly [string, readonly MappingRule[], Asked, string]> = [
    ['subject', all, {}, 'alice'],
    ['another subject', all, { subject: 's2' }, 'mapping-none'],
    ['subject in another case', all, { subject: 'S1' }, 'mapping-none'],
    ['rule of another issuer', [{ ...bySubject, issuer: 'egi' }], {}, 'mapping-none'],
    ['claim', [byClaim], { payload: { preferred_username: 'bob' } }, 'bob'],
    [
      'claim in a longer template',
      [{ ...byClaim, account: 'x-{value}' }],
      { payload: { preferred_username: 'b' } },
      'x-b',
    ],
    ['group', [byGroup], { groups: ['/cms'] }, 'cms-shared /cms@iam'],
    ['child of the group', [byGroup], { groups: ['/cms/uscms'] }, 'mapping-none'],
    ['joining gives no account', [joining], { groups: ['/cms'] }, 'mapping-none'],
    ['two rules agree', [bySubject, byClaim], { payload: { preferred_username: 'alice' } }, 'alice'],
    ['two rules disagree', [bySubject, byClaim], { payload: { preferred_username: 'bob' } }, 'mapping-ambiguous'],
    ['in any order', [byGroup, bySubject], { groups: ['/cms'] }, 'mapping-ambiguous'],
    ['capabilities use the account of the issuer', [], { hasCapabilities: true }, 'vo-prod'],
    ['but a rule that speaks goes first', all, { hasCapabilities: true }, 'alice'],
    ['groups never use the account of the issuer', [], { groups: ['/cms'] }, 'mapping-none'],
  ]
  for (const [name, rules, asked, expected] of cases) t.equal(map(rules, asked), expected, name)
})

t.test('values of claims are account names or nothing', async (t) => {
  const bad = [
    '',
    'Alice',
    '1000',
    '-alice',
    '../alice',
    'alice@desy.de',
    'a b',
    'alice\n',
    'ä',
    'root',
    'nobody',
    'x'.repeat(33),
  ]
  for (const value of [...bad, 7, null, ['alice'], { value: 'alice' }]) {
    t.equal(map([byClaim], { payload: { preferred_username: value } }), 'mapping-none', JSON.stringify(value))
  }
  const pattern = map([{ ...byClaim, account: 'x-{value}' }], { payload: { preferred_username: '$&' } })
  t.equal(pattern, 'mapping-none', 'replacement patterns are text')
  t.equal(map([{ ...byClaim, claim: 'constructor' }], {}), 'mapping-none')
})

t.test('groups stay apart by issuer until a rule says otherwise', async (t) => {
  const groups = ['/cms', '/cms/uscms']
  t.equal(map([bySubject], { groups }), 'alice /cms@iam /cms/uscms@iam')
  t.equal(
    map([bySubject, joining], { groups }),
    'alice /cms@iam /cms/uscms@iam +cms',
    'and by their own names then too',
  )
  const prefixed = { ...iam, groups: { prefix: 'grid:' } }
  t.equal(map([bySubject], { groups: ['/cms'] }, prefixed), 'alice grid:/cms@iam')
})

const helmholtz: IssuerOptions = {
  ...iam,
  entitlements: { namespaces: ['urn:geant:helmholtz.de'] },
  domains: ['desy.de'],
}
const hifis = 'urn:geant:helmholtz.de:group:HIFIS'
const byEntitlement: MappingRule = { issuer: 'iam', entitlement: hifis, account: 'hifis-shared' }
const joiningEntitled: MappingRule = { issuer: 'iam', entitlement: hifis, joins: 'hifis' }

t.test('entitlements give accounts and groups as groups do, and those below count', async (t) => {
  const payload = { entitlements: [`${hifis}:dev:role=member#login.helmholtz.de`, 'urn:geant:other.de:group:x'] }
  const names = [hifis, `${hifis}:dev`, `${hifis}:dev:role=member`].map((name) => `${name}@iam`)
  t.equal(map([byEntitlement], { payload }, helmholtz), ['hifis-shared', ...names].join(' '))
  t.equal(map([bySubject], { payload }, helmholtz), ['alice', ...names].join(' '), 'kept apart by issuer')
  t.equal(map([bySubject, joiningEntitled], { payload }, helmholtz), `alice ${names.join(' ')} +hifis`)
  t.equal(map([byEntitlement], { payload: { entitlements: ['urn:geant:x:group:HIFIS'] } }, helmholtz), 'mapping-none')
  t.equal(
    map([byEntitlement], { payload, hasCapabilities: true }, helmholtz),
    'vo-prod',
    'as groups beside capabilities',
  )
  t.equal(map([bySubject, byEntitlement], { payload }, helmholtz), 'mapping-ambiguous')
  const foreign: MappingRule = { issuer: 'iam', entitlement: 'urn:geant:evil.de:group:HIFIS', account: 'hifis-shared' }
  const evil = { entitlements: ['urn:geant:evil.de:group:HIFIS'] }
  t.equal(map([foreign], { payload: evil }, helmholtz), 'mapping-none', 'whatever a rule says')
  t.equal(map([], { payload: { entitlements: [7] } }, helmholtz), 'token-profile')
  t.equal(map([bySubject], { payload: { entitlements: [7] } }), 'alice', 'not looked at without a namespace')
})

t.test('a rule that asks for assurance is for those who have all of it', async (t) => {
  const [low, high] = ['https://refeds.org/assurance/IAP/low', 'https://refeds.org/assurance/IAP/high']
  const assured: MappingRule = { ...bySubject, assurance: [low, high] }
  t.equal(map([assured], { payload: { eduperson_assurance: [high, 'x', low] } }), 'alice')
  for (const eduperson_assurance of [undefined, [], [low], low, [`${high}er`, low], [high.toUpperCase(), low]]) {
    const payload = eduperson_assurance === undefined ? {} : { eduperson_assurance }
    t.equal(map([assured], { payload }), 'mapping-none', JSON.stringify(payload))
  }
  t.equal(
    map([{ ...bySubject, assurance: [low] }], { payload: { eduperson_assurance: low } }),
    'alice',
    'also as one text',
  )
  for (const eduperson_assurance of [[7], 7, { low }, Array.from({ length: 101 }, () => low)]) {
    t.equal(map([assured], { payload: { eduperson_assurance } }), 'token-profile')
  }
  t.equal(map([bySubject], { payload: { eduperson_assurance: 7 } }), 'alice', 'not looked at where no rule asks')
  t.equal(
    map([{ ...joining, assurance: [high] }, bySubject], { groups: ['/cms'] }),
    'alice /cms@iam',
    'nothing is joined',
  )
  const other: MappingRule = { issuer: 'iam', subject: 's1', account: 'bob', assurance: [high] }
  t.equal(map([bySubject, other], {}), 'alice')
  t.equal(map([bySubject, other], { payload: { eduperson_assurance: [high] } }), 'mapping-ambiguous')
  try {
    mapToken({ issuer: iam, subject: 's1', payload: {}, groups: [], hasCapabilities: false }, [assured])
  } catch (error) {
    t.match(StorageError.reasonOf(StorageError.from(error))?.text, /mapping rule 1 needs the assurance/)
  }
})

t.test('scoped names are of a domain that the issuer gives out itself', async (t) => {
  const scoped: MappingRule = { issuer: 'iam', claim: 'eppn', match: '@desy.de', account: '{value}' }
  const of = (eppn: unknown, issuer = helmholtz) => map([scoped], { payload: { eppn } }, issuer)
  t.equal(of('alice@desy.de'), 'alice')
  const bad = [
    'alice',
    'alice@DESY.DE',
    'alice@evil.desy.de',
    'alice@xdesy.de',
    'a@b@desy.de',
    '@desy.de',
    'Alice@desy.de',
    'root@desy.de',
  ]
  for (const eppn of [...bad, 'alice@desy.de.', ['alice@desy.de'], 7])
    t.equal(of(eppn), 'mapping-none', JSON.stringify(eppn))
  t.equal(of('alice@desy.de', iam), 'mapping-none', 'an issuer that gives out none')
  const mail: MappingRule = { issuer: 'iam', claim: 'email', match: '@desy.de', account: '{value}' }
  const by = (payload: object) => map([mail], { payload: { email: 'alice@desy.de', ...payload } }, helmholtz)
  t.equal(by({ email_verified: true }), 'alice')
  for (const payload of [{}, { email_verified: false }, { email_verified: 'true' }, { email_verified: 1 }]) {
    t.equal(by(payload), 'mapping-none', JSON.stringify(payload))
  }
})

t.test('links and rules must agree, and a link alone is told apart', async (t) => {
  const link: Linked = { account: 'alice', by: 'the link L1 of this identity', link: 'L1' }
  const service: Linked = { account: 'alice', by: 'the account linking service for x' }
  t.equal(map([], { linked: [link] }), 'alice')
  t.equal(map([], { linked: [link], hasCapabilities: true }), 'alice', 'instead of the account of the issuer')
  t.equal(map([bySubject], { linked: [link] }), 'alice')
  t.equal(map([bySubject], { linked: [link, { ...service, account: 'bob' }] }), 'mapping-ambiguous')
  t.equal(map([], { linked: [link, { ...service, account: 'bob' }] }), 'mapping-ambiguous')
  const input = { issuer: iam, subject: 's1', payload: {}, groups: [], hasCapabilities: false }
  t.equal(mapToken({ ...input, linked: [link] }, []).link, 'L1')
  t.equal(mapToken({ ...input, linked: [link, service] }, []).link, undefined)
  t.equal(mapToken({ ...input, linked: [link] }, [bySubject]).link, undefined)
  t.equal(mapToken(input, [bySubject]).link, undefined)
  try {
    mapToken({ ...input, linked: [{ ...link, account: 'bob' }] }, [bySubject])
    t.fail('they disagree')
  } catch (error) {
    t.match(
      StorageError.reasonOf(StorageError.from(error))?.text,
      /mapping rule 1: alice, the link L1 of this identity: bob/,
    )
  }
})

t.test('a certificate stands for the account of the rule that names it', async (t) => {
  const rules: readonly MappingRule[] = [
    bySubject,
    { certificate: '/DC=org/DC=example/CN=Alice', account: 'alice' },
    { certificate: 'CN=Bob,DC=example,DC=org', account: 'bob' },
  ]
  const by = (name: string, given = rules) => {
    try {
      return mapCertificate(name, given).account
    } catch (error) {
      return StorageError.reasonOf(StorageError.from(error))?.rule ?? 'no reason'
    }
  }
  t.equal(by('CN=Alice,DC=example,DC=org'), 'alice')
  t.equal(by('DC=org\nDC=example\nCN=Bob'), 'bob')
  for (const name of [
    'CN=alice,DC=example,DC=org',
    'CN=Alice',
    '',
    'rubbish',
    '/DC=org/DC=example/CN=Alice/CN=proxy',
  ]) {
    t.equal(by(name), 'mapping-none', name)
  }
  const second: MappingRule = { certificate: 'CN=Alice,DC=example,DC=org', account: 'bob' }
  t.equal(by('CN=Alice,DC=example,DC=org', [...rules, second]), 'mapping-ambiguous')
  t.equal(by('CN=Alice,DC=example,DC=org', [...rules, { ...second, account: 'alice' }]), 'alice')
})

t.test('a configuration whose lines do not fit together is refused', async (t) => {
  const good: IdentityOptions = {
    domain: 'desy.de',
    issuers: [iam, { ...iam, issuer: 'https://sci', name: 'sci', profile: 'scitokens' }],
    mapping: all,
    accounts: [],
    minUid: 1000,
    administrators: [],
  }
  const withIssuer = (change: object): Partial<IdentityOptions> => ({ issuers: [{ ...iam, ...change }], mapping: [] })
  t.doesNotThrow(() => checkOptions(good))
  const cases: ReadonlyArray<readonly [string, Partial<IdentityOptions>]> = [
    ['name is the domain', withIssuer({ name: 'desy.de' })],
    ['name with @', withIssuer({ name: 'a@b' })],
    ['name twice', { issuers: [iam, { ...iam, issuer: 'https://other' }] }],
    ['issuer twice', { issuers: [iam, { ...iam, name: 'other' }] }],
    ['no audience', withIssuer({ audiences: [] })],
    ['audience ANY', withIssuer({ audiences: ['ANY'] })],
    ['no algorithm', withIssuer({ algorithms: [] })],
    ['algorithm none', withIssuer({ algorithms: ['none'] })],
    ['algorithm HS256', withIssuer({ algorithms: ['HS256'] })],
    ['scopes without account', withIssuer({ account: undefined })],
    ['scopes without base path', withIssuer({ basePath: undefined })],
    ['account with a slash', withIssuer({ account: 'a/b' })],
    ['leeway of an hour', withIssuer({ leeway: 3600 })],
    ['no life', withIssuer({ maxLifetime: 0 })],
    ['unknown issuer in a rule', { mapping: [{ ...bySubject, issuer: 'egi' }] }],
    ['subject of a SciToken', { mapping: [{ ...bySubject, issuer: 'sci' }] }],
    ['subject of a SciToken as a claim', { mapping: [{ ...byClaim, issuer: 'sci', claim: 'sub' }] }],
    ['template without value', { mapping: [{ ...byClaim, account: 'alice' }] }],
    ['template with two', { mapping: [{ ...byClaim, account: '{value}{value}' }] }],
    ['template that is no name', { mapping: [{ ...byClaim, account: '/{value}' }] }],
    ['no entitlement', { mapping: [{ ...byEntitlement, entitlement: 'HIFIS' }] }],
    ["entitlement of a namespace that is not the issuer's", { mapping: [byEntitlement] }],
    ['namespace that is none', withIssuer({ entitlements: { namespaces: ['helmholtz.de'] } })],
    ['domain that is none', withIssuer({ domains: ['a@b'] })],
    ["match of a domain that is not the issuer's", { mapping: [{ ...byClaim, match: '@desy.de' }] }],
    ['no certificate', { mapping: [{ certificate: 'Alice', account: 'alice' }] }],
    ['certificate for no account', { mapping: [{ certificate: 'CN=Alice', account: '{value}' }] }],
    ['joins a number', { mapping: [{ ...joining, joins: '100' }] }],
    ['uid 0', { minUid: 0 }],
    ['domain with @', { domain: 'a@b' }],
  ]
  for (const [name, change] of cases) t.throws(() => checkOptions({ ...good, ...change }), { code: 'invalid' }, name)
})
