/** The sections `mapping` and `links`: what they become, and which lines do not fit together. */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { checkOptions } from '../../acl/identity/check-options.ts'
import { ConfigError, parseConfig } from '../../gateway/config.ts'
import { identityOptions } from '../../gateway/serve/identity.ts'

const plain = `domain: example.org
listen: [{ address: 127.0.0.1, port: 8080 }]
state: { directory: /tmp/x }
mounts: [{ path: /data, backend: { type: posix, root: /srv } }]
issuers:
  - { issuer: "https://a.example", name: a, keys: { jwksFile: k }, audiences: [x], profile: plain,
      entitlements: { namespaces: ["urn:geant:Example.org"], authorities: [login] }, domains: [example.org] }
  - { issuer: "https://s.example", name: s, keys: { jwksFile: k }, audiences: [x], profile: scitokens, basePath: /data, account: vo }
login: { issuers: [{ issuer: a, clientId: x }] }
`

function problems(text: string): string {
  try {
    parseConfig(plain + text, 'c.yaml')
    return 'none'
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ line, key, text: what }) => `${line} ${key}: ${what}`).join('\n')
  }
}

t.test('rules of every kind become options that fit together', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-mapping-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const key = join(directory, 'alise.key')
  writeFileSync(key, 'the key\n')
  chmodSync(key, 0o600)
  const config = parseConfig(
    `${plain}mapping:
  - { issuer: a, subject: s1, account: alice, assurance: [high] }
  - { issuer: a, claim: eppn, match: "@example.org", account: "{value}" }
  - { issuer: a, claim: name, account: "x-{value}" }
  - { issuer: a, group: g, account: alice }
  - { issuer: a, group: g, joins: local }
  - { issuer: a, entitlement: "urn:geant:example.org:group:g", account: alice }
  - { issuer: a, entitlement: "urn:geant:example.org:group:g:role=m", joins: local }
  - { certificate: "/C=DE/CN=Alice", account: alice }
links:
  issuers: [a]
  lifetime: 90d
  alise:
    - { url: "https://alise.example.org/base/", site: hpc, apiKey: ${key}, issuers: [a] }
    - { url: "http://127.0.0.1:1", site: hpc, apiKey: ${key}, issuers: [a], form: encoded, insecure: true }
`,
    join(directory, 'c.yaml'),
  )
  const options = await identityOptions(config)
  t.match(options.mapping, [
    { issuer: 'a', subject: 's1', account: 'alice', assurance: ['high'] },
    { issuer: 'a', claim: 'eppn', match: '@example.org', account: '{value}' },
    { issuer: 'a', claim: 'name', account: 'x-{value}' },
    { issuer: 'a', group: 'g', account: 'alice' },
    { issuer: 'a', group: 'g', joins: 'local' },
    { issuer: 'a', entitlement: 'urn:geant:example.org:group:g', account: 'alice' },
    { issuer: 'a', entitlement: 'urn:geant:example.org:group:g:role=m', joins: 'local' },
    { certificate: '/C=DE/CN=Alice', account: 'alice' },
  ])
  t.match(options.issuers[0], {
    entitlements: { namespaces: ['urn:geant:Example.org'], authorities: ['login'] },
    domains: ['example.org'],
  })
  t.equal(options.alise?.[0]?.apiKey.reveal(), 'the key')
  t.notMatch(JSON.stringify(options), 'the key')
  t.match(
    options.alise?.map(({ form }) => form),
    ['sha1', 'encoded'],
  )
  t.doesNotThrow(() => checkOptions(options))
  chmodSync(key, 0o644)
  await t.rejects(identityOptions(config), { code: 'invalid' }, 'a key that others can read')
})

t.test('nothing is linked and nobody asked unless the file says so', async (t) => {
  const { links } = parseConfig(plain, 'c.yaml')
  t.same(links, { issuers: [], lifetime: 366 * 86_400_000, alise: [] })
})

t.test('a rule that cannot speak is a mistake in its line', async (t) => {
  const [mapping, key] = [10, 'mapping[0]']
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['{ issuer: a, account: x }', `${key}: expected one of subject, claim, group, entitlement and certificate`],
    ['{ issuer: a, subject: s, group: g, account: x }', `${key}: expected one of subject, claim, group,`],
    ['{ issuer: a, group: g }', `${key}: expected either account or joins`],
    ['{ issuer: a, group: g, account: x, joins: y }', `${key}: expected either account or joins`],
    ['{ issuer: a, claim: c, joins: y }', `${key}.joins: goes with \`group\` and \`entitlement\` only`],
    ['{ subject: s, account: x }', `${key}.issuer: is missing`],
    ['{ issuer: b, subject: s, account: x }', `${key}.issuer: is not the name of an issuer above`],
    ['{ issuer: s, subject: s, account: x }', `${key}.subject: the subject of a SciToken may not`],
    ['{ issuer: s, claim: sub, account: "{value}" }', `${key}.claim: the subject of a SciToken may not`],
    ['{ issuer: a, subject: s, match: "@example.org", account: x }', `${key}.match: goes with \`claim\` only`],
    [
      '{ issuer: a, claim: c, match: "@evil.org", account: "{value}" }',
      `${key}.match: expected @ and one of the issuer's`,
    ],
    [
      '{ issuer: a, claim: c, match: example.org, account: "{value}" }',
      `${key}.match: expected @ and one of the issuer's`,
    ],
    [
      '{ issuer: s, claim: c, match: "@example.org", account: "{value}" }',
      `${key}.match: expected @ and one of the issuer's`,
    ],
    ['{ issuer: a, claim: c, account: x }', `${key}.account: must hold {value} once`],
    ['{ issuer: a, entitlement: HIFIS, account: x }', `${key}.entitlement: expected an entitlement such as`],
    [
      '{ issuer: a, entitlement: "urn:geant:b.de:group:g", account: x }',
      `${key}.entitlement: is of urn:geant:b.de, which is`,
    ],
    [
      '{ issuer: s, entitlement: "urn:geant:example.org:group:g", joins: x }',
      `${key}.entitlement: is of urn:geant:example`,
    ],
    ['{ issuer: a, group: g, joins: x, assurance: [] }', `${key}.assurance: expected at least one value`],
    ['{ certificate: Alice, account: x }', `${key}.certificate: expected a name such as`],
    ['{ certificate: CN=A, issuer: a, account: x }', `${key}.issuer: does not go with \`certificate\``],
    ['{ certificate: CN=A, account: x, assurance: [y] }', `${key}.assurance: does not go with \`certificate\``],
    ['{ certificate: CN=A, joins: x }', `${key}.joins: goes with \`group\` and \`entitlement\` only`],
    ['{ issuer: a, entitlment: x, account: x }', 'did you mean entitlement?'],
  ]
  for (const [rule, expected] of cases) {
    const found = problems(`mapping:\n  - ${rule}\n`)
    t.ok(found.includes(expected), `${rule}: ${found}`)
    t.match(found, new RegExp(`^${mapping + 1} `), rule)
  }
})

t.test(
  'links of issuers that nobody signs in at, and services that cannot be asked safely, are mistakes',
  async (t) => {
    const alise = (more: string) => `links: { alise: [{ site: x, apiKey: k, ${more} }] }`
    const cases: ReadonlyArray<readonly [string, string]> = [
      ['links: { issuers: [s] }', 'links.issuers[0]: is not the name of an issuer in `login`'],
      ['links: { issuers: [nobody] }', 'links.issuers[0]: is not the name of an issuer in `login`'],
      ['links: { lifetime: 0s }', 'links.lifetime: expected a time'],
      [alise('url: "http://alise.example.org", issuers: [a]'), 'links.alise[0].url: must be https'],
      [alise('url: "http://alise.example.org", insecure: true, issuers: [a]'), 'links.alise[0].url: must be https'],
      [alise('url: "http://127.0.0.1", issuers: [a]'), 'links.alise[0].url: must be https'],
      [alise('url: "ftp://127.0.0.1", insecure: true, issuers: [a]'), 'links.alise[0].url: must be https'],
      [alise('url: "https://u:p@alise.example.org", issuers: [a]'), 'links.alise[0].url: expected an address'],
      [alise('url: "https://alise.example.org?x=y", issuers: [a]'), 'links.alise[0].url: expected an address'],
      [alise('url: "https://alise.example.org", issuers: []'), 'links.alise[0].issuers: expected at least one issuer'],
      [alise('url: "https://alise.example.org", issuers: [b]'), 'links.alise[0].issuers[0]: is not the name'],
      [alise('url: "https://alise.example.org", issuers: [s]'), 'links.alise[0].issuers[0]: SciTokens name nobody'],
      [
        alise('url: "https://alise.example.org", issuers: [a], form: md5'),
        'links.alise[0].form: expected sha1, encoded',
      ],
      [
        'links: { alise: [{ url: "https://x", site: "a/b", apiKey: k, issuers: [a] }] }',
        'links.alise[0].site: expected a name',
      ],
      ['links: { alise: [{ url: "https://x", site: a, issuers: [a] }] }', 'links.alise[0].apiKey: is missing'],
    ]
    for (const [section, expected] of cases) {
      const found = problems(`${section}\n`)
      t.ok(found.includes(expected), `${section}: ${found}`)
    }
  },
)

t.test('what an issuer says of its names is checked', async (t) => {
  const broken = (was: string, is: string) => {
    try {
      parseConfig(plain.replace(was, is), 'c.yaml')
      return 'none'
    } catch (error) {
      return String(error)
    }
  }
  t.match(broken('"urn:geant:Example.org"', 'Example.org'), 'namespaces[0]: expected a namespace such as')
  t.match(broken('["urn:geant:Example.org"]', '[]'), 'namespaces: expected at least one namespace')
  t.match(broken('domains: [example.org]', 'domains: ["@example.org"]'), 'domains[0]: expected a host name')
})
