import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { portolan, scratch } from './running.ts'
import { world } from './world.ts'

// Each command is a process of its own.
t.setTimeout(120_000)

t.test('a refusal leads to its explanation', async (t) => {
  const { run } = await world(t)
  const refused = await run(['rm', '/data/hello.txt'], { as: 'bob' })
  t.equal(refused.code, 1)
  const [, words = ''] = /Why: portolan (explain .*)/.exec(refused.stderr) ?? []
  t.equal(words, 'explain remove /data/hello.txt')
  const told = await run(words.split(' '), { as: 'bob' })
  t.equal(told.code, 1)
  t.match(told.stdout, /^bob@desy\.de may not remove \/data\/hello\.txt$/m)
  t.match(told.stdout, /^5\. acl +NO/m)
  t.equal((await run(words.split(' '))).code, 0)
  t.match(JSON.parse((await run(['explain', '--json', 'read', '/data/hello.txt'])).stdout), { allowed: true })
  const other = await run(['explain', '--user', 'bob@desy.de', 'remove', '/data/hello.txt'], { as: 'admin' })
  t.match(other.stdout, /^bob@desy\.de may not remove/m)
  t.match(other.stdout, /^What to do: alice@desy\.de, the owner of \/data, can give the right to delete it\.$/m)
  const likewise = await run(['explain', '--as', 'bob', 'remove', '/data/hello.txt'], { as: 'admin' })
  t.equal(likewise.stdout, other.stdout, 'where there is no demo')
  t.equal((await run(['explain', '--as', 'bob', '--user', 'bob', 'read', '/data'], { as: 'admin' })).code, 2)
  t.equal((await run(['explain', 'fly', '/data'])).code, 2)
})

t.test('a token is decoded and judged, and never shown', async (t) => {
  const { run } = await world(t)
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: 'https://iam.example.org', sub: 'a\u001b[31m', aud: 'https://gw', scope: 'storage.read:/vo' }
  const signature = Buffer.from('this is the signature').toString('base64url')
  const token = (exp: number) =>
    `${encode({ alg: 'ES256', kid: 'k' })}.${encode({ ...claims, exp, iat: now })}.${signature}`
  const good = await portolan(['token', '--offline', '-'], { input: `${token(now + 3600)}\n` })
  t.equal(good.code, 0, good.stdout + good.stderr)
  t.match(good.stdout, /^ +iss +https:\/\/iam\.example\.org$/m)
  t.match(good.stdout, /valid for (60 min|3600 s)/)
  t.match(good.stdout, /storage\.read:\/vo/)
  t.notMatch(good.stdout + good.stderr, signature)
  t.notMatch(good.stdout, /\u001b/)
  const old = await portolan(['token', '--offline', '--json', '-'], { input: token(now - 60) })
  t.equal(old.code, 1)
  t.match(JSON.parse(old.stdout).findings, [{}, { check: 'exp', passed: false, text: /expired/ }])
  const none = await portolan(['token', '--offline', '-'], {
    input: `${encode({ alg: 'HS256' })}.${encode({ exp: now + 60 })}.${signature}`,
  })
  t.equal(none.code, 1)
  t.match(none.stdout, /HS256: only signatures/)
  const refused = await run(['token', '-'], { input: token(now + 3600) })
  t.equal(refused.code, 1)
  t.match(refused.stdout, /gateway +NO +refused by .*unknown-issuer/)
  const given = await portolan(['token', token(now + 3600)])
  t.equal(given.code, 2)
  t.notMatch(given.stdout + given.stderr, signature)
})

t.test('a gateway that is not there is told apart from a refusal', async (t) => {
  const gone = await portolan(['ls', '/'], { env: { PORTOLAN_URL: 'http://127.0.0.1:1', BEARER_TOKEN: 'alice' } })
  t.equal(gone.code, 3)
  t.match(gone.stderr, /is the gateway running/)
  const unnamed = await portolan(['ls', '/'], { cwd: scratch(t) })
  t.equal(unnamed.code, 2)
  t.match(unnamed.stderr, /--url or set PORTOLAN_URL/)
  const plain = await portolan(['ls', '/', '--url', 'http://gw.example.org'], { env: { BEARER_TOKEN: 'alice' } })
  t.equal(plain.code, 2)
  t.match(plain.stderr, /not sent over plain HTTP/)
  t.equal((await portolan(['ls', '--url', 'nonsense'])).code, 2)
})

t.test('the demo in the directory is found, with its users', async (t) => {
  const { url } = await world(t)
  const cwd = scratch(t)
  const demo = { doors: { http: url }, mounts: ['/data'], users: { bob: { token: 'bob' } } }
  writeFileSync(join(cwd, 'demo.json'), JSON.stringify(demo), { mode: 0o600 })
  t.match((await portolan(['whoami', '--as', 'bob'], { cwd })).stdout, /^user +bob@desy\.de$/m)
  t.equal((await portolan(['whoami', '--as', 'mallory'], { cwd })).code, 2)
  writeFileSync(join(cwd, 'demo.json'), JSON.stringify({ ...demo, doors: { http: 'http://gw.example.org' } }))
  const elsewhere = await portolan(['whoami'], { cwd, env: { BEARER_TOKEN: 'alice' } })
  t.equal(elsewhere.code, 2, 'a demo on another machine is no demo')
})

t.test('help names every command and the exit codes', async (t) => {
  const { code, stdout } = await portolan(['--help'])
  t.equal(code, 0)
  for (const name of ['serve', 'check', 'whoami', 'ls', 'cat', 'put', 'rm', 'acl', 'explain', 'token', 'completion']) {
    t.match(stdout, new RegExp(`^  ${name}\\b`, 'm'))
  }
  t.match(stdout, /Exit codes/)
  t.match((await portolan(['acl', 'set', '--help'])).stdout, /TYPE:FLAGS:WHO:RIGHTS/)
  t.match((await portolan(['--version'])).stdout, /^\d+\.\d+\.\d+/)
  t.equal((await portolan(['fly'])).code, 2)
  t.equal((await portolan(['ls', '--fly'])).code, 2)
})

t.test('bash completes commands, options and their values', async (t) => {
  const { stdout } = await portolan(['completion', 'bash'])
  const script = `${stdout}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portolan; echo "\${COMPREPLY[*]}"`
  for (const [line, expected] of [
    ['mou', 'mounts mount'],
    ['acl ', 'get set edit who'],
    ['mount ', ''],
    ['mount --nea', '--nearline'],
    ['mount --identity ', 'own per-process'],
    ['mount https://gw /data --nearline w', 'wait'],
    ['umount ', ''],
    ['umount --l', '--lazy'],
  ] as const) {
    const words = ['portolan', ...line.split(' ')]
    const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', ...words])
    t.equal(stdout.trim(), expected, line)
  }
})

t.test('completion scripts name commands and options', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await portolan(['completion', shell])
    t.equal(code, 0)
    t.match(stdout, /whoami/)
    t.match(stdout, /recursive/)
  }
  t.equal((await portolan(['completion', 'tcsh'])).code, 2)
})
