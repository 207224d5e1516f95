/** The native grade: the kernel decides, as the caller. */

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, bob, callOf, codeOf, makeTree, read, type Tree, write } from './backend-world.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const aliceId = 41001
const bobId = 41002

async function treeOf(t: Test, options: Partial<PosixOptions> = {}): Promise<Tree> {
  const tree = await makeTree({ grade: 'native', ...options })
  t.teardown(() => tree.end())
  chmodSync(tree.directory, 0o777)
  return tree
}

function place(tree: Tree, name: string, owner: number, mode: number, text = 'bytes'): void {
  writeFileSync(tree.real(name), text)
  chownSync(tree.real(name), owner, owner)
  chmodSync(tree.real(name), mode)
}

t.test('files belong to whoever made them', { skip }, async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/by-alice'), 'x')
  await write(tree.backend, parsePath('/by-bob'), 'x', { as: bob })
  await act(tree.backend.mkdir(parsePath('/directory'), callOf(bob)))
  t.equal(statSync(tree.real('by-alice')).uid, aliceId)
  t.equal(statSync(tree.real('by-bob')).uid, bobId)
  t.equal(statSync(tree.real('directory')).uid, bobId)
  t.equal(statSync(tree.real('by-bob')).mode & 0o7777, 0o644)
})

t.test('what the kernel refuses is refused', { skip }, async (t) => {
  const tree = await treeOf(t)
  const { backend } = tree
  place(tree, 'private', aliceId, 0o600)
  mkdirSync(tree.real('closed'))
  chownSync(tree.real('closed'), aliceId, aliceId)
  chmodSync(tree.real('closed'), 0o700)
  place(tree, 'closed/file', aliceId, 0o666)
  for (const path of ['/private', '/closed/file']) {
    t.equal(await read(backend, parsePath(path)), 'bytes')
    t.equal(await codeOf(read(backend, parsePath(path), bob)), 'denied')
    t.equal(await codeOf(act(backend.editing.edit(parsePath(path), {}, callOf(bob)))), 'denied')
    t.equal(await codeOf(act(backend.checksums.compute(parsePath(path), ['md5'], callOf(bob)))), 'denied')
  }
  t.equal(await codeOf(act(backend.list(parsePath('/closed'), {}, callOf(bob)))), 'denied')
  t.equal(await codeOf(write(backend, parsePath('/closed/new'), 'x', { as: bob })), 'denied')
  t.equal(await codeOf(act(backend.mkdir(parsePath('/closed/new'), callOf(bob)))), 'denied')
  t.equal(await codeOf(act(backend.remove(parsePath('/closed/file'), callOf(bob)))), 'denied')
  t.equal(await codeOf(act(backend.setAttributes(parsePath('/private'), { mode: 0o666 }, callOf(bob)))), 'denied')
  const copy = backend.copying.copy(
    parsePath('/private'),
    parsePath('/copy'),
    { condition: 'any', decide() {} },
    callOf(bob),
  )
  t.equal(await codeOf(act(copy)), 'denied')
  t.same(readdirSync(tree.directory).sort(), ['closed', 'private'])
})

t.test('a caller who may not look gets the same answer for what is there and what is not', { skip }, async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('closed'), { mode: 0o700 })
  chownSync(tree.real('closed'), aliceId, aliceId)
  place(tree, 'closed/there', aliceId, 0o666)
  for (const name of ['there', 'missing']) {
    const path = parsePath(`/closed/${name}`)
    t.equal(await codeOf(tree.backend.walk(path, callOf(bob))), 'denied')
    t.equal(await codeOf(read(tree.backend, path, bob)), 'denied')
  }
})

t.test('groups count, also supplementary ones', { skip }, async (t) => {
  const tree = await treeOf(t)
  place(tree, 'shared', 41009, 0o640)
  chownSync(tree.real('shared'), 41009, 41900)
  t.equal(await read(tree.backend, parsePath('/shared')), 'bytes')
  t.equal(await codeOf(read(tree.backend, parsePath('/shared'), bob)), 'denied')
})

t.test('a POSIX ACL counts, and new objects inherit the default one', { skip }, async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('shared'), { mode: 0o770 })
  chownSync(tree.real('shared'), aliceId, aliceId)
  t.equal(await codeOf(write(tree.backend, parsePath('/shared/file'), 'x', { as: bob })), 'denied')
  for (const list of ['-m', '-dm']) execFileSync('setfacl', [list, `u:${bobId}:rwx`, tree.real('shared')])
  await write(tree.backend, parsePath('/shared/by-alice'), 'x')
  await write(tree.backend, parsePath('/shared/by-alice'), 'by bob', { as: bob })
  t.equal(await read(tree.backend, parsePath('/shared/by-alice')), 'by bob')
  t.equal(statSync(tree.real('shared/by-alice')).uid, aliceId, 'it stays hers')
})

t.test('replacing the file of another keeps it his, and copies the bytes into it', { skip }, async (t) => {
  const tree = await treeOf(t)
  place(tree, 'file', aliceId, 0o664, 'a long old text')
  chownSync(tree.real('file'), aliceId, 41500)
  chmodSync(tree.real('file'), 0o666)
  const { ino } = statSync(tree.real('file'))
  const digests = { md5: Buffer.alloc(16, 1) }
  const entry = await write(tree.backend, parsePath('/file'), 'new', { as: bob, digests })
  const after = statSync(tree.real('file'))
  t.same([after.uid, after.gid, after.mode & 0o7777, after.ino], [aliceId, 41500, 0o666, ino])
  t.equal(readFileSync(tree.real('file'), 'utf8'), 'new')
  t.equal(entry.size, 3)
  t.same(await act(tree.backend.checksums.kept(parsePath('/file'), callOf(bob))), digests)
  for (const record of ['short', 'x'.repeat(20_000), undefined]) {
    await write(tree.backend, parsePath('/file'), 'new', { as: bob, ...(record !== undefined && { record }) })
    t.equal((await act(tree.backend.records.get(parsePath('/file'), callOf(bob)))).record, record)
  }
  t.same(tree.leftovers(), [])
  const refusing = tree.open({ replace: 'refuse' })
  t.equal(await codeOf(write(refusing, parsePath('/file'), 'newer', { as: bob })), 'denied')
  t.equal(readFileSync(tree.real('file'), 'utf8'), 'new')
  chownSync(tree.real('file'), aliceId, aliceId)
  await write(refusing, parsePath('/file'), 'by its owner')
  t.not(statSync(tree.real('file')).ino, ino, 'his own file he replaces in one step')
})

t.test('a file of another that may not be written is not replaced', { skip }, async (t) => {
  const tree = await treeOf(t)
  place(tree, 'file', aliceId, 0o644, 'old')
  t.equal(await codeOf(write(tree.backend, parsePath('/file'), 'new', { as: bob })), 'denied')
  t.equal(readFileSync(tree.real('file'), 'utf8'), 'old')
  t.same(tree.leftovers(), [])
})

t.test('a sticky directory keeps the files of others', { skip }, async (t) => {
  const tree = await treeOf(t)
  chmodSync(tree.directory, 0o1777)
  chownSync(tree.directory, 41009, 41009)
  place(tree, 'file', aliceId, 0o644)
  const path = parsePath('/file')
  t.equal(await codeOf(act(tree.backend.remove(path, callOf(bob)))), 'denied')
  t.equal(((await tree.backend.rights?.effective(path, callOf(bob))) as number) & right.delete, 0)
  t.ok(((await tree.backend.rights?.effective(path, callOf(alice))) as number) & right.delete)
  await act(tree.backend.remove(path, callOf(alice)))
})

t.test('the kernel is asked what a caller may do', { skip }, async (t) => {
  const tree = await treeOf(t)
  place(tree, 'file', aliceId, 0o640)
  const rights = async (principal: Principal) =>
    (await tree.backend.rights?.effective(parsePath('/file'), callOf(principal))) as number
  t.equal((await rights(alice)) & (right.readData | right.writeData), right.readData | right.writeData)
  t.equal((await rights(bob)) & (right.readData | right.writeData), 0)
  t.ok((await rights(alice)) & right.writeAcl)
  t.notOk((await rights(bob)) & right.writeAcl)
  t.equal(
    await codeOf(tree.backend.rights?.effective(parsePath('/none'), callOf(bob)) ?? Promise.resolve()),
    'not-found',
  )
})

t.test(
  'nobody is the superuser, an account of the system, or without numbers; the anonymous is nobody',
  { skip },
  async (t) => {
    const tree = await treeOf(t)
    place(tree, 'file', 0, 0o644)
    const path = parsePath('/file')
    const as = (posix: Principal['posix']): Principal => ({ ...bob, ...(posix ? { posix } : {}) })
    for (const posix of [
      { uid: 0, gid: 0, gids: [] },
      { uid: bobId, gid: 0, gids: [] },
      { uid: bobId, gid: bobId, gids: [0] },
      { uid: 33, gid: 33, gids: [] },
      { uid: -1, gid: bobId, gids: [] },
    ]) {
      t.equal(await codeOf(read(tree.backend, path, as(posix))), 'denied', JSON.stringify(posix))
    }
    const { posix: _none, ...without } = bob
    t.equal(await codeOf(read(tree.backend, path, without)), 'denied', 'no numbers')
    t.equal(await read(tree.backend, path, anonymous), 'bytes')
    chmodSync(tree.real('file'), 0o640)
    t.equal(await codeOf(read(tree.backend, path, anonymous)), 'denied')
    await write(tree.backend, parsePath('/new'), 'x', { as: anonymous })
    t.equal(statSync(tree.real('new')).uid, 65534)
  },
)

t.test('a tree that only the superuser gets to is reached through a descriptor', { skip }, async (t) => {
  const tree = await treeOf(t)
  place(tree, 'file', aliceId, 0o600)
  const { openSync, closeSync } = await import('node:fs')
  const fd = openSync(tree.directory, 'r')
  t.teardown(() => closeSync(fd))
  mkdirSync(tree.real('above'), { mode: 0o700 })
  const inherited = tree.open({ root: fd })
  t.equal(await read(inherited, parsePath('/file')), 'bytes')
  t.equal(await codeOf(read(inherited, parsePath('/file'), bob)), 'denied')
})

t.test('what a process left is swept as its owner', { skip }, async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('private'), { mode: 0o700 })
  chownSync(tree.real('private'), aliceId, aliceId)
  place(tree, 'private/.portolan-stage-111111111111111111111111', aliceId, 0o600)
  tree.services.places.add(
    JSON.stringify({
      directory: '/private',
      name: '.portolan-stage-111111111111111111111111',
      uid: aliceId,
      gid: aliceId,
    }),
  )
  await tree.backend.sweep(0)
  t.same(tree.leftovers(), [])
})
