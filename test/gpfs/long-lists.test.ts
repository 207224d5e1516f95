/** Lists longer than the gateway reads: such an object is refused, and nothing beside it. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { maxAces } from '../../acl/acl.ts'
import { makeAce } from '../../acl/who.ts'
import { calm, makeWorld } from './world.ts'

t.test('a list of more entries than the gateway reads speaks of its object alone', async (t) => {
  const { top, scale, double } = await makeWorld(t)
  const { acls } = scale()
  for (const count of [maxAces, maxAces + 1, 3200]) {
    const path = join(top, `d${count}`)
    await mkdir(path)
    const aces = Array.from({ length: count }, (_, i) => makeAce('allow', 0, 1, { user: `${'x'.repeat(60)}${i}` }))
    await acls.write(path, { owner: undefined, group: undefined, dialect: 'gpfs', aces }, calm)
    if (count <= maxAces) t.equal((await acls.read(path, calm)).acl.aces.length, count)
    else await t.rejects(acls.read(path, calm), { code: 'unsupported' }, `${count}`)
  }
  t.ok((await double.calls()).length > 0)
})
