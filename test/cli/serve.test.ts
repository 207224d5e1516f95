import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { portolan, scratch } from './running.ts'

// Each command is a process of its own, and a gateway is several.
t.setTimeout(120_000)

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
/** Root serves as root here, which is worth a warning. */
const well = process.geteuid?.() === 0 ? 1 : 0

interface Files {
  readonly directory: string
  readonly config: string
  /** Writes the configuration with these changes. */
  write(changes: Readonly<Record<string, unknown>>): void
}

function files(t: Test): Files {
  const directory = scratch(t)
  const config = join(directory, 'portolan.yaml')
  for (const name of ['tree', 'state']) mkdirSync(join(directory, name), { mode: 0o700 })
  writeFileSync(join(directory, 'tree', 'hello.txt'), 'hello\n')
  writeFileSync(
    join(directory, 'accounts.yaml'),
    stringify({ users: { alice: { uid: 41001, gid: 41001 } }, groups: {} }),
  )
  chmodSync(join(directory, 'accounts.yaml'), 0o600)
  const base = {
    domain: 'example.org',
    workers: 1,
    listen: [{ address: '127.0.0.1', port: 0 }],
    state: { directory: 'state' },
    log: { level: 'warn', file: join(directory, 'portolan.log') },
    accounts: [{ file: 'accounts.yaml' }],
    mounts: [{ path: '/data', anonymous: true, backend: { type: 'posix', root: join(directory, 'tree') } }],
  }
  const write: Files['write'] = (changes) => writeFileSync(config, stringify({ ...base, ...changes }))
  write({})
  return { directory, config, write }
}

t.test('check tries what the configuration names', async (t) => {
  const { config } = files(t)
  const told = await portolan(['check', '--json', '-c', config])
  t.equal(told.code, well, told.stdout + told.stderr)
  const { status, findings } = JSON.parse(told.stdout)
  t.equal(status, well)
  const parts = new Set(findings.map(({ part }: { part: string }) => part))
  for (const part of ['configuration', 'process', 'state', 'mount /data']) t.ok(parts.has(part), part)
  t.match((await portolan(['check', '-c', config])).stdout, /^ok +mount \/data +reachable /m)
})

t.test('check names what will not work, all of it at once', async (t) => {
  const { config, directory, write } = files(t)
  const key = join(directory, 'key.pem')
  writeFileSync(key, 'a secret')
  chmodSync(key, 0o644)
  const gone = join(directory, 'gone')
  const backend = (root: string) => ({ type: 'posix', root })
  write({
    listen: [{ address: '127.0.0.1', port: 0, tls: { certificate: key, key } }],
    issuers: [
      { issuer: 'https://iam.example.org', name: 'iam', keys: { jwksFile: gone }, audiences: ['x'], profile: 'plain' },
    ],
    mounts: [
      { path: '/data', backend: backend(join(directory, 'tree')) },
      { path: '/gone', backend: backend(gone) },
    ],
  })
  const { code, stdout } = await portolan(['check', '-c', config])
  t.equal(code, 2, stdout)
  t.match(stdout, /^ERROR +configuration +files .*key\.pem: is open to others/m)
  t.match(stdout, /^ERROR +mount \/gone /m)
  t.match(stdout, /^(ERROR|WARNING) +issuers /m)
  t.match(stdout, /^ok +mount \/data +reachable/m)
})

t.test('check tells a port that is taken', async (t) => {
  const { config, write } = files(t)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const address = server.address()
  write({ listen: [{ address: '127.0.0.1', port: typeof address === 'object' ? address?.port : 0 }] })
  const { code, stdout } = await portolan(['check', '-c', config])
  t.equal(code, 1)
  t.match(stdout, /^WARNING +process +listener .* in use/m)
})

t.test('a mistake in the configuration is told with its line', async (t) => {
  const { config, write } = files(t)
  write({ wrokers: 3 })
  const checked = await portolan(['check', '-c', config])
  t.equal(checked.code, 2)
  t.match(checked.stdout, /^ERROR +configuration +syntax +line \d+.*wrokers/m)
  const served = await portolan(['serve', '-c', config])
  t.equal(served.code, 2)
  t.match(served.stderr, /portolan\.yaml:\d+:\d+: .*wrokers/)
  t.equal((await portolan(['serve', '-c', `${config}.none`])).code, 2)
})

t.test('serve serves until it is told to end', async (t) => {
  const { config } = files(t)
  const child = spawn(process.execPath, [program, 'serve', '-c', config], { stdio: ['ignore', 'inherit', 'pipe'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stderr }), 'line')
  const [, url = ''] = /serves (http:\/\/\S+?),? with 1 worker/.exec(String(line)) ?? []
  t.match(url, /^http:/, String(line))
  const listed = await portolan(['ls', '--anonymous', '--url', url, '/'])
  t.equal(listed.stdout, 'data/\n', listed.stderr)
  const refused = await portolan(['ls', '--anonymous', '--url', url, '/data'])
  t.equal(refused.code, 1, 'a tree of mode 0700 is closed to everybody else')
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
})
