/** Names of directories that are told once, and then said to be the same. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { alice, callOf } from './backend-world.ts'
import { groundFor, openWorker } from './upload-ground.ts'

t.test('a directory whose names are known is not an empty one, whatever the clock does', async (t) => {
  const ground = groundFor(t, 'gateway')
  const worker = await openWorker(ground)
  const { now } = Date
  t.teardown(async () => {
    Date.now = now
    await worker.close()
  })
  for (const name of ['a', 'b', 'c']) writeFileSync(join(ground.root, name), name)
  const keys = async () => {
    const { items } = await worker.storage.walk(callOf(alice), parsePath('/data'), { limit: 10, fold: (key) => key })
    return items.map((item) => ('folded' in item ? item.folded : item.key))
  }
  for (const ahead of [10_000, 10_000, -10_000, 10_000]) {
    Date.now = () => now() + ahead
    t.same(await keys(), ['a', 'b', 'c'], `${ahead} ms`)
  }
})
