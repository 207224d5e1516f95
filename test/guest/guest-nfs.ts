/** Runs inside the guest, with a real NFSv4 mount at /mnt/nfs. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Ace } from '../../acl/acl.ts'
import { permitsTrail } from '../../acl/authorizer.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { decodeNfs4Acl, encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { acesFromPosix } from '../../acl/posix.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { conformance, type Deviation } from '../backends/conformance.ts'
import {
  act,
  alice,
  bob,
  callOf,
  codeOf,
  fill,
  makeTree,
  read,
  TestServices,
  withFile,
  write,
} from '../posix/backend-world.ts'

t.setTimeout(440_000)

const deviations: readonly Deviation[] = [
  {
    test: 'new objects inherit the entries that are marked so',
    reason: 'the file system of this server keeps POSIX ACLs, and it refuses a list that inherits entry by entry',
  },
]

const mount = '/mnt/nfs'
const attribute = 'system.nfs4_acl'

const shown = (path: string) => parseNfs4Text(execFileSync('nfs4_getfacl', [path], { encoding: 'utf8' }), 'file')
const stored = (path: string): readonly Ace[] =>
  decodeNfs4Acl(withFile(path, (fd) => sys.fgetxattr(fd, attribute)) ?? Buffer.alloc(0))

t.test('the codec reads what nfs4_getfacl reads', async (t) => {
  const file = join(mount, 'read')
  writeFileSync(file, '')
  t.same(stored(file), shown(file), 'a list made from the mode')
  for (const change of ['A::41001:RX', 'A:g:41900:RW', 'A::41002:R']) {
    execFileSync('nfs4_setfacl', ['-a', change, file])
    t.same(stored(file), shown(file), change)
  }
  const directory = join(mount, 'read-dir')
  mkdirSync(directory)
  execFileSync('nfs4_setfacl', ['-a', 'A:fd:41001:RWX', directory])
  const list = parseNfs4Text(execFileSync('nfs4_getfacl', [directory], { encoding: 'utf8' }), 'directory')
  t.same(stored(directory), list)
  t.ok(
    list.some(({ flags }) => (flags & 3) === 3),
    'with entries that inherit',
  )
})

t.test('nfs4_getfacl reads what the codec writes', async (t) => {
  const file = join(mount, 'written')
  writeFileSync(file, '')
  const aces = parseNfs4Text('A::OWNER@:rwatTcCy\nA::41001:rtcy\nA:g:GROUP@:rtcy\nA::EVERYONE@:tcy', 'file')
  withFile(file, (fd) => sys.fsetxattr(fd, attribute, encodeNfs4Acl(aces), 0))
  const named = shown(file).find(({ who }) => typeof who === 'object' && 'user' in who && who.user === '41001')
  t.equal((named?.mask ?? 0) & 7, 1, 'the named user may read and not write')
  t.same(stored(file), shown(file))
  t.throws(
    () => withFile(file, (fd) => sys.fsetxattr(fd, attribute, Buffer.from([0, 0, 0, 9]), 0)),
    'garbage is refused',
  )
})

t.test('where a name must be free, a file of somebody else is moved all the same', async (t) => {
  const tree = await makeTree({ grade: 'native', acl: ['nfs4'] }, mount)
  t.teardown(() => tree.end())
  writeFileSync(tree.real('foreign'), 'of root', { mode: 0o600 })
  const call = callOf(alice)
  const move = () => act(tree.backend.rename(parsePath('/foreign'), parsePath('/moved'), { condition: 'absent' }, call))
  await move()
  t.same(readdirSync(tree.directory), ['moved'])
  writeFileSync(tree.real('foreign'), 'another')
  t.equal(await codeOf(move()), 'exists')
  t.equal(readFileSync(tree.real('moved'), 'utf8'), 'of root')
})

t.test('the gateway grade judges by the lists that the server shows', async (t) => {
  const root = join(mount, 'gateway')
  mkdirSync(root)
  const backend = new PosixBackend({ root, grade: 'gateway', acl: ['nfs4'], threads: 1 }, new TestServices())
  t.teardown(() => backend.close())
  await backend.ready()
  const file = parsePath('/file')
  writeFileSync(join(root, 'file'), 'of the service')
  execFileSync('nfs4_setfacl', ['-a', 'A::41001:R', join(root, 'file')])
  const { entry, ancestors } = await backend.walk(file, callOf(alice))
  t.same(entry?.acl?.aces, shown(join(root, 'file')))
  const trail = { ancestors, parentExists: true, entry }
  t.equal(permitsTrail({ ...alice, user: '41001' }, 'replace', trail, file).allowed, false)
  t.equal(permitsTrail({ ...alice, user: '41001' }, 'read', trail, file).allowed, true, 'the numeric name is his')
  t.equal(permitsTrail({ ...bob, groups: new Set() }, 'replace', trail, file).allowed, false)
})

t.test('the native grade: the server decides, as the user', async (t) => {
  const tree = await makeTree({ grade: 'native', acl: ['nfs4'] }, mount)
  t.teardown(() => tree.end())
  const file = parsePath('/mine')
  await write(tree.backend, file, 'by alice')
  t.equal(await read(tree.backend, file), 'by alice')
  execFileSync('chmod', ['600', tree.real('mine')])
  t.equal(await codeOf(read(tree.backend, file, bob)), 'denied')
  execFileSync('nfs4_setfacl', ['-a', 'A::41002:R', tree.real('mine')])
  t.equal(await read(tree.backend, file, bob), 'by alice', 'an entry of the list lets bob read')
  t.equal(await codeOf(write(tree.backend, file, 'by bob', { as: bob })), 'denied')
  t.same(tree.leftovers(), [])
})

t.test('an attribute for which the server has no room is refused as that', async (t) => {
  const tree = await makeTree({ grade: 'native', acl: ['nfs4'] }, mount)
  t.teardown(() => tree.end())
  const file = parsePath('/file')
  await write(tree.backend, file, 'bytes')
  const { xattrs } = tree.backend
  const set = (bytes: number) => act(xattrs.set(file, 'key', Buffer.alloc(bytes, 1), 'any', callOf(alice)))
  await set(3000)
  await t.rejects(set(6000), { code: 'no-space', message: 'there is no room for this attribute' })
  t.same(await act(xattrs.get(file, 'key', callOf(alice))), Buffer.alloc(3000, 1))
})

t.test('the native grade keeps the rules of every back end', (t) =>
  conformance(t, {
    name: 'posix native over NFSv4.2',
    deviations,
    start: async () => {
      const tree = await makeTree(
        { grade: 'native', acl: ['nfs4'], reserved: ['.snapshots'], crossMounts: true },
        mount,
      )
      return {
        backend: tree.backend,
        principals: [alice, bob] as const,
        reserved: ['.snapshots'],
        // The protocol has no operations for them (RFC 7862, sections 15.1 and 15.4; RFC 8881, section 18.26).
        lacks: ['exchanging', 'reserving'],
        acl: {
          owner: undefined,
          group: undefined,
          dialect: 'posix',
          aces: acesFromPosix(
            { owner: 7, users: [{ id: 41002, permission: 5 }], group: 4, groups: [], mask: 5, other: 0 },
            'file',
          ),
        },
        fill: async (directory: string, names: readonly string[]) => fill(tree.real(directory), names),
        link: async (path: string, target: string) => symlinkSync(target, tree.real(path)),
        leftovers: async () => tree.leftovers(),
        cleanup: tree.end,
      }
    },
  }),
)
