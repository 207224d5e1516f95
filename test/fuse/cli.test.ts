/** `portolan mount` and `portolan umount` as their users meet them. */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { mountedAt } from '../../mounts/fuse/mounting/mountinfo.ts'
import type { TestGateway } from '../gateway/harness.ts'
import { eventually, familyOf } from '../gateway/processes.ts'
import { startLab } from '../mount/mounted.ts'

t.setTimeout(300_000)
// Each mounts on a directory of its own.
t.jobs = 3

const runFile = promisify(execFile)
const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
const skip = process.getuid?.() !== 0 ? 'needs root' : existsSync('/dev/fuse') ? false : 'needs /dev/fuse'
const env = { ...process.env, BEARER_TOKEN: '', BEARER_TOKEN_FILE: '', PORTOLAN_CA: '' }

interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** One command line, to its end. */
async function portolan(...words: readonly string[]): Promise<Outcome> {
  const options = { env: { ...env, HOME: tmpdir(), XDG_RUNTIME_DIR: '' }, timeout: 60_000 }
  try {
    const { stdout, stderr } = await runFile(process.execPath, [program, ...words], options)
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

interface World {
  readonly gateway: TestGateway
  readonly directory: string
  readonly token: string
}

/** One for all tests. */
const shared = skip ? undefined : await startLab(t)

/** A directory to mount on, and a token in a file; what is mounted goes with the test. */
async function world(t: Test): Promise<World> {
  if (!shared) throw new Error('there is no gateway')
  const gateway = shared
  const top = mkdtempSync(join(tmpdir(), 'portolan-cli-mount-'))
  const [directory, token] = [join(top, 'data'), join(top, 'token')]
  mkdirSync(directory)
  writeFileSync(token, await gateway.standingToken('alice'), { mode: 0o600 })
  t.teardown(async () => {
    while (await mountedAt(directory)) await runFile('umount', ['-l', directory])
    rmSync(top, { recursive: true, force: true })
  })
  return { gateway, directory, token }
}

const isGone = (pid: number) => () =>
  !existsSync(`/proc/${pid}/exe`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')

t.test(
  'a mount goes on after its command, and ends with umount',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { gateway, directory, token } = await world(t)
    const made = await portolan('mount', '--json', '--token-file', token, gateway.url, directory)
    t.equal(made.code, 0, made.err)
    const { pid, ...shape } = JSON.parse(made.out) as { pid: number }
    t.same(shape, {
      ...{ source: gateway.url, directory, way: 'mount(2)', readOnly: false },
      user: 'alice@lab.example',
    })
    t.ok(readdirSync(directory).includes('lab'))
    t.equal(readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('eyJ'), false, 'no token in the list of processes')
    const { out } = await portolan('mount', '--json')
    t.match(
      (JSON.parse(out) as { mounts: { directory: string }[] }).mounts.find((mount) => mount.directory === directory),
      { source: gateway.url, user: 0, dead: false },
    )
    t.match(await portolan('mount', '--token-file', token, gateway.url, directory), {
      code: 2,
      err: /is a mount already/,
    })
    const user = spawn('sleep', ['60'], { cwd: directory })
    await once(user, 'spawn')
    t.match(await portolan('umount', directory), { code: 3, err: new RegExp(`in use by process ${user.pid}`) })
    user.kill()
    await once(user, 'exit')
    t.same(await portolan('umount', directory), { code: 0, out: '', err: '' })
    await eventually(isGone(pid), 30_000, 'its process stays')
    t.same(readdirSync(directory), [])
    t.match(await portolan('umount', directory), { code: 2, err: /is not mounted/ })
    t.match(await portolan('umount', '/proc'), { code: 2, err: /no mount of Portolan/ })
  },
)

t.test(
  'options of /etc/fstab, a part of the namespace, read-only',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { gateway, directory, token } = await world(t)
    const options = `rw,_netdev,x-systemd.automount,token_file=${token},ro,timeout=20,uid=12,gid=34`
    const made = await portolan('mount', '-o', options, `${gateway.url}/lab`, directory)
    t.equal(made.code, 0, made.err)
    t.ok(readdirSync(directory).includes('alice'))
    t.throws(() => writeFileSync(join(directory, 'alice/new'), ''), { code: 'EROFS' })
    t.ok((await mountedAt(directory))?.options.includes('ro'))
    const { stdout } = await runFile('stat', ['-c', '%u %g', join(directory, 'alice')])
    t.equal(stdout, '12 34\n')
    t.equal((await portolan('umount', '--lazy', directory)).code, 0)
    const again = await portolan('mount', '--subdir', '/lab/box', '--token-file', token, gateway.url, directory)
    t.equal(again.code, 0, again.err)
    writeFileSync(join(directory, 'below'), '')
    t.equal((await portolan('umount', directory)).code, 0)
    t.match(await portolan('mount', '--subdir', '/lab/none', '--token-file', token, gateway.url, directory), {
      code: /[1-9]/,
      err: /\/lab\/none/,
    })
  },
)

t.test('root mounts for another account, and for no other', { skip, timeout: 240_000, buffered: true }, async (t) => {
  const { gateway, directory, token } = await world(t)
  chmodSync(join(directory, '..'), 0o755)
  const made = await portolan('mount', '-o', `token_file=${token},account=12:34`, gateway.url, directory)
  t.equal(made.code, 0, made.err)
  const as = (uid: number, gid: number) =>
    runFile('setpriv', [
      `--reuid=${uid}`,
      `--regid=${gid}`,
      '--clear-groups',
      'stat',
      '-c',
      '%u %g',
      `${directory}/lab`,
    ])
  await t.rejects(as(1000, 1000), { message: /Permission denied/ })
  t.throws(() => readdirSync(directory), { code: 'EACCES' })
  t.equal((await runFile('setpriv', ['--reuid=12', '--regid=34', '--clear-groups', 'ls', directory])).stdout, 'lab\n')
  t.match((await as(12, 34)).stdout, /^(12 34|65534 65534)\n$/)
  t.equal((await portolan('umount', directory)).code, 0)
  t.match(await portolan('mount', '--account', '12', gateway.url, directory), { code: 2, err: /number/ })
})

t.test(
  'mount(8) finds it by its helper, and mount.fuse3 hands a descriptor over',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { gateway, directory, token } = await world(t)
    const programs = join(directory, '../programs')
    mkdirSync(programs)
    const write = (name: string, line: string) => {
      writeFileSync(join(programs, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
    }
    write('portolan', `exec '${process.execPath}' '${program}' "$@"`)
    write('portolan-fd', `exec '${join(programs, 'portolan')}' mount --token-file '${token}' "$@"`)
    const path = { env: { ...env, PATH: `${programs}:${process.env.PATH}:/usr/sbin:/sbin` } }
    const helper = resolve(import.meta.dirname, '../../deploy/mount/mount.portolan')
    await runFile(helper, [gateway.url, directory, '-v', '-o', `rw,_netdev,token_file=${token}`], path)
    t.ok(readdirSync(directory).includes('lab'))
    await runFile('umount', [directory])
    await runFile('mount.fuse3', [`portolan-fd#${gateway.url}`, directory, '-o', 'drop_privileges'], path)
    t.ok(readdirSync(directory).includes('lab'))
    await runFile('umount', [directory])
  },
)

t.test('a killed mount is gone; a supervised one goes on', { skip, timeout: 240_000, buffered: true }, async (t) => {
  const { gateway, directory, token } = await world(t)
  const words = ['mount', '--json', '--token-file', token]
  const mounted = async (...more: readonly string[]) => {
    const { out, err } = await portolan(...words, ...more, gateway.url, directory)
    t.equal(err, '', 'nothing is said')
    return JSON.parse(out) as { pid: number }
  }
  const plain = await mounted()
  process.kill(plain.pid, 'SIGKILL')
  await eventually(async () => (await mountedAt(directory)) === undefined, 10_000, 'it stays')
  const kept = await mounted('--supervise')
  const before = readdirSync(join(directory, 'lab'))
  const file = join(directory, 'lab/alice/kept-open')
  const open = openSync(file, 'w+')
  for (let round = 0; round < 2; round += 1) {
    writeSync(open, `${round}`)
    const { stdout } = await runFile('pgrep', ['-P', String(kept.pid), '-f', 'cli.ts'])
    process.kill(Number(stdout.trim()), 'SIGKILL')
    // In a process of its own: it waits for the next server.
    const listed = await runFile('ls', [join(directory, 'lab')])
    t.same(listed.stdout.trim().split('\n'), before)
  }
  writeSync(open, '2')
  closeSync(open)
  t.equal(readFileSync(file, 'utf8'), '012', 'and so does a file that was open')
  t.equal((await portolan('umount', directory)).code, 0)
  await eventually(isGone(kept.pid), 30_000, 'the supervisor stays')
})

t.test(
  'a mount whose program and guard were killed is listed as dead',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { gateway, directory, token } = await world(t)
    const { out } = await portolan('mount', '--json', '--token-file', token, gateway.url, directory)
    const { pid } = JSON.parse(out) as { pid: number }
    // The guard first: it takes away what its program leaves.
    for (const each of familyOf(pid).toReversed()) process.kill(each, 'SIGKILL')
    await eventually(isGone(pid), 30_000, 'its process stays')
    const listed = JSON.parse((await portolan('mount', '--json')).out) as { mounts: { directory: string }[] }
    t.match(
      listed.mounts.find((mount) => mount.directory === directory),
      { dead: true },
    )
    t.match((await portolan('mount')).out, /its program has died: portolan umount --lazy/)
    t.equal((await portolan('umount', '--lazy', directory)).code, 0)
    t.equal(await mountedAt(directory), undefined)
  },
)

t.test('signals unmount, also while the mount is in use', { skip, timeout: 240_000, buffered: true }, async (t) => {
  const { gateway, directory, token } = await world(t)
  for (const [signal, more] of [
    ['SIGTERM', []],
    ['SIGINT', ['--supervise']],
    ['SIGHUP', []],
  ] as const) {
    const words = [program, 'mount', '--foreground', ...more, '--token-file', token, gateway.url, directory]
    const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    t.match(await firstLine(child), / as alice@lab\.example, by /, signal)
    const user = signal === 'SIGHUP' ? spawn('sleep', ['60'], { cwd: directory }) : undefined
    child.kill(signal)
    t.same(await once(child, 'exit'), [0, null], signal)
    t.equal(await mountedAt(directory), undefined)
    user?.kill()
  }
})

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stderr) return ''
  const [chunk] = await Promise.race([once(child.stderr, 'data'), once(child, 'exit')])
  return String(chunk)
}

t.test('what is wrong is one line, and nothing is mounted', { skip, timeout: 240_000, buffered: true }, async (t) => {
  const { gateway, directory, token } = await world(t)
  const full = join(directory, '..')
  const rubbish = createServer((_request, response) => response.end('hello'))
  await new Promise<void>((done) => rubbish.listen(0, '127.0.0.1', done))
  t.teardown(() => rubbish.close())
  const other = `http://127.0.0.1:${(rubbish.address() as AddressInfo).port}`
  const good = ['--token-file', token]
  const bad = join(full, 'bad')
  writeFileSync(bad, 'eyJhbGciOiJub25lIn0.e30.', { mode: 0o600 })
  for (const [words, code, line] of [
    [[...good, gateway.url, join(full, 'none')], 2, /does not exist: make the directory first/],
    [[...good, gateway.url, full], 2, /is not empty/],
    [[...good, gateway.url, token], 2, /is no directory/],
    [[...good, `${gateway.url}/none`, directory], 2, /has nothing at \/none/],
    [[...good, `${gateway.url}?a=b`, directory], 2, /no query/],
    [['ftp://host/', directory], 2, /begins with https/],
    [[...good, 'https://user:wachtwoord@host/', directory], 2, /no user name and no password/],
    [[...good, 'http://127.0.0.1:1', directory], 3, /nothing listens there/],
    [[...good, other, directory], 3, /no Portolan gateway answers there/],
    [['--token-file', join(full, 'missing'), gateway.url, directory], 1, /does not exist/],
    [['--token-file', bad, gateway.url, directory], 1, /./],
    [['--auth', 'none', gateway.url, directory], 1, /./],
    [['--allow-other', ...good, gateway.url, directory], 2, /--identity per-process/],
    [['--ca', token, ...good, gateway.url, directory], 2, /no PEM certificate/],
    [['--timeout', '0', ...good, gateway.url, directory], 2, /seconds/],
    [['--uid', '4294967295', ...good, gateway.url, directory], 2, /number/],
    [['--cache-dir', full, ...good, gateway.url, directory], 2, /go together/],
    [['-o', 'bogus', ...good, gateway.url, directory], 2, /no such option/],
    [['-o', 'token_file', gateway.url, directory], 2, /a value is missing/],
    [[...good, gateway.url], 2, /which DIRECTORY/],
  ] as const) {
    const { code: status, err, out } = await portolan('mount', ...words)
    t.same([status, out], [code, ''], `${words.join(' ')}: ${err}`)
    t.match(err, line)
    t.match(err, /^portolan: |^error: /)
    t.notMatch(err, /eyJ|wachtwoord/)
    t.equal(await mountedAt(directory), undefined)
  }
})
