/** Records: in an attribute of the file with the digests, else in the overflow store, and never of other bytes. */

import { appendFileSync, readFileSync, renameSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import * as sys from '../../backends/posix/native/sys.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, type Tree, withFile, write } from './backend-world.ts'

const call = callOf(alice)
const file = parsePath('/file')
const long = 'x'.repeat(20_000)

async function treeOf(t: Test): Promise<Tree> {
  const tree = await makeTree()
  t.teardown(() => tree.end())
  return tree
}

const recordOf = async (tree: Tree, path = file) => (await act(tree.backend.records.get(path, call))).record
const versionOf = async (tree: Tree) => (await tree.backend.walk(file, call)).entry?.version ?? ''
const setRecord = (tree: Tree, record: string | undefined, version: string) =>
  act(tree.backend.records.set(file, record, { version }, call))

async function openRecord(tree: Tree): Promise<string | undefined> {
  const pending = await tree.backend.open(file, { kept: true }, call)
  await pending.release()
  return pending.kept?.record
}

/** Takes all the room that ext4 has for attributes of a file. */
function fill(tree: Tree): void {
  withFile(tree.real('file'), (fd) => {
    for (let index = 0; index < 40; index++) {
      try {
        sys.fsetxattr(fd, `user.fill${index}`, Buffer.alloc(index < 30 ? 120 : 8), 0)
      } catch (error) {
        if (!(error instanceof sys.Errno)) throw error
      }
    }
  })
}

t.test('a short record is in an attribute, a long one is elsewhere, and neither stays behind', async (t) => {
  const tree = await treeOf(t)
  for (const [record, stored] of [
    ['short', 0],
    [long, 1],
    ['short', 0],
  ] as const) {
    await write(tree.backend, file, 'x', { record })
    t.equal(await recordOf(tree), record)
    t.equal(await openRecord(tree), record)
    t.equal(tree.services.values.size, stored)
  }
  const version = await versionOf(tree)
  for (const record of [long, 'short', long, undefined]) {
    await setRecord(tree, record, version)
    t.equal(await recordOf(tree), record)
    t.equal(await openRecord(tree), record)
  }
  for (const [before, after] of [
    [undefined, long],
    [long, 'short'],
    ['short', undefined],
  ] as const) {
    const other = tree.backend.records.set(file, 'x', { version, before: { record: 'another' } }, call)
    t.equal(await codeOf(act(other)), 'stale')
    await act(tree.backend.records.set(file, after, { version, before: { record: before } }, call))
    t.equal(await recordOf(tree), after)
  }
  await setRecord(tree, long, version)
  await act(tree.backend.remove(file, call))
  t.equal(tree.services.values.size, 0, 'gone with the file')
})

t.test('bytes that somebody else changes have no record', async (t) => {
  const tree = await treeOf(t)
  const changes: ReadonlyArray<readonly [string, () => void]> = [
    ['appended', () => appendFileSync(tree.real('file'), 'y')],
    ['cut', () => truncateSync(tree.real('file'), 0)],
    ['written over', () => writeFileSync(tree.real('file'), 'y')],
    ['of another time', () => utimesSync(tree.real('file'), 1, 1)],
    [
      'replaced',
      () => {
        writeFileSync(tree.real('other'), 'x')
        renameSync(tree.real('other'), tree.real('file'))
      },
    ],
  ]
  for (const record of ['short', long]) {
    for (const [what, change] of changes) {
      await write(tree.backend, file, 'x', { record })
      change()
      t.equal(await recordOf(tree), undefined, what)
      t.equal(await openRecord(tree), undefined, what)
    }
  }
})

t.test('an attribute that somebody spoilt is no record', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x', { record: 'r' })
  const version = await versionOf(tree)
  const spoilt = ['', 'null', '[]', '{', JSON.stringify({ version, record: 1 }), JSON.stringify({ record: 'r' })]
  for (const text of [...spoilt, JSON.stringify({ version, digests: { md5: 'x', toString: 'AAAA' } })]) {
    withFile(tree.real('file'), (fd) => sys.fsetxattr(fd, 'user.portolan.digests', Buffer.from(text), 0))
    t.same(await act(tree.backend.records.get(file, call)), { digests: {} }, text)
    t.equal(await openRecord(tree), undefined)
  }
})

t.test('where there is no room even to say that a record is elsewhere, nothing is changed', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'old')
  fill(tree)
  t.equal(await codeOf(write(tree.backend, file, 'new', { record: 'r' })), 'no-space')
  t.equal(readFileSync(tree.real('file'), 'utf8'), 'old')
  t.equal(await codeOf(setRecord(tree, 'r', await versionOf(tree))), 'no-space')
  t.equal(await recordOf(tree), undefined)
  t.equal(tree.services.values.size, 0)
  await write(tree.backend, file, 'new')
  t.equal(readFileSync(tree.real('file'), 'utf8'), 'new')
})

t.test('a record changes neither the version nor the times of the bytes', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, file, 'x')
  const before = statSync(tree.real('file'), { bigint: true })
  const version = await versionOf(tree)
  for (const record of ['short', long]) await setRecord(tree, record, version)
  const after = statSync(tree.real('file'), { bigint: true })
  t.equal(await versionOf(tree), version)
  t.equal(after.mtimeNs, before.mtimeNs)
  t.equal(after.ino, before.ino)
})

t.test('an upload that finds its name taken keeps its record, wherever it lies', async (t) => {
  const tree = await treeOf(t)
  for (const [index, record] of ['short', long].entries()) {
    const path = parsePath(`/taken-${index}`)
    const draft = await act(tree.backend.create(path, {}, call))
    await new Promise<void>((resolve) => draft.body.end('late', resolve))
    let looks = 0
    const decide = () => {
      // After the look that finds nothing, and before the name is given.
      if (++looks === 1) writeFileSync(tree.real(`taken-${index}`), 'early')
    }
    await draft.commit({ condition: 'any', decide, record })
    t.equal(looks, 2, 'decided again')
    t.equal(readFileSync(tree.real(`taken-${index}`), 'utf8'), 'late')
    t.equal(await recordOf(tree, path), record)
    const refused = await act(tree.backend.create(path, {}, call))
    await new Promise<void>((resolve) => refused.body.end('no', resolve))
    t.equal(await codeOf(refused.commit({ condition: 'absent', decide() {}, record: long })), 'exists')
    await refused.discard()
    t.equal(await recordOf(tree, path), record)
    await act(tree.backend.remove(path, call))
  }
  t.equal(tree.services.values.size, 0, 'nothing stays behind')
})
