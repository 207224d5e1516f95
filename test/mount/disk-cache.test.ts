/** `--cache-dir` in a real mount: what it holds is of use, is never wrong, and its directory is nobody else's. */

import {
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Dice } from '../dice.ts'
import { users } from '../gateway/people.ts'
import { type Mounted, mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'
import { run } from './run.ts'

t.setTimeout(240_000)
t.jobs = 2

const skip = closedWay('root')
const size = 6 * 2 ** 20
/** Reads a page here and a page there, and prints the sum of all. */
const script = `
import hashlib, os, random, sys
file = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
random.seed(7)
sum = hashlib.sha256()
for at in [random.randrange(${size / 4096}) * 4096 for _ in range(200)]:
    sum.update(os.pread(file, 4096, at))
print(sum.hexdigest())
`

function fill(path: string, seed: number): void {
  const dice = new Dice(seed)
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += 4) bytes.writeInt32LE(dice.below(2 ** 31), at)
  writeFileSync(path, bytes)
  // Only what has rested is kept.
  utimesSync(path, 1_000_000_000 + seed, 1_000_000_000 + seed)
}

const sumOf = (path: string) => run('python3', ['-c', script, path])

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-disk-cache-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Puts a file of alice's there through a mount. */
async function put(mount: Mounted, seed: number, local: string): Promise<void> {
  fill(local, seed)
  await run('cp', ['--preserve=timestamps', local, join(mount.mountpoint, 'lab/alice/file')])
}

t.test('a cache on disk outlives the mount, and never serves what is wrong', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t)
  const place = scratch(t)
  const [cache, local] = [join(place, 'cache'), join(place, 'file')]
  const options = ['--cache-dir', cache, '--cache-size', '16M']
  const first = await mountGateway(t, gateway)
  await put(first, 1, local)
  const read = async (what: string) => {
    const mount = await mountGateway(t, gateway, { options })
    t.equal(await sumOf(join(mount.mountpoint, 'lab/alice/file')), await sumOf(local), what)
    t.equal(await mount.end(), 0)
  }
  await read('at first')
  t.equal(lstatSync(cache).mode & 0o777, 0o700)
  const kept = statSync(join(cache, 'blocks')).size
  t.ok(kept > 2 ** 20 && kept <= 16 * 2 ** 20, `${kept} bytes of blocks`)
  await read('from the disk')
  t.equal(statSync(join(cache, 'blocks')).size, kept, 'nothing was stored anew')
  const dice = new Dice(3)
  for (const name of ['blocks', 'index']) {
    const bytes = readFileSync(join(cache, name))
    for (let at = 0; at < bytes.length; at += 1 + dice.below(name === 'index' ? 200 : 60_000))
      bytes[at] = dice.below(256)
    writeFileSync(join(cache, name), bytes.subarray(0, bytes.length - 1000))
  }
  await read('after a crash')
  await put(first, 2, local)
  await read('another version')
})

t.test('a full disk is told once, and all is read from the gateway', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t)
  const place = scratch(t)
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'cache', place])
  t.teardown(() => run('umount', [place]))
  const cache = join(place, 'cache')
  const mount = await mountGateway(t, gateway, { options: ['--cache-dir', cache, '--cache-size', '16M'] })
  const local = join(scratch(t), 'file')
  await put(mount, 5, local)
  t.equal(await sumOf(join(mount.mountpoint, 'lab/alice/file')), await sumOf(local))
  t.equal(mount.log().split('disk cache').length, 2, mount.log())
  await mount.end()
})

t.test(
  'the directory of somebody else, or one that leads elsewhere, is refused',
  { skip, buffered: true },
  async (t) => {
    const gateway = await startLab(t)
    const place = scratch(t)
    const [foreign, open, real, leading] = ['foreign', 'open', 'real', 'leading'].map((name) => join(place, name))
    if (!foreign || !open || !real || !leading) throw new Error('four names')
    mkdirSync(foreign, { mode: 0o700 })
    chownSync(foreign, users.bob.uid, users.bob.gid)
    mkdirSync(open, { mode: 0o755 })
    mkdirSync(real, { mode: 0o700 })
    symlinkSync(real, leading)
    const refused = [foreign, open, leading].map((cache) => {
      const mounting = mountGateway(t, gateway, { options: ['--cache-dir', cache, '--cache-size', '16M'] })
      return t.rejects(mounting, { message: /ended with status [12]: portolan: .*must be a directory of your own/ })
    })
    await Promise.all(refused)
  },
)
