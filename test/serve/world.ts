/** Gateways over real trees, with a token for alice. */

import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { type Running, run } from './running.ts'

export const issuer = 'https://issuer.example.org/'
export const audience = 'https://gw.example.org'
export const bigSize = 64 * 2 ** 20

export interface Shape {
  readonly mounts?: readonly string[]
  readonly workers?: number
  readonly shutdownTimeout?: string
}

export function configText(
  directory: string,
  { mounts = ['data'], workers = 2, shutdownTimeout = '20s' }: Shape,
): string {
  const lines = mounts.map((name) => {
    const backend = `{ type: posix, root: ${directory}/trees/${name}, acl: [posix], threads: 1, dataThreads: 2 }`
    return `  - { path: /${name}, backend: ${backend} }`
  })
  return `domain: example.org
workers: ${workers}
listen: [{ address: 127.0.0.1, port: 0 }]
metrics: { port: 0 }
state: { directory: ${directory}/state }
log: { file: ${directory}/log }
audit: { file: ${directory}/audit.jsonl }
limits: { shutdownTimeout: ${shutdownTimeout} }
issuers:
  - issuer: ${issuer}
    name: dev
    keys: { jwksFile: ${directory}/issuer/jwks.json }
    audiences: [${audience}]
    profile: plain
mapping: [{ issuer: dev, subject: alice, account: alice }]
accounts: [{ file: ${directory}/accounts.yaml }]
mounts:
${lines.join('\n')}
`
}

/** A gateway over trees with a small file each, and a big one in `data`. */
export async function start(
  t: Test,
  shape: Shape = {},
): Promise<{ readonly gateway: Running; readonly token: string }> {
  let token = ''
  const gateway = await run(t, async (directory) => {
    for (const name of ['data', 'more']) {
      const tree = join(directory, 'trees', name)
      mkdirSync(tree, { recursive: true })
      writeFileSync(join(tree, 'hello'), `hello from ${name}\n`)
    }
    writeFileSync(join(directory, 'trees/data/big'), Buffer.alloc(bigSize, 'x'))
    writeFileSync(join(directory, 'accounts.yaml'), 'users: { alice: { uid: 4001, gid: 4001 } }\n')
    const development = await createDevelopmentIssuer(join(directory, 'issuer'), issuer)
    token = await development.sign({ sub: 'alice', aud: audience })
    return configText(directory, shape)
  })
  await gateway.ready()
  return { gateway, token }
}

export async function get(gateway: Running, path: string, token?: string): Promise<Response> {
  const headers = { Connection: 'close', ...(token !== undefined && { Authorization: `Bearer ${token}` }) }
  return fetch(`${await gateway.url()}${path}`, { headers })
}

/** A download that has begun and takes nothing more until `rest` is called. */
export async function beginDownload(gateway: Running, token: string): Promise<() => Promise<number>> {
  const asked = request(`${await gateway.url()}/data/big`, { headers: { Authorization: `Bearer ${token}` } })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  await once(response, 'readable')
  return async () => {
    let bytes = 0
    for await (const chunk of response) bytes += (chunk as Buffer).length
    return bytes
  }
}
