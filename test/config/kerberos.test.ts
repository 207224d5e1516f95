/** The section `kerberos` of the configuration, and what is looked at before the gateway starts. */

import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { forRunning } from '../../gateway/config/restart.ts'
import { type Config, ConfigError, parseConfig } from '../../gateway/config.ts'
import { checkKerberos, kerberosEnvironment, kerberosOptions } from '../../gateway/serve/kerberos.ts'
import { noKerberos } from '../kerberos/world.ts'

const plain = `domain: example.org
publicUrl: https://gw.example.org
hosts: [gw1.example.org]
listen: [{ address: 127.0.0.1, port: 8080 }]
state: { directory: state, masterKeyFile: m.key }
kerberos:
  keytab: gw.keytab
  realm: EXAMPLE.ORG
  rules: [DEFAULT]
mounts: [{ path: /data, backend: { type: posix, root: /srv/data } }]
`

t.test('tickets are for the hosts of the gateway where nothing else is said', async (t) => {
  const config = parseConfig(plain, '/etc/c.yaml')
  t.match(kerberosOptions(config), {
    keytab: '/etc/gw.keytab',
    realm: 'EXAMPLE.ORG',
    services: ['HTTP/gw.example.org@EXAMPLE.ORG', 'HTTP/gw1.example.org@EXAMPLE.ORG'],
    rules: ['DEFAULT'],
    cookieLifetime: 300,
  })
  t.same(kerberosEnvironment(config), {
    KRB5_KTNAME: 'FILE:/etc/gw.keytab',
    KRB5RCACHENAME: 'file2:/etc/state/kerberos-replays',
  })
  const named = plain.replace('  rules', '  services: [HTTP/other@EXAMPLE.ORG]\n  rules')
  t.same(kerberosOptions(parseConfig(named, '/etc/c.yaml'))?.services, ['HTTP/other@EXAMPLE.ORG'])
  const without = parseConfig(plain.replace(/kerberos:\n( {2}.*\n)+/, ''), '/etc/c.yaml')
  t.equal(kerberosOptions(without), undefined)
  t.same(kerberosEnvironment(without), {})
})

/** What is put in place of what, and the message that must come. */
const mistakes: ReadonlyArray<readonly [was: string, is: string, message: string]> = [
  ['realm: EXAMPLE.ORG', 'realm: "a b"', 'c.yaml:8:10: kerberos.realm: expected a realm'],
  ['  rules: [DEFAULT]', '  rules: [default]', 'c.yaml:9:11: kerberos.rules[0]: expected DEFAULT or RULE:'],
  ['[DEFAULT]', '["RULE:[1:$2]"]', 'kerberos.rules[0]: $2 is more than the components'],
  ['[DEFAULT]', '["RULE:[1:$1](a{9999})"]', 'kerberos.rules[0]: the expression repeats more than 64'],
  ['  rules: [DEFAULT]', '  realms: [B]\n  rules: ["RULE:s/a/b/"]', 'kerberos.rules[0]: without $0 in [n:string]'],
  ['  rules: [DEFAULT]', '  realms: [B]\n  rules: ["RULE:[1:$1]"]', 'kerberos.rules[0]: without $0 in [n:string]'],
  [
    '  rules: [DEFAULT]',
    '  realms: [B]\n  rules: ["RULE:[2:$1;$2](.*;$0)s/;.*//"]',
    'kerberos.rules[0]: without $0 in [n:string]',
  ],
  ['  rules', '  realms: [EXAMPLE.ORG]\n  rules', 'kerberos.realms: holds our own realm'],
  ['  rules', '  names: [{ principal: alice, account: a }]\n  rules', 'names[0].principal: expected a principal'],
  [
    '  rules',
    '  names: [{ principal: a@B, account: root }]\n  rules',
    'names[0].account: expected the name of an account',
  ],
  ['  rules', '  services: [HTTP@EXAMPLE.ORG]\n  rules', 'kerberos.services[0]: expected a service'],
  ['  rules', '  cookie: 11m\n  rules', 'kerberos.cookie: may be 10m at most'],
  ['  rules', '  keytabs: x\n  rules', 'kerberos.keytabs: unknown key; did you mean keytab?'],
]

t.test('mistakes are told with their line', async (t) => {
  for (const [was, is, message] of mistakes) {
    try {
      parseConfig(plain.replace(was, is), 'c.yaml')
      t.fail(is)
    } catch (error) {
      t.type(error, ConfigError)
      t.ok(String(error).includes(message), `${is}: ${String(error)}`)
    }
  }
})

t.test('another keytab waits for a restart, and what depends on it too', async (t) => {
  const old = parseConfig(plain, '/c.yaml')
  const moved = forRunning(
    old,
    parseConfig(plain.replace('gw.keytab', 'b.keytab').replace('DEFAULT', '"RULE:[1:$1]"'), '/c.yaml'),
  )
  t.same(moved.waiting, ['kerberos.keytab'])
  t.same(moved.config.kerberos, old.kerberos)
  const ruled = forRunning(old, parseConfig(plain.replace('DEFAULT', '"RULE:[1:$1]"'), '/c.yaml'))
  t.same(ruled.waiting, [])
  t.same(ruled.config.kerberos?.rules, ['RULE:[1:$1]'])
  const none = parseConfig(plain.replace(/kerberos:\n( {2}.*\n)+/, ''), '/c.yaml')
  t.same(forRunning(none, old).waiting, ['kerberos.keytab'])
  t.equal(forRunning(none, old).config.kerberos, undefined)
})

t.test('the keytab must be there, closed to others, and hold the keys', { skip: noKerberos() }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-keytab-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const config: Config = parseConfig(plain, join(directory, 'c.yaml'))
  const file = join(directory, 'gw.keytab')
  await t.rejects(checkKerberos(config), { code: 'invalid', message: /gw\.keytab: cannot be read \(ENOENT\)/ })
  writeFileSync(file, Buffer.from([5, 2]))
  chmodSync(file, 0o644)
  await t.rejects(checkKerberos(config), { message: /is open to others/ })
  chmodSync(file, 0o600)
  await t.rejects(checkKerberos(config), { message: /holds no key of HTTP\/gw\.example\.org@EXAMPLE\.ORG/ })
  writeFileSync(file, 'no keytab')
  await t.rejects(checkKerberos(config), { message: /gw\.keytab: is no keytab file/ })
})

t.test('without the package the message says what to do', async (t) => {
  const library = new URL('../../acl/identity/kerberos/library.ts', import.meta.url).href
  const program = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(name, context, next) {
        if (name === 'kerberos') throw new Error('there is no such package')
        return next(name, context)
      },
    })
    const { openLibrary } = await import(${JSON.stringify(library)})
    await openLibrary({ keytab: '/k', replays: '/r' }).catch((error) => console.log(error.code, error.message))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  t.match(stdout, /^invalid kerberos: .*apt-get install g\+\+ libkrb5-dev/)
})
