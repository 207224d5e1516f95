/** The demo's configuration file: what an administrator would write, so it can be read, changed and used with `serve`. */

import { stringify } from 'yaml'
import { domain, service, userNames } from './people.ts'
import type { Trees } from './trees.ts'

export interface DemoConfig {
  readonly port: number
  readonly issuer: string
  readonly jwksFile: string
  readonly accountsFile: string
  readonly trees: Trees
  readonly directory: string
  readonly asRoot: boolean
  /** Whether /asap3 is served in the `native` grade. */
  readonly native: boolean
}

export function configFile(demo: DemoConfig): string {
  const posix = (root: string) => ({ type: 'posix', root })
  return stringify({
    publicUrl: `http://127.0.0.1:${demo.port}`,
    hosts: ['localhost', '127.0.0.1'],
    domain,
    ...(demo.asRoot && { runAs: service }),
    listen: [{ address: '127.0.0.1', port: demo.port }],
    metrics: { address: '127.0.0.1', port: demo.port + 9 },
    state: { directory: `${demo.directory}/state` },
    log: { level: 'warn', file: `${demo.directory}/log/portolan.log` },
    audit: { file: `${demo.directory}/log/audit.jsonl`, onFailure: 'stop' },
    limits: { shutdownTimeout: '10s' },
    administrators: [`admin@${domain}`],
    issuers: [
      {
        issuer: demo.issuer,
        name: 'demo-issuer',
        keys: { jwksFile: demo.jwksFile },
        audiences: [`http://127.0.0.1:${demo.port}`],
        profile: 'wlcg',
        basePath: '/',
        account: 'alice',
        maxLifetime: '7d',
      },
    ],
    mapping: userNames.map((name) => ({ issuer: 'demo-issuer', subject: name, account: name })),
    accounts: [{ file: demo.accountsFile }],
    minUid: 1000,
    mounts: [
      {
        path: '/data-dust',
        backend: posix(demo.trees.dataDust),
        enforce: 'gateway',
        note: 'project space of the demo',
      },
      { path: '/asap3', backend: posix(demo.trees.asap3), enforce: demo.native ? 'native' : 'gateway' },
      { path: '/pnfs/desy.de', backend: posix(demo.trees.pnfs), enforce: 'gateway' },
    ],
  })
}
