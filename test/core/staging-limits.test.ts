/** What the staging queue must not take for granted: who looks, what a path has become, and who was first. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { states, TapeWorld, wishes } from './tape-world.ts'
import { aclOf, allow, callBy, grants, mountOf, outcome, person, readAll, user } from './world.ts'

t.test('a storage that tells administrators nothing about requests of others does not end them', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  const root = person('root', { administrator: true })
  world.trouble.progress = () => {
    throw new StorageError('not-found', 'no such request of yours')
  }
  world.time += 60_000
  t.same(await states(storage, root, id), { '/pnfs/a': 'submitted' })
  world.hurry()
  world.time += 120_000
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'completed' })
})

t.test('what a path has become since is not what the storage is asked for', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await storage.mkdir(callBy('keeper'), parsePath('/pnfs/sub'))
  await world.fill(storage, '/pnfs/sub/x', '/disk/x')
  world.trouble.before = () => {
    throw new StorageError('unavailable', 'the library sleeps')
  }
  t.equal(await outcome(storage.staging.stage(callBy('alice'), wishes('/pnfs/sub/x'), { key: 'k' })), 'unavailable')
  delete world.trouble.before
  // Alice loses her right, and another mount now covers the directory.
  world.memories['/pnfs'].replaceAcl(parsePath('/sub'), aclOf('keeper', allow(user('bob'), readAll)))
  const over = mountOf('/pnfs/sub', world.memories['/disk'])
  const later = await world.open(new Namespace([...world.namespace.mounts, over]))
  const id = await later.staging.stage(callBy('alice'), wishes('/pnfs/sub/x'), { key: 'k' })
  t.equal(world.orders.length, 1, 'the attempt that failed')
  t.same(await states(later, 'alice', id), { '/pnfs/sub/x': 'failed: the storage is not mounted here any more' })
})

t.test('who asks at the same time with less rights does not get the request of who was first', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b'))
  const state = await openState({ directory: `${world.directory}/state`, now: () => world.time })
  t.teardown(() => state.close())
  const stagings = new Proxy(state.stagings, {
    get(target, key) {
      // It comes between this question and the next step.
      if (key === 'claimed') return async () => undefined
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const racing = new Proxy<State>(state, {
    get: (target, key) => (key === 'stagings' ? stagings : Reflect.get(target, key, target)),
  })
  const { namespace, audit, directory: spillDirectory } = world
  const other = new Storage({ namespace, audit, spillDirectory, state: racing })
  const narrow = person('alice', { grants: grants('stage:/pnfs/a') })
  t.equal(await outcome(other.staging.stage(callBy(narrow), wishes('/pnfs/a', '/pnfs/b'))), 'denied')
  t.equal(world.orders.length, 1)
})
