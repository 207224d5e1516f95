/** The gateway in front of a stand-in dCache, each in processes of their own. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { stringify } from 'yaml'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import type { DcacheDoubleOptions, SeedOptions } from '../../test/doubles/dcache/dcache.ts'
import { end, freePort } from '../peers.ts'

export interface DcacheStage {
  /** The door of dCache itself, without a slash at its end. */
  readonly door: string
  readonly gateway: string
  /** Header line with alice's token, good at both. */
  readonly authorization: string
  readonly bigSize: number
  /** Files in /many. */
  readonly entries: number
  stop(): Promise<void>
}

const service = { uid: 64_990, gid: 64_990 }
const issuer = 'https://issuer.bench'
const audience = 'https://bench'
const bigSize = 2 ** 30
const entries = 1000

export async function startDcacheStage(work: string): Promise<DcacheStage> {
  const directory = `${work}/dcache`
  mkdirSync(directory, { recursive: true })
  const signer = await createDevelopmentIssuer(`${directory}/issuer`, issuer)
  const { child: dcache, doors } = await startDcache(signer.jwksFile)
  const port = await freePort()
  writeFileSync(`${directory}/accounts.yaml`, stringify({ users: { alice: { uid: 64_801, gid: 64_801 } } }))
  writeFileSync(`${directory}/portolan.yaml`, stringify(configuration(directory, signer.jwksFile, port, doors)))
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', `${service.uid}:${service.gid}`, directory])
  const program = [resolve(import.meta.dirname, '../http/program.ts'), `${directory}/portolan.yaml`]
  const gateway = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] })
  await firstOutput(gateway)
  const token = await signer.sign({ sub: 'alice', aud: audience, 'wlcg.ver': '1.0' })
  return {
    door: doors.webdav.replace(/\/$/, ''),
    gateway: `http://127.0.0.1:${port}/pnfs`,
    authorization: `Authorization: Bearer ${token}`,
    bigSize,
    entries,
    stop: async () => {
      await end(gateway)
      await end(dcache)
    },
  }
}

interface Doors {
  readonly webdav: string
  readonly frontend: string
}

async function startDcache(jwksFile: string): Promise<{ readonly child: ChildProcess; readonly doors: Doors }> {
  const seed: SeedOptions[] = [
    { path: '/big', size: bigSize, owner: 'alice' },
    ...Array.from({ length: entries }, (_, index) => ({ path: `/many/file-${index}.h5`, size: 1000, owner: 'alice' })),
  ]
  const options: DcacheDoubleOptions = {
    users: [{ name: 'alice', uid: 64_801, gids: [64_801], subjects: { bench: 'alice' } }],
    providers: [
      {
        name: 'bench',
        issuer,
        jwks: JSON.parse(readFileSync(jwksFile, 'utf8')),
        audiences: [audience],
        profile: 'oidc',
      },
    ],
    seed,
  }
  const program = resolve(import.meta.dirname, '../../test/doubles/dcache/main.ts')
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.write(`${JSON.stringify(options)}\n`)
  return { child, doors: JSON.parse(await firstOutput(child)) as Doors }
}

function configuration(directory: string, jwksFile: string, port: number, { webdav, frontend }: Doors) {
  return {
    domain: 'bench',
    ...(process.getuid?.() === 0 && { runAs: service }),
    listen: [{ address: '127.0.0.1', port }],
    state: { directory: `${directory}/state` },
    log: { level: 'warn', file: `${directory}/portolan.log` },
    issuers: [
      {
        ...{ issuer, name: 'bench-issuer', keys: { jwksFile }, audiences: [audience] },
        ...{ profile: 'wlcg', basePath: '/', account: 'alice' },
      },
    ],
    mapping: [{ issuer: 'bench-issuer', subject: 'alice', account: 'alice' }],
    accounts: [{ file: `${directory}/accounts.yaml` }],
    mounts: [
      {
        path: '/pnfs',
        backend: {
          ...{ type: 'dcache', webdav, frontend, pools: ['localhost'], insecurePools: true },
          accepts: [{ issuer: 'bench-issuer', audiences: [audience] }],
        },
      },
    ],
  }
}

/** What a program prints first; fails when it ends before that. */
function firstOutput(child: ChildProcess): Promise<string> {
  return new Promise((done, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => done(String(chunk)))
    child.once('exit', (code, signal) => reject(new Error(`a program ended with ${signal ?? code}`)))
  })
}
