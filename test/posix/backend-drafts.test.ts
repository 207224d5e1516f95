/** Drafts where the file system is poor, full or slow, and where others work on the same names. */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import t, { type Test } from 'tap'
import type { Draft } from '../../backends/backend.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, alice, callOf, codeOf, makeTree, read, type Tree, withFile, write } from './backend-world.ts'

t.setTimeout(120_000)
const call = callOf(alice)
const isRoot = process.getuid?.() === 0

async function treeOf(t: Test, options: Partial<PosixOptions> = {}, parent?: string): Promise<Tree> {
  const tree = await makeTree(options, parent)
  t.teardown(() => tree.end())
  return tree
}

/** A tmpfs of some KiB; needs root. */
function smallFileSystem(t: Test, kilobytes: number): string {
  const directory = mkdtempSync(joinPath(tmpdir(), 'portolan-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', directory])
  t.teardown(() => {
    execFileSync('umount', [directory])
    rmSync(directory, { recursive: true })
  })
  return directory
}

async function fill(draft: Draft, bytes: number): Promise<void> {
  const chunk = Buffer.alloc(64 * 1024, 1)
  await new Promise<void>((resolve, reject) => {
    draft.body.on('error', reject)
    const more = (left: number) => {
      if (left <= 0) draft.body.end((error?: Error | null) => (error ? reject(error) : resolve()))
      else draft.body.write(chunk.subarray(0, left), () => more(left - chunk.length))
    }
    more(bytes)
  })
}

const withoutUnnamed = new URL('./crash-unnamed.ts', import.meta.url).href
const restless = new URL('./restless-operations.ts', import.meta.url).href

t.test('without files that have no name, drafts have a hidden one that the journal knows', async (t) => {
  const tree = await treeOf(t, { operationsModule: withoutUnnamed })
  const { backend, services } = tree
  const draft = await act(backend.create(parsePath('/file'), {}, call))
  const hidden = readdirSync(tree.directory)
  t.equal(hidden.length, 1)
  t.match(hidden[0], /^\.portolan-stage-[0-9a-f]{24}$/)
  t.ok([...services.places][0]?.includes(hidden[0] ?? '-'))
  await fill(draft, 1000)
  const entry = await draft.commit({ condition: 'absent', decide() {} })
  t.equal(entry.size, 1000)
  t.same(tree.leftovers(), [])
  await write(backend, parsePath('/file'), 'new')
  t.equal(await read(backend, parsePath('/file')), 'new')
  t.equal(await codeOf(write(backend, parsePath('/file'), 'x', { condition: 'absent' })), 'exists')
  const discarded = await act(backend.create(parsePath('/other'), {}, call))
  await fill(discarded, 1000)
  await discarded.discard()
  t.same(tree.leftovers(), [])
  t.same(readdirSync(tree.directory), ['file'])
})

t.test(
  'a full disk is no space, the old file stays, and nothing is left',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    for (const operationsModule of [undefined, withoutUnnamed]) {
      const small = smallFileSystem(t, 1024)
      const tree = await treeOf(t, operationsModule ? { operationsModule } : {}, small)
      const { backend } = tree
      await write(backend, parsePath('/file'), 'old')
      const announced = await backend.create(parsePath('/file'), { size: 2 ** 30 }, call)
      t.equal(await codeOf(announced.proceed()), 'no-space', 'what is announced is refused at once')
      await announced.release()
      const draft = await act(backend.create(parsePath('/file'), {}, call))
      t.equal(await codeOf(fill(draft, 4 * 1024 * 1024)), 'no-space')
      t.equal(await codeOf(draft.commit({ condition: 'any', decide() {} })), 'no-space')
      await draft.discard()
      t.equal(await read(backend, parsePath('/file')), 'old')
      t.same(tree.leftovers(), [])
      await write(backend, parsePath('/file'), 'x'.repeat(400_000))
      t.equal(statSync(tree.real('file')).size, 400_000, 'and the room is there again')
      await tree.end()
    }
  },
)

t.test('of commits over one version through two back ends exactly one goes through', async (t) => {
  const tree = await treeOf(t)
  const other = tree.open()
  for (let round = 0; round < 10; round++) {
    const { version } = await write(tree.backend, parsePath('/file'), `round ${round}`)
    const outcomes = await Promise.all(
      [tree.backend, other, tree.backend, other].map((backend, index) =>
        codeOf(write(backend, parsePath('/file'), `by ${index}`, { condition: { versions: [version] } })),
      ),
    )
    t.equal(outcomes.filter((outcome) => outcome === 'precondition').length, 3)
  }
})

t.test('a local program that changes the file meanwhile makes the condition fail', async (t) => {
  const tree = await treeOf(t)
  const { version } = await write(tree.backend, parsePath('/file'), 'old')
  const draft = await act(tree.backend.create(parsePath('/file'), {}, call))
  await fill(draft, 10)
  writeFileSync(tree.real('file'), 'local')
  t.equal(await codeOf(draft.commit({ condition: { versions: [version] }, decide() {} })), 'precondition')
  await draft.discard()
  t.equal(await read(tree.backend, parsePath('/file')), 'local')
})

t.test('what a local program puts on a file stays with it when it is replaced', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'old')
  withFile(tree.real('file'), (fd) => sys.fsetxattr(fd, 'user.label', Buffer.from('kept'), 0))
  chmodSync(tree.real('file'), 0o751)
  await write(tree.backend, parsePath('/file'), 'new')
  t.equal(withFile(tree.real('file'), (fd) => sys.fgetxattr(fd, 'user.label'))?.toString(), 'kept')
  t.equal(statSync(tree.real('file')).mode & 0o7777, 0o751)
  chmodSync(tree.real('file'), 0o4755)
  await write(tree.backend, parsePath('/file'), 'newer')
  t.equal(statSync(tree.real('file')).mode & 0o7777, 0o755, 'but no file becomes setuid')
})

t.test('a new name takes no lease, an old one does', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'x')
  t.same(tree.services.leased, [])
  await write(tree.backend, parsePath('/file'), 'y')
  t.equal(tree.services.leased.length, 1)
  t.match(tree.services.leased[0], /^posix:[0-9a-f-]+\/file$/)
})

t.test('a lease that is not to be had leaves the old file and nothing else', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'old')
  const { leases } = tree.services
  Object.assign(tree.services, {
    leases: { withLease: async () => Promise.reject(new StorageError('busy', 'no', { retryAfter: 1 })) },
  })
  t.equal(await codeOf(write(tree.backend, parsePath('/file'), 'new')), 'busy')
  Object.assign(tree.services, { leases })
  t.equal(await read(tree.backend, parsePath('/file')), 'old')
  t.same(tree.leftovers(), [])
})

t.test('a journal that cannot be written stops what needs it', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'old')
  Object.assign(tree.services, {
    journal: { ...tree.services.journal, add: async () => Promise.reject(new StorageError('unavailable', 'no')) },
  })
  t.equal(await codeOf(write(tree.backend, parsePath('/file'), 'new')), 'unavailable')
  t.equal(await codeOf(act(tree.backend.mkdir(parsePath('/directory'), call))), 'unavailable')
  t.same(readdirSync(tree.directory), ['file'])
  t.equal(await read(tree.backend, parsePath('/file')), 'old')
})

t.test('a sweep takes hidden names away, and touches nothing else', async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('directory'))
  const names = ['.portolan-stage-111111111111111111111111', 'directory/.portolan-stage-222222222222222222222222']
  for (const name of names) writeFileSync(tree.real(name), 'left')
  mkdirSync(tree.real('.portolan-stage-333333333333333333333333'))
  writeFileSync(tree.real('mine'), 'mine')
  const { places } = tree.services
  places.add(JSON.stringify({ directory: '/', name: '.portolan-stage-111111111111111111111111' }))
  places.add(JSON.stringify({ directory: '/directory', name: '.portolan-stage-222222222222222222222222' }))
  places.add(JSON.stringify({ directory: '/', name: '.portolan-stage-333333333333333333333333' }))
  places.add(JSON.stringify({ directory: '/gone', name: '.portolan-stage-444444444444444444444444' }))
  for (const odd of ['nonsense', '{"directory":"/","name":"mine"}', '{"directory":"/","name":"../mine"}', 'null']) {
    places.add(odd)
  }
  t.equal(await tree.backend.sweep(0), 8)
  t.same(tree.leftovers(), [])
  t.same(readdirSync(tree.directory).sort(), ['directory', 'mine'])
})

t.test('bytes of a copy are those of one version', async (t) => {
  const tree = await treeOf(t)
  const bytes = Buffer.alloc(40 * 1024 * 1024, 7)
  await write(tree.backend, parsePath('/from'), bytes)
  const copy = await act(
    tree.backend.copying.copy(parsePath('/from'), parsePath('/to'), { condition: 'absent', decide() {} }, call),
  )
  t.equal(copy.size, bytes.length)
  t.same(tree.leftovers(), [])
})

t.test('a file whose attributes change while it is replaced is replaced all the same', async (t) => {
  const tree = await treeOf(t)
  const { backend } = tree
  const path = parsePath('/f')
  await write(backend, path, 'old')
  /** Makes the file another one than was seen. */
  const touch = () => {
    const changed = () => statSync(tree.real('f'), { bigint: true }).ctimeNs
    for (const before = changed(); changed() === before; ) chmodSync(tree.real('f'), 0o640)
  }
  const replace = (touches: number) => {
    let left = touches
    return codeOf(write(backend, path, 'new bytes', { decide: () => void (left-- > 0 && touch()) }))
  }
  t.match(await replace(3), { type: 'file', size: 9 })
  t.equal(await read(backend, path), 'new bytes')
  t.equal(await replace(1000), 'busy')
  t.same(tree.leftovers(), [])
})

t.test('also where they change as late as can be', async (t) => {
  const { backend, leftovers } = await treeOf(t, { operationsModule: restless, threads: 1 })
  await write(backend, parsePath('/f'), 'old')
  await write(backend, parsePath('/f'), 'new bytes')
  t.equal(await read(backend, parsePath('/f')), 'new bytes')
  t.same(leftovers(), [])
})
