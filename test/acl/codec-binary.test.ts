import t from 'tap'
import type { Acl, Dialect } from '../../acl/acl.ts'
import { formatEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { decodeDacl, decodeNfs4Acl, encodeDacl, encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { decodePosixAcl, encodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { decodeStoredAcl, encodeStoredAcl } from '../../acl/codec/stored.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf } from './cast.ts'

const bytes = (hex: string) => Buffer.from(hex.replace(/\s/g, ''), 'hex')

/** Three entries as the Linux NFSv4 client gives them. */
const worked = bytes(`
  00000003 00000000 00000000 00160187
  00000006 4f574e45 52400000 00000000
  00000040 001200a1 0000000b 636d7340
  64657379 2e646500 00000000 00000000
  00120080 00000009 45564552 594f4e45
  40000000`)
const workedText = 'A::OWNER@:rwatTcCy A:g:cms@desy.de:rxtcy A::EVERYONE@:tcy'

t.test('the worked bytes of system.nfs4_acl are read and written', async (t) => {
  t.equal(decodeNfs4Acl(worked).map(formatEntry).join(' '), workedText)
  t.same(encodeNfs4Acl(parseNfs4Text(workedText, 'file')), worked)
  t.same(decodeNfs4Acl(bytes('00000000')), [], 'an empty list')
  t.same(encodeNfs4Acl([]), bytes('00000000'))
  const shifted = Buffer.concat([Buffer.alloc(3), worked]).subarray(3)
  t.equal(decodeNfs4Acl(shifted).length, 3, 'at an odd place of a buffer')
})

t.test('both forms of GROUP@ are the same entry', async (t) => {
  const group = (flag: string) => bytes(`00000001 00000000 ${flag} 00000001 00000006 47524f555040 0000`)
  t.same(decodeNfs4Acl(group('00000040')), decodeNfs4Acl(group('00000000')))
})

t.test('unknown flags and rights are kept for writing back', async (t) => {
  const odd = bytes('00000001 00000000 00010000 80000801 00000003 626f6200')
  const [ace] = decodeNfs4Acl(odd)
  t.same(ace, makeAce('allow', 0x10000, 0x80000801, { user: 'bob' }))
  t.same(encodeNfs4Acl(decodeNfs4Acl(odd)), odd)
})

t.test('a malformed system.nfs4_acl is invalid as a whole', async (t) => {
  const rows: ReadonlyArray<readonly [string, string | Buffer]> = [
    ['nothing', ''],
    ['half a word', '0000'],
    ['more entries than bytes', '00000001'],
    ['a huge count', 'ffffffff'],
    ['1,025 entries announced', '00000401'],
    ['an unknown type', '00000001 00000004 00000000 00000001 00000003 626f6200'],
    ['a name beyond the end', '00000001 00000000 00000000 00000001 00000009 626f6200'],
    ['a huge name', '00000001 00000000 00000000 00000001 ffffffff 626f6200'],
    ['padding that is not zero', '00000001 00000000 00000000 00000001 00000003 626f6201'],
    ['missing padding', '00000001 00000000 00000000 00000001 00000003 626f62'],
    ['an empty name', '00000001 00000000 00000000 00000001 00000000'],
    ['a name that is not UTF-8', '00000001 00000000 00000000 00000001 00000004 ff626f62'],
    ['a name with NUL', '00000001 00000000 00000000 00000001 00000004 62006f62'],
    ['bytes behind it', Buffer.concat([worked, Buffer.alloc(4)])],
    ['too many bytes', Buffer.alloc(65540)],
  ]
  for (const [what, value] of rows) {
    t.throws(
      () => decodeNfs4Acl(typeof value === 'string' ? bytes(value) : value),
      { name: 'StorageError', code: 'invalid' },
      what,
    )
  }
  t.throws(() => encodeNfs4Acl(Array(1025).fill(makeAce('allow', 0, 1, 'OWNER@'))), { code: 'too-large' })
  const long = { user: 'x'.repeat(380) }
  t.throws(() => encodeNfs4Acl(Array(200).fill(makeAce('allow', 0, 1, long))), { code: 'too-large' })
})

t.test('a dacl has its flags in front and keeps INHERITED_ACE, which the plain list must not have', async (t) => {
  const aces = parseNfs4Text('A:I:bob:r', 'file')
  const dacl = encodeDacl({ flags: 3, aces })
  t.same(dacl, bytes('00000003 00000001 00000000 00000080 00000001 00000003 626f6200'))
  t.same(decodeDacl(dacl), { flags: 3, aces })
  t.same(decodeNfs4Acl(encodeNfs4Acl(aces)).map(formatEntry), ['A::bob:r'])
})

const posixWorked = bytes(`02000000
  0100 0700 ffffffff   0200 0500 e9030000   0400 0500 ffffffff
  0800 0700 d0070000   1000 0500 ffffffff   2000 0000 ffffffff`)

t.test('the worked bytes of system.posix_acl_access are read and written', async (t) => {
  const acl = {
    owner: 7,
    users: [{ id: 1001, permission: 5 }],
    group: 5,
    groups: [{ id: 2000, permission: 7 }],
    mask: 5,
    other: 0,
  }
  t.same(decodePosixAcl(posixWorked), acl)
  t.same(encodePosixAcl(acl), posixWorked)
  const mixed = {
    ...acl,
    users: [
      { id: 9, permission: 1 },
      { id: 3, permission: 2 },
    ],
  }
  t.same(
    decodePosixAcl(encodePosixAcl(mixed)).users.map(({ id }) => id),
    [3, 9],
    'named entries are written by id',
  )
})

t.test('a malformed POSIX ACL is invalid as a whole', async (t) => {
  const [u, g, o, m] = ['01000700ffffffff', '04000500ffffffff', '20000000ffffffff', '10000500ffffffff']
  const rows: ReadonlyArray<readonly [string, string]> = [
    ['nothing', ''],
    ['a head alone', '02000000'],
    ['another version', `01000000${u}${g}${o}`],
    ['no group', `02000000${u}${o}${m}`],
    ['half an entry', `02000000${u}${g}${o}0100`],
    ['out of order', `02000000${g}${u}${o}`],
    ['twice the owner', `02000000${u}${u}${g}${o}`],
    ['an unknown tag', `02000000${u}${g}${o}40000000ffffffff`],
    ['an unknown permission', `0200000001000800ffffffff${g}${o}`],
    ['an owner with an id', `020000000100070001000000${g}${o}`],
    ['a named user without mask', `02000000${u}02000500e9030000${g}${o}`],
    ['a user twice', `02000000${u}02000500e903000002000500e9030000${g}${m}${o}`],
    ['a user without id', `02000000${u}02000500ffffffff${g}${m}${o}`],
  ]
  for (const [what, hex] of rows)
    t.throws(() => decodePosixAcl(bytes(hex)), { name: 'StorageError', code: 'invalid' }, what)
  t.throws(() => encodePosixAcl({ owner: 7, users: [{ id: 1, permission: 4 }], group: 0, groups: [], other: 0 }), {
    code: 'invalid',
  })
  const many = Array.from({ length: 1024 }, (_, id) => ({ id, permission: 4 }))
  t.throws(() => encodePosixAcl({ owner: 7, users: many, group: 0, groups: [], mask: 7, other: 0 }), {
    code: 'too-large',
  })
})

t.test('our own stored form keeps everything and is compact', async (t) => {
  const text =
    'A:fd:OWNER@:rwaDdxtTnNcCoy D:g:cms@desy.de:rxtcy A:I:bob@desy.de:r U:S:EVERYONE@:w A::ANONYMOUS@:r A::BATCH@:r'
  const rows: readonly Acl[] = [
    aclOf(text, { owner: 'alice@desy.de', group: 'physics@desy.de' }),
    aclOf(text, { owner: undefined, group: undefined, flags: 3 }),
    aclOf('', { owner: '1001', group: '100' }),
    ...(['rfc8881', 'gpfs', 'posix', 'dcache'] as const).map((dialect: Dialect) =>
      aclOf('A::EVERYONE@:r', { dialect }),
    ),
    { ...aclOf(''), aces: [makeAce('allow', 0, 0x80000600, { user: 'Jürgen@desy.de' })] },
  ]
  for (const acl of rows) t.same(decodeStoredAcl(encodeStoredAcl(acl)), acl)
  const stored = encodeStoredAcl(aclOf('A::OWNER@:r', { owner: '1001', group: '100' }))
  t.same(stored, bytes('5001 00 03 0004 31303031 0003 313030 0001 00 00 00000001'), 'these bytes are a promise')
})

t.test('a malformed stored ACL is invalid as a whole', async (t) => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ['nothing', ''],
    ['another magic', '4001 00 00 0000'],
    ['another version', '5002 00 00 0000'],
    ['an unknown dialect', '5001 04 00 0000'],
    ['an unknown presence', '5001 00 08 0000'],
    ['an empty owner', '5001 00 01 0000 0000'],
    ['a name beyond the end', '5001 00 01 0009 31 0000'],
    ['more entries than bytes', '5001 00 00 0001'],
    ['too many entries', '5001 00 00 0401'],
    ['an unknown kind of who', '5001 00 00 0001 20 00 00000001'],
    ['a group without its flag', '5001 00 00 0001 18 00 00000001 0003 636d73'],
    ['a user with the flag of groups', '5001 00 00 0001 14 40 00000001 0003 626f62'],
    ['a user like a special name', '5001 00 00 0001 14 00 00000001 0006 4f574e455240'],
    ['bytes behind it', '5001 00 00 0000 00'],
  ]
  for (const [what, hex] of rows)
    t.throws(() => decodeStoredAcl(bytes(hex)), { name: 'StorageError', code: 'invalid' }, what)
  t.throws(() => encodeStoredAcl({ ...aclOf(''), aces: [makeAce('allow', 0x100, 1, 'OWNER@')] }), {
    code: 'unsupported',
  })
  t.throws(() => encodeStoredAcl({ ...aclOf(''), owner: 'a\0b' }), { code: 'invalid' })
  t.throws(() => encodeStoredAcl({ ...aclOf(''), aces: Array(1025).fill(makeAce('allow', 0, 1, 'OWNER@')) }), {
    code: 'too-large',
  })
})
