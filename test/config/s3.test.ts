/** The section `s3` of the configuration. */

import t from 'tap'
import { parseConfig } from '../../gateway/config.ts'
import { messageOf } from './message.ts'

const plain = `domain: example.org
publicUrl: https://gw.example.org
hosts: [gw1.example.org]
listen: [{ address: 127.0.0.1, port: 8080 }]
state: { directory: state, masterKeyFile: m.key }
s3:
  buckets: { data: /data, home: "/data/{user}" }
  hosts: [s3.example.org]
  listen: [{ address: 127.0.0.1, port: 8081 }]
mounts: [{ path: /data, backend: { type: posix, root: /srv/data } }]
`

t.test('S3 is heard where the configuration says', async (t) => {
  const { s3 } = parseConfig(plain, '/etc/c.yaml')
  t.match(s3, {
    region: 'us-east-1',
    buckets: { data: '/data', home: '/data/{user}' },
    hosts: ['s3.example.org'],
    listen: [{ address: '127.0.0.1', port: 8081, insecure: false }],
    origins: [],
  })
  t.equal(parseConfig(plain.replace(/s3:\n( {2}.*\n)+/, ''), '/etc/c.yaml').s3, undefined)
})

/** What is put in place of what, and the message that must come. */
const mistakes: ReadonlyArray<readonly [was: string, is: string, message: string]> = [
  ['{ data: /data,', '{ Data: /data,', 's3.buckets.Data: is no bucket name'],
  ['{ data: /data,', '{ 10.0.0.1: /data,', 's3.buckets.10.0.0.1: is no bucket name'],
  ['{ data: /data,', '{ data: data,', 's3.buckets.data: expected a path'],
  ['{ data: /data,', '{ data: /data/../x,', 's3.buckets.data: expected a path'],
  ['{ data: /data,', '{ data: /elsewhere,', 's3.buckets.data: leads to no mount'],
  ['  hosts: [s3', '  root: /elsewhere\n  hosts: [s3', 's3.root: leads to no mount'],
  ['[s3.example.org]', '[example.org]', 's3.hosts[0]: gw1.example.org is a host of the other doors'],
  ['[s3.example.org]', '[gw.example.org]', 's3.hosts[0]: gw.example.org is a host of the other doors'],
  ['  hosts: [s3.example.org]\n  listen: [{ address: 127.0.0.1, port: 8081 }]', '', 's3: is heard nowhere'],
  [', masterKeyFile: m.key', '', 's3: needs `state.masterKeyFile`'],
  ['port: 8081', 'port: 8080', 's3.listen[0].port: another listener has this address and port'],
  [
    '[{ address: 127.0.0.1, port: 8081',
    '[{ address: 0.0.0.0, port: 8081',
    's3.listen[0].address: plain HTTP off loopback',
  ],
  ['  hosts: [s3', '  region: "no region"\n  hosts: [s3', 's3.region: expected a region'],
  ['  hosts: [s3', '  origins: [app.example.org]\n  hosts: [s3', 's3.origins[0]: expected an origin'],
  ['  hosts: [s3', '  bukets: {}\n  hosts: [s3', 's3.bukets: unknown key; did you mean buckets?'],
]

t.test('a mistake is reported with its key', async (t) => {
  for (const [was, is, message] of mistakes) {
    t.ok(plain.includes(was), was)
    t.ok(messageOf(plain.replace(was, is)).includes(message), `${is}: ${messageOf(plain.replace(was, is))}`)
  }
})
