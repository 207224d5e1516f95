/** More transfers than connections: whoever finds none free is told to wait, and the door is not taken for ill. */

import t, { type Test } from 'tap'
import type { OpenFile } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Area, act } from '../backends/conformance/area.ts'
import { callBy, worldFor } from './world.ts'

const file = parsePath('/file')

/** A door that relays all bytes itself, two connections for them, and both taken by transfers that do not end. */
async function crowded(t: Test) {
  const world = await worldFor(t, {
    double: { redirectReads: false, redirectWrites: false },
    options: { connections: 2, deadline: 300 },
    withoutFrontend: true,
  })
  await world.dcache.tree.add({ path: '/data/file', size: 64 * 2 ** 20, owner: 'alice' })
  const files: OpenFile[] = []
  for (let held = 0; held < 2; held++) {
    const opened = await act(world.backend.open(file, {}, callBy()))
    files.push(opened)
    const stream = opened.stream({ start: 0, end: opened.entry.size })
    // It fails when the file is closed.
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('readable', resolve))
  }
  return { world, area: new Area(world, root), free: () => Promise.all(files.map((opened) => opened.close())) }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: unknown) => StorageError.from(error).code,
  )

t.test('downloads without a connection are busy, and everything else goes on', async (t) => {
  const { world, area, free } = await crowded(t)
  const first = async () => {
    const opened = await act(world.backend.open(file, {}, callBy()))
    try {
      return await opened.read(new Uint8Array(10), 0)
    } finally {
      await opened.close()
    }
  }
  t.same(await Promise.all(Array.from({ length: 7 }, () => codeOf(first()))), Array(7).fill('busy'))
  t.ok(await area.exists(file), 'questions are answered')
  await free()
  t.equal(await first(), 10)
})

t.test('uploads without a connection are busy, and everything else goes on', async (t) => {
  const options = { connections: 2, deadline: 300 }
  const world = await worldFor(t, { double: { redirectWrites: false }, options, withoutFrontend: true })
  const area = new Area(world, root)
  const create = (name: string) => act(world.backend.create(parsePath(name), {}, callBy()))
  const held = [await create('/one'), await create('/two')]
  t.same(await Promise.all(Array.from({ length: 7 }, () => codeOf(create('/other')))), Array(7).fill('busy'))
  t.same(await area.names(root), [], 'questions are answered')
  for (const draft of held) await draft.discard()
  await area.write(parsePath('/other'), 'bytes')
  t.same(await area.leftovers(), [])
})
