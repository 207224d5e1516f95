/** What `portolan check` says of a keytab and a real KDC. */

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { checkKdc } from '../../gateway/checks/kerberos.ts'
import { parseConfig } from '../../gateway/config.ts'
import { portolan } from '../cli/running.ts'
import { fakeClock, Kdc, noKdc } from '../peers/kdc.ts'

const realm = 'LAB.EXAMPLE'
const [web, alias] = [`HTTP/localhost@${realm}`, `HTTP/alias.lab.example@${realm}`]
const skip = noKdc()

t.test('a keytab is tried against the KDC', { skip }, async (t) => {
  t.setTimeout(120_000)
  const kdc = await Kdc.start({ realms: [realm] })
  t.teardown(() => kdc.stop())
  const before = process.env.KRB5_CONFIG
  t.teardown(() => {
    if (before === undefined) delete process.env.KRB5_CONFIG
    else process.env.KRB5_CONFIG = before
  })
  process.env.KRB5_CONFIG = kdc.environment.KRB5_CONFIG
  const directory = mkdtempSync(join(tmpdir(), 'portolan-check-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const keytab = join(directory, 'krb5.keytab')
  const addKey = async (service: string) => {
    await kdc.addKey(service, keytab)
    chmodSync(keytab, 0o600)
  }
  const said = async (...services: string[]) => {
    const text = [
      'domain: lab.example',
      'listen: [{ address: 127.0.0.1, port: 0 }]',
      'state: { directory: state }',
      `kerberos: { keytab: ${keytab}, realm: ${realm}, services: ${JSON.stringify(services)} }`,
      'mounts: [{ path: /data, backend: { type: posix, root: /data, acl: [xattr] } }]',
    ].join('\n')
    const found: string[] = []
    await checkKdc(parseConfig(text, join(directory, 'portolan.yaml')), (part, { subject, level, text }) => {
      found.push(`${part} ${subject} ${level}: ${text}`)
    })
    return found
  }

  t.match(await said(web), [/^kerberos keytab error: .* cannot be read \(ENOENT\)/])
  await addKey(web)
  await addKey(alias)
  const good = await said(web, alias)
  t.match(good, [
    /^kerberos keytab ok: .* holds version 2 of the key of HTTP\/localhost@LAB\.EXAMPLE/,
    /^kerberos keytab ok: .*alias/,
    /^kerberos clock ok: \d s (ahead of|behind) the KDC/,
    /^kerberos kdc ok: the KDC gives tickets for HTTP\/localhost@LAB\.EXAMPLE, which the keytab opens/,
    /^kerberos kdc ok: .*alias/,
  ])
  t.equal(good.length, 5)

  await t.test('a key that was changed at the KDC', async (t) => {
    await kdc.kadmin(realm, `cpw -randkey ${web}`)
    t.match(
      (await said(web)).at(-1),
      /^kerberos kdc error: .*another key than the keytab: run `kadmin -q "ktadd -k \S+ HTTP\/localhost"`/,
    )
    // The other principal of the keytab still gets a ticket, by which the stale one is found.
    t.match(
      (await said(alias, web)).at(-1),
      /^kerberos kdc error: a ticket of the KDC for HTTP\/localhost\S+ cannot be used: it has another key/,
    )
    await addKey(web)
    t.match((await said(web)).at(-1), /^kerberos kdc ok/)
  })

  await t.test('services that the keytab or the KDC does not know', async (t) => {
    const other = `HTTP/other.lab.example@${realm}`
    t.match((await said(other)).at(-1), /keytab error: .* holds no key of HTTP\/other.*ktadd/)
    await addKey(other)
    await kdc.kadmin(realm, `delprinc -force ${other}`)
    // Another principal of the keytab gets a ticket, so that the service can be tried.
    t.match((await said(other)).at(-1), /kdc error: .*HTTP\/other.* the KDC knows no such service/)
    t.match((await said(web, other)).at(-1), /kdc error: .*HTTP\/other.* the KDC knows no such service/)
  })

  await t.test('the whole command, with a clock that is ten minutes ahead', async (t) => {
    const configFile = join(directory, 'portolan.yaml')
    writeFileSync(join(directory, 'accounts.yaml'), 'users: { alice: { uid: 2001, gid: 2001 } }\n', { mode: 0o600 })
    mkdirSync(join(directory, 'tree'))
    const kerberos = { keytab, realm, services: [web], names: [{ principal: `x/admin@${realm}`, account: 'ghost' }] }
    writeFileSync(
      configFile,
      stringify({
        ...{ domain: 'lab.example', listen: [{ address: '127.0.0.1', port: 0 }], state: { directory: 'state' } },
        ...{
          kerberos,
          accounts: [{ file: 'accounts.yaml' }],
          administrators: ['alice@lab.example', 'bob@lab.example'],
        },
        mounts: [{ path: '/data', backend: { type: 'posix', root: join(directory, 'tree'), acl: ['xattr'] } }],
      }),
    )
    const env = { ...kdc.environment, LD_PRELOAD: fakeClock, FAKETIME: '+10m' }
    const { code, stdout, stderr } = await portolan(['check', '--config', configFile, '--json'], { env })
    t.equal(code, 2, stderr)
    const { findings } = JSON.parse(stdout) as {
      findings: { part: string; subject: string; level: string; text: string }[]
    }
    const about = (part: string) =>
      findings.filter((each) => each.part === part).map(({ level, text }) => `${level}: ${text}`)
    t.match(about('kerberos'), [
      /^ok: .*holds version/,
      /^error: (599|600|601|602) s ahead of the KDC.*chrony/,
      /^ok: the KDC gives tickets/,
      /^error: x\/admin@LAB\.EXAMPLE: no account source knows ghost/,
    ])
    t.match(about('accounts'), [/^warning: bob@lab\.example is nobody yet: no account source knows bob/])
  })

  await t.test('clocks that differ, and a KDC that is silent', async (t) => {
    await kdc.resume('+10m')
    const late = (await said(web)).filter((line) => /clock|kdc/.test(line))
    t.match(late, [/clock error: (599|600|601) s behind the KDC/, /kdc ok/], late.join('\n'))
    await kdc.pause()
    t.match((await said(web)).at(-1), /kdc error: no KDC of the realm answers/)
    await kdc.resume()
    chmodSync(keytab, 0o644)
    t.match(await said(web), [/keytab error: .* is open to others/])
  })
})
