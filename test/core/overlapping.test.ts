/** Two back ends that show one tree: nothing goes into itself by another name, and locks hold under each. */

import { mkdirSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { makeTree, storeAclAt } from '../posix/backend-world.ts'
import { aclOf, allow, callBy, everything, mountOf, outcome, user } from './world.ts'

t.setTimeout(240_000)

const at = parsePath
const both = aclOf('alice', allow(user('alice'), everything), allow(user('bob'), everything))

/** /all shows a tree, /part its directory d by a back end of its own. */
async function overlapping(t: Test) {
  const tree = await makeTree()
  const state = await openState({ directory: tree.real('state') })
  t.teardown(async () => {
    await state.close()
    await tree.end()
  })
  for (const name of ['d', 'd/sub', 'e']) mkdirSync(tree.real(name))
  for (const name of ['d/f', 'd/sub/g']) writeFileSync(tree.real(name), name)
  for (const name of ['.', 'd', 'd/sub', 'e', 'd/f', 'd/sub/g']) storeAclAt(tree.real(name), both)
  const part = tree.open({ root: tree.real('d') })
  await part.ready()
  const namespace = new Namespace([mountOf('/all', tree.backend), mountOf('/part', part)])
  const audit = new MemoryAudit()
  return new Storage({ namespace, audit, spillDirectory: tree.directory, locks: state.locks })
}

t.test('a directory does not move or go into itself, whatever it is called there', async (t) => {
  const storage = await overlapping(t)
  const alice = callBy('alice')
  for (const [from, to] of [
    ['/all/d', '/part/x'],
    ['/all/d', '/part/sub/x'],
    ['/all/d/sub', '/part/sub/x'],
    ['/part/sub', '/all/d/sub/x'],
    ['/part/f', '/all/d/f'],
  ] as const) {
    for (const replaceWhole of [false, true]) {
      const copied = await outcome(storage.copy(alice, at(from), at(to), { recursive: true, replaceWhole }))
      t.equal(copied, 'invalid', `copy ${from} to ${to}`)
      const moved = await outcome(storage.rename(alice, at(from), at(to), { replaceWhole }))
      t.equal(moved, 'invalid', `move ${from} to ${to}`)
    }
  }
  t.equal((await storage.stat(alice, at('/all/d/sub/g'))).size, 7, 'nothing has gone')
  t.equal((await storage.stat(alice, at('/part/f'))).size, 3)
  t.equal(await outcome(storage.stat(alice, at('/part/x'))), 'not-found', 'nothing was made')
  t.equal(await outcome(storage.copy(alice, at('/part/sub'), at('/all/e/sub'), { recursive: true })), 'ok')
  t.equal(await outcome(storage.rename(alice, at('/all/d/sub'), at('/part/moved'))), 'ok')
})

t.test('a lock holds under every name of the tree, and of what it lies in', async (t) => {
  const storage = await overlapping(t)
  const bob = callBy('bob')
  const wish = { scope: 'exclusive', depth: 'infinity' } as const
  for (const top of ['/part', '/all/d']) {
    const { lock } = await storage.locks.lock(callBy('alice'), at(`${top}/sub`), wish)
    for (const [name, change] of [
      ['parent', () => storage.rename(bob, at('/all/d'), at('/all/moved'))],
      ['across', () => storage.rename(bob, at('/part/sub'), at('/all/e/sub'))],
      ['removal', () => storage.remove(bob, at('/all/d'), { recursive: true })],
      ['member', () => storage.remove(bob, at('/all/d/sub/g'))],
    ] as const) {
      t.equal(await outcome(change()), 'locked', `${name}, locked as ${top}/sub`)
    }
    await storage.locks.unlock(callBy('alice'), at('/all/d/sub'), lock.token ?? '')
  }
})
