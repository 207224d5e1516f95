/** Many entries and large files through a mount, in bounded memory. */

import { join } from 'node:path'
import t from 'tap'
import { familyOf, memoryOf } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { bigMount, nameOf } from './large.ts'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

t.setTimeout(300_000)
t.jobs = 2

const skip = closedWay('root')
const most = 300 * 1024 * 1024

t.test('forty thousand entries', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t, { mounts: [bigMount(40_000)] })
  const { place, mountpoint, child } = await mountGateway(t, gateway)
  const many = join(mountpoint, 'big/many')
  const started = performance.now()
  const text = await place.run('ls', ['-lU', many])
  const took = performance.now() - started
  t.equal(text.split('\n').length, 40_002, 'each once, and the total')
  t.comment(`ls -l in ${Math.round(took)} ms`)
  const names = (await place.run('sh', ['-c', 'cd "$1"; ls -U | sort | sha256sum', 'sh', many])).slice(0, 64)
  const expected = await place.run('sh', ['-c', `seq -f event-%08g.h5 0 39999 | sha256sum`])
  t.equal(names, expected.slice(0, 64), 'with their names')
  t.match(await place.run('stat', ['-c', '%s %F', join(many, nameOf(39_999))]), /^0 regular empty file/)
  const held = memoryOf(familyOf(child.pid ?? -1))
  t.ok(held < most, `${Math.round(held / 1024 / 1024)} MB in the process of the mount`)
})

t.test('files beyond four gigabytes, and rewrites in their middle', { skip, buffered: true }, async (t) => {
  const gateway = await startLab(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
  const { place, mountpoint, child } = await mountGateway(t, gateway)
  const script = `
cd "$1"
head -c 1000000 /dev/urandom > piece
for at in 0 2147483000 4294967000 5368709120; do dd if=piece of=huge bs=1M seek=$at oflag=seek_bytes conv=notrunc status=none; done
test "$(stat -c %s huge)" -eq 5369709120
for at in 0 2147483000 4294967000 5368709120; do dd if=huge bs=1M skip=$at iflag=skip_bytes,count_bytes count=1000000 status=none | cmp - piece; done
test "$(stat -c %b huge)" -lt 20000
truncate -s 4294967296 huge; test "$(stat -c %s huge)" -eq 4294967296
test "$(tail -c 296 huge | sha256sum)" = "$(head -c 296 piece | sha256sum)"
head -c 300000000 /dev/zero | tee large | sha256sum > sum; test "$(sha256sum < large)" = "$(cat sum)"
`
  await t.resolves(place.run('sh', ['-euxc', script, 'sh', join(mountpoint, 'lab/alice')]))
  const held = memoryOf(familyOf(child.pid ?? -1))
  t.ok(held < most, `${Math.round(held / 1024 / 1024)} MB in the process of the mount`)
})
