/** `portolan mount URL DIRECTORY -- COMMAND`, by root and by accounts that may mount nothing. */

import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { mountedAt } from '../../mounts/fuse/mounting/mountinfo.ts'
import { asRoot } from '../gateway/people.ts'
import { eventually, familyOf, gone } from '../gateway/processes.ts'
import { startLab } from '../mount/mounted.ts'
import { closedWay, openPlace, type Way } from '../mount/places.ts'

t.setTimeout(300_000)
// Each mounts on a directory of its own.
t.jobs = 3

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
const skip = closedWay('fusermount')
const shared = skip ? undefined : await startLab(t)

interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** An account with a directory, a token in a file, and a search path without fusermount3 if it is to have none. */
async function account(t: Test, way: Way, { fusermount = false } = {}) {
  if (!shared) throw new Error('there is no gateway')
  const top = mkdtempSync(join(tmpdir(), 'portolan-command-'))
  t.teardown(() => rmSync(top, { recursive: true, force: true, maxRetries: 20 }))
  chmodSync(top, 0o755)
  const place = await openPlace(t, way, top)
  const [directory, token, programs] = [join(top, 'data'), join(top, 'token'), join(top, 'programs')]
  for (const each of [directory, programs]) mkdirSync(each)
  for (const each of ['sh', 'env', 'unshare', 'true', 'ls', 'id', 'cat', 'sleep', 'python3']) {
    symlinkSync(`/usr/bin/${each}`, join(programs, each))
  }
  writeFileSync(token, await shared.standingToken('alice'), { mode: 0o600 })
  if (asRoot) for (const path of [top, directory, token]) chownSync(path, place.uid, place.gid)
  const start = (...words: readonly string[]) => place.start('env', fusermount ? words : [`PATH=${programs}`, ...words])
  const ended = async (...words: readonly string[]): Promise<Outcome> => {
    const child = start(...words)
    let [out, err] = ['', '']
    child.stdout?.on('data', (data) => (out += String(data)))
    child.stderr?.on('data', (data) => (err += String(data)))
    child.stdin?.end()
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, out, err }
  }
  const portolan = [process.execPath, program]
  const mount = ['mount', '--token-file', token, shared.url, directory]
  return { place, directory, token, portolan, mount, start, ended, gateway: shared }
}

t.test('in unshare -Ur, with nothing but a token', { skip, timeout: 240_000, buffered: true }, async (t) => {
  const { directory, portolan, mount, ended } = await account(t, 'fusermount')
  const unshare = ['unshare', '-Ur', ...portolan, ...mount]
  const plain = await ended(...unshare)
  t.match(plain, { code: 2, out: '', err: /^portolan: mounting is not allowed here.* -- COMMAND/ })
  t.equal(plain.err.trim().split('\n').length, 1)
  const analysis = `import os, sys; print(sorted(os.listdir(sys.argv[1] + '/lab')))`
  t.same(await ended(...unshare, '--', 'python3', '-c', analysis, directory), {
    ...{ code: 0, err: '' },
    out: "['alice', 'bob', 'box', 'p01']\n",
  })
  t.same(readdirSync(directory), [], 'and nobody outside has seen it')
})

t.test(
  'an ordinary account keeps its number, and gains no capability',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { place, directory, portolan, mount, ended } = await account(t, 'fusermount')
    t.match(await ended(...portolan, ...mount), { code: 2, err: /no fusermount3.* -- COMMAND/ })
    const script =
      'id -u; cat /proc/self/status; ls -l /proc/self/fd; echo written > "$1/lab/alice/by-command"; cat "$1/lab/alice/by-command"'
    const { code, out, err } = await ended(...portolan, ...mount, '--', 'sh', '-c', script, 'sh', directory)
    t.same([code, err], [0, ''])
    t.equal(out.split('\n', 1)[0], `${place.uid}`)
    t.match(out, /^CapEff:\s*0+$/m)
    t.match(out, /^CapAmb:\s*0+$/m)
    t.match(out, /written\n$/)
    t.notMatch(out, /\/dev\/fuse/, 'nor the descriptor')
  },
)

t.test(
  'how the command ends is how portolan ends, and options after -- are its own',
  { skip, timeout: 240_000, buffered: true },
  async (t) => {
    const { directory, portolan, mount, ended } = await account(t, 'fusermount')
    for (const [command, code, line] of [
      [['sh', '-c', 'exit 42'], 42, /^$/],
      [['sh', '-c', 'kill -TERM $$'], 143, /^$/],
      [['ls', '--no-such-option'], 2, /no-such-option/],
      [['/no/such/program'], 127, /cannot be run \(ENOENT\)/],
      [[directory], 126, /cannot be run \(EACCES\)/],
    ] as const) {
      const outcome = await ended(...portolan, ...mount, '--read-only', '--', ...command)
      t.equal(outcome.code, code, command.join(' '))
      t.match(outcome.err, line)
    }
    t.match(await ended(...portolan, ...mount, 'true'), { code: 2, err: /stands behind --/ })
    t.match(await ended(...portolan, ...mount, '--foreground', '--', 'true'), { code: 2, err: /do not go with/ })
    t.match(await ended(...portolan, 'mount', 'http://127.0.0.1:1', directory, '--', 'true'), { code: 3, out: '' })
  },
)

for (const way of ['root', 'fusermount'] as const) {
  const closed = closedWay(way)
  t.test(
    `signals reach the command, and the mount goes with it (${way})`,
    { skip: closed, timeout: 240_000, buffered: true },
    async (t) => {
      const { directory, portolan, mount, start } = await account(t, way, { fusermount: true })
      const script = `trap 'echo told; ls "$1/lab"; exit 7' TERM; echo up; while :; do sleep 0.1; done`
      const child = start(...portolan, ...mount, '--', 'sh', '-c', script, 'sh', directory)
      let out = ''
      child.stdout?.on('data', (data) => (out += String(data)))
      await once(child.stdout ?? child, 'data')
      child.kill('SIGTERM')
      t.same(await once(child, 'close'), [7, null])
      t.match(out, /^up\ntold\nalice\n/)
      t.same(readdirSync(directory), [])
      t.equal(await mountedAt(directory), undefined)
    },
  )
}

t.test(
  'killed, it leaves neither a mount nor a process behind',
  { skip: closedWay('root'), timeout: 240_000, buffered: true },
  async (t) => {
    const { directory, portolan, mount, start } = await account(t, 'root')
    const child = start(...portolan, ...mount, '--', 'sh', '-c', 'echo up; exec sleep 60')
    await once(child.stdout ?? child, 'data')
    t.ok(await mountedAt(directory))
    const family = familyOf(child.pid ?? -1)
    child.kill('SIGKILL')
    await eventually(async () => (await mountedAt(directory)) === undefined, 10_000, 'the mount stays')
    const command = family.filter((pid) => existsSync(`/proc/${pid}/exe`) && pid !== child.pid)
    for (const pid of command) {
      try {
        process.kill(pid, 'SIGTERM')
      } catch {
        // It has ended.
      }
    }
    await gone(family)
  },
)
