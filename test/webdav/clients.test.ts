/** Clients that people use, run for real: curl, cadaver, davix and rclone (all of them packages of Debian). */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { password } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'

t.setTimeout(600_000)
// Each works in a directory of its own.
t.jobs = 2

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => void makeLab(top), backend: { sync: 'never' } }],
  passwords: true,
})

/** Why this client cannot run here, or false. */
function without(program: string, debian = program): string | false {
  return spawnSync('which', [program]).status === 0 ? false : `needs ${program} (Debian: ${debian})`
}

interface Ran {
  readonly status: number | null
  readonly out: string
}

async function run(
  command: readonly [string, ...string[]],
  options: { readonly input?: string; readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ran> {
  const [program, ...args] = command
  const child = spawn(program, args, {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env.PATH, HOME: tmpdir(), TZ: 'UTC', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.end(options.input ?? '')
  const [out, problems] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: child.exitCode, out: out + problems }
}

/** An empty directory here, and one of alice's there, under a name of its own. */
async function rooms(t: Test, name: string): Promise<{ readonly here: string; readonly there: string }> {
  const here = mkdtempSync(join(tmpdir(), 'portolan-clients-'))
  t.teardown(() => rmSync(here, { recursive: true, force: true }))
  const made = await gateway.request({ method: 'MKCOL', path: `/lab/alice/${name}`, user: 'alice' })
  t.equal(made.status, 201)
  return { here, there: new URL(`/lab/alice/${name}`, gateway.url).href }
}

const bytes = Buffer.alloc(3_000_000, 'some bytes that are no zeros ')

t.test('curl', { skip: without('curl'), buffered: true }, async (t) => {
  const { here, there } = await rooms(t, 'curl')
  const curl = (...args: readonly string[]) => run(['curl', '-sS', '-f', '-u', `alice:${password}`, ...args])
  writeFileSync(join(here, 'in'), bytes)
  t.equal((await curl('-T', join(here, 'in'), `${there}/a`)).status, 0, 'PUT, with Expect: 100-continue')
  t.equal((await curl('-o', join(here, 'out'), `${there}/a`)).status, 0)
  t.ok(readFileSync(join(here, 'out')).equals(bytes))
  t.equal((await curl('-X', 'MOVE', '-H', `Destination: ${there}/b`, `${there}/a`)).status, 0)
  t.match((await curl('-X', 'PROPFIND', '-H', 'Depth: 1', `${there}/`)).out, '<D:href>/lab/alice/curl/b</D:href>')
  t.equal((await curl('-X', 'DELETE', `${there}/`)).status, 0)
})

t.test('cadaver', { skip: without('cadaver'), buffered: true }, async (t) => {
  const { here, there } = await rooms(t, 'cadaver')
  writeFileSync(join(here, 'in'), bytes)
  writeFileSync(join(here, '.netrc'), `machine 127.0.0.1 login alice password ${password}\n`, { mode: 0o600 })
  const lines = [
    'mkcol sub',
    'put in sub/a',
    'ls sub',
    'propset sub/a colour green',
    'propget sub/a colour',
    'chexec + sub/a',
    'copy sub/a sub/b',
    'move sub/b sub/c',
    'lock sub/c',
    'discover sub/c',
    'unlock sub/c',
    'get sub/c out',
    'delete sub/a',
    'rmcol sub',
    'quit',
  ]
  const { out } = await run(['cadaver', `${there}/`], { input: lines.join('\n'), cwd: here, env: { HOME: here } })
  t.notMatch(out, /fail|error|denied|not allowed/i, out)
  t.match(out, 'green')
  t.match(out, /urn:uuid:[0-9a-f-]{36}|Lock token/i, 'the lock is shown')
  t.ok(readFileSync(join(here, 'out')).equals(bytes))
  t.strictSame(
    readdirSync(gateway.tree('/lab')).filter((name) => name === 'sub'),
    [],
  )
})

t.test('davix', { skip: without('davix-ls', 'davix'), buffered: true }, async (t) => {
  const { here, there } = await rooms(t, 'davix')
  writeFileSync(join(here, 'in'), bytes)
  const token = await gateway.token('alice', { scope: 'storage.read:/ storage.modify:/' })
  const davix = (tool: string, ...args: readonly string[]) =>
    run([`davix-${tool}`, '-H', `Authorization: Bearer ${token}`, ...args], { cwd: here })
  t.equal((await davix('put', join(here, 'in'), `${there}/a`)).status, 0)
  const listed = await davix('ls', '-l', `${there}/`)
  t.equal(listed.status, 0)
  t.match(listed.out, /^-rw.* 3000000 .* a$/m, listed.out)
  t.equal((await davix('get', `${there}/a`, join(here, 'out'))).status, 0)
  t.ok(readFileSync(join(here, 'out')).equals(bytes))
  t.equal((await davix('mkdir', `${there}/d`)).status, 0)
  // davix-mv 0.8.4 ends with 255 also after a MOVE that worked.
  await davix('mv', `${there}/a`, `${there}/d/b`)
  t.equal((await gateway.get('/lab/alice/davix/d/b', 'alice')).status, 200)
  t.equal((await davix('rm', `${there}/d/b`)).status, 0)
  t.equal((await davix('rm', `${there}/d`)).status, 0)
  t.not((await davix('ls', `${there}/d`)).status, 0)
})

t.test('gfal2 with a token', { skip: without('gfal-copy', 'gfal2-util-scripts'), buffered: true }, async (t) => {
  const { here, there } = await rooms(t, 'gfal2')
  writeFileSync(join(here, 'in'), bytes)
  // Its programs are for the Python of the system, whatever comes first on the way.
  const env = { BEARER_TOKEN: await gateway.token('alice'), GFAL_PYTHONBIN: '/usr/bin/python3' }
  // A token is sent to names, not to addresses.
  const url = there.replace('127.0.0.1', 'localhost')
  const gfal = async (tool: string, ...args: readonly string[]) => {
    const { status, out } = await run([`gfal-${tool}`, ...args], { cwd: here, env })
    t.equal(status, 0, `gfal-${tool}: ${out.slice(-500)}`)
    return out
  }
  await gfal('mkdir', `${url}/d`)
  await gfal('copy', '-K', 'ADLER32', `file://${here}/in`, `${url}/d/a`)
  t.match(await gfal('stat', `${url}/d/a`), 'Size: 3000000')
  t.match(await gfal('sum', `${url}/d/a`, 'ADLER32'), / [0-9a-f]{8}$/m)
  t.match(await gfal('ls', '-l', `${url}/d`), / 3000000 .* a\s*$/m)
  await gfal('rename', `${url}/d/a`, `${url}/d/b`)
  await gfal('copy', `${url}/d/b`, `file://${here}/out`)
  t.ok(readFileSync(join(here, 'out')).equals(bytes))
  await gfal('rm', '-r', `${url}/d`)
  t.equal((await gateway.get('/lab/alice/gfal2/d', 'alice')).status, 404)
})

for (const vendor of ['other', 'nextcloud', 'owncloud']) {
  t.test(`rclone as for ${vendor}`, { skip: without('rclone'), buffered: true }, async (t) => {
    const { here, there } = await rooms(t, `rclone-${vendor}`)
    const count = vendor === 'other' ? 2000 : 50
    mkdirSync(join(here, 'in/sub dir'), { recursive: true })
    for (let i = 0; i < count; i++)
      writeFileSync(join(here, 'in', i % 2 === 0 ? '' : 'sub dir', `file ${i} é`), `content ${i}`)
    const token = await gateway.token('alice')
    const env = {
      RCLONE_CONFIG: '/dev/null',
      RCLONE_WEBDAV_URL: there,
      RCLONE_WEBDAV_VENDOR: vendor,
      RCLONE_WEBDAV_BEARER_TOKEN: token,
    }
    const rclone = (...args: readonly [string, ...string[]]) =>
      run(['rclone', '--transfers', '8', ...args], { cwd: here, env })
    const done = async (...args: readonly [string, ...string[]]) => {
      const { status, out } = await rclone(...args)
      t.equal(status, 0, `${args.join(' ')}: ${out.slice(-500)}`)
    }
    await done('sync', 'in', ':webdav:top')
    await done('check', 'in', ':webdav:top')
    await done('sync', ':webdav:top', 'out')
    await done('check', '--download', ':webdav:top', 'out')
    await done('moveto', ':webdav:top/file 0 é', ':webdav:top/moved')
    await done('copyto', ':webdav:top/moved', ':webdav:top/copied')
    t.match((await rclone('lsl', ':webdav:top', '--include', 'moved')).out, /^\s*9 .* moved$/m)
    if (vendor !== 'other') {
      writeFileSync(join(here, 'old'), 'old')
      utimesSync(join(here, 'old'), 1_577_836_800, 1_577_836_800)
      await done('copy', 'old', ':webdav:top')
      t.match((await rclone('lsl', ':webdav:top', '--include', 'old')).out, '2020-01-01 00:00:00', 'X-OC-Mtime')
    }
    await done('purge', ':webdav:top')
    t.equal((await gateway.get(`/lab/alice/rclone-${vendor}/top/`, 'alice')).status, 404)
  })
}
