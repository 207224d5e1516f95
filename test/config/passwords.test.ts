import t from 'tap'
import { parseConfig } from '../../gateway/config.ts'
import { messageOf } from './message.ts'

const plain = `domain: example.org
listen:
  - { address: 127.0.0.1, port: 8080 }
state: { directory: state }
mounts:
  - path: /data
    backend: { type: posix, root: /srv/data }
`
const kerberos = 'kerberos: { keytab: http.keytab, realm: EXAMPLE.ORG }\n'

t.test('who checks passwords, and for how long they are believed', async (t) => {
  t.same(parseConfig(plain, '/c.yaml').passwords, { ways: ['accounts'], remember: 300_000 })
  const both = parseConfig(`${plain}${kerberos}passwords: { ways: [kerberos, accounts], remember: 30s }\n`, '/c.yaml')
  t.same(both.passwords, { ways: ['kerberos', 'accounts'], remember: 30_000 })
  const cases: ReadonlyArray<readonly [passwords: string, more: string, expected: RegExp]> = [
    ['{ ways: [kerberos] }', '', /c\.yaml:8:\d+: passwords\.ways: needs `kerberos`/],
    ['{ ways: [accounts, accounts] }', kerberos, /c\.yaml:8:\d+: passwords\.ways: holds one of them twice/],
    ['{ ways: [] }', '', /c\.yaml:8:\d+: passwords\.ways: expected at least one way/],
    [
      '{ ways: [kerberos5] }',
      kerberos,
      /c\.yaml:8:\d+: passwords\.ways\[0\]: expected accounts or kerberos; did you mean/,
    ],
    ['{ remember: 301s }', '', /c\.yaml:8:\d+: passwords\.remember: expected at most 5m/],
    ['{ remember: 0s }', '', /c\.yaml:8:\d+: passwords\.remember: /],
    ['{ way: [accounts] }', '', /c\.yaml:8:\d+: passwords\.way: .*did you mean ways/],
  ]
  for (const [passwords, more, expected] of cases) {
    t.match(messageOf(`${plain}passwords: ${passwords}\n${more}`), expected, passwords)
  }
})
