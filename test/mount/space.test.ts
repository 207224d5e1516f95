/** A storage that becomes full below a mount: who writes is told, by whichever call comes first, and `df` shows what there is. */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

const program = join(import.meta.dirname, 'full.py')

t.test(
  'a full storage is an error of write, fsync, close, msync or fallocate, and is never lost',
  {
    skip: closedWay('root'),
  },
  async (t) => {
    let small = ''
    const make = (top: string) => {
      mkdirSync(top, { recursive: true })
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'portolan-test', top])
      small = top
      chmodSync(top, 0o777)
    }
    const gateway = await startLab(t, { mounts: [{ path: '/small', make, backend: { acl: ['posix'] } }] })
    t.teardown(() => execFileSync('umount', ['--lazy', small]))
    const mount = await mountGateway(t, gateway)
    t.equal(await mount.place.run('python3', [program, join(mount.mountpoint, 'small')]), 'as it should be\n')
  },
)
