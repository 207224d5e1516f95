/** Where an object's ACL comes from, and what new and changed objects get, in the gateway grade. */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { permitsTrail } from '../../acl/authorizer.ts'
import { encodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { decodeStoredAcl } from '../../acl/codec/stored.ts'
import { aclFromMode } from '../../acl/mode.ts'
import type { Entry } from '../../backends/backend.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { parsePath } from '../../gateway/core/path.ts'
import {
  act,
  alice,
  bob,
  callOf,
  codeOf,
  makeTree,
  openAcl,
  storeAclAt,
  type Tree,
  withFile,
  write,
} from './backend-world.ts'

const call = callOf(alice)
const own = 'user.portolan.acl'

async function treeOf(t: Test, options: Partial<PosixOptions> = {}): Promise<Tree> {
  const tree = await makeTree(options)
  t.teardown(() => tree.end())
  return tree
}

async function entryOf(tree: Tree, path: string): Promise<Entry> {
  const { entry } = await tree.backend.walk(parsePath(path), call)
  if (!entry) throw new Error(`${path} should exist`)
  return entry
}

function setAttribute(path: string, name: string, value: Uint8Array | undefined): void {
  withFile(path, (fd) => (value ? sys.fsetxattr(fd, name, value, 0) : sys.fremovexattr(fd, name)))
}

t.test('the first source that has an ACL counts', async (t) => {
  const tree = await treeOf(t)
  writeFileSync(tree.real('file'), 'x', { mode: 0o640 })
  chmodSync(tree.real('file'), 0o640)
  const { uid, gid } = statSync(tree.real('file'))
  t.same((await entryOf(tree, '/file')).acl, aclFromMode(0o640, 'file', { owner: String(uid), group: String(gid) }))
  storeAclAt(tree.real('file'), openAcl)
  t.same((await entryOf(tree, '/file')).acl, openAcl)
  const posixFirst = tree.open({ acl: ['posix', 'xattr'] })
  t.equal((await posixFirst.walk(parsePath('/file'), call)).entry?.acl?.dialect, 'posix')
  const ownOnly = tree.open({ acl: ['xattr'] })
  setAttribute(tree.real('file'), own, undefined)
  t.equal((await ownOnly.walk(parsePath('/file'), call)).entry?.acl, undefined, 'no ACL is a refusal')
})

t.test('POSIX ACLs are mapped, default ones with what they say of new objects', async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('directory'))
  const posix = { owner: 7, users: [{ id: 1001, permission: 5 }], group: 5, groups: [], mask: 5, other: 0 }
  setAttribute(tree.real('directory'), 'system.posix_acl_access', encodePosixAcl(posix))
  setAttribute(tree.real('directory'), 'system.posix_acl_default', encodePosixAcl({ ...posix, other: 5 }))
  const { acl } = await entryOf(tree, '/directory')
  const named = acl?.aces.filter(({ who }) => typeof who === 'object')
  t.same(
    named?.map(({ who, flags }) => [who, flags]),
    [
      [{ user: '1001' }, 0],
      [{ user: '1001' }, 0xb],
    ],
  )
})

t.test('an ACL that cannot be understood is a refusal and is reported, not the next source', async (t) => {
  const tree = await treeOf(t)
  for (const bytes of [
    Buffer.of(),
    Buffer.from('nonsense'),
    Buffer.of(0x50, 2, 0, 0, 0, 0),
    Buffer.alloc(3000, 0xff),
  ]) {
    writeFileSync(tree.real('file'), 'x', { mode: 0o666 })
    chmodSync(tree.real('file'), 0o666)
    setAttribute(tree.real('file'), own, bytes)
    const trail = await tree.backend.walk(parsePath('/file'), call)
    t.equal(trail.entry?.acl, undefined)
    t.equal(permitsTrail(alice, 'read', trail, parsePath('/file')).allowed, false)
  }
  const findings = await tree.backend.checking.check()
  t.match(
    findings.find(({ subject }) => subject === 'acl-malformed-xattr'),
    { level: 'warning', text: /^met \d+ times/ },
  )
})

t.test('a change of an ACL is seen by the next call', async (t) => {
  const tree = await treeOf(t, { threads: 1 })
  await act(tree.backend.mkdir(parsePath('/directory'), call))
  await write(tree.backend, parsePath('/directory/file'), 'x')
  for (let round = 0; round < 200; round++) {
    const acl: Acl = { ...openAcl, owner: `owner${round}` }
    storeAclAt(tree.real('directory'), acl)
    storeAclAt(tree.real('directory', 'file'), acl)
    const trail = await tree.backend.walk(parsePath('/directory/file'), call)
    t.equal(trail.ancestors[1]?.acl?.owner, acl.owner)
    t.equal(trail.entry?.acl?.owner, acl.owner)
  }
})

t.test('what many objects have in common is one object, and hundreds of different ACLs stay apart', async (t) => {
  const tree = await treeOf(t, { threads: 2 })
  for (let index = 0; index < 300; index++) {
    writeFileSync(tree.real(`file${index}`), 'x')
    storeAclAt(tree.real(`file${index}`), { ...openAcl, group: `g${index % 150}` })
  }
  for (let round = 0; round < 3; round++) {
    const walks = Array.from({ length: 300 }, (_, index) => tree.backend.walk(parsePath(`/file${index}`), call))
    const groups = (await Promise.all(walks)).map(({ entry }) => entry?.acl?.group)
    t.same(
      groups,
      Array.from({ length: 300 }, (_, index) => `g${index % 150}`),
    )
  }
})

t.test('what was remembered of old objects is not told once they have changed', async (t) => {
  const tree = await treeOf(t, { threads: 2 })
  await act(tree.backend.mkdir(parsePath('/directory'), call))
  await write(tree.backend, parsePath('/directory/file'), 'x')
  // Only what has not changed for two seconds is remembered, and that time cannot be set.
  await sleep(2100)
  const owners = async () => {
    const walks = Array.from({ length: 20 }, () => tree.backend.walk(parsePath('/directory/file'), call))
    const trails = await Promise.all(walks)
    return new Set(trails.map(({ ancestors, entry }) => `${ancestors[1]?.acl?.owner} ${entry?.acl?.owner}`))
  }
  t.same([...(await owners())], ['alice@desy.de alice@desy.de'])
  storeAclAt(tree.real('directory'), { ...openAcl, owner: 'one' })
  storeAclAt(tree.real('directory', 'file'), { ...openAcl, owner: 'two' })
  t.same([...(await owners())], ['one two'])
})

t.test(
  'new objects get the inherited list, the caller as owner and the group by the rule of the directory',
  async (t) => {
    const tree = await treeOf(t)
    storeAclAt(tree.directory, { ...openAcl, group: 'experiment@desy.de' })
    await write(tree.backend, parsePath('/file'), 'x', { as: bob })
    t.match((await entryOf(tree, '/file')).acl, { owner: 'bob@desy.de', group: '41002' })
    chmodSync(tree.directory, 0o2700)
    await write(tree.backend, parsePath('/other'), 'x', { as: bob })
    const made = await act(tree.backend.mkdir(parsePath('/directory'), callOf(bob)))
    for (const acl of [(await entryOf(tree, '/other')).acl, made.acl]) {
      t.match(acl, { owner: 'bob@desy.de', group: 'experiment@desy.de' })
    }
    t.equal((made.mode ?? 0) & 0o2000, 0o2000, 'and the directory goes on so')
    const stored = withFile(tree.real('other'), (fd) => sys.fgetxattr(fd, own))
    t.same(
      stored && decodeStoredAcl(stored).aces,
      openAcl.aces.slice(0, 1).map((ace) => ({ ...ace, flags: 0, mask: 0x1f01bf })),
    )
  },
)

t.test('a directory without an ACL takes nothing in', async (t) => {
  const tree = await treeOf(t)
  mkdirSync(tree.real('directory'))
  setAttribute(tree.real('directory'), own, Buffer.from('broken'))
  t.equal(await codeOf(write(tree.backend, parsePath('/directory/file'), 'x')), 'denied')
  t.equal(await codeOf(act(tree.backend.mkdir(parsePath('/directory/inner'), call))), 'denied')
})

t.test('chmod changes the list, and the gateway keeps its own access', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'x')
  const real = statSync(tree.real('file')).mode
  const entry = await act(tree.backend.setAttributes(parsePath('/file'), { mode: 0o4000 }, call))
  t.equal(entry.mode, 0, 'nobody may do anything, and no file gets setuid')
  t.equal(statSync(tree.real('file')).mode, real)
  const again = await act(tree.backend.setAttributes(parsePath('/file'), { mode: 0o640 }, call))
  t.equal(again.mode, 0o640)
  t.equal(again.acl?.owner, 'alice@desy.de')
})

t.test('owner and group are changed in the list', async (t) => {
  const tree = await treeOf(t)
  await write(tree.backend, parsePath('/file'), 'x')
  const changes = { owner: 'bob@desy.de', group: 'p02@desy.de' }
  const entry = await act(tree.backend.setAttributes(parsePath('/file'), changes, call))
  t.match(entry.acl, changes)
  const plain = tree.open({ acl: ['posix'] })
  t.equal(await codeOf(act(plain.setAttributes(parsePath('/file'), { owner: 'bob@desy.de' }, call))), 'invalid')
})

t.test('a list is stored as it is given, over what was seen only', async (t) => {
  const tree = await treeOf(t)
  const path = parsePath('/file')
  await write(tree.backend, path, 'x')
  const pending = await tree.backend.acls.set(path, { ...openAcl, aces: [] }, {}, call)
  await act(tree.backend.setAttributes(path, { mode: 0o600 }, call))
  t.equal(await codeOf(pending.proceed()), 'stale')
  await pending.release()
  const entry = await act(tree.backend.acls.set(path, { ...openAcl, aces: [], owner: 'mallory' }, {}, call))
  t.match(entry.acl, { owner: 'alice@desy.de', aces: [] })
  const posix = tree.open({ acl: ['posix'] })
  t.equal(await codeOf(act(posix.acls.set(path, openAcl, {}, call))), 'unsupported')
})

t.test('whoever gets to a link may see it', async (t) => {
  const tree = await treeOf(t, { acl: ['xattr'] })
  symlinkSync('anywhere', tree.real('link'))
  const trail = await tree.backend.walk(parsePath('/link'), call)
  t.equal(permitsTrail(alice, 'stat', trail, parsePath('/link')).allowed, true)
})

t.test('new files are not executable and belong to nobody else on the machine', async (t) => {
  const tree = await treeOf(t, { umask: 0o077 })
  await write(tree.backend, parsePath('/file'), 'x')
  await act(tree.backend.mkdir(parsePath('/directory'), call))
  t.equal(statSync(tree.real('file')).mode & 0o7777, 0o600)
  t.equal(statSync(tree.real('directory')).mode & 0o7777, 0o700)
})

t.test(
  'the namespace of our attribute can be one that only the superuser writes',
  {
    skip: process.getuid?.() === 0 ? false : 'needs root',
  },
  async (t) => {
    const tree = await treeOf(t, { xattrNamespace: 'trusted' })
    withFile(tree.directory, (fd) => {
      const value = sys.fgetxattr(fd, own)
      if (value) sys.fsetxattr(fd, 'trusted.portolan.acl', value, 0)
    })
    await write(tree.backend, parsePath('/file'), 'x')
    t.match(execFileSync('getfattr', ['-m', '-', tree.real('file')]).toString(), /trusted\.portolan\.acl/)
    t.equal((await entryOf(tree, '/file')).acl?.owner, 'alice@desy.de')
  },
)
