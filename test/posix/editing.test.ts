/** Files worked on in place on a real file system: whose they are, who may, and what is left. */

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import type { Backend, EditableFile, EditOptions } from '../../backends/backend.ts'
import { Handles, withHandle } from '../../backends/posix/handles.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import {
  act,
  alice,
  bob,
  callOf,
  codeOf,
  makeTree,
  openAcl,
  read,
  storeAclAt,
  type Tree,
  write,
} from './backend-world.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const withoutUnnamed = new URL('./crash-unnamed.ts', import.meta.url).href
const at = parsePath
const exclusive = { exclusive: true }
// As the gateway has it: modes are told, not cut.
process.umask(0)

async function treeOf(t: Test, options: Parameters<typeof makeTree>[0] = {}, parent?: string): Promise<Tree> {
  const tree = await makeTree(options, parent)
  t.teardown(() => tree.end())
  return tree
}

function edit(backend: Backend, path: Path, options: EditOptions = {}, as = alice): Promise<EditableFile> {
  const { editing } = backend
  if (!editing) throw new Error('nothing can be edited')
  return act(editing.edit(path, options, callOf(as)))
}

async function make(backend: Backend, path: Path, mode?: number, as: Principal = alice): Promise<void> {
  const create = { ...exclusive, ...(mode !== undefined && { mode }) }
  await (await edit(backend, path, { create }, as)).close()
}

t.test('a file made by an edit belongs to the caller and has the mode that was asked for', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  chmodSync(tree.directory, 0o777)
  for (const [name, mode, found] of [
    ['private', 0o600, 0o600],
    ['program', 0o755, 0o755],
    ['read-only', 0o444, 0o444],
    ['set-id', 0o6755, 0o755],
    ['usual', undefined, 0o644],
  ] as const) {
    await make(tree.backend, at(`/${name}`), mode, bob)
    const stat = statSync(tree.real(name))
    t.same([stat.uid, stat.gid, stat.mode & 0o7777], [41002, 41002, found], name)
  }
})

t.test('whoever may write a file and not read it opens it for writing alone', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  writeFileSync(tree.real('box'), 'secret')
  chownSync(tree.real('box'), 41001, 41001)
  for (const [mode, expected] of [
    [0o602, 'denied'],
    [0o606, 6],
  ] as const) {
    chmodSync(tree.real('box'), mode)
    const file = await edit(tree.backend, at('/box'), {}, bob)
    t.equal(await codeOf(file.read(Buffer.alloc(6), 0)), expected)
    t.equal(await codeOf((async () => file.stream({ start: 0, end: 6 }).resume() && 6)()), expected)
    t.equal(await file.write(Buffer.from('S'), 0), 1)
    await file.sync()
    t.equal((await file.stat()).size, 6)
    await file.close()
  }
  chmodSync(tree.real('box'), 0o604)
  t.equal(await codeOf(edit(tree.backend, at('/box'), {}, bob)), 'denied')
})

t.test('a file made by an edit inherits group and default ACL of its directory', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  mkdirSync(tree.real('group'))
  chownSync(tree.real('group'), 41001, 41900)
  chmodSync(tree.real('group'), 0o2775)
  await make(tree.backend, at('/group/file'), 0o660)
  t.same([statSync(tree.real('group/file')).gid, statSync(tree.real('group/file')).mode & 0o777], [41900, 0o660])
  mkdirSync(tree.real('listed'))
  chownSync(tree.real('listed'), 41001, 41001)
  execFileSync('setfacl', ['-dm', 'u:41002:rwx', tree.real('listed')])
  await make(tree.backend, at('/listed/file'), 0o600)
  await make(tree.backend, at('/listed/program'), 0o755)
  const access = (name: string) => execFileSync('getfacl', ['-cnp', tree.real('listed', name)]).toString()
  t.match(access('file'), 'user:41002:rwx\t#effective:rw-', 'what the directory passes on is not cut')
  t.match(access('program'), /user:41002:rwx\n/)
})

t.test('the kernel decides at the opening, and what is open stays open', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  writeFileSync(tree.real('file'), 'old')
  chownSync(tree.real('file'), 41001, 41001)
  chmodSync(tree.real('file'), 0o444)
  t.equal(await codeOf(edit(tree.backend, at('/file'))), 'denied', 'also its owner')
  t.equal(await codeOf(edit(tree.backend, at('/new'), { create: exclusive }, bob)), 'denied')
  const made = await edit(tree.backend, at('/made'), { create: { exclusive: true, mode: 0o444 } })
  await made.write(Buffer.from('by whoever made it'), 0)
  t.equal(await codeOf(edit(tree.backend, at('/made'))), 'denied')
  chmodSync(tree.real('made'), 0)
  chownSync(tree.real('made'), 41002, 41002)
  await made.write(Buffer.from('BY'), 0)
  await made.truncate(5)
  t.equal(readFileSync(tree.real('made'), 'utf8'), 'BY wh')
  t.equal((await made.stat()).size, 5)
  await made.close()
  t.equal(tree.backend.openHandles, 0)
})

t.test('where the directory passes nothing on the mode becomes the list', async (t) => {
  const tree = await treeOf(t)
  const plain = { ...openAcl, aces: openAcl.aces.map((ace) => ({ ...ace, flags: 0 })) }
  await act(tree.backend.acls.set(root, plain, {}, callOf(alice)))
  for (const mode of [0o600, 0o750]) {
    await make(tree.backend, at(`/file${mode}`), mode)
    const { entry } = await tree.backend.walk(at(`/file${mode}`), callOf(alice))
    t.equal(entry?.mode, mode)
    t.equal(entry?.acl?.owner, 'alice@desy.de')
    t.equal(statSync(tree.real(`file${mode}`)).mode & 0o777, 0o640, 'the gateway itself gets at it')
  }
})

for (const way of ['without a name', 'under a hidden name'] as const) {
  t.test(`nobody sees a file that is made ${way} without its ACL`, async (t) => {
    const operationsModule = way === 'without a name' ? {} : { operationsModule: withoutUnnamed }
    const tree = await treeOf(t, operationsModule)
    const watcher = tree.open()
    // It begins by taking away what others may have left, and here it takes everybody for dead.
    await watcher.ready()
    await watcher.sweep()
    let isOver = false
    const watching = (async () => {
      let seen = 0
      while (!isOver) {
        const listing = await act(watcher.list(root, { acls: true }, callOf(alice)))
        for await (const page of listing.pages()) {
          for (const { acl } of page) {
            seen++
            if (acl?.owner !== 'alice@desy.de') return 'one without'
          }
        }
      }
      return seen > 0
    })()
    for (let i = 0; i < 60; i++) await make(tree.backend, at(`/file${i}`))
    isOver = true
    t.equal(await watching, true)
    const first = await edit(tree.backend, at('/last'), { create: exclusive })
    t.ok(first.created)
    await first.write(Buffer.from('bytes'), 0)
    t.equal(await read(tree.backend, at('/last')), 'bytes')
    await first.close()
    t.equal(await codeOf(edit(tree.backend, at('/last'), { create: exclusive })), 'exists')
    t.same(tree.leftovers(), [])
    t.equal(tree.backend.openHandles, 0)
  })
}

t.test('of two gateways that make a file exclusively one does', async (t) => {
  const tree = await treeOf(t)
  const other = tree.open()
  await other.ready()
  for (let round = 0; round < 20; round++) {
    const path = at(`/file${round}`)
    const both = await Promise.all([tree.backend, other].map((one) => codeOf(edit(one, path, { create: exclusive }))))
    t.equal(both.filter((one) => one === 'exists').length, 1)
    for (const file of both) if (typeof file === 'object') await (file as EditableFile).close()
  }
})

t.test('a file is made where a link leads, within the tree and not exclusively', async (t) => {
  const tree = await treeOf(t, { symlinks: 'within' })
  mkdirSync(tree.real('directory'))
  symlinkSync('directory/target', tree.real('link'))
  symlinkSync('/etc/portolan-of-nobody', tree.real('out'))
  t.equal(await codeOf(edit(tree.backend, at('/link'), { create: exclusive })), 'exists')
  t.equal(await codeOf(edit(tree.backend, at('/out'), { create: { exclusive: false } })), 'denied')
  storeAclAt(tree.real('directory'), openAcl)
  const file = await edit(tree.backend, at('/link'), { create: { exclusive: false } })
  await file.write(Buffer.from('bytes'), 0)
  await file.close()
  t.equal(readFileSync(tree.real('directory/target'), 'utf8'), 'bytes')
  t.ok(lstatSync(tree.real('link')).isSymbolicLink())
})

t.test('what a full file system does not take is an error, and what it took is there', { skip }, async (t) => {
  const small = mkdtempSync(join(tmpdir(), 'portolan-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0755', 'tmpfs', small])
  t.teardown(() => {
    execFileSync('umount', ['-l', small])
    rmSync(small, { recursive: true })
  })
  const tree = await treeOf(t, { grade: 'native' }, small)
  const file = await edit(tree.backend, at('/file'), { create: exclusive })
  t.equal(await codeOf(file.write(Buffer.alloc(2_000_000, 'a'), 0)), 'no-space')
  t.equal(await codeOf(file.allocate?.({ start: 0, end: 4_000_000 }, 'extend') ?? Promise.resolve()), 'no-space')
  await file.truncate(100_000)
  t.equal(await file.write(Buffer.from('b'), 100_000), 1)
  t.equal((await file.stat()).size, 100_001)
  await file.close()
})

t.test('what is kept elsewhere of old bytes is forgotten too', async (t) => {
  const tree = await treeOf(t)
  const record = 'x'.repeat(70_000)
  const { modified } = await write(tree.backend, at('/file'), 'abcdef', { record })
  t.equal((await act(tree.backend.records.get(at('/file'), callOf(alice)))).record, record)
  for (const options of [{}, { truncate: true }]) {
    const file = await edit(tree.backend, at('/file'), options)
    await file.write(Buffer.from('ABCDEF'), 0)
    await file.close()
    await act(tree.backend.setAttributes(at('/file'), { modified }, callOf(alice)))
    t.equal((await act(tree.backend.records.get(at('/file'), callOf(alice)))).record, undefined)
    await write(tree.backend, at('/file'), 'abcdef', { record, modified })
  }
})

t.test('a closed file does nothing any more, whatever it is asked', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, at('/file'), 'abcdef')
  const file = await edit(tree.backend, at('/file'))
  const other = await edit(tree.backend, at('/file'))
  const stats = Array.from({ length: 10 }, () => file.stat())
  await file.close()
  t.equal((await Promise.all(stats)).length, 10, 'what was under way is answered')
  for (const late of [
    file.stat(),
    file.allocate?.({ start: 0, end: 5 }, 'extend'),
    file.seek?.(0, 'data'),
    file.copyFrom?.(other, { start: 0, end: 3 }, 10),
    other.copyFrom?.(file, { start: 0, end: 3 }, 10),
  ]) {
    t.equal(await codeOf(late ?? Promise.resolve()), 'stale')
  }
  await other.close()
  t.equal(tree.backend.openHandles, 0)
})

t.test('nobody gives a second name to what he may not write', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  chmodSync(tree.directory, 0o777)
  await make(tree.backend, at('/private'), 0o600)
  const link = (as: Principal, name: string) =>
    codeOf(act(tree.backend.linking.link(at('/private'), at(name), callOf(as))))
  const guarded = readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8').trim() === '1'
  if (guarded) t.equal(await link(bob, '/by-bob'), 'denied')
  t.type(await link(alice, '/by-alice'), 'object')
  t.equal(statSync(tree.real('by-alice')).nlink, 2)
  await act(tree.backend.linking.symlink(at('/link'), 'private', callOf(bob)))
  t.equal(lstatSync(tree.real('link')).uid, 41002)
})

t.test('entries tell whose objects are, when they were read and what they take up', { skip }, async (t) => {
  const tree = await treeOf(t, { grade: 'native' })
  await make(tree.backend, at('/sparse'))
  const file = await edit(tree.backend, at('/sparse'))
  await file.truncate(10_000_000)
  await file.write(Buffer.alloc(4096, 1), 0)
  await file.close()
  await act(tree.backend.setAttributes(at('/sparse'), { accessed: 7_000_000_000n }, callOf(alice)))
  const listing = await act(tree.backend.list(root, {}, callOf(alice)))
  const entries = []
  for await (const page of listing.pages()) entries.push(...page)
  const [entry] = entries
  t.same([entry?.owner, entry?.group, entry?.accessed], ['41001', '41001', 7_000_000_000n])
  t.equal(entry?.size, 10_000_000)
  t.ok((entry?.allocated ?? 0) >= 4096 && (entry?.allocated ?? 0) < 1_000_000)
  t.equal((await tree.backend.walk(at('/sparse'), callOf(alice))).entry?.allocated, entry?.allocated)
})

t.test('attributes of ours that callers do not see are on the disk all the same', async (t) => {
  const tree = await treeOf(t)
  await make(tree.backend, at('/file'))
  const names = await act(tree.backend.xattrs.list(at('/file'), callOf(alice)))
  t.same(names, [])
  const set = (name: string) =>
    codeOf(act(tree.backend.xattrs.set(at('/file'), name, Buffer.from('x'), 'any', callOf(alice))))
  t.equal(await set('portolan.acl'), 'denied')
  t.equal(await set('PORTOLAN.acl'), undefined, 'names are what they are')
  t.same(readdirSync(tree.directory), ['file'])
  const pending = await tree.backend.walk(at('/file'), callOf(alice))
  t.equal(pending.entry?.acl?.owner, 'alice@desy.de')
})

t.test('attributes of a link are set where it is meant itself, and of its target otherwise', async (t) => {
  const tree = await treeOf(t, { symlinks: 'within' })
  await make(tree.backend, at('/file'))
  await act(tree.backend.linking.symlink(at('/link'), 'file', callOf(alice)))
  const set = (modified: bigint, ofLink: object) =>
    act(tree.backend.setAttributes(at('/link'), { modified, ...ofLink }, callOf(alice)))
  await set(5_000_000_000n, { ofLink: true })
  await set(7_000_000_000n, {})
  t.same([lstatSync(tree.real('link')).mtimeMs, statSync(tree.real('file')).mtimeMs], [5000, 7000])
})

t.test('a descriptor that a thread works with is busy, and one that was given up stale', async (t) => {
  const handles = new Handles()
  const words = new Int32Array(handles.claims)
  const closedOnes: number[] = []
  const close = (fd: number) => closedOnes.push(fd)
  const { ref, release } = handles.adopt(1000, close)
  const other = () => withHandle(words, ref, close, () => 'done')
  withHandle(words, ref, close, () => {
    t.throws(other, { code: 'busy' })
    release()
    t.throws(other, { code: 'stale' })
    t.same(closedOnes, [], 'it is open as long')
  })
  t.same(closedOnes, [1000])
  t.throws(other, { code: 'stale' })
})
