/** What must not be lost, shown or left when something goes wrong in the middle of a change. */

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { fromKernel } from '../../backends/posix/io/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, bob, callOf, codeOf, makeTree, type Tree, write } from './backend-world.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const withoutUnnamed = new URL('./crash-unnamed.ts', import.meta.url).href
const dying = new URL('./careful-operations.ts', import.meta.url).href
const group = 41900
const call = callOf(alice)
const file = parsePath('/file')

async function treeOf(t: Test, options: Parameters<typeof makeTree>[0] = {}, parent?: string): Promise<Tree> {
  const tree = await makeTree(options, parent)
  t.teardown(() => tree.end())
  return tree
}

/** A file system of 4 MiB. */
function smallFileSystem(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0755', 'tmpfs', directory])
  t.teardown(() => {
    execFileSync('umount', ['-l', directory])
    rmSync(directory, { recursive: true })
  })
  return directory
}

t.test('the file of another stays whole when there is no room for the bytes that come into it', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' }, smallFileSystem(t))
  chmodSync(tree.directory, 0o777)
  const old = Buffer.alloc(100_000, 'old')
  writeFileSync(tree.real('file'), old)
  chownSync(tree.real('file'), 41001, 41001)
  chmodSync(tree.real('file'), 0o666)
  // It fits once, as the draft, and not a second time.
  const code = await codeOf(write(tree.backend, file, Buffer.alloc(2_500_000, 'new'), { as: bob }))
  t.equal(code, 'no-space')
  t.ok(readFileSync(tree.real('file')).equals(old))
  t.same(tree.leftovers(), [])
  await write(tree.backend, file, Buffer.alloc(1_000_000, 'new'), { as: bob })
  t.ok(readFileSync(tree.real('file')).equals(Buffer.alloc(1_000_000, 'new')), 'what fits twice is taken')
})

t.test('what a process left in the directory of a group is swept as one of the group', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native', operationsModule: withoutUnnamed })
  mkdirSync(tree.real('shared'))
  chownSync(tree.real('shared'), 41009, group)
  chmodSync(tree.real('shared'), 0o2770)
  const path = parsePath('/shared/file')
  await act(tree.backend.create(path, {}, call))
  t.equal(readdirSync(tree.real('shared')).length, 1, 'a draft that is given up')
  const other = tree.open()
  await other.ready()
  await other.sweep(0)
  t.same(tree.leftovers(), [])
})

t.test('a draft with a hidden name shows nobody the bytes that replace a closed file', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native', operationsModule: withoutUnnamed })
  for (const mode of [0o600, 0o640]) {
    writeFileSync(tree.real('file'), 'old')
    chownSync(tree.real('file'), 41001, 41001)
    chmodSync(tree.real('file'), mode)
    const draft = await act(tree.backend.create(file, {}, call))
    const hidden = readdirSync(tree.directory).find((name) => name.startsWith('.')) ?? ''
    t.equal(statSync(tree.real(hidden)).mode & 0o777, 0o600, 'while it is written')
    await new Promise<void>((done) => draft.body.end('new', done))
    await draft.commit({ condition: 'any', decide() {} })
    t.equal(statSync(tree.real('file')).mode & 0o777, mode, 'and then as the old one')
    rmSync(tree.real('file'))
  }
  await write(tree.backend, file, 'new')
  t.equal(statSync(tree.real('file')).mode & 0o777, 0o644, 'a new file is as new files are')
})

t.test('a process that dies while properties move leaves the old or the new ones', async (t) => {
  const old = { a: 'old' }
  const long = { a: 'x'.repeat(100_000) }
  for (const [before, after] of [
    [old, long],
    [long, old],
    [old, { a: 'new' }],
  ] as const) {
    const tree = await treeOf(t)
    await write(tree.backend, file, 'x')
    await act(tree.backend.properties.set(file, new Map(Object.entries(before)), call))
    // Its threads stop after the first of several attributes.
    const breaking = tree.open({ operationsModule: dying })
    await codeOf(act(breaking.properties.set(file, new Map(Object.entries(after)), call)))
    const { a } = Object.fromEntries(await act(tree.backend.properties.get(file, call)))
    t.ok(a === before.a || a === after.a, `from ${before.a.length} to ${after.a.length} bytes: ${a?.length}`)
  }
})

t.test('a copy of fewer bytes than the file has is no copy', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x'.repeat(1000))
  const short = tree.open({ operationsModule: dying })
  const copy = short.copying.copy(file, parsePath('/copy'), { condition: 'any', decide() {} }, call)
  t.match(await codeOf(act(copy)), /^(stale|internal)$/)
  t.same(readdirSync(tree.directory), ['file'])
})

t.test('errors are known that the library below Node has no names for', async (t) => {
  for (const [errno, code] of [
    [122, 'quota'],
    [116, 'stale'],
    [37, 'busy'],
    [2, 'not-found'],
  ] as const) {
    const thrown = Object.assign(new Error('x'), {
      errno: -errno,
      code: `Unknown system error -${errno}`,
      syscall: 'write',
    })
    t.equal(fromKernel(thrown).code, code)
  }
})

t.test('the journal knows whose a hidden name is', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native', operationsModule: withoutUnnamed })
  const many: Principal = { ...alice, posix: { uid: 41001, gid: 41001, gids: [group, 41901] } }
  const draft = await act(tree.backend.create(file, {}, callOf(many)))
  const [place = '{}'] = [...tree.services.places]
  t.match(JSON.parse(place), { uid: 41001, gid: 41001, gids: [group, 41901] })
  await draft.discard()
  t.same(tree.leftovers(), [])
})
