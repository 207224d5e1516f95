/** Small drafts: what has changed between the first look and the name that is given is decided on again. */

import { chmodSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Draft, Trail } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, type Tree } from './backend-world.ts'

const call = callOf(alice)

/** `sync`: the name is given by another call than the bytes. */
const ways = [{ sync: 'never' }, { sync: 'always' }] as const

async function begin(t: Test, options: { readonly sync: 'always' | 'never' }) {
  const tree = await makeTree(options)
  t.teardown(() => tree.end())
  mkdirSync(join(tree.directory, 'a'))
  const draft = await act(tree.backend.create(parsePath('/a/file'), { size: 5 }, call))
  await new Promise<void>((resolve) => draft.body.end('small', () => resolve()))
  return { tree, draft }
}

function names({ directory }: Tree): string[] {
  return readdirSync(join(directory, 'a'))
}

/** Commits, and tells what was decided on at last. */
async function decided(draft: Draft): Promise<Trail | undefined> {
  let last: Trail | undefined
  await draft.commit({ condition: 'any', decide: (trail) => (last = trail) })
  return last
}

for (const options of ways) {
  const kind = options.sync === 'always' ? 'synced' : 'unsynced'

  t.test(`${kind}: nothing has changed`, async (t) => {
    const { tree, draft } = await begin(t, options)
    t.equal((await decided(draft))?.ancestors.length, 2)
    t.same(names(tree), ['file'])
  })

  t.test(`${kind}: another mode of the directory is seen`, async (t) => {
    const { tree, draft } = await begin(t, options)
    chmodSync(join(tree.directory, 'a'), 0o711)
    t.equal((await decided(draft))?.ancestors.at(-1)?.mode, 0o711)
    t.same(names(tree), ['file'])
  })

  t.test(`${kind}: a refusal by what is there now leaves nothing`, async (t) => {
    const { tree, draft } = await begin(t, options)
    chmodSync(join(tree.directory, 'a'), 0o700)
    const decide = ({ ancestors }: Trail) => {
      if (ancestors.at(-1)?.mode === 0o700) throw new StorageError('denied', 'closed meanwhile')
    }
    t.equal(await codeOf(draft.commit({ condition: 'any', decide })), 'denied')
    t.same(names(tree), [])
    await draft.discard()
  })

  t.test(`${kind}: a name that was taken meanwhile is replaced, or not`, async (t) => {
    const first = await begin(t, options)
    writeFileSync(join(first.tree.directory, 'a/file'), 'other')
    t.equal((await decided(first.draft))?.entry?.size, 5, 'decided on what is there')
    const second = await begin(t, options)
    writeFileSync(join(second.tree.directory, 'a/file'), 'other')
    t.equal(await codeOf(second.draft.commit({ condition: 'absent', decide() {} })), 'exists')
    t.same(names(second.tree), ['file'])
    await second.draft.discard()
  })

  t.test(`${kind}: another directory at the path gets nothing`, async (t) => {
    const { tree, draft } = await begin(t, options)
    renameSync(join(tree.directory, 'a'), join(tree.directory, 'b'))
    mkdirSync(join(tree.directory, 'a'))
    t.equal(await codeOf(draft.commit({ condition: 'any', decide() {} })), 'stale')
    t.same([names(tree), readdirSync(join(tree.directory, 'b'))], [[], []])
    await draft.discard()
  })
}
