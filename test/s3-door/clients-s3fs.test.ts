/** s3fs at the S3 door: a bucket as a mounted directory, used with the commands that everybody uses. */

import { execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { accessKeyOf } from '../gateway/access-keys.ts'
import { eventually } from '../gateway/processes.ts'
import { noFuse } from '../peers/hanging-fuse.ts'
import { Desk, startForPrograms, without } from './programs.ts'

t.setTimeout(280_000)

const skip = without('s3fs') || noFuse()
if (skip) t.plan(0, skip)
const gateway = await startForPrograms(t)
const execute = promisify(execFile)

/** Calls on a mounted directory wait for answers; a process of its own makes them, so that this one can go on. */
async function shell(t: Test, cwd: string, command: string): Promise<string> {
  try {
    return (await execute('/bin/sh', ['-ec', command], { cwd, timeout: 60_000 })).stdout
  } catch (error) {
    t.fail(command, { error: error instanceof Error && 'stderr' in error ? error.stderr : String(error) })
    return ''
  }
}

/** At `mounted` of the desk. `unmount` gives the status with which s3fs ended. */
async function mount(t: Test, desk: Desk, bucket: string): Promise<{ unmount(): Promise<number | null> }> {
  const at = desk.path('mounted')
  mkdirSync(at)
  const { accessKeyId, secret } = accessKeyOf('alice')
  chmodSync(desk.write('password', `${accessKeyId}:${secret}\n`), 0o600)
  const options = [`passwd_file=${desk.path('password')}`, `url=${desk.gateway.s3Url}`, 'use_path_request_style']
  const args = [bucket, at, '-f', '-o', options.join()]
  const child = spawn('/usr/bin/s3fs', args, { env: desk.env, stdio: 'ignore' })
  const ended = once(child, 'exit')
  const unmount = async () => {
    // Whoever hangs in it is let go, too.
    spawnSync('umount', ['-l', at])
    await ended
    return child.exitCode
  }
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await unmount()
  })
  const isMounted = () => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${at} `)
  await eventually(() => isMounted() || child.exitCode !== null, 20_000, 's3fs did not mount')
  t.equal(child.exitCode, null, 's3fs mounted')
  return { unmount }
}

t.test('files are copied, compared, moved, changed and removed', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  const content = randomBytes(30_000_000)
  desk.write('in', content)
  const { unmount } = await mount(t, desk, 'mine')
  const sh = (command: string) => shell(t, desk.directory, command)
  await sh('cp in mounted/in && cmp in mounted/in')
  t.ok(desk.stored('/lab/alice/in').equals(content))
  await sh('mv mounted/in mounted/moved && cmp in mounted/moved && test ! -e mounted/in')
  t.ok(desk.stored('/lab/alice/moved').equals(content))
  await sh('mkdir -p mounted/a/b && echo one > mounted/a/b/c && echo two >> mounted/a/b/c')
  t.equal(desk.stored('/lab/alice/a/b/c').toString(), 'one\ntwo\n')
  t.match(await sh('ls -l mounted/a/b'), / 8 .* c\n/)
  await sh('mv mounted/a/b mounted/a/d && test "$(cat mounted/a/d/c)" = "$(printf "one\\ntwo")"')
  t.same(readdirSync(join(gateway.tree('/lab'), 'alice/a')), ['d'])
  await sh('echo tail >> mounted/moved && (cat in; echo tail) | cmp - mounted/moved')
  await sh('printf XYZ | dd of=mounted/moved bs=1 seek=100 conv=notrunc 2>/dev/null')
  t.equal(desk.stored('/lab/alice/moved').subarray(100, 103).toString(), 'XYZ')
  await sh('truncate -s 5 mounted/a/d/c && test "$(wc -c < mounted/a/d/c)" = 5')
  await sh('cp -p in "mounted/with ü & space" && touch -d 2020-01-01T00:00:00Z "mounted/with ü & space"')
  t.equal((await sh('stat -c %Y "mounted/with ü & space"')).trim(), String(Date.parse('2020-01-01T00:00:00Z') / 1000))
  await sh('chmod 600 mounted/a/d/c && test "$(stat -c %a mounted/a/d/c)" = 600')
  await sh('rm mounted/moved "mounted/with ü & space" && rm -r mounted/a && test ! -e mounted/a')
  t.same(readdirSync(join(gateway.tree('/lab'), 'alice')), [])
  t.equal(await sh('ls mounted'), '')
  t.equal(await unmount(), 0)
})

t.test('what other doors made is there', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  t.equal((await gateway.request({ method: 'MKCOL', path: '/lab/alice/dav', user: 'alice' })).status, 201)
  t.equal((await gateway.put('/lab/alice/dav/note', 'alice', 'by WebDAV')).status, 201)
  const { unmount } = await mount(t, desk, 'lab')
  const sh = (command: string) => shell(t, desk.directory, command)
  t.equal(await sh('ls mounted/alice'), 'dav\n')
  t.equal(await sh('cat mounted/alice/dav/note'), 'by WebDAV')
  await sh('echo by s3fs > mounted/alice/dav/new')
  t.equal((await gateway.get('/lab/alice/dav/new', 'alice')).text, 'by s3fs\n')
  t.equal(await sh('ls mounted/bob/ 2>/dev/null || echo refused'), 'refused\n')
  t.equal(await sh('echo x 2>/dev/null > mounted/bob/x || echo refused'), 'refused\n')
  t.equal(await unmount(), 0)
})
