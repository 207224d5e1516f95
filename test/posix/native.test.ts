/** The system calls, on a real tree. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import * as sys from '../../backends/posix/native/sys.ts'

/** A directory of our own and a descriptor of it. */
function tree(t: Test): { readonly top: string; readonly dir: number } {
  const top = mkdtempSync(join(tmpdir(), 'portolan-native-'))
  const dir = sys.openat(sys.AT_FDCWD, top, sys.O_RDONLY | sys.O_DIRECTORY, 0)
  t.teardown(() => {
    sys.close(dir)
    rmSync(top, { recursive: true, force: true })
  })
  return { top, dir }
}

function create(dir: number, name: sys.Name, text = ''): number {
  const fd = sys.openat(dir, name, sys.O_RDWR | sys.O_CREAT | sys.O_EXCL, 0o640)
  if (text) sys.pwrite(fd, Buffer.from(text), 0)
  return fd
}

t.test('attributes are those that Node sees', async (t) => {
  const { top, dir } = tree(t)
  const fd = create(dir, 'file', 'twelve bytes')
  const expected = statSync(join(top, 'file'), { bigint: true })
  const opened = sys.fstat(fd)
  t.match(opened, {
    ino: expected.ino,
    mode: Number(expected.mode),
    nlink: 1,
    uid: Number(expected.uid),
    gid: Number(expected.gid),
    size: 12,
    blocks: Number(expected.blocks),
    mtimeNs: expected.mtimeNs,
    ctimeNs: expected.ctimeNs,
  })
  t.same(sys.fstatat(dir, 'file', sys.AT_SYMLINK_NOFOLLOW), opened)
  t.not(sys.fstat(dir).ino, opened.ino)
  t.equal(sys.fstat(dir).dev, opened.dev)
  sys.close(fd)
})

t.test('a failed call throws its code, its number and its name', async (t) => {
  const { dir } = tree(t)
  t.throws(() => sys.fstatat(dir, 'none', 0), { code: 'ENOENT', errno: 2, syscall: 'statx' })
  t.throws(() => sys.close(12345), { code: 'EBADF' })
  t.throws(() => sys.mkdirat(dir, 'a\0b', 0o700), { code: 'EINVAL' }, 'a NUL does not end a name early')
  t.throws(() => sys.mkdirat(dir, Buffer.from('a\0b'), 0o700), { code: 'EINVAL' })
  t.throws(() => sys.mkdirat(dir, 'x'.repeat(256), 0o700), { code: 'ENAMETOOLONG' })
  t.throws(() => sys.mkdirat(dir, 'ü'.repeat(5000), 0o700), { code: 'ENAMETOOLONG' })
  t.throws(() => sys.mkdirat(dir, Buffer.alloc(5000, 97), 0o700), { code: 'ENAMETOOLONG' })
  t.equal(sys.errnoName(122), 'EDQUOT')
  t.equal(sys.errnoName(116), 'ESTALE')
  t.equal(sys.errnoName(95), 'ENOTSUP')
})

t.test('names of any bytes are made and read back; what is not UTF-8 has no text', async (t) => {
  const { dir } = tree(t)
  const names = [' ', 'a b', '#?%&+;', 'new\nline', '\u202Ertl', '🗺️', '-rf', '.hidden', '\uFFFD', 'ä', 'x'.repeat(255)]
  for (const name of names) sys.close(create(dir, name))
  sys.close(create(dir, Buffer.from([0xff, 0x41])))
  const entries = sys.getdents(dir)
  t.same(new Set(entries.map(({ name }) => name)), new Set([...names, undefined]))
  t.equal(entries.length, names.length + 1, 'without "." and ".."')
  t.ok(entries.every(({ type }) => type === sys.DT_REG || type === sys.DT_UNKNOWN))
  t.same(sys.getdents(dir), [], 'nothing after the end')
  sys.lseek(dir, 0, sys.SEEK_SET)
  t.equal(sys.getdents(dir).length, entries.length, 'rewound, they come again')
})

t.test('a large directory comes in batches, each name once', async (t) => {
  const { dir } = tree(t)
  for (let count = 0; count < 1000; count++) sys.close(create(dir, `file-${count}`))
  const seen = new Set<string>()
  let batches = 0
  for (let batch = sys.getdents(dir, 4096); batch.length > 0; batch = sys.getdents(dir, 4096)) {
    batches++
    for (const { name } of batch) seen.add(name ?? '')
  }
  t.equal(seen.size, 1000)
  t.ok(batches > 5, `${batches} batches`)
})

t.test('bytes are read and written where told, beyond 4 GiB too', async (t) => {
  const { dir } = tree(t)
  const fd = create(dir, 'file')
  const far = 5 * 1024 ** 3
  t.equal(sys.pwrite(fd, Buffer.from('far'), far), 3)
  const into = Buffer.alloc(10)
  t.equal(sys.pread(fd, into, far + 1), 2)
  t.equal(into.toString('utf8', 0, 2), 'ar')
  t.equal(sys.fstat(fd).size, far + 3)
  t.equal(sys.lseek(fd, 0, sys.SEEK_DATA) > 1024 ** 3, true, 'with a hole before')
  sys.ftruncate(fd, 5)
  sys.fallocate(fd, 0, 0, 8192)
  t.equal(sys.fstat(fd).size, 8192)
  sys.fallocate(fd, sys.FALLOC_FL_KEEP_SIZE, 0, 65536)
  t.equal(sys.fstat(fd).size, 8192)
  sys.fsync(fd)
  sys.fdatasync(fd)
  sys.close(fd)
})

t.test('a file without a name gets one that must be free', async (t) => {
  const { top, dir } = tree(t)
  const fd = sys.openat(dir, '.', sys.O_TMPFILE | sys.O_RDWR, 0o604)
  sys.pwrite(fd, Buffer.from('new'), 0)
  t.same(sys.getdents(dir), [])
  sys.linkDescriptor(fd, dir, 'file')
  t.equal(readFileSync(join(top, 'file'), 'utf8'), 'new')
  t.throws(() => sys.linkDescriptor(fd, dir, 'file'), { code: 'EEXIST' })
  sys.close(fd)
})

t.test('rename replaces, refuses or exchanges', async (t) => {
  const { top, dir } = tree(t)
  for (const name of ['a', 'b']) sys.close(create(dir, name, name))
  t.throws(() => sys.renameat2(dir, 'a', dir, 'b', sys.RENAME_NOREPLACE), { code: 'EEXIST' })
  sys.renameat2(dir, 'a', dir, 'b', sys.RENAME_EXCHANGE)
  t.equal(readFileSync(join(top, 'a'), 'utf8'), 'b')
  sys.renameat2(dir, 'a', dir, 'b', 0)
  t.equal(readFileSync(join(top, 'b'), 'utf8'), 'b')
  t.throws(() => sys.fstatat(dir, 'a', 0), { code: 'ENOENT' })
})

t.test('directories, links and their targets', async (t) => {
  const { dir } = tree(t)
  sys.mkdirat(dir, 'd', 0o750)
  t.equal(sys.fstatat(dir, 'd', 0).mode & sys.S_IFMT, sys.S_IFDIR)
  sys.symlinkat('/some/where', dir, 'link')
  t.equal(sys.readlinkat(dir, 'link').toString(), '/some/where')
  const link = sys.openat(dir, 'link', sys.O_PATH | sys.O_NOFOLLOW, 0)
  t.equal(sys.readlinkat(link, '').toString(), '/some/where')
  t.equal(sys.fstat(link).mode & sys.S_IFMT, sys.S_IFLNK)
  sys.close(link)
  sys.close(create(dir, 'file'))
  sys.linkat(dir, 'file', dir, 'second', 0)
  t.equal(sys.fstatat(dir, 'file', 0).nlink, 2)
  t.throws(() => sys.unlinkat(dir, 'd', 0), { code: 'EISDIR' })
  sys.unlinkat(dir, 'd', sys.AT_REMOVEDIR)
  sys.unlinkat(dir, 'link', 0)
})

t.test('attributes change on open objects, those opened with O_PATH too', async (t) => {
  const { dir } = tree(t)
  sys.close(create(dir, 'file'))
  for (const flags of [sys.O_RDONLY, sys.O_PATH]) {
    const fd = sys.openat(dir, 'file', flags, 0)
    sys.fchmod(fd, 0o604)
    sys.futimens(fd, 'omit', -1_500_000_001n)
    t.match(sys.fstat(fd), { mode: sys.S_IFREG | 0o604, mtimeNs: -1_500_000_001n })
    sys.fchmod(fd, 0o600)
    sys.futimens(fd, 12_345_678_901n, 'now')
    t.equal(sys.fstat(fd).atimeNs, 12_345_678_901n)
    t.ok(sys.fstat(fd).mtimeNs > 1_600_000_000_000_000_000n)
    sys.fchown(fd, undefined, process.getgid?.())
    sys.close(fd)
  }
})

t.test('extended attributes of every size, those of O_PATH too', async (t) => {
  const { dir } = tree(t)
  const fd = create(dir, 'file')
  const path = sys.openat(dir, 'file', sys.O_PATH, 0)
  try {
    sys.fsetxattr(fd, 'user.test', Buffer.from('value'), sys.XATTR_CREATE)
  } catch (error) {
    if (!sys.isErrno(error, 'ENOTSUP')) throw error
    t.pass('there are none on this file system')
    return
  }
  t.equal(sys.fgetxattr(fd, 'user.test')?.toString(), 'value')
  t.equal(sys.fgetxattr(path, 'user.test')?.toString(), 'value')
  t.equal(sys.fgetxattr(path, 'user.none'), undefined)
  t.throws(() => sys.fsetxattr(path, 'user.test', Buffer.from('x'), sys.XATTR_CREATE), { code: 'EEXIST' })
  sys.fsetxattr(path, 'user.large', Buffer.alloc(2000, 120), 0)
  t.equal(sys.fgetxattr(fd, 'user.large')?.length, 2000)
  t.same(new Set(sys.flistxattr(path).filter((name) => name.startsWith('user.'))), new Set(['user.test', 'user.large']))
  t.equal(sys.fremovexattr(path, 'user.test'), true)
  t.equal(sys.fremovexattr(fd, 'user.test'), false)
  sys.close(path)
  sys.close(fd)
})

t.test('bytes are copied inside the kernel', async (t) => {
  const { dir } = tree(t)
  const from = create(dir, 'from', 'some bytes')
  const to = create(dir, 'to')
  t.equal(sys.copyFileRange(from, 5, to, 2, 100), 5)
  t.equal(sys.copyFileRange(from, 10, to, 7, 100), 0, 'none at the end')
  const into = Buffer.alloc(10)
  sys.pread(to, into, 0)
  t.equal(into.toString('utf8', 2, 7), 'bytes')
  sys.close(from)
  sys.close(to)
})

t.test('a lock of one open file excludes another', async (t) => {
  const { dir } = tree(t)
  const first = create(dir, 'file')
  const second = sys.openat(dir, 'file', sys.O_RDONLY, 0)
  const copy = sys.dup(first)
  sys.flock(first, sys.LOCK_EX)
  t.throws(() => sys.flock(second, sys.LOCK_EX | sys.LOCK_NB), { code: 'EAGAIN' })
  sys.flock(copy, sys.LOCK_UN)
  sys.flock(second, sys.LOCK_EX | sys.LOCK_NB)
  for (const fd of [first, second, copy]) sys.close(fd)
})

t.test('descriptors are not handed to programs', async (t) => {
  const { dir } = tree(t)
  const fds = [create(dir, 'file'), sys.dup(dir), sys.openat2(dir, '.', sys.O_RDONLY, 0, sys.RESOLVE_BENEATH)]
  const seen = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
  t.notMatch(seen, /portolan-native-/)
  for (const fd of fds) sys.close(fd)
})

t.test('the file system tells its kind and its room', async (t) => {
  const { top, dir } = tree(t)
  const { type, blockSize, blocks, available } = sys.fstatfs(dir)
  t.equal(type.toString(16), execFileSync('stat', ['-f', '-c', '%t', top], { encoding: 'utf8' }).trim())
  t.ok(blocks >= available && blockSize >= 512)
})

t.test('access is asked of the kernel', async (t) => {
  const { dir } = tree(t)
  sys.close(create(dir, 'file'))
  t.equal(sys.faccessat2(dir, 'file', sys.R_OK, sys.AT_EACCESS), true)
  t.equal(sys.faccessat2(dir, 'file', sys.X_OK, sys.AT_EACCESS), false, 'nobody, root included, may execute it')
  t.throws(() => sys.faccessat2(dir, 'none', sys.R_OK, sys.AT_EACCESS), { code: 'ENOENT' })
})

t.test('a link that stays beneath is followed where links are allowed', async (t) => {
  const { top, dir } = tree(t)
  mkdirSync(join(top, 'real'))
  writeFileSync(join(top, 'real/file'), 'x')
  symlinkSync('real', join(top, 'link'))
  const fd = sys.openat2(dir, 'link/file', sys.O_RDONLY, 0, sys.RESOLVE_BENEATH | sys.RESOLVE_NO_MAGICLINKS)
  t.equal(sys.fstat(fd).size, 1)
  sys.close(fd)
})
