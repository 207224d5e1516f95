import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, grants, mountOf, openRoot, person } from './world.ts'

const tape = { now: () => 0, queue: 1, delay: 0, lifetime: 0 }
const mounts = [
  mountOf('/open', new MemoryBackend(openRoot), { anonymous: true, note: 'scratch, no backup' }),
  mountOf('/data/raw', new MemoryBackend(openRoot, { tape }), { readOnly: true }),
  mountOf('/data/other', new MemoryBackend(openRoot)),
]
const storage = new Storage({ namespace: new Namespace(mounts), audit: new MemoryAudit(), spillDirectory: '/' })
const seenBy = (principal: Parameters<typeof callBy>[0]) => storage.mounts(callBy(principal)).map(({ path }) => path)

t.test('callers learn of the mounts they can see the way to', async (t) => {
  t.same(seenBy('bob'), ['/data/other', '/data/raw', '/open'])
  t.same(seenBy(anonymous), ['/open'], 'without a credential: those that admit such callers')
  t.same(seenBy({ ...person('bob'), grants: grants('read:/data/raw/run1') }), ['/data/raw'])
  t.same(seenBy({ ...person('bob'), grants: grants('read:/data') }), ['/data/other', '/data/raw'])
})

t.test('what is to be known of a mount goes with it', async (t) => {
  const found = new Map(storage.mounts(callBy('bob')).map((mount) => [String(mount.path), mount]))
  t.match(found.get('/open'), { note: 'scratch, no backup', readOnly: false, tape: undefined })
  t.match(found.get('/data/raw'), { note: undefined, readOnly: true, tape: 'explicit', enforce: 'gateway' })
})
