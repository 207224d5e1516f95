import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig, parseConfig } from '../../gateway/config.ts'
import { messageOf } from './message.ts'

const plain = `domain: example.org
listen:
  - { address: 127.0.0.1, port: 8080 }
state: { directory: state }
mounts:
  - path: /data
    backend: { type: posix, root: /srv/data }
`

const issuer = `issuers:
  - issuer: https://iam.example.org/
    name: iam
    keys: { jwksFile: keys.json }
    audiences: [https://gw.example.org]
    profile: wlcg
    basePath: /data/vo
    account: vo
`

t.test('what is not written has its documented default', async (t) => {
  const config = parseConfig(plain, '/etc/portolan/portolan.yaml')
  t.equal(config.workers, 'auto')
  t.equal(config.state.directory, '/etc/portolan/state')
  t.equal(config.limits.stallTimeout, 60_000)
  t.equal(config.limits.maxUpload, 5 * 2 ** 40)
  t.equal(config.audit.onFailure, 'stop')
  t.equal(config.log.level, 'info')
  t.equal(config.minUid, 1000)
  const [mount] = config.mounts
  t.equal(mount?.enforce, 'gateway')
  t.equal(mount?.deadline, 20_000)
  t.equal(mount?.base, '/')
  t.match(mount?.backend, { type: 'posix', acl: ['nfs4', 'xattr', 'posix'], symlinks: 'none', sync: 'always' })
})

t.test('durations, sizes and file names are understood', async (t) => {
  const text = `${plain}limits: { maxUpload: 64K, stagedBytesPerPrincipal: 2T, idleTimeout: 5m, stallTimeout: 500ms }
log: { file: ../log/p.log }
publicUrl: https://GW.example.org:8443/
hosts: [GW.Example.org]
`
  const config = parseConfig(text, '/etc/portolan/portolan.yaml')
  t.equal(config.limits.maxUpload, 65_536)
  t.equal(config.limits.stagedBytesPerPrincipal, 2 * 2 ** 40)
  t.equal(config.limits.idleTimeout, 300_000)
  t.equal(config.limits.stallTimeout, 500)
  t.equal(config.log.file, '/etc/log/p.log')
  t.equal(config.publicUrl, 'https://gw.example.org:8443')
  t.same(config.hosts, ['gw.example.org'])
})

t.test('a secret is a file or a variable of the environment', async (t) => {
  const keyOf = (key: string) =>
    parseConfig(plain.replace('directory: state', `directory: state, masterKeyFile: ${key}`), '/etc/c.yaml').state
      .masterKeyFile
  t.same(keyOf('m.key'), { file: '/etc/m.key' })
  t.same(keyOf('{ file: m.key }'), { file: '/etc/m.key' })
  t.same(keyOf('{ env: MASTER_KEY }'), { env: 'MASTER_KEY' })
})

t.test('nested mounts are allowed', async (t) => {
  const text = `${plain}  - { path: /data/inner, backend: { type: posix, root: /srv/inner }, enforce: native }\n`
  t.same(
    parseConfig(text, 'c.yaml').mounts.map(({ path }) => path),
    ['/data', '/data/inner'],
  )
})

/** What is put in place of what, and the message that must come. */
const mistakes: readonly (readonly [was: string, is: string, message: string])[] = [
  // keys
  ['domain: ', 'domian: ', 'c.yaml:1:1: domain: is missing\nc.yaml:1:1: domian: unknown key; did you mean domain?'],
  ['root: /srv/data', 'rooot: /srv/data', 'c.yaml:7:29: mounts[0].backend.rooot: unknown key; did you mean root?'],
  [
    '    backend',
    '    readonly: true\n    backend',
    'c.yaml:7:5: mounts[0].readonly: unknown key; did you mean readOnly?',
  ],
  [
    'state: { directory: state }',
    'state: { dir: state, zzz: 1 }',
    'c.yaml:4:10: state.dir: unknown key; known here are',
  ],
  ['state: { directory: state }', 'state: state', 'c.yaml:4:8: state: expected a section with the keys directory'],
  ['state: { directory: state }', 'state: {}', 'c.yaml:4:8: state.directory: is missing'],
  ['  - path: /data\n    backend', '  - backend', 'c.yaml:6:5: mounts[0].path: is missing'],
  // values
  ['port: 8080', 'port: "8080"', 'c.yaml:3:33: listen[0].port: expected a whole number from 0 to 65535'],
  ['port: 8080', 'port: 80800', 'c.yaml:3:33: listen[0].port: expected a whole number from 0 to 65535'],
  ['127.0.0.1', 'localhost', 'c.yaml:3:16: listen[0].address: expected an IP address'],
  ['type: posix', 'type: posxi', 'c.yaml:7:22: mounts[0].backend.type: expected a section with `type: posix`'],
  ['path: /data', 'path: data', 'c.yaml:6:11: mounts[0].path: expected a path that begins with /'],
  ['path: /data', 'path: /a/../b', 'c.yaml:6:11: mounts[0].path: expected a path that begins with /'],
  ['domain:', 'workers: many\ndomain:', 'c.yaml:1:10: workers: expected auto or a number from 1 to 64'],
  ['domain:', 'hosts: a.b\ndomain:', 'c.yaml:1:8: hosts: expected a list'],
  [
    'domain:',
    'trustedProxies: [10.0.0.0/33]\ndomain:',
    'c.yaml:1:18: trustedProxies[0]: expected an address or a network',
  ],
  ['domain:', 'runAs: { uid: 0, gid: 0 }\ndomain:', 'c.yaml:1:15: runAs.uid: expected a whole number from 1'],
  ['domain:', 'publicUrl: https://a.b/c\ndomain:', 'c.yaml:1:12: publicUrl: expected an address such as'],
  ['domain:', 'administrators: [root]\ndomain:', 'c.yaml:1:18: administrators[0]: expected a user such as'],
  [
    'domain:',
    'log: { level: wran }\ndomain:',
    'c.yaml:1:15: log.level: expected trace, debug, info, warn, error or fatal; did you mean warn?',
  ],
  ['domain:', 'limits: { maxUpload: 5X }\ndomain:', 'c.yaml:1:22: limits.maxUpload: expected a size such as'],
  ['domain:', 'limits: { maxUpload: -1 }\ndomain:', 'c.yaml:1:22: limits.maxUpload: expected a size such as'],
  ['domain:', 'limits: { idleTimeout: 60 }\ndomain:', 'c.yaml:1:24: limits.idleTimeout: expected a duration such as'],
  [
    'domain:',
    'limits: { idleTimeout: 60d }\ndomain:',
    'c.yaml:1:24: limits.idleTimeout: expected a duration of at most 24 days',
  ],
  ['domain:', 'limits: { idleTimeout: 0s }\ndomain:', 'c.yaml:1:24: limits.idleTimeout: expected a duration longer'],
  ['domain:', 'limits: { idleTimeout: 1.5h }\ndomain:', 'c.yaml:1:24: limits.idleTimeout: expected a duration'],
  // rules between keys
  ['127.0.0.1', '0.0.0.0', 'c.yaml:3:16: listen[0].address: plain HTTP off loopback needs `insecure: true`'],
  ['127.0.0.1', '"::"', 'c.yaml:3:16: listen[0].address: plain HTTP off loopback needs `insecure: true`'],
  ['port: 8080', 'port: 1, proxyProtocol: true', 'c.yaml:3:51: listen[0].proxyProtocol: needs `trustedProxies`'],
  ['state:', '  - { address: 127.0.0.1, port: 8080 }\nstate:', 'c.yaml:4:33: listen[1].port: another listener'],
  ['state:', 'metrics: { address: 10.0.0.1, port: 1 }\nstate:', 'c.yaml:4:21: metrics.address: metrics off loopback'],
  ['state:', 'metrics: { port: 8080 }\nstate:', 'c.yaml:4:18: metrics.port: a listener has this address and port'],
  ['path: /data', 'path: /.portolan/x', 'c.yaml:6:11: mounts[0].path: /.portolan belongs to the gateway'],
  [
    'mounts:',
    'mounts:\n  - { path: /data/, backend: { type: posix, root: /x } }',
    'c.yaml:7:11: mounts[1].path: another mount has this path',
  ],
  // text
  ['domain: example.org', 'domain: a.b\ndomain: c.d', 'c.yaml:2:1: Map keys must be unique'],
  ['domain: example.org', 'domain: [', 'c.yaml:2:1: '],
  ['domain: example.org', 'domain: *nowhere', 'c.yaml:1:9: no anchor &nowhere above'],
]

t.test('a mistake is reported with its line, its key and what was expected', async (t) => {
  for (const [was, is, message] of mistakes) {
    t.ok(plain.includes(was), was)
    const found = messageOf(plain.replace(was, is))
    t.ok(found.includes(message), `${is}: ${found}`)
  }
})

const identityMistakes: readonly (readonly [was: string, is: string, message: string])[] = [
  ['    account: vo\n', '', 'c.yaml:9:5: issuers[0]: account is missing; tokens with scopes (wlcg) need it'],
  ['    basePath: /data/vo\n', '', 'c.yaml:9:5: issuers[0]: basePath is missing'],
  ['name: iam', 'name: example.org', 'c.yaml:10:11: issuers[0].name: is taken by another issuer or is the domain'],
  ['name: iam', 'name: I A M', 'c.yaml:10:11: issuers[0].name: expected a short name'],
  ['jwksFile: keys.json', '', 'c.yaml:11:11: issuers[0].keys: expected one of discovery, jwksUrl and jwksFile'],
  ['jwksFile: keys.json', 'jwksFile: a, discovery: true', 'c.yaml:11:11: issuers[0].keys: expected one of'],
  [
    'profile: wlcg',
    'profile: WLCG',
    'c.yaml:13:14: issuers[0].profile: expected wlcg, scitokens or plain; did you mean wlcg?',
  ],
  ['profile: wlcg', 'profile: wlcg\n    algorithms: [none]', 'c.yaml:14:18: issuers[0].algorithms[0]: expected RS256'],
  ['profile: wlcg', 'profile: wlcg\n    algorithms: [HS256]', 'c.yaml:14:18: issuers[0].algorithms[0]: expected RS256'],
  [
    'issuers:',
    'mapping: [{ issuer: imm, subject: a, account: b }]\nissuers:',
    'c.yaml:8:21: mapping[0].issuer: is not the name',
  ],
  [
    'issuers:',
    'mapping: [{ issuer: iam, account: b }]\nissuers:',
    'c.yaml:8:11: mapping[0]: expected one of subject, claim, group, entitlement and certificate',
  ],
  [
    'issuers:',
    'mapping: [{ issuer: iam, subject: a, joins: b }]\nissuers:',
    'c.yaml:8:45: mapping[0].joins: goes with `group` and `entitlement` only',
  ],
  [
    'issuers:',
    'mapping: [{ issuer: iam, group: a }]\nissuers:',
    'c.yaml:8:11: mapping[0]: expected either account or joins',
  ],
  [
    'issuers:',
    'mapping: [{ issuer: iam, claim: a, account: b }]\nissuers:',
    'c.yaml:8:45: mapping[0].account: must hold {value}',
  ],
  ['issuers:', 'accounts: [{}]\nissuers:', 'c.yaml:8:12: accounts[0]: expected file, system or ldap'],
]

t.test('lines about identity that do not fit together are refused', async (t) => {
  const whole = plain + issuer
  t.equal(messageOf(whole), 'no error')
  for (const [was, is, message] of identityMistakes) {
    t.ok(whole.includes(was), was)
    const found = messageOf(whole.replace(was, is))
    t.ok(found.includes(message), `${is}: ${found}`)
  }
})

t.test('all mistakes are reported at once', async (t) => {
  const text = plain.replace('port: 8080', 'port: x').replace('root: /srv/data', 'threads: 0')
  const found = messageOf(text).split('\n')
  t.equal(found.length, 3, found.join('\n'))
})

t.test('a short file cannot become a huge value, and odd files are refused', async (t) => {
  const bomb = `a: &a [${'x,'.repeat(9)}]\n${[...'bcdefghij'].map((name, index) => `${name}: &${name} [${`*${'abcdefghij'[index]},`.repeat(9)}]`).join('\n')}\n`
  t.match(messageOf(bomb + plain), 'c.yaml:1:1: the aliases')
  const began = performance.now()
  const many = `a: &a x\nb: [${'*a,'.repeat(20_000)}]\n`
  t.match(messageOf(many + plain), /c\.yaml:2:\d+: more than 100 aliases/)
  t.ok(performance.now() - began < 5000, 'each alias is looked up in all that stands above it')
  for (const text of ['', '[]', 'x', '# nothing\n', '--- 1\n--- 2\n', 'null']) t.match(messageOf(text), 'c.yaml:', text)
})

t.test('a file that cannot be read, is no text or is too long is an error', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-config-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'c.yaml')
  await t.rejects(loadConfig(file), { message: `${file}:1:1: cannot be read (ENOENT)` })
  writeFileSync(file, Buffer.from([0x61, 0xff]))
  await t.rejects(loadConfig(file), { message: `${file}:1:1: is not UTF-8` })
  writeFileSync(file, plain)
  t.equal((await loadConfig(file)).state.directory, join(directory, 'state'))
})
