/** Mounts for long: ten million random operations beside a model, a million entries, two hundred processes again and again. */

import { join } from 'node:path'
import t from 'tap'
import { familyOf, memoryOf } from '../gateway/processes.ts'
import { bigMount } from '../mount/large.ts'
import { mountGateway, startLab } from '../mount/mounted.ts'
import { closedWay } from '../mount/places.ts'

// Hours: some 1,900 operations a second on two processors.
t.setTimeout(6 * 3_600_000)

const skip = closedWay('root')
const operations = 10_000_000
/** Processes at once, each with a file of its own, which begins anew after so many operations. */
const lanes = 16
const share = 25_000

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
  let done = 0
  const lane = async () => {
    for (let left = operations / lanes; left > 0; left -= share) {
      const wrong = await mount.prove('random operations beside a model', 'lab/alice', share / 100_000)
      if (wrong !== '') throw new Error(wrong)
      done += share
      t.comment(`${done} operations`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  t.equal(done, operations)
})

t.test('two hundred processes, twenty times', { skip }, async (t) => {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway)
  for (let round = 0; round < 20; round++)
    t.equal(await mount.prove('many processes', 'lab/alice'), '', `round ${round}`)
})
