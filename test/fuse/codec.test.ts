/** What the kernel sends is read within its bounds, and what it is sent has the layout of its headers. */

import t from 'tap'
import { Errno } from '../../mounts/fuse/errno.ts'
import { Body, readHeader, readLock, readSetattr } from '../../mounts/fuse/kernel/decode.ts'
import { Listing, putAttributes, putEntry, putLock } from '../../mounts/fuse/kernel/encode.ts'
import { agree, putInit, readInit } from '../../mounts/fuse/kernel/init.ts'
import { initFlag, opcode } from '../../mounts/fuse/kernel/protocol.ts'
import type { NodeAttributes } from '../../mounts/fuse/operations.ts'
import { request, u32, u64 } from './requests.ts'

const body = (...parts: readonly Buffer[]) => {
  const bytes = request(opcode.lookup, {}, ...parts)
  return new Body(bytes, bytes.length)
}
const name = (text: string | Buffer) => Buffer.concat([Buffer.from(text), Buffer.alloc(1)])
const number = (thrown: unknown) => (thrown instanceof Errno ? thrown.errno : `${thrown}`)
const thrownBy = (act: () => unknown) => {
  try {
    return act()
  } catch (error) {
    return number(error)
  }
}

const attributes: NodeAttributes = {
  ...{ ino: 2n ** 62n + 1n, size: 2 ** 33 + 5, blocks: 7, mode: 0o100644, nlink: 2, uid: 1000, gid: 100 },
  ...{ atime: 1_700_000_000_000_000_001n, mtime: -1n, ctime: 0n, blksize: 1 << 20 },
}

t.test('a request is its header and as many bytes as it says', async (t) => {
  const bytes = request(
    opcode.getattr,
    { unique: 0x8000_0000_0000_0004n, nodeid: 2 ** 40 + 3, uid: 7, pid: 9 },
    u64(1n),
  )
  t.match(readHeader(bytes, bytes.length), { opcode: 3, key: 4, nodeid: 2 ** 40 + 3, uid: 7, gid: 0, pid: 9 })
  t.equal(readHeader(bytes, 39), undefined, 'shorter than a header')
  t.equal(readHeader(bytes, bytes.length - 1), undefined, 'shorter than it says')
  t.equal(readHeader(bytes.subarray(0, 40), bytes.length), undefined, 'longer than the buffer')
})

t.test('nothing behind the end of a request is read', async (t) => {
  for (const [what, act] of [
    ['a number', (each: Body) => each.u32()],
    ['a long number', (each: Body) => each.u64()],
    ['a name', (each: Body) => each.name()],
    ['data', (each: Body) => each.data(1)],
    ['a skipped field', (each: Body) => each.skip(8)],
    ['attributes', readSetattr],
    ['a lock', readLock],
    ['an INIT', readInit],
  ] as const) {
    // The buffer goes on, as one that is used again does.
    const bytes = Buffer.concat([request(opcode.lookup, {}), Buffer.alloc(200, 'x')])
    t.equal(
      thrownBy(() => act(new Body(bytes, 40))),
      'EIO',
      what,
    )
  }
  t.equal(
    thrownBy(() => body(Buffer.from('no end')).name()),
    'EIO',
    'a name without its NUL',
  )
  const extended = request(opcode.lookup, { extensions: 100 }, name('a'))
  t.equal(
    thrownBy(() => new Body(extended, extended.length)),
    'EIO',
    'extensions longer than the request',
  )
})

t.test('names that no storage can have are refused before anybody sees them', async (t) => {
  for (const [bytes, expected] of [
    [name('a'), 'a'],
    [name('ä'.repeat(127)), 'ä'.repeat(127)],
    [name('a'.repeat(255)), 'a'.repeat(255)],
    [name('a'.repeat(256)), 'ENAMETOOLONG'],
    [name('a'.repeat(4090)), 'ENAMETOOLONG'],
    [name(''), 'EINVAL'],
    [name('.'), 'EINVAL'],
    [name('..'), 'EINVAL'],
    [name('a/b'), 'EINVAL'],
    [name(Buffer.from([0x61, 0xff])), 'EILSEQ'],
    [name(Buffer.from([0xed, 0xa0, 0x80])), 'EILSEQ'],
  ] as const) {
    t.equal(
      thrownBy(() => body(bytes).name('EILSEQ')),
      expected,
      bytes.toString('hex').slice(0, 20),
    )
  }
})

t.test('two names follow each other, and extensions are no part of them', async (t) => {
  const bytes = request(opcode.rename2, { extensions: 1 }, name('from'), name('to'), Buffer.alloc(8))
  const both = new Body(bytes, bytes.length)
  t.same([both.name(), both.name(), both.left], ['from', 'to', 0])
})

t.test('numbers that cannot be exact are refused, lengths may be shortened', async (t) => {
  t.equal(body(u64(2n ** 53n - 1n)).u64(), Number.MAX_SAFE_INTEGER)
  t.equal(
    thrownBy(() => body(u64(2n ** 53n)).u64('EFBIG')),
    'EFBIG',
  )
  t.equal(body(u64(2n ** 64n - 1n)).u64AtMost(4096), 4096)
})

t.test('only what is to be changed is in the changes', async (t) => {
  const changes = (valid: number) => {
    const times = [u64(-5n), u64(100n), u64(0n), u32(1), u32(999_999_999), u32(0)]
    const bytes = [
      u32(valid),
      u32(0),
      u64(11n),
      u64(22n),
      u64(33n),
      ...times,
      u32(0o100600),
      u32(0),
      u32(1),
      u32(2),
      u32(0),
    ]
    return readSetattr(body(...bytes))
  }
  t.same(changes(0), { killSuidGid: false })
  t.same(changes(0x1), { mode: 0o100600, killSuidGid: false })
  t.same(changes(0x248), { size: 22, fh: 11, killSuidGid: false }, 'ftruncate')
  t.same(changes(0x1b6), { uid: 1, gid: 2, atime: 'now', mtime: 'now', killSuidGid: false })
  t.same(changes(0x836), {
    ...{ uid: 1, gid: 2, atime: -5n * 1_000_000_000n + 1n, mtime: 100_999_999_999n, killSuidGid: true },
  })
})

t.test('a lock says from where to where, and a wrong one is refused', async (t) => {
  const lock = (start: bigint, end: bigint, type: number, flags = 0) =>
    readLock(body(u64(5n), u64(2n ** 64n - 1n), u64(start), u64(end), u32(type), u32(77), u32(flags), u32(0)))
  t.same(lock(1n, 2n ** 63n - 1n, 1, 1), {
    ...{ fh: 5, owner: 2n ** 64n - 1n, flock: true },
    lock: { start: 1n, end: 2n ** 63n - 1n, type: 'write', pid: 77 },
  })
  t.equal(
    thrownBy(() => lock(2n, 1n, 0)),
    'EINVAL',
  )
  t.equal(
    thrownBy(() => lock(0n, 1n, 3)),
    'EINVAL',
  )
  const into = Buffer.alloc(24)
  putLock(into, { start: 1n, end: 2n, type: 'unlock', pid: 3 }, 0)
  t.equal(into.toString('hex'), `${'01'.padEnd(16, '0')}${'02'.padEnd(16, '0')}0200000003000000`)
})

t.test('attributes have the layout of fuse_attr, with nanoseconds below a thousand millions', async (t) => {
  const into = Buffer.alloc(88, 0xff)
  putAttributes(into, attributes, 0)
  t.equal(into.readBigUInt64LE(0), 2n ** 62n + 1n)
  t.equal(into.readBigUInt64LE(8), 2n ** 33n + 5n)
  t.same([into.readBigUInt64LE(24), into.readUInt32LE(48)], [1_700_000_000n, 1])
  t.same([into.readBigInt64LE(32), into.readUInt32LE(52)], [-1n, 999_999_999], 'before 1970')
  t.same([into.readUInt32LE(60), into.readUInt32LE(64), into.readUInt32LE(80)], [0o100644, 2, 1 << 20])
  t.equal(
    thrownBy(() => putAttributes(into, { ...attributes, size: -1 }, 0)),
    'EOVERFLOW',
  )
})

t.test('an entry that is not there has a lifetime and nothing else', async (t) => {
  const into = Buffer.alloc(128, 0xff)
  putEntry(into, { nodeid: 0, generation: 0, entryValid: 1500, attrValid: 0, attributes }, 0)
  t.same([into.readBigUInt64LE(0), into.readBigUInt64LE(16), into.readUInt32LE(32)], [0n, 1n, 500_000_000])
  t.ok(into.subarray(40).equals(Buffer.alloc(88)))
})

t.test('directory records are padded, end before the room does, and count as look-ups', async (t) => {
  const entry = { nodeid: 9, generation: 0, entryValid: 0, attrValid: 0, attributes }
  const plain = new Listing(64, false)
  t.ok(plain.add({ name: 'a', ino: 1n, type: 8, cookie: 1n }))
  t.ok(plain.add({ name: 'ü234567', ino: 2n, type: 4, cookie: 2n }), 'eight bytes need no padding')
  t.notOk(plain.add({ name: 'b', ino: 3n, type: 8, cookie: 3n }))
  t.equal(plain.bytes.length, 64)
  t.equal(plain.bytes.toString('utf8', 56, 64), 'ü234567')
  const plus = new Listing(400, true)
  t.ok(plus.add({ name: '.', ino: 1n, type: 4, cookie: 1n }))
  t.ok(plus.add({ name: 'a', ino: 1n, type: 8, cookie: 2n, entry }))
  t.notOk(plus.add({ name: 'b', ino: 1n, type: 8, cookie: 3n, entry }))
  t.same(plus.lookups, [9], 'not the one for which there was no room, and not the dot')
  t.equal(plus.bytes.readBigUInt64LE(0), 0n)
  t.equal(plus.bytes.readBigUInt64LE(160), 9n)
})

t.test('what is agreed on with the kernel is part of what it offers', async (t) => {
  const offer = (major: number, minor: number, low: number, ...more: readonly Buffer[]) =>
    readInit(body(u32(major), u32(minor), u32(131_072), u32(low), ...more))
  const all = offer(7, 45, 0xffff_fffb, u32(0x5fd), Buffer.alloc(44))
  const agreed = agree(all)
  t.match(agreed, { minor: 45, maxWrite: 1 << 20, maxReadahead: 131_072 })
  t.ok(agreed.flags.includes('resend'))
  const into = Buffer.alloc(64, 0xff)
  putInit(into, agreed, 0)
  const flags = BigInt(into.readUInt32LE(12)) | (BigInt(into.readUInt32LE(32)) << 32n)
  t.equal(flags & ~all.flags, 0n, 'nothing that was not offered')
  t.equal((flags >> 16n) & 1n, 0n, 'no write-back by the kernel')
  t.equal(into.readUInt16LE(28), 256, 'pages of a request')
  const shared = agree(all, { isShared: true })
  t.ok(agreed.flags.includes('cacheSymlinks'))
  t.notOk(shared.flags.includes('cacheSymlinks'), 'of a link that one may read the kernel tells nobody else')
  const old = agree(offer(7, 31, 1 << initFlag.posixLocks))
  t.same([old.minor, old.flags, old.maxWrite], [31, ['posixLocks'], 131_072])
  t.equal(
    thrownBy(() => agree(offer(7, 30, 0))),
    'EPROTO',
  )
  t.equal(
    thrownBy(() => agree(offer(8, 1, 0))),
    'EPROTO',
  )
})
