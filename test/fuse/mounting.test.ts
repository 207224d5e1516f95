/** A file system in memory, mounted for real: what programs see, how it ends, and what a killed program leaves behind. */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { mountedAt, mounts, parseMountinfo, usersOf } from '../../mounts/fuse/mounting/mountinfo.ts'
import { checkPlace } from '../../mounts/fuse/mounting/place.ts'
import { eventually, familyOf, gone } from '../gateway/processes.ts'

const run = promisify(execFile)
const skip = process.getuid?.() !== 0 ? 'needs root' : existsSync('/dev/fuse') ? false : 'needs /dev/fuse'
const server = join(import.meta.dirname, 'memory-server.ts')

interface Served {
  readonly directory: string
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
}

/** In a process of its own: who looks at his own mount waits for himself. */
async function serve(t: Test, ...words: readonly string[]): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-fuse-'))
  const child = spawn(process.execPath, [server, directory, ...words], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await eventually(async () => (await mountedAt(directory)) === undefined, 10_000, 'the mount stays')
    rmSync(directory, { recursive: true, force: true })
  })
  await once(child.stdout, 'data')
  return { directory, child, ended }
}

const sh = async (directory: string, script: string) =>
  (await run('/bin/sh', ['-euc', script], { cwd: directory, maxBuffer: 1 << 24 })).stdout.trim()

t.test('programs of the system work on it', { skip, timeout: 60_000 }, async (t) => {
  const { directory, ended } = await serve(t)
  t.equal(await sh(directory, 'echo hello > a; cat a; ls'), 'hello\na\nfile')
  t.match(await sh(directory, 'mkdir d; mv a d/b; ln -s b d/l; ln d/b d/h; ls -l d; cat d/l'), /l -> b\nhello$/)
  t.equal(await sh(directory, 'dd if=/dev/zero of=z bs=1M count=20 2>/dev/null; truncate -s 5 z; stat -c %s z'), '5')
  t.equal(
    await sh(directory, 'chmod 640 d/b; touch -d @1000000000.5 d/b; stat -c "%a %.1Y %h" d/b'),
    '640 1000000000.5 2',
  )
  t.equal(await sh(directory, 'umask 027; touch new; stat -c %a new; cat none 2>/dev/null || echo gone'), '640\ngone')
  t.equal(await sh(directory, 'setfattr -n user.a -v b d; getfattr --only-values -n user.a d'), 'b')
  t.equal(await sh(directory, 'rm -r d z new; df --output=size,target . | tail -1 | tr -s " "'), `4000 ${directory}`)
  const long = 'n'.repeat(255)
  t.equal(await sh(directory, `touch ${long}; rm ${long}; touch ${long}x 2>/dev/null || echo no`), 'no')
  t.equal(await sh(directory, 'for i in $(seq 500); do : > "name-of-a-file-$i"; done; ls | wc -l; rm name-*'), '501')
  await run('umount', [directory])
  t.same(await ended, [0, null], 'and it ends when it is unmounted')
})

t.test('many at once are served side by side', { skip, timeout: 60_000 }, async (t) => {
  const { directory } = await serve(t)
  const work = (name: string) =>
    sh(
      directory,
      `head -c 3000000 /dev/urandom > ${name}; cp ${name} ${name}.2; cmp ${name} ${name}.2; rm ${name} ${name}.2; echo ok`,
    )
  const all = await Promise.all(Array.from({ length: 12 }, (_, index) => work(`w${index}`)))
  t.same(new Set(all), new Set(['ok']))
})

t.test('who waits for an operation that hangs can be killed', { skip, timeout: 60_000 }, async (t) => {
  const { directory, child } = await serve(t, 'hangs')
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const reader = spawn('cat', [join(directory, 'file')], { stdio: 'ignore' })
    // It says that it has been asked.
    if (child.stdout) await once(child.stdout, 'data')
    reader.kill(signal)
    t.same(await once(reader, 'exit'), [null, signal])
  }
})

t.test('a killed program leaves no mount behind', { skip, timeout: 60_000 }, async (t) => {
  const { directory, child } = await serve(t)
  const inside = spawn('sleep', ['60'], { cwd: directory })
  await once(inside, 'spawn')
  t.ok((await usersOf(directory)).includes(inside.pid ?? 0), 'also while it is in use')
  child.kill('SIGKILL')
  await eventually(async () => (await mountedAt(directory)) === undefined, 10_000, 'it stays')
  inside.kill()
  await once(inside, 'exit')
  t.same(
    (await mounts()).filter((mounted) => mounted.directory === directory),
    [],
  )
})

t.test('what others have mounted over it stays', { skip, timeout: 60_000 }, async (t) => {
  const { directory, child } = await serve(t)
  const guards = familyOf(child.pid ?? -1).filter((pid) => pid !== child.pid)
  t.equal(guards.length, 1)
  t.notMatch(opened(guards[0] ?? -1), /fuse/, 'its guard keeps nothing alive')
  await run('mount', ['-t', 'tmpfs', 'others', directory])
  t.teardown(() => run('umount', ['-l', directory]).catch(() => {}))
  child.kill('SIGTERM')
  const [said] = child.stdout ? await once(child.stdout, 'data') : []
  t.match(String(said), /something else is mounted over/)
  t.equal((await mountedAt(directory))?.type, 'tmpfs')
  child.kill('SIGKILL')
  await gone(guards)
  t.equal((await mountedAt(directory))?.type, 'tmpfs')
  await run('umount', [directory])
  await run('umount', ['-l', directory])
})

t.test('what takes the place of its directory is not unmounted', { skip, timeout: 60_000 }, async (t) => {
  const top = mkdtempSync(join(tmpdir(), 'portolan fuse\\-'))
  t.teardown(() => rmSync(top, { recursive: true }))
  const [parent, moved, others] = [join(top, 'parent'), join(top, 'moved'), join(top, 'others')]
  for (const each of [parent, join(parent, 'data'), others]) mkdirSync(each)
  const child = spawn(process.execPath, [server, join(parent, 'data')], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const guards = familyOf(child.pid ?? -1).filter((pid) => pid !== child.pid)
  renameSync(parent, moved)
  mkdirSync(parent)
  symlinkSync(others, join(parent, 'data'))
  await run('mount', ['-t', 'tmpfs', 'others', others])
  t.teardown(() => run('umount', [others]))
  child.kill('SIGKILL')
  await gone(guards)
  t.equal((await mountedAt(others))?.type, 'tmpfs')
  await run('umount', ['-l', join(moved, 'data')])
})

t.test('a mount that was aborted is taken away by its program', { skip, timeout: 60_000 }, async (t) => {
  const { directory, ended } = await serve(t)
  const number = (await mountedAt(directory))?.device.split(':')[1]
  const control = '/sys/fs/fuse/connections'
  if (!(await mountedAt(control))) {
    await run('mount', ['-t', 'fusectl', 'fusectl', control])
    t.teardown(() => run('umount', [control]))
  }
  writeFileSync(`${control}/${number}/abort`, '1')
  t.same(await ended, [0, null])
  t.equal(await mountedAt(directory), undefined)
})

t.test('what has got its number is not unmounted', { skip, timeout: 60_000 }, async (t) => {
  const first = await serve(t, 'lingers')
  const device = (await mountedAt(first.directory))?.device
  await run('umount', [first.directory])
  // The kernel gives the smallest number that is free, to whoever mounts first.
  const later: string[] = []
  for (let count = 0; count < 3; count += 1) later.push((await serve(t)).directory)
  const devices = await Promise.all(later.map(async (directory) => (await mountedAt(directory))?.device))
  t.comment(devices.includes(device) ? 'one of them has it' : 'somebody else was faster')
  first.child.kill('SIGTERM')
  const [said] = first.child.stdout ? await once(first.child.stdout, 'data') : []
  t.match(String(said), /stays: .*not mounted any more/)
  for (const directory of later) t.same(readdirSync(directory), ['file'])
})

t.test(
  'an orderly end leaves no process, and a blank in the name is no obstacle',
  { skip, timeout: 60_000 },
  async (t) => {
    const top = mkdtempSync(join(tmpdir(), 'portolan fuse\\-'))
    t.teardown(() => rmSync(top, { recursive: true }))
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const child = spawn(process.execPath, [server, top], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(child.stdout, 'data')
      t.equal((await mountedAt(top))?.source, 'memory')
      const family = familyOf(child.pid ?? -1)
      child.kill(signal)
      await gone(family)
      t.equal(await mountedAt(top), undefined, signal)
    }
  },
)

/** What a process has open. */
function opened(pid: number): string {
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    .join(' ')
}

t.test('a directory that cannot be mounted on is named with what to do', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-place-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const uid = process.getuid?.() ?? 0
  const [full, empty, file] = [join(directory, 'full'), join(directory, 'empty'), join(directory, 'file')]
  for (const each of [full, join(full, 'x'), empty]) mkdirSync(each)
  writeFileSync(file, '')
  t.match(await checkPlace(empty, { uid }), { directory: empty })
  for (const [place, user, words] of [
    [full, uid, /is not empty/],
    [file, uid, /is no directory/],
    [join(file, 'x'), uid, /is no directory/],
    [join(directory, 'none'), uid, /does not exist/],
    [empty, uid + 1, /another user/],
  ] as const) {
    await t.rejects(checkPlace(place, { uid: user }), { code: 'invalid', message: words }, place)
  }
})

t.test('the list of mounts is read as the kernel writes it', async (t) => {
  const text = [
    '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
    '70 46 0:42 / /tmp/a\\040b\\134\\303\\244 ro,nosuid - fuse.portolan https://gw/x\\040y rw,user_id=65534,group_id=1',
    'rubbish',
    '',
  ].join('\n')
  const [first, second, ...rest] = parseMountinfo(text)
  t.match(first, { device: '254:0', directory: '/', type: 'ext4', source: '/dev/vda' })
  t.match(second, { device: '0:42', directory: '/tmp/a b\\ä', type: 'fuse.portolan', source: 'https://gw/x y' })
  t.same(second?.options, ['ro', 'nosuid', 'rw', 'user_id=65534', 'group_id=1'])
  t.same(rest, [])
})
