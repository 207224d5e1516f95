import { once } from 'node:events'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { type Running, run } from './running.ts'

const issuer = 'https://issuer.example.org/'
const audience = 'https://gw.example.org'
const bigSize = 64 * 2 ** 20

interface Shape {
  readonly mounts?: readonly string[]
  readonly workers?: number
  readonly shutdownTimeout?: string
}

function configText(directory: string, { mounts = ['data'], workers = 2, shutdownTimeout = '20s' }: Shape): string {
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
async function start(t: Test, shape: Shape = {}): Promise<{ readonly gateway: Running; readonly token: string }> {
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

async function get(gateway: Running, path: string, token?: string): Promise<Response> {
  const headers = { Connection: 'close', ...(token !== undefined && { Authorization: `Bearer ${token}` }) }
  return fetch(`${await gateway.url()}${path}`, { headers })
}

/** A download that has begun and takes nothing more until `rest` is called. */
async function beginDownload(gateway: Running, token: string): Promise<() => Promise<number>> {
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

t.test('a file is read through a gateway made from a configuration file', async (t) => {
  const { gateway, token } = await start(t)
  const answer = await get(gateway, '/data/hello', token)
  t.equal(answer.status, 200)
  t.equal(await answer.text(), 'hello from data\n')
  t.equal((await get(gateway, '/data/hello')).status, 401)
  t.equal((await get(gateway, '/.portolan/api/v1/health')).status, 200)
  t.equal((await get(gateway, '/.portolan/api/v1/ready')).status, 200)
  const who = (await (await get(gateway, '/.portolan/api/v1/whoami', token)).json()) as { readonly user: string }
  t.equal(who.user, 'alice@example.org')

  const { metrics } = await gateway.ready()
  const text = await (await fetch(`http://127.0.0.1:${metrics?.port}/metrics`)).text()
  t.match(text, /^portolan_calls_total\{door="http",action="read",outcome="ok"\} 1$/m)
  t.match(text, /^portolan_mount_reachable\{mount="\/data"\} 1$/m)
  t.match(text, /^portolan_http_requests_total\{method="GET",status="200"\} \d+$/m)

  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
  const audit = readFileSync(join(gateway.directory, 'audit.jsonl'), 'utf8')
  t.match(audit, /"user":"alice@example.org".*"action":"read","path":"\/data\/hello","outcome":"ok"/)
  t.notMatch(audit, token)
  t.notMatch(readFileSync(join(gateway.directory, 'log'), 'utf8'), token)
})

t.test('SIGHUP changes the mounts without touching a transfer, and a bad file changes nothing', async (t) => {
  const { gateway, token } = await start(t)
  const rest = await beginDownload(gateway, token)

  // `data` itself goes away while a file of it is being sent.
  gateway.configure(configText(gateway.directory, { mounts: ['more'] }))
  gateway.signal('SIGHUP')
  t.same((await gateway.line('the configuration was taken over')).waiting, [])
  for (let turn = 0; turn < 4; turn++) {
    t.equal(await (await get(gateway, '/more/hello', token)).text(), 'hello from more\n')
    t.equal((await get(gateway, '/data/hello', token)).status, 404)
  }

  gateway.configure('mounts: []')
  gateway.signal('SIGHUP')
  await gateway.line('bad configuration; the old one stays')
  t.equal((await get(gateway, '/more/hello', token)).status, 200)

  t.equal(await rest(), bigSize, 'the transfer was not cut')
})

t.test('SIGHUP goes on in a new log file after a rotation', async (t) => {
  const { gateway, token } = await start(t, { workers: 1 })
  await get(gateway, '/data/hello', token)
  for (const name of ['log', 'audit.jsonl']) {
    renameSync(join(gateway.directory, name), join(gateway.directory, `${name}.1`))
  }
  gateway.signal('SIGHUP')
  await gateway.line('the configuration was taken over')
  await (await get(gateway, '/data/hello', token)).text()
  gateway.signal('SIGTERM')
  await gateway.ended
  t.equal(readFileSync(join(gateway.directory, 'audit.jsonl'), 'utf8').trim().split('\n').length, 1)
})

t.test('SIGTERM lets a transfer finish and accepts nothing new', async (t) => {
  const { gateway, token } = await start(t, { workers: 1 })
  const url = await gateway.url()
  const rest = await beginDownload(gateway, token)
  gateway.signal('SIGTERM')
  await gateway.line('ending; transfers may finish')
  for (;;) {
    const refused = await fetch(url, { headers: { Connection: 'close' } }).then(
      () => false,
      () => true,
    )
    if (refused) break
  }
  t.equal(await rest(), bigSize)
  t.equal(await gateway.ended, 0)
})

t.test('SIGTERM cuts a transfer that does not end in time', async (t) => {
  const { gateway, token } = await start(t, { workers: 1, shutdownTimeout: '300ms' })
  const rest = await beginDownload(gateway, token)
  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
  await t.rejects(rest())
})

t.test('a gateway that cannot read its keys or listen does not start, and says why', async (t) => {
  const gateway = await run(t, (directory) => {
    const text = configText(directory, {}).replace('state }', 'state, masterKeyFile: nowhere.key }')
    return text
  })
  t.equal(await gateway.ended, 2)
  t.match(gateway.stderr, /nowhere\.key: cannot be read \(ENOENT\)/)
})
