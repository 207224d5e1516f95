/** Properties and digests: in attributes of the file as long as they fit, else in the overflow store. */

import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { digestKinds, startDigest } from '../../backends/digesting.ts'
import { digestOf } from '../../backends/memory/digests.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, type Tree, withFile, write } from './backend-world.ts'

const call = callOf(alice)
const file = parsePath('/file')

async function treeOf(t: Test): Promise<Tree> {
  const tree = await makeTree()
  t.teardown(() => tree.end())
  return tree
}

const get = (tree: Tree, path = file) => act(tree.backend.properties.get(path, call))
const set = (tree: Tree, changes: Record<string, string | undefined>, path = file) =>
  act(tree.backend.properties.set(path, new Map(Object.entries(changes)), call))

function attributes(tree: Tree): string[] {
  return withFile(tree.real('file'), (fd) => sys.flistxattr(fd)).sort()
}

t.test('few properties are an attribute of the file, many are elsewhere, and they move between the two', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x')
  await set(tree, { a: 'short' })
  t.same(attributes(tree), ['user.portolan.acl', 'user.portolan.properties'])
  t.equal(tree.services.values.size, 0)
  await set(tree, { long: 'x'.repeat(100_000) })
  t.same(attributes(tree), ['user.portolan.acl', 'user.portolan.elsewhere'])
  t.equal(tree.services.values.size, 1)
  t.equal((await get(tree)).get('a'), 'short')
  t.equal((await get(tree)).get('long')?.length, 100_000)
  await set(tree, { long: undefined })
  t.same(attributes(tree), ['user.portolan.acl', 'user.portolan.properties'])
  t.equal(tree.services.values.size, 0)
  t.same([...(await get(tree))], [['a', 'short']])
  await set(tree, { a: undefined })
  t.same(attributes(tree), ['user.portolan.acl'])
})

t.test('no property can be one of our attributes', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x')
  const acl = withFile(tree.real('file'), (fd) => sys.fgetxattr(fd, 'user.portolan.acl'))
  const names = [
    'user.portolan.acl',
    'portolan.acl',
    'acl',
    'trusted.portolan.acl',
    'system.posix_acl_access',
    '\0',
    '',
  ]
  await set(tree, Object.fromEntries(names.map((name) => [name, 'owned'])))
  t.same(attributes(tree), ['user.portolan.acl', 'user.portolan.properties'])
  t.same(
    withFile(tree.real('file'), (fd) => sys.fgetxattr(fd, 'user.portolan.acl')),
    acl,
  )
  t.same([...(await get(tree)).keys()].sort(), [...names].sort())
})

t.test('too many properties are refused and change nothing', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x')
  await set(tree, { a: 'b' })
  t.equal(await codeOf(set(tree, { big: 'x'.repeat(2 * 1024 * 1024) })), 'too-large')
  t.same([...(await get(tree))], [['a', 'b']])
})

t.test('properties kept elsewhere go with a removed and with a replaced file', async (t) => {
  const tree = await treeOf(t)
  const long = 'x'.repeat(100_000)
  await write(tree.backend, file, 'x')
  await set(tree, { long })
  await write(tree.backend, file, 'new')
  t.equal((await get(tree)).get('long'), long)
  t.equal(tree.services.values.size, 1, 'those of the old file are forgotten')
  await write(tree.backend, parsePath('/other'), 'y')
  await act(tree.backend.rename(parsePath('/other'), file, { condition: 'any' }, call))
  t.equal(tree.services.values.size, 0, 'what was replaced by a rename too')
  t.equal((await get(tree)).size, 0)
  await set(tree, { long })
  await act(tree.backend.remove(file, call))
  t.equal(tree.services.values.size, 0)
})

t.test('links have no properties', async (t) => {
  const tree = await treeOf(t)
  symlinkSync('file', tree.real('link'))
  t.equal((await get(tree, parsePath('/link'))).size, 0)
  t.equal(await codeOf(set(tree, { a: 'b' }, parsePath('/link'))), 'unsupported')
})

t.test('digests in pieces are those of the whole', async (t) => {
  for (const kind of digestKinds) {
    for (const size of [0, 1, 15, 16, 17, 3791, 3792, 3793, 70_001, 300_007]) {
      const bytes = Buffer.alloc(size, 255)
      for (let at = 0; at < size; at += 3) bytes[at] = (at * 31) & 255
      const digest = startDigest(kind)
      for (let at = 0, step = 1; at < size; at += step, step = step * 3 + 1)
        digest.update(bytes.subarray(at, at + step))
      t.same(Buffer.from(digest.digest()), Buffer.from(digestOf(kind, bytes)), `${kind} of ${size} bytes`)
    }
  }
})

t.test('digests of other bytes than those that are there are not told', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'first', { digests: { md5: createHash('md5').update('first').digest() } })
  const kept = () => act(tree.backend.checksums.kept(file, call))
  t.equal(Buffer.from((await kept()).md5 ?? []).toString('hex'), createHash('md5').update('first').digest('hex'))
  appendFileSync(tree.real('file'), ' and more')
  t.same(await kept(), {})
  const made = await act(tree.backend.checksums.compute(file, ['md5', 'sha-256'], call))
  const text = readFileSync(tree.real('file'))
  t.equal(Buffer.from(made.md5 ?? []).toString('hex'), createHash('md5').update(text).digest('hex'))
  t.same(Object.keys(await kept()).sort(), ['md5', 'sha-256'])
  utimesSync(tree.real('file'), 1, 1)
  t.same(await kept(), {})
})

t.test('an attribute that somebody spoilt is no digest', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'bytes')
  const { version } = (await tree.backend.walk(file, call)).entry ?? { version: '' }
  const spoilt = ['', 'x', '[]', '{}', JSON.stringify({ version, digests: { md5: 'AA==', adler32: 7, other: 'AAAA' } })]
  for (const text of spoilt) {
    withFile(tree.real('file'), (fd) => sys.fsetxattr(fd, 'user.portolan.digests', Buffer.from(text), 0))
    t.same(await act(tree.backend.checksums.kept(file, call)), {}, text)
  }
})

t.test('a full attribute block leaves digests to the overflow store', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x')
  writeFileSync(tree.real('other'), 'x')
  // ext4 keeps one block of attributes for a file.
  withFile(tree.real('file'), (fd) => {
    for (let index = 0; index < 40; index++) {
      try {
        sys.fsetxattr(fd, `user.fill${index}`, Buffer.alloc(index < 30 ? 120 : 8), 0)
      } catch (error) {
        if (!(error instanceof sys.Errno)) throw error
      }
    }
  })
  const made = await act(tree.backend.checksums.compute(file, ['sha-512', 'sha-256', 'md5'], call))
  t.same(await act(tree.backend.checksums.kept(file, call)), made)
})
