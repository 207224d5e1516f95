import t from 'tap'
import { checkOptions } from '../../acl/identity/check-options.ts'
import { mapToken } from '../../acl/identity/mapping.ts'
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
}

function map(rules: readonly MappingRule[], asked: Asked, issuer = iam): string {
  const { subject = 's1', payload = {}, groups = [], hasCapabilities = false } = asked
  try {
    const mapped = mapToken({ issuer, subject, payload, groups, hasCapabilities }, rules)
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
  t.equal(map([bySubject, joining], { groups }), 'alice /cms/uscms@iam +cms')
  const prefixed = { ...iam, groups: { prefix: 'grid:' } }
  t.equal(map([bySubject], { groups: ['/cms'] }, prefixed), 'alice grid:/cms@iam')
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
    ['template without value', { mapping: [{ ...byClaim, account: 'alice' }] }],
    ['template with two', { mapping: [{ ...byClaim, account: '{value}{value}' }] }],
    ['template that is no name', { mapping: [{ ...byClaim, account: '/{value}' }] }],
    ['joins a number', { mapping: [{ ...joining, joins: '100' }] }],
    ['uid 0', { minUid: 0 }],
    ['domain with @', { domain: 'a@b' }],
  ]
  for (const [name, change] of cases) t.throws(() => checkOptions({ ...good, ...change }), { code: 'invalid' }, name)
})
