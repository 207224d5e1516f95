/** What the configuration file may say of asking issuers and of certificates of callers. */

import t from 'tap'
import { parseConfig } from '../../gateway/config.ts'
import { messageOf } from '../config/message.ts'

const whole = `domain: example.org
state: { directory: state }
trustedProxies: [10.0.0.0/8]
listen:
  - address: 127.0.0.1
    port: 8443
    tls: { certificate: a.crt, key: a.key, clientCertificates: { ca: grid.pem, crl: grid.crl } }
  - { address: 127.0.0.1, port: 8080, proxyCertificates: { ca: grid.pem } }
issuers:
  - issuer: https://iam.example.org/
    name: iam
    keys: { discovery: true }
    audiences: [https://gw.example.org]
    profile: plain
    introspection: { clientId: gw, clientSecret: iam.secret }
mounts:
  - path: /data
    backend: { type: posix, root: /srv/data }
`

t.test('what is not written has its documented default', async (t) => {
  const { issuers, listen } = parseConfig(whole, '/etc/portolan/c.yaml')
  t.same(issuers[0]?.introspection, {
    ...{ clientId: 'gw', clientSecret: { file: '/etc/portolan/iam.secret' }, origins: [], authentication: 'basic' },
    ...{ jwts: false, userInfo: false, withoutAudience: false, remember: 60_000 },
  })
  t.same(listen[0]?.tls?.clientCertificates, {
    ...{ ca: '/etc/portolan/grid.pem', crl: '/etc/portolan/grid.crl', required: false },
  })
  t.same(listen[1]?.proxyCertificates, { header: 'client-cert', ca: '/etc/portolan/grid.pem' })
})

const asking = 'clientSecret: iam.secret'
const mistakes: readonly (readonly [was: string, is: string, message: string])[] = [
  [`clientId: gw, ${asking}`, 'clientId: gw', 'c.yaml:15:20: issuers[0].introspection.clientSecret: '],
  [asking, `${asking}, remember: 6m`, 'introspection.remember: expected at most 5m'],
  [asking, `${asking}, remember: 0s`, 'introspection.remember: '],
  [asking, `${asking}, endpoint: http://iam.example.org/i`, 'introspection.endpoint: must be https'],
  [asking, `${asking}, endpoint: https://u:p@iam.example.org/i`, 'introspection.endpoint: expected an address'],
  [asking, `${asking}, prefix: ""`, 'introspection.prefix: expected the beginning of tokens'],
  [asking, `${asking}, prefix: "a b"`, 'introspection.prefix: expected the beginning of tokens'],
  [asking, `${asking}, length: { least: 100, most: 50 }`, 'introspection.length: least is more than most'],
  [asking, `${asking}, authentication: none`, 'introspection.authentication: expected basic or post'],
  [asking, `${asking}, cache: 1m`, 'introspection.cache: unknown key'],
  ['profile: plain', 'profile: scitokens\n    basePath: /data\n    account: a', 'introspection: SciTokens are signed'],
  ['crl: grid.crl', 'crl: grid.crl, require: true', 'clientCertificates.require: unknown key; did you mean required?'],
  ['{ ca: grid.pem, crl: grid.crl }', '{}', 'clientCertificates.ca: '],
  ['trustedProxies: [10.0.0.0/8]\n', '', 'listen[1].proxyCertificates: needs `trustedProxies`'],
  ['{ ca: grid.pem } }', '{ ca: grid.pem, header: Authorization } }', 'proxyCertificates.header: this header means'],
  ['{ ca: grid.pem } }', '{ ca: grid.pem, header: X-Forwarded-For } }', 'proxyCertificates.header: this header means'],
  [
    '{ ca: grid.pem } }',
    '{ ca: grid.pem, header: "a b" } }',
    'proxyCertificates.header: expected the name of a header',
  ],
  [
    '    tls:',
    '    proxyCertificates: { ca: grid.pem }\n    tls:',
    'listen[0].proxyCertificates: TLS with certificates',
  ],
]

t.test('a mistake is told with its line', async (t) => {
  t.equal(messageOf(whole), 'no error')
  for (const [was, is, message] of mistakes) {
    t.ok(whole.includes(was), was)
    const found = messageOf(whole.replace(was, is))
    t.ok(found.includes(message), `${is}: ${found}`)
    t.match(found, /^c\.yaml:\d+:\d+: /)
  }
})

t.test('a token is shown to a few issuers at most', async (t) => {
  const issuer = (index: number, more: string) => `  - issuer: https://i${index}.example.org
    name: i${index}
    keys: { discovery: true }
    audiences: [https://gw.example.org]
    profile: plain
    introspection: { clientId: gw, clientSecret: iam.secret${more} }
`
  const withIssuers = (count: number, more: (index: number) => string) => {
    const all = Array.from({ length: count }, (_, index) => issuer(index, more(index))).join('')
    return messageOf(whole.replace('mounts:', `${all}mounts:`))
  }
  t.equal(
    withIssuers(2, () => ''),
    'no error',
  )
  t.match(
    withIssuers(3, () => ''),
    /issuers\[3\]\.introspection.*only 3 issuers may have none/,
  )
  t.equal(
    withIssuers(20, (index) => `, prefix: p${index}_`),
    'no error',
  )
})
