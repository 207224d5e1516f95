/** The demo's configuration file: what an administrator would write, so it can be read, changed and used with `serve`. */

import { stringify } from 'yaml'
import { domain, service, userNames } from './people.ts'
import type { DcacheDoors } from './stand-ins.ts'
import type { Trees } from './trees.ts'

export interface DemoConfig {
  readonly port: number
  readonly issuer: string
  readonly jwksFile: string
  readonly accountsFile: string
  readonly trees: Trees
  /** Directory of the commands of Storage Scale. */
  readonly scale: string
  readonly dcache: DcacheDoors
  readonly directory: string
  readonly asRoot: boolean
  /** Whether /asap3 is served in the `native` grade. */
  readonly native: boolean
}

export function configFile(demo: DemoConfig): string {
  return stringify({
    publicUrl: `http://127.0.0.1:${demo.port}`,
    hosts: ['localhost', '127.0.0.1'],
    domain,
    ...(demo.asRoot && { runAs: service }),
    listen: [{ address: '127.0.0.1', port: demo.port }],
    s3: {
      buckets: { 'data-dust': '/data-dust', asap3: '/asap3', pnfs: '/pnfs/desy.de' },
      listen: [{ address: '127.0.0.1', port: demo.port + 1 }],
    },
    metrics: { address: '127.0.0.1', port: demo.port + 9 },
    state: { directory: `${demo.directory}/state`, masterKeyFile: `${demo.directory}/master.key` },
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
        // A plain tree plays the NFS mount, so the ACLs are in an attribute of our own.
        backend: { type: 'dust', over: 'nfs', root: demo.trees.dataDust, acl: ['xattr'], information: 'none' },
        enforce: 'gateway',
        note: 'scratch, no backup',
      },
      {
        path: '/asap3',
        backend: {
          type: 'gpfs',
          root: demo.trees.asap3,
          fileSystem: 'asap3',
          acls: 'commands',
          commands: { directory: demo.scale },
        },
        enforce: demo.native ? 'native' : 'gateway',
      },
      {
        path: '/pnfs/desy.de',
        backend: {
          type: 'dcache',
          webdav: demo.dcache.webdav,
          frontend: demo.dcache.frontend,
          root: '/pnfs/desy.de',
          pools: ['localhost'],
          insecurePools: true,
          accepts: [{ issuer: 'demo-issuer', audiences: [`http://127.0.0.1:${demo.port}`] }],
          otherwise: 'service',
          service: { token: demo.dcache.tokenFile },
        },
        note: 'files may be on tape: stage them before reading',
      },
    ],
  })
}
