/** A file system that keeps NFSv4 ACLs of its own, as an NFSv4 mount does: here a FUSE tree that stores the attribute. */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import t from 'tap'
import { type Ace, right } from '../../acl/acl.ts'
import { permitsTrail } from '../../acl/authorizer.ts'
import { decodeNfs4Acl, encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { modeOf } from '../../acl/mode.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { bytesOf } from '../../backends/posix/new-objects.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { noFuse, startHangingFuse } from '../peers/hanging-fuse.ts'
import { act, alice, bob, callOf, codeOf, openAcl, read, TestServices, withFile, write } from './backend-world.ts'

const name = 'system.nfs4_acl'
const full = 0x1f01ff
const aces: readonly Ace[] = [
  { type: 'allow', flags: 0x3, mask: full, who: 'OWNER@' },
  { type: 'allow', flags: 0x3, mask: full, who: { user: 'alice@desy.de' } },
  {
    type: 'allow',
    flags: 0x43,
    mask: right.readData | right.execute | right.readAttributes,
    who: { group: 'cms@desy.de' },
  },
  { type: 'allow', flags: 0x3, mask: right.readAttributes | right.execute, who: 'EVERYONE@' },
]
const file = parsePath('/file')

t.test(
  'its lists are read, inherited by name, kept when a file is replaced, and set',
  { skip: noFuse() },
  async (t) => {
    const directory = mkdtempSync(joinPath(tmpdir(), 'portolan-nfs4-'))
    const fuse = await startHangingFuse(directory)
    t.teardown(async () => {
      await fuse.stop()
      rmSync(directory, { recursive: true, force: true })
    })
    const root = fuse.mountpoint
    withFile(root, (fd) => sys.fsetxattr(fd, name, encodeNfs4Acl(aces), 0))
    const services = new TestServices()
    const options: PosixOptions = { root, grade: 'gateway', threads: 1, acl: ['nfs4', 'xattr', 'posix'] }
    const backend = new PosixBackend(options, services)
    t.teardown(() => backend.close())

    await write(backend, file, 'by alice', { as: bob })
    const stored = () => withFile(joinPath(root, 'file'), (fd) => sys.fgetxattr(fd, name)) ?? Buffer.alloc(0)
    t.same(
      decodeNfs4Acl(stored()).map(({ who }) => who),
      ['OWNER@', { user: 'bob@desy.de' }, { user: 'alice@desy.de' }, { group: 'cms@desy.de' }, 'EVERYONE@'],
      'what is for the owner is for the caller, since the file belongs to the account of the gateway',
    )
    const trail = await backend.walk(file, callOf(alice))
    t.same(trail.entry?.acl?.aces, decodeNfs4Acl(stored()))
    t.equal(permitsTrail(bob, 'replace', trail, file).allowed, true)
    t.equal(permitsTrail({ ...bob, user: 'eve@desy.de' }, 'read', trail, file).allowed, false)

    const before = stored()
    await write(backend, file, 'replaced')
    t.equal(await read(backend, file), 'replaced')
    t.same(stored(), before)

    const list = aces.slice(1)
    const entry = await act(backend.acls.set(file, { ...openAcl, aces: list }, {}, callOf(alice)))
    t.same(entry.acl?.aces, list)
    t.same(decodeNfs4Acl(stored()), list)
    const changed = await act(backend.setAttributes(file, { mode: 0o600 }, callOf(alice)))
    t.equal(modeOf(changed.acl?.aces ?? []), 0o600)
    t.equal(await codeOf(act(backend.setAttributes(file, { owner: 'bob@desy.de' }, callOf(alice)))), 'unsupported')

    const made = await act(backend.mkdir(parsePath('/directory'), callOf(bob)))
    t.ok(made.acl?.aces.some(({ who }) => typeof who === 'object' && 'user' in who && who.user === 'bob@desy.de'))
    withFile(root, (fd) => sys.fsetxattr(fd, name, Buffer.from('broken'), 0))
    t.equal((await backend.walk(parsePath('/'), callOf(alice))).entry?.acl, undefined, 'a broken list is no list')
    t.same([...services.places], [])
    t.same(
      readdirSync(root).filter((one) => one.startsWith('.portolan')),
      [],
    )
  },
)

t.test('owner and group are named where the file system takes the gateway for both', async (t) => {
  const acl = { ...openAcl, aces: [aces[0] as Ace, { type: 'deny', flags: 0, mask: 2, who: 'GROUP@' } as const] }
  const { nfs4, stored } = bytesOf(acl, true, 'nfs4')
  t.equal(stored.length, 0)
  t.same(
    decodeNfs4Acl(nfs4).map(({ who, flags }) => [who, flags]),
    [
      ['OWNER@', 0x3],
      [{ user: 'alice@desy.de' }, 0],
      ['GROUP@', 0],
      [{ group: 'p01@desy.de' }, 0x40],
    ],
  )
})
