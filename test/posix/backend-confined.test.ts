/** Nothing leads out of the tree, and nothing in it that is no file or directory is touched. */

import { execFileSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, openAcl, read, storeAclAt, type Tree, write } from './backend-world.ts'

t.setTimeout(120_000)
const call = callOf(alice)
const isRoot = process.getuid?.() === 0
const needsRoot = isRoot ? false : 'needs root, to mount'

async function treeOf(t: Test, options: Partial<PosixOptions> = {}): Promise<Tree> {
  const tree = await makeTree(options)
  t.teardown(() => tree.end())
  return tree
}

/** A file that nobody may get at, beside the tree. */
function secretBeside(t: Test): string {
  const outside = mkdtempSync(joinPath(tmpdir(), 'portolan-outside-'))
  t.teardown(() => rmSync(outside, { recursive: true, force: true }))
  writeFileSync(joinPath(outside, 'file'), 'outside')
  storeAclAt(joinPath(outside, 'file'), openAcl)
  return outside
}

async function list(tree: Tree, directory: string): Promise<string[]> {
  const names: string[] = []
  const listing = await act(tree.backend.list(parsePath(directory), {}, call))
  for await (const page of listing.pages()) names.push(...page.map(({ name }) => name))
  return names.sort()
}

t.test('links inside the tree are followed where the mount says so, and the way is told without them', async (t) => {
  const tree = await treeOf(t, { symlinks: 'within' })
  const { backend } = tree
  for (const name of ['/real', '/real/deep', '/from']) await act(backend.mkdir(parsePath(name), call))
  await write(backend, parsePath('/real/deep/file'), 'bytes')
  symlinkSync('../real/deep', tree.real('from/relative'))
  symlinkSync(tree.real('real/deep/file'), tree.real('from/absolute'))
  symlinkSync('relative/../deep/file', tree.real('from/winding'))
  for (const [path, resolved] of [
    ['/from/relative/file', '/real/deep/file'],
    ['/from/absolute', '/real/deep/file'],
    ['/from/winding', '/real/deep/file'],
  ] as const) {
    t.equal(await read(backend, parsePath(path)), 'bytes', path)
    const pending = await backend.open(parsePath(path), {}, call)
    t.equal(pending.trail.resolved, resolved)
    t.same(
      pending.trail.ancestors.slice(-3).map(({ name }) => name),
      ['', 'real', 'deep'],
      'the last directories are those of the file itself',
    )
    await pending.release()
  }
  const through = await backend.walk(parsePath('/from/relative/file'), call)
  t.ok(
    through.ancestors.some(({ name }) => name === 'from'),
    'the directory of the link was passed too',
  )
  const link = await backend.walk(parsePath('/from/absolute'), call)
  t.equal(link.entry?.type, 'symlink', 'a walk to a link tells of the link')
  await write(backend, parsePath('/from/absolute'), 'new')
  t.equal(readFileSync(tree.real('real/deep/file'), 'utf8'), 'new', 'writing goes to what the link leads to')
  await act(backend.remove(parsePath('/from/absolute'), call))
  t.equal(await read(backend, parsePath('/real/deep/file')), 'new', 'removing takes the link alone')
  t.same(tree.leftovers(), [])
})

t.test('no link leads out of the tree', async (t) => {
  const outside = secretBeside(t)
  for (const symlinks of ['none', 'within'] as const) {
    const tree = await treeOf(t, { symlinks })
    const { backend } = tree
    await act(backend.mkdir(parsePath('/inner'), call))
    const targets = [
      joinPath(outside, 'file'),
      outside,
      '../../../../../../../../etc/passwd',
      '../..',
      '/',
      '/proc/self/root/etc/passwd',
      `${tree.directory}/../${outside.slice(outside.lastIndexOf('/') + 1)}/file`,
      `${tree.directory}x`,
    ]
    for (const [index, target] of targets.entries()) {
      const path = parsePath(`/inner/link${index}`)
      symlinkSync(target, tree.real('inner', `link${index}`))
      for (const way of [path, parsePath(`${path}/file`), parsePath(`${path}/etc/passwd`)]) {
        const seen = await codeOf(read(backend, way))
        t.match(seen, /^(denied|not-found|is-directory)$/, `${symlinks}: ${target}`)
        t.match(await codeOf(write(backend, way, 'overwritten')), /^(denied|no-parent|is-directory)$/)
      }
      t.match(await codeOf(act(backend.mkdir(parsePath(`${path}/made`), call))), /^(denied|no-parent|exists)$/)
    }
    t.equal((await list(tree, '/inner')).length, targets.length)
  }
  t.equal(readFileSync(joinPath(outside, 'file'), 'utf8'), 'outside')
})

t.test('a circle of links is refused', async (t) => {
  const tree = await treeOf(t, { symlinks: 'within' })
  symlinkSync('b', tree.real('a'))
  symlinkSync('a', tree.real('b'))
  t.equal(await codeOf(read(tree.backend, parsePath('/a'))), 'denied')
  t.equal(await codeOf(read(tree.backend, parsePath('/a/below'))), 'denied')
})

t.test('a link swapped in during requests never leads outside', async (t) => {
  const outside = secretBeside(t)
  for (const symlinks of ['none', 'within'] as const) {
    const tree = await treeOf(t, { symlinks, sync: 'never' })
    const { backend } = tree
    await act(backend.mkdir(parsePath('/directory'), call))
    await write(backend, parsePath('/directory/file'), 'inside')
    symlinkSync(outside, tree.real('link'))
    const board = new SharedArrayBuffer(4)
    const swapper = new Worker(new URL('./confine-swapper.ts', import.meta.url), {
      workerData: { board, directory: tree.directory, names: ['directory', 'link'] },
    })
    const swaps = new Promise((resolve) => swapper.once('message', resolve))
    await new Promise((resolve) => swapper.once('online', resolve))
    let inside = 0
    for (let round = 0; round < 3000; round++) {
      const got = await codeOf(read(backend, parsePath('/directory/file')))
      if (got === 'inside') inside++
      else if (got === 'outside') t.fail('the file outside was read')
    }
    for (let round = 0; round < 100; round++) {
      await codeOf(write(backend, parsePath(`/directory/new${round}`), 'x'))
    }
    Atomics.store(new Int32Array(board), 0, 1)
    t.ok(inside > 0, `${inside} reads got through, with ${await swaps} swaps`)
    t.same(execFileSync('ls', [outside]).toString().trim(), 'file', 'nothing was made outside')
  }
})

t.test('pipes, sockets and devices are neither opened nor waited for', async (t) => {
  const tree = await treeOf(t)
  execFileSync('mkfifo', [tree.real('pipe')])
  if (isRoot) execFileSync('mknod', [tree.real('device'), 'c', '1', '5'])
  for (const name of isRoot ? ['/pipe', '/device'] : ['/pipe']) {
    const path = parsePath(name)
    t.equal((await tree.backend.walk(path, call)).entry?.type, 'other')
    t.equal(await codeOf(read(tree.backend, path)), 'denied', 'read')
    t.equal(await codeOf(write(tree.backend, path, 'x')), 'denied', 'write')
    t.equal(await codeOf(act(tree.backend.editing.edit(path, {}, call))), 'denied', 'edit')
    await act(tree.backend.remove(path, call))
  }
})

t.test(
  'what is mounted inside is there and cannot be entered, unless the mount says so',
  { skip: needsRoot },
  async (t) => {
    const tree = await treeOf(t)
    const { backend } = tree
    for (const name of ['/plain', '/bound', '/other']) await act(backend.mkdir(parsePath(name), call))
    await write(backend, parsePath('/plain/file'), 'bytes')
    execFileSync('mount', ['--bind', tree.real('plain'), tree.real('bound')])
    t.teardown(() => execFileSync('umount', [tree.real('bound')]))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', tree.real('other')])
    t.teardown(() => execFileSync('umount', [tree.real('other')]))
    for (const name of ['/bound', '/other']) {
      const path = parsePath(name)
      const { entry } = await backend.walk(path, call)
      t.equal(entry?.type, 'other')
      t.equal(entry?.acl, undefined, 'no ACL: nobody gets at it')
      t.match(await codeOf(act(backend.list(path, {}, call))), /^(denied|not-directory)$/)
      t.equal(await codeOf(read(backend, parsePath(`${name}/file`))), 'not-found')
      t.equal(await codeOf(write(backend, parsePath(`${name}/new`), 'x')), 'no-parent')
      const listed: unknown[] = []
      const listing = await act(backend.list(parsePath('/'), {}, call))
      for await (const page of listing.pages()) listed.push(...page.filter((one) => one.name === name.slice(1)))
      t.same(listed, [entry], 'a listing tells the same')
    }
    const crossing = tree.open({ crossMounts: true })
    t.equal(await read(crossing, parsePath('/bound/file')), 'bytes')
    await write(crossing, parsePath('/other/new'), 'x')
    t.equal(await read(crossing, parsePath('/other/new')), 'x')
    const ids = ['/other', '/plain'].map(async (name) => (await crossing.walk(parsePath(name), call)).entry?.id)
    t.not(await ids[0], await ids[1])
    const move = act(crossing.rename(parsePath('/plain/file'), parsePath('/other/file'), { condition: 'any' }, call))
    t.equal(await codeOf(move), 'cross-mount')
    await crossing.close()
  },
)

t.test('names that are not UTF-8 are left out, counted and reported', async (t) => {
  const tree = await treeOf(t)
  writeFileSync(Buffer.concat([Buffer.from(`${tree.directory}/bad`), Buffer.of(0xff, 0xfe)]), 'x')
  await write(tree.backend, parsePath('/good'), 'x')
  t.same(await list(tree, '/'), ['good'])
  const findings = await tree.backend.checking.check()
  t.ok(findings.some(({ subject, level }) => subject === 'bad-names' && level === 'warning'))
})

t.test('our own hidden names do not exist for anybody', async (t) => {
  const tree = await treeOf(t)
  const name = '.portolan-stage-0123'
  writeFileSync(tree.real(name), 'staged')
  const path = parsePath(`/${name}`)
  t.same(await list(tree, '/'), [])
  t.equal(await codeOf(read(tree.backend, path)), 'not-found')
  t.equal(await codeOf(act(tree.backend.remove(path, call))), 'not-found')
  t.equal(await codeOf(write(tree.backend, path, 'x')), 'invalid')
  t.equal(readFileSync(tree.real(name), 'utf8'), 'staged')
})

t.test('a hard link keeps its bytes when the other name gets new ones', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/one'), 'old')
  linkSync(tree.real('one'), tree.real('two'))
  await write(tree.backend, parsePath('/one'), 'new')
  t.equal(await read(tree.backend, parsePath('/two')), 'old')
})

t.test('a directory that moves away under a listing is read to its end', async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('directory'))
  for (let index = 0; index < 3000; index++) writeFileSync(tree.real('directory', `file-${index}`), '')
  const listing = await act(tree.backend.list(parsePath('/directory'), {}, call))
  let count = 0
  for await (const page of listing.pages()) {
    if (count === 0) renameSync(tree.real('directory'), tree.real('moved'))
    count += page.length
  }
  t.equal(count, 3000)
})

t.test('what was seen and went away is told as such', async (t) => {
  const tree = await treeOf(t)
  const { backend } = tree
  await write(backend, parsePath('/file'), 'x')
  const removal = await backend.remove(parsePath('/file'), call)
  unlinkSync(tree.real('file'))
  t.equal(await codeOf(removal.proceed()), 'stale')
  await removal.release()
  mkdirSync(tree.real('directory'))
  storeAclAt(tree.real('directory'), openAcl)
  const creation = await backend.create('/directory/file' as Path, {}, call)
  rmdirSync(tree.real('directory'))
  await t.rejects(creation.proceed(), StorageError)
  await creation.release()
  t.same(tree.leftovers(), [])
  t.equal(backend.openHandles, 0, 'nothing stays open')
})
