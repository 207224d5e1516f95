/** Files after their close: the number of their descriptor may be another file's by then. */

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { EditableFile, OpenFile } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, type Tree, write } from './backend-world.ts'

const call = callOf(alice)
const size = 3_000_000

async function treeWith(t: Test, name: string): Promise<Tree> {
  const tree = await makeTree()
  t.teardown(() => tree.end())
  await write(tree.backend, parsePath(`/${name}`), Buffer.alloc(size, 'a'))
  return tree
}

async function edit(tree: Tree, path: string): Promise<EditableFile> {
  const { editing } = tree.backend
  if (!editing) throw new Error('nothing can be edited')
  return act(editing.edit(parsePath(path), {}, call))
}

/** Closes it, and has its number name the file at `path`. */
async function exchange(t: Test, file: OpenFile, path: string): Promise<void> {
  await file.close()
  const held = Array.from({ length: 64 }, () => openSync(path, 'r+'))
  t.teardown(() => {
    for (const fd of held) closeSync(fd)
  })
}

t.test('a closed file is stale for reads and for writes in place', async (t) => {
  const tree = await treeWith(t, 'file')
  const other = tree.real('other')
  writeFileSync(other, 'of somebody else')
  const file = await edit(tree, '/file')
  await exchange(t, file, other)
  const bytes = Buffer.alloc(4)
  const late = { read: file.read(bytes, 0), write: file.write(bytes, 0), truncate: file.truncate(0), sync: file.sync() }
  for (const [name, promise] of Object.entries(late)) t.equal(await codeOf(promise), 'stale', name)
  t.throws(() => file.stream({ start: 0, end: 4 }), { code: 'stale' })
  t.equal(readFileSync(other, 'utf8'), 'of somebody else')
  t.equal(bytes.toString(), '\0\0\0\0')
  await file.close()
})

t.test('a stream ends with its file', async (t) => {
  const tree = await treeWith(t, 'file')
  const other = tree.real('other')
  writeFileSync(other, Buffer.alloc(size, 'b'))
  const file = await act(tree.backend.open(parsePath('/file'), {}, call))
  const stream = file.stream({ start: 0, end: size })
  const idle = file.stream({ start: 0, end: size })
  const parts: Buffer[] = []
  await t.rejects(
    async () => {
      for await (const part of stream) {
        parts.push(part)
        if (parts.length === 1) await exchange(t, file, other)
      }
    },
    { code: 'stale' },
  )
  t.notOk(Buffer.concat(parts).includes('b'), 'without a byte of another file')
  await t.rejects(buffer(idle), 'and one that nobody has read from')
})

t.test('a close waits for a thread that truncates, so that what else is under way meets no other file', async (t) => {
  const tree = await treeWith(t, 'file')
  const file = await edit(tree, '/file')
  const order: string[] = []
  const truncating = file.truncate(10).then(() => order.push('truncated'))
  await file.close()
  order.push('closed')
  await truncating
  t.same(order, ['truncated', 'closed'])
  t.equal(tree.backend.openHandles, 0)
})

t.test('nobody reads on whose call has ended or whose mount is closed', async (t) => {
  const tree = await treeWith(t, 'file')
  const caller = new AbortController()
  const file = await act(tree.backend.open(parsePath('/file'), {}, callOf(alice, caller.signal)))
  const other = await act(tree.backend.open(parsePath('/file'), {}, call))
  const bytes = Buffer.alloc(4)
  t.equal(await file.read(bytes, 0), 4)
  caller.abort()
  t.equal(await codeOf(file.read(bytes, 0)), 'cancelled')
  t.equal(await other.read(bytes, 0), 4)
  await tree.backend.close()
  t.equal(await codeOf(other.read(bytes, 0)), 'unavailable')
  await Promise.all([file.close(), other.close()])
})
