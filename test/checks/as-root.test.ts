/** What is left to a gateway that was started as root. */

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { portolan } from '../cli/running.ts'

const account = { uid: 65_534, gid: 65_534 }
/** Ports below it are the system's own (ip-sysctl.rst of the Linux kernel). */
const least = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
const skip = process.geteuid?.() !== 0 || least < 1024 ? 'needs root and low ports' : false

t.test(
  'an S3 listener of its own may have a low port, and files may lie where only root can go',
  { skip },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'portolan-check-'))
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    chmodSync(directory, 0o755)
    mkdirSync(join(directory, 'tree'))
    const key = join(directory, 'key')
    writeFileSync(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 })
    chownSync(key, account.uid, account.gid)
    const closed = join(directory, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const secret = join(closed, 'secret')
    writeFileSync(secret, 'sesame', { mode: 0o600 })
    chownSync(secret, account.uid, account.gid)
    const file = join(directory, 'portolan.yaml')
    const config = {
      domain: 'lab.example',
      runAs: account,
      listen: [{ address: '127.0.0.1', port: 0 }],
      issuers: [
        {
          ...{ name: 'idp', issuer: 'https://127.0.0.1:9', profile: 'plain', audiences: ['gw'] },
          keys: { jwksFile: join(directory, 'tree', 'keys.json') },
          introspection: { clientId: 'gw', clientSecret: { file: secret }, endpoint: 'https://127.0.0.1:9/introspect' },
        },
      ],
      state: { directory: join(directory, 'state'), masterKeyFile: key },
      s3: { region: 'us-east-1', buckets: { data: '/data' }, listen: [{ address: '127.0.0.1', port: 1011 }] },
      mounts: [{ path: '/data', backend: { type: 'posix', root: join(directory, 'tree'), acl: ['xattr'] } }],
    }
    writeFileSync(file, JSON.stringify(config))
    const { stdout, stderr } = await portolan(['check', '--config', file])
    t.match(stdout, /capabilities +uid 65534 with no capability but what it needs: CAP_NET_BIND_SERVICE$/m, stderr)
    t.match(stdout, /^ok +configuration +files /m)
    t.match(stdout, /listener +127\.0\.0\.1 port 1011 is (free|in use)/)
  },
)
