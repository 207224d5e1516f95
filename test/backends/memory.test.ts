import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import type { Principal } from '../../acl/principal.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Area, fails } from './conformance/area.ts'
import { conformance, type Harness } from './conformance.ts'

const alice: Principal = { id: 'alice', user: 'alice@desy.de', groups: new Set(['p01@desy.de']), grants: 'unbounded' }
const bob: Principal = { id: 'bob', user: 'bob@desy.de', groups: new Set(), grants: 'unbounded' }

const open: Acl = {
  owner: 'alice@desy.de',
  group: 'p01@desy.de',
  dialect: 'rfc8881',
  aces: [{ type: 'allow', flags: 0x3, mask: 0x1f01ff, who: 'OWNER@' }],
}

const harness: Harness = {
  name: 'memory',
  async start() {
    const backend = new MemoryBackend(open, { reserved: ['.snapshots'] })
    return {
      backend,
      principals: [alice, bob],
      reserved: ['.snapshots'],
      link: async (path: Path, target: string) => backend.addLink(path, target),
      leftovers: async () => [],
      cleanup: async () => {},
    }
  },
}

t.test('the memory back end keeps the rules of every back end', (t) => conformance(t, harness))

t.test('a deviation that names no test is a failure', async (t) => {
  const failures: string[] = []
  const spy = {
    fail: (message: string) => failures.push(message),
    comment: () => {},
    test: async () => {},
  } as unknown as Parameters<typeof conformance>[0]
  await conformance(spy, { ...harness, deviations: [{ test: 'no such test', reason: 'none' }] })
  t.same(failures, ['a deviation names no test: no such test'])
})

t.test('a limit is a quota', async (t) => {
  const backend = new MemoryBackend(open, { limit: 1000 })
  const area = new Area({ backend, principals: [alice], cleanup: async () => {} }, root)
  await area.write(parsePath('/a'), Buffer.alloc(600))
  await fails(t, area.write(parsePath('/b'), Buffer.alloc(500)), 'quota')
  const pending = await backend.create(parsePath('/b'), { size: 500 }, area.call)
  await fails(t, pending.proceed(), 'quota')
  t.same(await area.names(root), ['a'])
  await area.write(parsePath('/a'), Buffer.alloc(300))
  const usage = await (await backend.quotas.usage(root, area.call)).proceed()
  t.same([usage.used, usage.available, usage.limit], [300, 700, 1000])
})
