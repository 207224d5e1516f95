/** What `portolan check` makes of certificates, clocks and the answers of a KDC. */

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { tryKeytab } from '../../acl/identity/kerberos/keytab-trial.ts'
import { checkClocks, clockFinding } from '../../gateway/checks/clocks.ts'
import { trialFindings } from '../../gateway/checks/kerberos.ts'
import { certificateFindings } from '../../gateway/checks/listeners.ts'
import { parseConfig } from '../../gateway/config.ts'

function certificateOf(t: Test, names: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-check-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'c.pem')
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=gw'],
      ...['-addext', `subjectAltName=${names}`, '-days', '100', '-keyout', join(directory, 'k.pem'), '-out', file],
    ],
    { stdio: 'ignore' },
  )
  return readFileSync(file, 'utf8')
}

t.test('a certificate is told of with its days and its names', (t) => {
  const pem = certificateOf(t, 'DNS:gw.example.org,DNS:*.s3.example.org,IP:192.0.2.1')
  const day = 86_400_000
  const at = (days: number, names: readonly string[] = []) =>
    certificateFindings('tls.crt', pem, { names, now: Date.now() + days * day }).map(
      ({ level, text }) => `${level}: ${text}`,
    )
  t.match(at(0.5), [/^ok: tls\.crt: good for 99 days, until 20/])
  t.match(at(80), [/^warning: .*; renew it$/])
  t.match(at(98.5), [/good for 1 day,/])
  t.match(at(101), [/^error: tls\.crt: has expired/])
  t.match(at(-2), [/^error: tls\.crt: is not good before/])
  t.equal(at(0.5, ['gw.example.org', 'b.s3.example.org', '192.0.2.1']).length, 1)
  t.match(
    at(0.5, ['gw.example.org', 'other.example.org', '192.0.2.2'])[1],
    /is not for other\.example\.org, 192\.0\.2\.2; clients/,
  )
  t.match(certificateFindings('x', 'none', { names: [], now: 0 }), [{ level: 'error' }])
  t.match(certificateFindings('x', pem.replace(/[A-Z]{10}/, 'AAAAAAAAAA'), { names: [], now: 0 }), [{ level: 'error' }])
  t.end()
})

t.test('a clock is told of in the direction that it is wrong', (t) => {
  t.match(clockFinding(0.4, 'kdc', 60), { level: 'ok', text: '0 s ahead of kdc' })
  t.match(clockFinding(-61, 'kdc', 60), { level: 'error', text: /^61 s behind kdc, more than the 60 s.*chrony/ })
  t.end()
})

t.test('an answer from a cache tells the time at which it was made, and how long ago that was', async (t) => {
  let age: string | undefined
  const server = createServer((_request, response) => {
    response.setHeader('Date', new Date(Date.now() - 600_000).toUTCString())
    if (age !== undefined) response.setHeader('Age', age)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
  const config = parseConfig(
    [
      'domain: example.org',
      'listen: [{ address: 127.0.0.1, port: 0 }]',
      'state: { directory: state }',
      `issuers: [{ name: idp, issuer: "https://idp.example.org", profile: plain, audiences: [gw], insecure: true, keys: { jwksUrl: "${url}" } }]`,
      'mounts: [{ path: /m, backend: { type: posix, root: /m, acl: [xattr] } }]',
    ].join('\n'),
    '/etc/p.yaml',
  )
  const levels = async () => {
    const found: string[] = []
    await checkClocks(config, (_part, { level }) => found.push(level))
    return found
  }
  t.same(await levels(), ['error'])
  age = '600'
  t.same(await levels(), ['ok'])
  age = 'rubbish'
  t.same(await levels(), ['error'])
})

t.test('a Kerberos configuration that is none is told of as that', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'portolan-check-')), 'krb5.conf')
  t.teardown(() => rmSync(dirname(file), { recursive: true, force: true }))
  writeFileSync(file, '[libdefaults\n  }{')
  const before = process.env.KRB5_CONFIG
  t.teardown(() => {
    if (before === undefined) delete process.env.KRB5_CONFIG
    else process.env.KRB5_CONFIG = before
  })
  process.env.KRB5_CONFIG = file
  const trial = { keytab: join(dirname(file), 'keytab'), clients: ['x@EX.ORG'], services: [] }
  const result = await tryKeytab(trial, 30_000)
  if (result?.library) t.match(trialFindings('k', result), [{ level: 'error', text: /^krb5\.conf is not well-formed/ }])
  // As of a thread that could not do its work: that is no silence of a KDC.
  const broken = await tryKeytab({ ...trial, clients: [7 as never] }, 30_000)
  t.notMatch(trialFindings('k', broken), [{ text: /has answered/ }])
})

t.test('what a KDC answers becomes what is to be done', (t) => {
  const base = -1_765_328_384
  const name = 'HTTP/gw@EX.ORG'
  const said = (...clients: number[]) =>
    trialFindings('k.keytab', {
      library: true,
      clients: clients.map((code) => ({ name, code })),
      ahead: undefined,
      services: [],
    }).map(({ level, text }) => `${level}: ${text}`)
  for (const code of [base + 24, base + 31, base + 44, -1_765_328_154]) {
    t.match(
      said(code),
      [/^error: .*another key than the keytab: run `kadmin -q "ktadd -k k\.keytab HTTP\/gw"`.*msktutil/],
      `${code}`,
    )
  }
  t.match(said(base + 37), [/^error: .*clocks/])
  t.match(said(-1_765_328_228), [/^error: no KDC of the realm answers/])
  t.match(said(base + 6, base + 6), [/^warning: .*Active Directory/, /^warning/])
  t.match(said(base + 99), [/Kerberos says/])
  const good = {
    library: true,
    clients: [{ name, code: 0 }],
    ahead: 400,
    services: [
      { name, code: 0 },
      { name: 'b', code: base + 7 },
    ],
  }
  t.match(trialFindings('k', good), [
    { subject: 'clock', level: 'error', text: /400 s ahead of the KDC/ },
    { subject: 'kdc', level: 'ok' },
    { subject: 'kdc', level: 'error', text: /knows no such service/ },
  ])
  t.match(trialFindings('k', undefined), [{ level: 'error', text: /within 30 s/ }])
  t.match(trialFindings('k', { library: false, clients: [], ahead: undefined, services: [] }), [{ level: 'warning' }])
  t.end()
})
