/** Memory of a bounded size: whoever waits gets room as soon as there is some, in order, and none is counted twice. */

import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { type Lease, Pool } from '../../mounts/fuse/files/pool.ts'

const piece = 65_536

t.test('what nobody needs any more makes room for those who wait already', async (t) => {
  const pool = new Pool(2 * piece)
  const leases = [pool.tryTake(piece), pool.tryTake(piece)]
  const got: Lease[] = []
  const waiting = pool.take(piece, undefined).then((lease) => got.push(lease))
  await turn()
  t.equal(got.length, 0)
  for (const lease of leases) if (lease) pool.idle(lease, () => lease.release())
  await turn()
  t.equal(got.length, 1)
  await waiting
})

t.test('several who wait are let go on one by one while what is idle gives way', async (t) => {
  const pool = new Pool(8 * piece)
  const small = Array.from({ length: 8 }, () => pool.tryTake(piece))
  const order: number[] = []
  const asked = [4, 4, 1].map(async (pieces, index) => {
    const lease = await pool.take(pieces * piece, undefined)
    order.push(index)
    await turn()
    lease.release()
  })
  await turn()
  for (const lease of small) if (lease) pool.idle(lease, () => lease.release())
  await Promise.all(asked)
  t.same(order, [0, 1, 2])
  t.equal(pool.used, 0)
})
