/** ACLs by libgpfs and descriptor, against a library of our own that keeps them in an extended attribute. */

import { closeSync, constants, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { encodeGpfsStruct } from '../../acl/codec/gpfs-struct.ts'
import { makeAce } from '../../acl/who.ts'
import { libgpfsModule } from '../../backends/gpfs/library-module.ts'
import type { ThreadAclSource } from '../../backends/gpfs/providers.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { compileLibrary } from '../doubles/gpfs/library.ts'

const O_PATH = 0o10000000
const attribute = 'user.gpfs_acl'

async function sourceOf(library: string): Promise<ThreadAclSource> {
  const { createAclSource } = await import(libgpfsModule(library).href)
  return createAclSource()
}

/** A directory whose file system keeps attributes of users, or the reason why the test is skipped. */
async function makePlace(t: Test, release: 'old' | 'new') {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-libgpfs-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const made = compileLibrary(directory, release)
  if ('reason' in made) return made
  const file = join(directory, 'file')
  writeFileSync(file, '')
  const fd = openSync(file, 'r+')
  t.teardown(() => closeSync(fd))
  try {
    sys.fsetxattr(fd, 'user.probe', Buffer.from('x'), 0)
  } catch {
    return { reason: 'needs a file system with attributes of users' }
  }
  return { source: await sourceOf(made.library), directory, file, fd }
}

const acl: Acl = {
  owner: 'nobody asks',
  group: undefined,
  dialect: 'gpfs',
  aces: [
    makeAce('allow', 0x3, 0x1e01ff, 'OWNER@'),
    makeAce('deny', 0, 0x6, { user: '1001' }),
    makeAce('allow', 0x49, 0x1200a9, { group: '2000' }),
    makeAce('allow', 0, 0x120088, 'EVERYONE@'),
  ],
}

for (const release of ['new', 'old'] as const) {
  t.test(`a list is put and got by descriptor, with a library of the ${release} kind`, async (t) => {
    const place = await makePlace(t, release)
    if ('reason' in place) return t.comment(`skipped: ${place.reason}`)
    const { source, file, fd, directory } = place
    t.equal(source.read(fd), undefined, 'an object without one')
    source.write(fd, acl)
    const whose = { owner: String(process.getuid?.()), group: String(process.getgid?.()) }
    t.same(source.read(fd), { ...acl, ...whose })
    const named = openSync(file, O_PATH | constants.O_NOFOLLOW)
    t.teardown(() => closeSync(named))
    t.same(source.read(named), { ...acl, ...whose }, 'by a descriptor that only names it')
    source.write(named, { ...acl, flags: 3 })
    t.equal(source.read(fd)?.flags, 3)
    mkdirSync(join(directory, 'sub'))
    const sub = openSync(join(directory, 'sub'), 'r')
    t.teardown(() => closeSync(sub))
    source.write(sub, acl)
    t.same(source.read(sub)?.aces, acl.aces, 'of a directory')
  })
}

t.test('a list that needs more room than was offered is read all the same', async (t) => {
  const place = await makePlace(t, 'new')
  if ('reason' in place) return t.comment(`skipped: ${place.reason}`)
  const { source, fd } = place
  const aces = Array.from({ length: 638 }, (_, i) => makeAce('allow', 0, 1, { user: String(i + 1) }))
  try {
    source.write(fd, { ...acl, aces })
  } catch {
    return t.comment('skipped: the file system keeps less than 16 KiB of attributes')
  }
  t.equal(source.read(fd)?.aces.length, 638)
  source.write(fd, acl)
  t.equal(source.read(fd)?.aces.length, 4)
})

t.test('a list that is broken or cannot be stored is an error', async (t) => {
  const place = await makePlace(t, 'new')
  if ('reason' in place) return t.comment(`skipped: ${place.reason}`)
  const { source, fd } = place
  const good = Buffer.from(encodeGpfsStruct(acl))
  for (const bytes of [good.subarray(0, 40), Buffer.concat([good.subarray(0, 4), Buffer.alloc(60, 0xff)])]) {
    sys.fsetxattr(fd, attribute, bytes, 0)
    t.throws(() => source.read(fd), { name: 'StorageError', code: 'invalid' })
  }
  const posix = Buffer.from(good)
  posix.writeUInt32LE(1, 8)
  sys.fsetxattr(fd, attribute, posix, 0)
  t.equal(source.read(fd), undefined, 'a traditional ACL')
  t.throws(() => source.write(fd, { ...acl, aces: [makeAce('allow', 0, 1, { user: 'bob@desy.de' })] }), {
    code: 'invalid',
  })
  t.throws(() => source.write(9999, acl), { name: 'StorageError' })
  t.throws(() => source.read(9999), { name: 'StorageError' })
})

t.test('a library that is not there, or is another one, is unavailable', async (t) => {
  await t.rejects(sourceOf('/nowhere/libgpfs.so'), { name: 'StorageError', code: 'unavailable' })
  await t.rejects(sourceOf('libc.so.6'), { name: 'StorageError', code: 'unavailable' })
  t.match(libgpfsModule().href, /library=libgpfs\.so$/)
  t.equal(libgpfsModule('/a b/x&y.so').searchParams.get('library'), '/a b/x&y.so')
})
