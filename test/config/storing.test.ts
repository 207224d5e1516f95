/** Sections of storage that cannot work are refused, with the line. */

import t from 'tap'
import { ConfigError, parseConfig } from '../../gateway/config.ts'

function problemOf(backend: string, more = ''): string {
  const text = `domain: example.org
listen: [{ address: 127.0.0.1, port: 8080 }]
state: { directory: state }
issuers:
  - { issuer: "https://iam.example.org/", name: iam, keys: { jwksFile: k }, audiences: [a], profile: wlcg, basePath: /d, account: vo }
mounts:
  - path: /d
    backend: { ${backend} }
${more}`
  try {
    parseConfig(text, 'c.yaml')
    return 'none'
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

const gpfs = 'type: gpfs, root: /gpfs/a/lab, fileSystem: a'
const rest = 'rest: { url: "https://h/scalemgmt/v2", user: u, password: f }'
const nfs = 'type: dust, over: nfs, root: /nfs/dust'
const dcache = 'type: dcache, webdav: "https://d.example.org:2880"'
const accepts = 'accepts: [{ issuer: iam, audiences: [x] }]'
const exchange = 'client: c, secret: f, issuers: [iam]'

/** What is written, and the mistake that is told; `none` where it is right. */
const sections: readonly (readonly [backend: string, problem: string, more?: string])[] = [
  [`${gpfs}, acls: library, symlinks: within`, 'none'],
  [`${gpfs}, acls: commands, symlinks: within`, 'c.yaml:8:88: mounts[0].backend.symlinks: needs `acls: library`'],
  [`${nfs}, acls: commands, symlinks: within`, 'none'],
  [
    'type: gpfs, root: /gpfs/a, fileSystem: /dev/a',
    'mounts[0].backend.fileSystem: expected a name as in `mmlsfs NAME`',
  ],
  ['type: gpfs, root: /gpfs/a, fileSystem: "-a"', 'mounts[0].backend.fileSystem: expected a name as in `mmlsfs NAME`'],
  [`${gpfs}, mountPoint: /gpfs/a`, 'none'],
  [`${gpfs}, mountPoint: /`, 'none'],
  [`${gpfs}, mountPoint: /gpfs/b`, 'mounts[0].backend.mountPoint: `root` must lie at or below it'],
  [`${gpfs}, mountPoint: /gpfs/a/l`, 'mounts[0].backend.mountPoint: `root` must lie at or below it'],
  [`${gpfs}, mountPoint: /gpfs/a, acls: rest, ${rest}`, 'none'],
  [`${gpfs}, acls: rest, ${rest}`, 'mounts[0].backend: mountPoint is missing, below which the management API'],
  [`${gpfs}, information: rest, ${rest}`, 'mounts[0].backend: mountPoint is missing, below which the management API'],
  [
    `${gpfs}, rest: { url: "http://localhost/scalemgmt/v2", user: u, password: f }`,
    'mounts[0].backend.rest.url: must be https',
  ],
  [`${gpfs}, rest: { url: "https://h/v2", user: "u:v", password: f }`, 'mounts[0].backend.rest.user: expected a name'],
  [`${nfs}, fileSystem: a, ${rest}`, 'none'],
  [`${nfs}, information: rest, ${rest}`, 'mounts[0].backend: fileSystem is missing, which `rest` is asked about'],
  [`${nfs}, ${rest}`, 'mounts[0].backend: fileSystem is missing, which `rest` is asked about'],
  [`${nfs}, acl: []`, 'none'],
  [`${nfs}, acl: []`, 'mounts[0].backend.acl: without any the gateway can allow nothing', '    enforce: gateway\n'],
  ['type: posix, root: /x, acl: []', 'mounts[0].backend.acl: without any the gateway can allow nothing'],
  ['type: posix, root: /x, acl: []', 'none', '    enforce: native\n'],
  [`${dcache}`, 'mounts[0].backend: serves nobody'],
  [`${dcache}`, 'none', '    anonymous: true\n'],
  [`${dcache}, ${accepts}, pools: [pool1.example.org, "*.example.org:1094", "[::1]:80"]`, 'none'],
  [`${dcache}, ${accepts}, pools: ["https://p.example.org"]`, 'mounts[0].backend.pools[0]: expected a host such as'],
  [`${dcache}, ${accepts}, events: true`, 'mounts[0].backend.events: needs `frontend` and `service`'],
  [`${dcache}, ${accepts}, events: true, frontend: "https://d.example.org/api/v1", service: { token: f }`, 'none'],
  [`${dcache}, ${accepts}, frontend: "https://d.example.org:3880"`, 'mounts[0].backend.frontend: must end in /api/v1'],
  [`${dcache}, exchange: { endpoint: "https://t/", ${exchange}, scope: "openid profile" }`, 'none'],
  [
    `${dcache}, exchange: { endpoint: "https://t/", ${exchange}, scope: "openid storage.read:/" }`,
    'mounts[0].backend.exchange.scope: storage scopes make dCache skip its ACLs',
  ],
  [
    `${dcache}, otherwise: service, service: { user: "a:b", password: f }`,
    'mounts[0].backend.service.user: expected a',
  ],
  [`${dcache}, ${accepts}`, 'mounts[0].recall: needs storage with tape', '    recall: on-read\n'],
  ['type: posix, root: /x', 'mounts[0].recall: needs storage with tape', '    recall: on-read\n'],
  [`${dcache}, ${accepts}, frontend: "https://d.example.org:3880/api/v1"`, 'none', '    recall: on-read\n'],
]

t.test('what cannot work is refused where it is written', async (t) => {
  for (const [backend, problem, more] of sections) {
    const found = problemOf(backend, more)
    t.ok(found.includes(problem), `${backend} ${more ?? ''}: ${found}`)
  }
})
