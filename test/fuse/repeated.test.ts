/** What a process that has died may have done is not done again by the next one, and is no error either. */

import { constants } from 'node:os'
import t from 'tap'
import { Errno } from '../../mounts/fuse/errno.ts'
import { errnoOf } from '../../mounts/fuse/errors.ts'
import type { Context } from '../../mounts/fuse/operations.ts'
import { repeatable } from '../../mounts/fuse/repeated.ts'
import { MemoryOperations } from './memory-operations.ts'

const { errno } = constants
const { signal } = new AbortController()

function world() {
  const memory = new MemoryOperations()
  const file = memory.put('file', Buffer.from('content'))
  const bound = Object.fromEntries(
    Object.getOwnPropertyNames(MemoryOperations.prototype).map((name) => [
      name,
      (...words: readonly unknown[]) => Reflect.apply(Reflect.get(memory, name), memory, words),
    ]),
  ) as unknown as MemoryOperations
  const caller = { nodeid: 1, uid: 0, gid: 0, pid: 1, signal }
  const first: Context = caller
  const again: Context = { ...caller, isRepeated: true }
  return { memory, file, operations: repeatable(bound), first, again }
}

const numberOf = (work: Promise<unknown>) => work.then(() => 0, errnoOf)

t.test('what was made is found', async (t) => {
  const { operations, first, again, file, memory } = world()
  for (const context of [first, again]) {
    t.not((await operations.mkdir(context, 'd', 0o755, 0)).nodeid, 0)
    t.not((await operations.symlink(context, 's', 'file')).nodeid, 0)
    t.equal((await operations.link(context, file.nodeid, 'l')).nodeid, file.nodeid)
  }
  t.equal(await numberOf(operations.mkdir(first, 'd', 0o755, 0)), errno.EEXIST)
  t.equal(await numberOf(operations.mkdir(again, 'file', 0o755, 0)), errno.EEXIST, 'another thing is no directory')
  t.equal(await numberOf(operations.symlink(again, 's', 'other')), errno.EEXIST)
  const made = memory.root.names.get('d')
  t.equal(memory.lookups.get(made?.nodeid ?? 0), 2, 'the kernel has been told of it twice, and counts as often')
})

t.test('a file that was made exclusively is opened', async (t) => {
  const seen: number[] = []
  const memory = new MemoryOperations()
  memory.create = async (_context, _name, flags) => {
    seen.push(flags)
    throw new Errno('EACCES')
  }
  const { create } = repeatable(memory)
  const caller = { nodeid: 1, uid: 0, gid: 0, pid: 1, signal }
  await t.rejects(create(caller, 'c', 0o301, 0o644, 0))
  await t.rejects(create({ ...caller, isRepeated: true }, 'c', 0o301, 0o644, 0))
  t.same(seen, [0o301, 0o101])
})

t.test('what was taken away or moved is gone', async (t) => {
  const { operations, first, again, file, memory } = world()
  await operations.rename(first, 'file', 1, 'moved', 0)
  await operations.rename(again, 'file', 1, 'moved', 0)
  t.equal(memory.root.names.get('moved'), file)
  t.equal(await numberOf(operations.rename(again, 'none', 1, 'neither', 0)), errno.ENOENT)
  t.equal(await numberOf(operations.rename(first, 'file', 1, 'moved', 0)), errno.ENOENT)
  t.equal(await numberOf(operations.rename(again, 'moved', 1, 'other', 2)), errno.EIO, 'an exchange may be undone')
  await operations.rename(again, 'moved', 1, 'last', 0)
  t.equal(memory.root.names.get('last'), file, 'what was not done is done')
  await operations.unlink(first, 'last')
  await operations.unlink(again, 'last')
  t.equal(await numberOf(operations.unlink(first, 'last')), errno.ENOENT)
})
