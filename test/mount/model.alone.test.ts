/** Random operations on files of a mount, beside a model of them in memory. */

import t from 'tap'
import { makeLab } from '../gateway/tree.ts'
import { Fsx } from './fsx.ts'
import { mountGateway, startLab, temporaryDirectory } from './mounted.ts'
import { closedWay } from './places.ts'

t.setTimeout(880_000)

t.test('the model is right: a local file does as it does', async (t) => {
  const fsx = new Fsx(temporaryDirectory(t), 1)
  fsx.run(5000)
  fsx.close()
  t.pass('5,000 operations')
})

t.test('a hundred thousand operations, none of which differs', { skip: closedWay('root') }, async (t) => {
  // Bytes are compared; what a disk keeps over a failure of power is not asked.
  const backend = { sync: 'never' }
  const gateway = await startLab(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top), backend }] })
  const mount = await mountGateway(t, gateway)
  const started = performance.now()
  // Four processes, each with a file and a seed of its own.
  const proofs = Array.from({ length: 4 }, () => mount.prove('random operations beside a model', 'lab/alice', 0.25))
  for (const wrong of await Promise.all(proofs)) t.equal(wrong, '', 'no difference')
  t.comment(`${Math.round(100_000 / ((performance.now() - started) / 1000))} operations a second`)
})
