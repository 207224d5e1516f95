import t from 'tap'
import { forRunning } from '../../gateway/config/restart.ts'
import { parseConfig } from '../../gateway/config.ts'

const plain = `domain: example.org
listen: [{ address: 127.0.0.1, port: 8080, tls: { certificate: a.crt, key: a.key } }]
state: { directory: state }
mounts: [{ path: /data, backend: { type: posix, root: /srv/data } }]
`

/** What is put in place of what; the keys that then wait for a restart. */
const changes: readonly (readonly [was: string, is: string, waiting: readonly string[]])[] = [
  ['path: /data', 'path: /other', []],
  ['domain', 'administrators: [a@example.org]\ndomain', []],
  ['domain', 'log: { level: debug }\ndomain', []],
  ['a.crt', 'b.crt', ['listen']],
  ['port: 8080', 'port: 8081', ['listen']],
  [', tls: { certificate: a.crt, key: a.key }', '', ['listen']],
  ['domain: example.org', 'domain: example.com', ['domain']],
  ['directory: state', 'directory: other', ['state']],
  ['domain', 'log: { file: log }\ndomain', ['log.file']],
  ['domain', 'workers: 3\nlimits: { inFlight: 7 }\ndomain', ['workers', 'limits']],
]

t.test('what a running gateway cannot change stays, and is named', async (t) => {
  const old = parseConfig(plain, '/c.yaml')
  for (const [was, is, waiting] of changes) {
    const next = parseConfig(plain.replace(was, is), '/c.yaml')
    const reloaded = forRunning(old, next)
    t.same(reloaded.waiting, waiting, is)
    if (waiting.length === 0) t.same(reloaded.config, next, is)
    else t.same(reloaded.config, old, is)
  }
})

t.test('what can change is taken over beside what cannot', async (t) => {
  const old = parseConfig(plain, '/c.yaml')
  const next = parseConfig(plain.replace('port: 8080', 'port: 1').replace('/data', '/new'), '/c.yaml')
  const { config } = forRunning(old, next)
  t.equal(config.listen[0]?.port, 8080)
  t.equal(config.mounts[0]?.path, '/new')
})
