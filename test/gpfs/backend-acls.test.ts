/** ACLs by path: how often they are asked for, and what they are tied to. */

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Ace, Acl } from '../../acl/acl.ts'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { act, alice, bob, callOf, codeOf, read, write } from '../posix/backend-world.ts'
import { directoryWith, type Gpfs, type Made, makeGpfs, openAcl } from './backend-world.ts'

const at = parsePath
const listOf = (name: string): Acl => ({
  ...openAcl,
  aces: [{ type: 'allow', flags: 0, mask: 0x1f01ff, who: { user: name } } satisfies Ace],
})

async function setUp(t: Test, options: Made = {}): Promise<Gpfs> {
  const gpfs = await makeGpfs({ clockTolerance: 0, ...options })
  t.teardown(() => gpfs.end())
  return gpfs
}

function file(gpfs: Gpfs, path: string, acl: Acl, content = path): void {
  writeFileSync(gpfs.real(path), content)
  gpfs.acls.put(gpfs.real(path), acl)
}

const nameOfFirst = (entry: Entry | undefined) => {
  const who = entry?.acl?.aces[0]?.who
  return typeof who === 'object' && 'user' in who ? who.user : who
}

async function list(gpfs: Gpfs, path: string, acls: boolean): Promise<Entry[]> {
  const listing = await act(gpfs.backend.list(at(path), { acls }, callOf(alice)))
  const entries: Entry[] = []
  for await (const page of listing.pages()) entries.push(...page)
  return entries
}

t.test('an ACL is asked for once, and again when it was changed behind our back', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('alice@x'))
  for (let i = 0; i < 3; i++) t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), 'alice@x')
  t.same(gpfs.acls.reads.sort(), [gpfs.directory, gpfs.real('a')].sort())
  gpfs.acls.put(gpfs.real('a'), listOf('bob@x'))
  t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), 'bob@x')
  t.equal(gpfs.acls.reads.length, 3)
  t.match((await gpfs.backend.walk(at('/a'), callOf(alice))).entry?.acl, {
    dialect: 'gpfs',
    owner: String(process.getuid?.()),
  })
})

t.test('what changed a moment ago is not remembered', async (t) => {
  const gpfs = await setUp(t, { clockTolerance: 60_000 })
  file(gpfs, 'a', listOf('alice@x'))
  await gpfs.backend.walk(at('/a'), callOf(alice))
  await gpfs.backend.walk(at('/a'), callOf(alice))
  t.equal(gpfs.acls.reads.length, 4)
})

t.test('another file in the place of one is not taken for it, not even with its inode', async (t) => {
  const gpfs = await setUp(t)
  for (let i = 0; i < 20; i++) {
    file(gpfs, 'a', listOf(`n${i}@x`))
    t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), `n${i}@x`)
    rmSync(gpfs.real('a'))
  }
})

t.test('calls at one time for one object are one question', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('alice@x'))
  const entered = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  gpfs.acls.before = () => {
    if (gpfs.acls.reads.length === 2) entered.resolve()
    return go.promise
  }
  const calls = Array.from({ length: 20 }, () => gpfs.backend.walk(at('/a'), callOf(alice)))
  await entered.promise
  go.resolve()
  for (const { entry } of await Promise.all(calls)) t.equal(nameOfFirst(entry), 'alice@x')
  t.equal(gpfs.acls.reads.length, 2)
})

t.test('a caller who goes away does not take the answer from the others', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('alice@x'))
  await gpfs.backend.walk(root, callOf(alice))
  const entered = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  gpfs.acls.before = () => {
    entered.resolve()
    return go.promise
  }
  const leaving = new AbortController()
  const first = codeOf(gpfs.backend.walk(at('/a'), callOf(alice, leaving.signal)))
  await entered.promise
  const second = gpfs.backend.walk(at('/a'), callOf(alice))
  const third = gpfs.backend.walk(at('/a'), callOf(alice))
  leaving.abort()
  t.equal(await first, 'cancelled')
  go.resolve()
  t.equal(nameOfFirst((await second).entry), 'alice@x')
  t.equal(nameOfFirst((await third).entry), 'alice@x')
})

t.test('a swap during the question is seen: the ACL of another object is never taken', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'secret', listOf('victim@x'))
  file(gpfs, 'bait', listOf('attacker@x'))
  await gpfs.backend.walk(root, callOf(alice))
  let swaps = 0
  const swap = () => {
    swaps++
    renameSync(gpfs.real('secret'), gpfs.real('aside'))
    renameSync(gpfs.real('bait'), gpfs.real('secret'))
  }
  const back = () => {
    renameSync(gpfs.real('secret'), gpfs.real('bait'))
    renameSync(gpfs.real('aside'), gpfs.real('secret'))
  }
  const onlySecret = (path: string) => path === gpfs.real('secret')
  gpfs.acls.before = (path) => (onlySecret(path) ? swap() : undefined)
  gpfs.acls.after = (path) => (onlySecret(path) ? back() : undefined)
  const { entry } = await gpfs.backend.walk(at('/secret'), callOf(alice))
  t.ok(swaps > 1, `tried ${swaps} times`)
  t.equal(entry?.acl, undefined, 'no ACL, which is a refusal')
  gpfs.acls.before = () => {}
  gpfs.acls.after = () => {}
  t.equal(nameOfFirst((await gpfs.backend.walk(at('/secret'), callOf(alice))).entry), 'victim@x')
})

t.test('a swap of a directory above during the question is seen', async (t) => {
  const gpfs = await setUp(t)
  for (const [directory, who] of [
    ['real', 'victim@x'],
    ['trap', 'attacker@x'],
  ] as const) {
    directoryWith(gpfs.acls, gpfs.real(directory))
    file(gpfs, `${directory}/f`, listOf(who))
  }
  await gpfs.backend.walk(at('/real'), callOf(alice))
  let swaps = 0
  gpfs.acls.before = (path) => {
    if (path !== gpfs.real('real', 'f')) return
    swaps++
    renameSync(gpfs.real('real'), gpfs.real('aside'))
    renameSync(gpfs.real('trap'), gpfs.real('real'))
  }
  gpfs.acls.after = (path) => {
    if (path !== gpfs.real('real', 'f')) return
    renameSync(gpfs.real('real'), gpfs.real('trap'))
    renameSync(gpfs.real('aside'), gpfs.real('real'))
  }
  const { entry } = await gpfs.backend.walk(at('/real/f'), callOf(alice))
  t.ok(swaps > 1, `tried ${swaps} times`)
  t.equal(entry?.acl, undefined)
})

t.test('a file replaced for good during the question is looked at anew', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('old@x'))
  file(gpfs, 'b', listOf('new@x'))
  let done = false
  gpfs.acls.before = (path) => {
    if (done || path !== gpfs.real('a')) return
    done = true
    renameSync(gpfs.real('b'), gpfs.real('a'))
  }
  t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), 'new@x')
})

t.test('an ACL that changes during the question is read again', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('old@x'))
  let done = false
  gpfs.acls.after = (path) => {
    if (done || path !== gpfs.real('a')) return
    done = true
    gpfs.acls.put(path, listOf('new@x'))
  }
  t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), 'new@x')
  t.equal(nameOfFirst((await gpfs.backend.walk(at('/a'), callOf(alice))).entry), 'new@x')
})

t.test('a directory that is written to all the time can be read all the same', async (t) => {
  const gpfs = await setUp(t)
  directoryWith(gpfs.acls, gpfs.real('busy'))
  await gpfs.backend.walk(root, callOf(alice))
  let count = 0
  gpfs.acls.after = () => writeFileSync(gpfs.real('busy', `f${count++}`), '')
  t.ok((await gpfs.backend.walk(at('/busy'), callOf(alice))).entry?.acl)
})

t.test(
  'a listing asks once for each inode, again for what changed, and not at all where no ACLs are wanted',
  async (t) => {
    const gpfs = await setUp(t)
    directoryWith(gpfs.acls, gpfs.real('d'))
    const names = Array.from({ length: 300 }, (_, i) => `f${i}`)
    for (const name of names) writeFileSync(gpfs.real('d', name), '')
    symlinkSync('f0', gpfs.real('d', 'link'))
    await gpfs.backend.walk(at('/d'), callOf(alice))
    gpfs.acls.reads.length = 0
    t.ok((await list(gpfs, '/d', false)).every(({ acl, type }) => acl === undefined || type === 'symlink'))
    t.equal(gpfs.acls.reads.length, 0)
    const entries = await list(gpfs, '/d', true)
    t.equal(entries.length, 301)
    t.ok(
      entries.every(({ acl }) => acl),
      'each has its ACL',
    )
    t.equal(gpfs.acls.reads.length, 300, 'one for each file, none for the link')
    await list(gpfs, '/d', true)
    t.equal(gpfs.acls.reads.length, 300)
    gpfs.acls.put(gpfs.real('d', 'f7'), listOf('bob@x'))
    const again = await list(gpfs, '/d', true)
    t.equal(gpfs.acls.reads.length, 301)
    t.equal(nameOfFirst(again.find(({ name }) => name === 'f7')), 'bob@x')
    t.equal(
      new Set(again.filter(({ name }) => /^f[1-6]$/.test(name)).map(({ acl }) => acl)).size,
      1,
      'equal lists are one',
    )
  },
)

t.test('an ACL that cannot be read is none; Scale out of reach is told', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'a', listOf('alice@x'))
  for (const code of ['denied', 'invalid', 'unsupported'] as const) {
    gpfs.acls.before = (path) => {
      if (path === gpfs.real('a')) throw new StorageError(code, 'no')
    }
    t.equal((await gpfs.backend.walk(at('/a'), callOf(alice))).entry?.acl, undefined, code)
  }
  gpfs.acls.before = () => {
    throw new StorageError('unavailable', 'Storage Scale does not answer')
  }
  t.equal(await codeOf(gpfs.backend.walk(at('/a'), callOf(alice))), 'unavailable')
  const findings = await gpfs.backend.checking.check()
  t.match(
    findings.find(({ subject }) => subject === 'acl-denied-commands'),
    { level: 'warning' },
  )
  t.match(
    findings.find(({ subject }) => subject === 'acl-provider'),
    { level: 'error' },
  )
})

t.test('new objects have their ACL before they are seen', async (t) => {
  const gpfs = await setUp(t)
  directoryWith(gpfs.acls, gpfs.real('d'), {
    ...openAcl,
    aces: [...openAcl.aces, { type: 'allow', flags: 0x3, mask: 0x1200a9, who: { user: 'carol@desy.de' } }],
  })
  gpfs.acls.beforeWrite = (path) => t.match(path, /\/d\/\.portolan-stage-[0-9a-f]+$/, 'under a hidden name')
  await write(gpfs.backend, at('/d/f'), 'x', { as: bob })
  await act(gpfs.backend.mkdir(at('/d/sub'), callOf(bob)))
  t.equal(gpfs.acls.writes.length, 2)
  for (const name of ['f', 'sub']) {
    const { aces } = gpfs.acls.get(gpfs.real('d', name))
    const own = aces.find(
      ({ who, flags }) => typeof who === 'object' && 'user' in who && who.user === 'bob@desy.de' && (flags & 3) === 0,
    )
    t.ok(own, `the caller is named on ${name}`)
    t.ok(
      aces.some(
        ({ who, flags }) =>
          typeof who === 'object' && 'user' in who && who.user === 'carol@desy.de' && (flags & 0x80) !== 0,
      ),
    )
  }
  t.same(gpfs.leftovers(), [])
})

t.test('an ACL that cannot be written leaves no object and no trace', async (t) => {
  const gpfs = await setUp(t)
  gpfs.acls.beforeWrite = () => {
    throw new StorageError('unavailable', 'Storage Scale does not answer')
  }
  t.equal(await codeOf(write(gpfs.backend, at('/f'), 'x')), 'unavailable')
  t.equal(await codeOf(act(gpfs.backend.mkdir(at('/sub'), callOf(alice)))), 'unavailable')
  t.same(await list(gpfs, '/', false), [])
  t.same(gpfs.leftovers(), [])
})

t.test('replacing keeps the ACL, and where something in it was not understood, the file itself', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'f', { ...openAcl, aces: [...openAcl.aces, ...listOf('zoe@x').aces] }, 'old')
  await write(gpfs.backend, at('/f'), 'new')
  t.equal(await read(gpfs.backend, at('/f')), 'new')
  t.match(gpfs.acls.get(gpfs.real('f')).aces.at(-1), { who: { user: 'zoe@x' } })
  gpfs.acls.writable = false
  gpfs.acls.put(gpfs.real('f'), gpfs.acls.get(gpfs.real('f')))
  const before = (await gpfs.backend.walk(at('/f'), callOf(alice))).entry
  gpfs.acls.writes.length = 0
  await write(gpfs.backend, at('/f'), 'newer')
  t.equal((await gpfs.backend.walk(at('/f'), callOf(alice))).entry?.id, before?.id, 'the same inode')
  t.equal(await read(gpfs.backend, at('/f')), 'newer')
  const set = gpfs.backend.acls?.set(at('/f'), listOf('bob@x'), {}, callOf(alice))
  t.equal(set && (await codeOf(act(set))), 'unsupported')
})

t.test('an ACL is set only over the object that was looked at', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'f', openAcl)
  file(gpfs, 'g', openAcl)
  const { acls } = gpfs.backend
  if (!acls) throw new Error('ACLs are missing')
  const entry = await act(acls.set(at('/f'), listOf('bob@x'), {}, callOf(alice)))
  t.equal(nameOfFirst(entry), 'bob@x')
  const pending = await acls.set(at('/f'), listOf('eve@x'), {}, callOf(alice))
  renameSync(gpfs.real('g'), gpfs.real('f'))
  gpfs.acls.writes.length = 0
  t.equal(await codeOf(pending.proceed()), 'stale')
  await pending.release()
  t.same(gpfs.acls.writes, [], 'nothing was written')
  // Swapped in the last moment: it is told, and looked at again by whoever asked.
  mkdirSync(gpfs.real('dir'))
  file(gpfs, 'dir/h', openAcl)
  file(gpfs, 'i', openAcl)
  gpfs.acls.beforeWrite = () => renameSync(gpfs.real('i'), gpfs.real('dir/h'))
  t.equal(await codeOf(act(acls.set(at('/dir/h'), listOf('eve@x'), {}, callOf(alice)))), 'stale')
  t.same(gpfs.acls.get(gpfs.real('dir/h')).aces, openAcl.aces)
})

t.test('what GPFS has no word for is refused, and -k posix stores nothing', async (t) => {
  const gpfs = await setUp(t)
  file(gpfs, 'f', openAcl)
  const { acls } = gpfs.backend
  if (!acls) throw new Error('ACLs are missing')
  const everyone: Acl = { ...openAcl, aces: [{ type: 'allow', flags: 0, mask: 1, who: 'AUTHENTICATED@' }] }
  t.equal(await codeOf(act(acls.set(at('/f'), everyone, {}, callOf(alice)))), 'unsupported')
  const other = await setUp(t, { prepare: ({ info }) => (info.semantics = 'posix') })
  file(other, 'f', openAcl)
  t.ok((await other.backend.walk(at('/f'), callOf(alice))).entry?.acl, 'shown in translation')
  const set = other.backend.acls?.set(at('/f'), listOf('bob@x'), {}, callOf(alice))
  t.equal(set && (await codeOf(act(set))), 'unsupported')
  t.same(other.acls.writes, [])
  const findings = await other.backend.checking.check()
  t.ok(findings.some(({ subject, text }) => subject === 'acl-kind' && text.startsWith('-k posix')))
  t.ok(findings.some(({ subject }) => subject === 'clock'))
})

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test(
  'in the native grade ACLs cost nothing until they are asked for, and are not set by path',
  { skip },
  async (t) => {
    const gpfs = await setUp(t, { grade: 'native' })
    await write(gpfs.backend, at('/f'), 'x')
    await gpfs.backend.walk(at('/f'), callOf(alice))
    await list(gpfs, '/', false)
    t.same(gpfs.acls.reads, [])
    const { acls } = gpfs.backend
    if (!acls?.get) throw new Error('ACLs cannot be shown')
    t.ok((await act(acls.get(at('/f'), callOf(alice)))).acl)
    t.same(gpfs.acls.reads, [gpfs.real('f')])
    t.equal(await codeOf(act(acls.set(at('/f'), openAcl, {}, callOf(alice)))), 'unsupported')
    t.same(gpfs.acls.writes, [])
  },
)
