/** `--supervise`: the process that serves a mount is killed, and whoever uses the mount goes on. */

import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually, familyOf } from '../gateway/processes.ts'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

/** Serves the kernel: it has the device, and is not the process that was started. */
function serverOf(supervisor: number): number | undefined {
  return familyOf(supervisor).find((pid) => pid !== supervisor && commandOf(pid).includes('--supervise'))
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    // It has ended.
    return ''
  }
}

t.test('files stay open and names stay known over the death of a process', { skip: closedWay('root') }, async (t) => {
  const mount = await mountGateway(t, await startLab(t), { options: ['--supervise'] })
  const home = join(mount.mountpoint, 'lab/alice')
  const fd = openSync(join(home, 'file'), 'wx+')
  const buffer = Buffer.alloc(100)
  const { place } = mount
  for (const [round, text] of ['one\n', 'two\n', 'three\n'].entries()) {
    writeSync(fd, text)
    fsyncSync(fd)
    const [supervisor, server] = [mount.child.pid ?? -1, serverOf(mount.child.pid ?? -1)]
    t.ok(server !== undefined && server !== supervisor, 'there is a process that serves')
    if (server === undefined) return
    process.kill(server, 'SIGKILL')
    await eventually(() => ![undefined, server].includes(serverOf(supervisor)), 20_000, 'nobody took over')
    // A program of its own: this one must not wait for what it has to bring about.
    t.match(await place.run('cat', [join(home, 'file')]), text, `round ${round}`)
  }
  t.equal(buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0)), 'one\ntwo\nthree\n')
  t.same(readdirSync(home), ['file'])
  closeSync(fd)
  t.equal(await mount.end(), 0)
})
