/** Killed while its gateway hangs, a mount leaves nobody waiting and nothing mounted. */

import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../gateway/processes.ts'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay, type Way } from './places.ts'

t.setTimeout(180_000)
t.jobs = 3

/** Whether the kernel keeps a thread that tells it of a change, because somebody else has the directory. */
function isHeld(pid: number): boolean {
  const top = `/proc/${pid}/task`
  return readdirSync(top).some((task) => {
    try {
      return readFileSync(`${top}/${task}/stack`, 'latin1').includes('fuse_reverse_inval')
    } catch {
      // It has ended.
      return false
    }
  })
}

for (const way of ['root', 'fusermount', 'namespace'] as const satisfies readonly Way[]) {
  t.test(way, { skip: closedWay(way), buffered: true }, async (t) => {
    const gateway = await startLab(t)
    const mount = await mountGateway(t, gateway, { way, options: ['--timeout', '300'] })
    const { place, mountpoint, child } = mount
    const below = join(mountpoint, 'lab/alice/directory')
    await place.run('sh', ['-euc', 'mkdir "$1"; echo here > "$1/file"; ls -l "$1"', 'sh', below])
    const all = gateway.pids()
    for (const pid of all) process.kill(pid, 'SIGSTOP')
    t.teardown(() => {
      for (const pid of all) process.kill(pid, 'SIGCONT')
    })
    const stuck = ['new', 'other'].map((name) => place.start('sh', ['-c', `echo x > ${below}/${name}`]))
    // What only looks is asked again after a while, and told of.
    stuck.push(place.start('stat', [`${mountpoint}/lab/p01/nothing`]))
    const ends = stuck.map((each) => once(each, 'close'))
    const program = child.pid ?? -1
    // By then it has taken it that changes were missed, and that nothing holds that the kernel was told.
    await eventually(() => mount.log().includes('cannot be reached'), 90_000, 'it does not notice')
    t.notOk(isHeld(program), 'no thread of it waits for those who wait for it')
    process.kill(program, 'SIGKILL')
    await Promise.all(ends)
    t.pass('whoever waited is let go')
    const mounts = () => place.run('grep', ['-c', mountpoint, '/proc/self/mounts'], { also: [1] })
    await eventually(async () => (await mounts()) === '0\n', 10_000, 'it is still mounted')
    t.pass('and the mount is gone')
  })
}
