/** A mount lives through gateways that are killed, stopped and replaced, and nothing in it becomes unkillable. */

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { type Mounted, mountGateway, startLab, temporaryDirectory } from './mounted.ts'
import { closedWay } from './places.ts'

t.setTimeout(300_000)
// Each has a gateway and a mount of its own, and mostly waits.
t.jobs = 3

const skip = closedWay('root')
const megabytes = 24

/** Copies in and out, with checksums over what came to be; each round makes files of its own. */
async function copyRounds(
  { place, mountpoint }: Mounted,
  source: string,
  digest: string,
  until: () => boolean,
): Promise<number> {
  const below = join(mountpoint, 'lab/alice')
  for (let round = 0; ; round++) {
    if (until()) return round
    const file = join(below, `copy-${round}`)
    await place.run('cp', [source, file])
    await place.run('sync', [file])
    const [one = '', other = ''] = await Promise.all([
      place.run('sha256sum', [file]),
      place
        .run('dd', [`if=${file}`, 'iflag=direct', 'bs=1M', 'status=none', `of=${source}.back`])
        .then(() => place.run('sha256sum', [`${source}.back`])),
    ])
    if (!one.startsWith(digest) || !other.startsWith(digest)) throw new Error(`round ${round}: other bytes`)
    await place.run('mv', [file, join(below, 'last')])
  }
}

function kill(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}

t.test(
  'a gateway is killed with all its processes a second after it serves, for a minute, while checksummed copies run',
  { skip, buffered: true },
  async (t) => {
    const gateway = await startLab(t)
    keepPort(gateway)
    const mount = await mountGateway(t, gateway, { options: ['--timeout', '120'] })
    const source = join(temporaryDirectory(t), 'source')
    const bytes = randomBytes(megabytes << 20)
    writeFileSync(source, bytes)
    const digest = createHash('sha256').update(bytes).digest('hex')
    const end = performance.now() + 60_000
    let killed = 0
    const copying = copyRounds(mount, source, digest, () => performance.now() > end)
    const killing = (async () => {
      while (performance.now() < end) {
        await sleep(1000)
        await gateway.kill9()
        killed++
        await gateway.start()
      }
    })()
    const [rounds] = await Promise.all([copying, killing])
    t.ok(killed >= 3, `${killed} times`)
    t.ok(rounds >= 1, `${rounds} copies came through whole`)
    const kept = await mount.place.run('sha256sum', [join(gateway.tree('/lab'), 'alice/last')])
    t.equal(kept.slice(0, 64), digest, 'and so they lie on the storage')
  },
)

/** In the kernel, for an answer of a FUSE file system: proc_pid_stack(5). */
function waitsForMount(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stack`, 'latin1').includes('fuse')
}

/** From its next start on it is where it is now. */
function keepPort(gateway: TestGateway): void {
  const { port } = gateway
  gateway.configure((config) => Object.assign(config, { listen: [{ address: '127.0.0.1', port }] }))
}

t.test('a gateway that is replaced is found again; open files go on', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t)
  keepPort(gateway)
  const mount = await mountGateway(t, gateway)
  const below = join(mount.mountpoint, 'lab/alice')
  const child = mount.place.start('sh', [
    '-euc',
    'exec 3<> "$1/open"; echo before >&3; sync "$1/open"; echo; read -r line; echo after >&3; exec 3>&-; cat "$1/open"',
    'sh',
    below,
  ])
  let said = ''
  child.stdout?.on('data', (chunk) => (said += String(chunk)))
  await once(child.stdout ?? child, 'data')
  await gateway.kill9()
  const listing = mount.place.run('ls', [below])
  await gateway.start()
  t.match(await listing, /open/, 'what was asked while it was away is answered')
  const closed = once(child, 'close')
  child.stdin?.end('go\n')
  t.same((await closed)[0], 0)
  t.equal(said.trim(), 'before\nafter')
})

t.test('a gateway that hangs leaves no process that cannot be killed', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway, { options: ['--timeout', '30'] })
  const below = join(mount.mountpoint, 'lab/alice')
  await mount.place.run('sh', ['-euc', 'echo here > "$1/file"; mkdir "$1/directory"', 'sh', below])
  const all = gateway.pids()
  kill(all, 'SIGSTOP')
  t.teardown(() => kill(all, 'SIGCONT'))
  const hanging = [
    ['ls', '-l', `${mount.mountpoint}/lab/alice/directory`],
    ['cat', `${below}/file`],
    ['sh', '-c', `echo more > ${below}/new`],
    ['mkdir', `${mount.mountpoint}/lab/p01/other`],
    ['df', mount.mountpoint],
  ].map(([program = '', ...args]) => mount.place.start(program, args))
  const ends = hanging.map(async (child) => once(child, 'close'))
  await eventually(() => hanging.every(({ pid }) => waitsForMount(pid ?? -1)), 25_000, 'they do not hang')
  const at = performance.now()
  for (const child of hanging.slice(0, 3)) child.kill('SIGKILL')
  await Promise.all(ends.slice(0, 3))
  t.ok(performance.now() - at < 20_000, `they die within ${Math.round(performance.now() - at)} ms`)
  await Promise.all(ends)
  t.ok(performance.now() - at < 90_000, 'and the others get an error by the time limit')
  kill(all, 'SIGCONT')
  await eventually(
    () =>
      mount.place.run('cat', [`${below}/file`]).then(
        (text) => text === 'here\n',
        () => false,
      ),
    20_000,
    'no life',
  )
  t.pass('then it goes on as before')
})
