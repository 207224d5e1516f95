/** Mounts for long: ten million random operations beside a model, a million entries, two hundred processes again and again. */

import { join } from 'node:path'
import t from 'tap'
import { familyOf, memoryOf } from '../gateway/processes.ts'
import { bigMount } from '../mount/large.ts'
import { mountGateway, startLab } from '../mount/mounted.ts'
import { closedWay } from '../mount/places.ts'

t.setTimeout(1_800_000)

const skip = closedWay('root')
const operations = 10_000_000
const share = 1_000_000

t.test('a million entries are listed in bounded memory', { skip }, async (t) => {
  const gateway = await startLab(t, { mounts: [bigMount(1_000_000)] })
  const { place, mountpoint, child } = await mountGateway(t, gateway)
  const started = performance.now()
  const count = await place.run('sh', ['-c', 'find "$1" -type f | wc -l', 'sh', join(mountpoint, 'big/many')])
  t.equal(count.trim(), '1000000')
  t.comment(`${Math.round((performance.now() - started) / 1000)} s`)
  const held = memoryOf(familyOf(child.pid ?? -1))
  t.ok(held < 600 * 1024 * 1024, `${Math.round(held / 1024 / 1024)} MB in the process of the mount`)
})

t.test('ten million operations, none of which differs', { skip }, async (t) => {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway)
  const end = performance.now() + 1_200_000
  let done = 0
  while (done < operations && performance.now() < end) {
    const wrong = await mount.prove('random operations beside a model', 'lab/alice', share / 100_000)
    if (wrong !== '') {
      t.fail(wrong)
      return
    }
    done += share
  }
  t.ok(done > 0, `${done} operations in the time there is`)
})

t.test('two hundred processes, twenty times', { skip }, async (t) => {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway)
  for (let round = 0; round < 20; round++)
    t.equal(await mount.prove('many processes', 'lab/alice'), '', `round ${round}`)
})
