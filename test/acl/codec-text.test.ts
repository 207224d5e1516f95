import t from 'tap'
import { aclFromJson, aclToJson } from '../../acl/codec/json.ts'
import { formatEntry, formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf } from './cast.ts'

t.test('NFSv4 ACL text is read in all the shapes its tools accept', async (t) => {
  const rows: ReadonlyArray<readonly [string, 'file' | 'directory', string]> = [
    ['A::OWNER@:rwatTcCy', 'file', 'A::OWNER@:rwatTcCy'],
    ['# file: x\n\n  A::OWNER@:r \n # more\nD:g:cms:w\n', 'file', 'A::OWNER@:r D:g:cms:w'],
    ['A::a@d:r,A::b@d:w\tA::c@d:x', 'file', 'A::a@d:r A::b@d:w A::c@d:x'],
    ['A::OWNER@:r\r\nA::GROUP@:r\r\n', 'file', 'A::OWNER@:r A::GROUP@:r'],
    ['A::bob:R', 'file', 'A::bob:rtncy'],
    ['A::bob:W', 'file', 'A::bob:watTNcCy'],
    ['A::bob:W', 'directory', 'A::bob:waDtTNcCy'],
    ['A::bob:X', 'file', 'A::bob:xtcy'],
    ['A::bob:RX', 'file', 'A::bob:rxtncy'],
    ['A::bob:rD', 'file', 'A::bob:r'],
    ['A::bob:rD', 'directory', 'A::bob:rD'],
    ['A:g:GROUP@:r', 'file', 'A::GROUP@:r'],
    ['A:gdfI:cms@desy.de:rr', 'directory', 'A:fdgI:cms@desy.de:r'],
    ['U:SF:EVERYONE@:r L:F:EVERYONE@:w', 'file', 'U:SF:EVERYONE@:r L:F:EVERYONE@:w'],
    ['A::bob:', 'file', 'A::bob:'],
    ['', 'file', ''],
  ]
  for (const [text, kind, expected] of rows) {
    const aces = parseNfs4Text(text, kind)
    t.equal(aces.map(formatEntry).join(' '), expected, JSON.stringify(text))
    t.same(parseNfs4Text(formatNfs4Text(aces), 'directory'), aces, `${JSON.stringify(text)} written and read again`)
  }
  t.equal(parseNfs4Text('A::EVERYONE@:R', 'file')[0]?.mask, 0x120089)
  t.equal(parseNfs4Text('A::EVERYONE@:W', 'directory')[0]?.mask, 0x1601d6)
  t.equal(parseNfs4Text('A::EVERYONE@:X', 'file')[0]?.mask, 0x1200a0)
})

t.test('errors in NFSv4 ACL text name the line and what is wrong', async (t) => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ['A::OWNER@:r\n\n#x\nA:bob:r', 'line 4: an entry is type:flags:principal:permissions'],
    ['A::bob:r:x', 'line 1: an entry has three colons'],
    ['X::bob:r', 'line 1: the type of an entry is A, D, U or L'],
    ['::bob:r', 'line 1: the type of an entry is A, D, U or L'],
    ['A::OWNER@:r\nA:z:bob:r', 'line 2: "z" is not a flag'],
    ['A::bob:rq', 'line 1: "q" is not a permission'],
    ['A::bob:r\u001b', 'line 1: "U+001b" is not a permission'],
    ['A:::r', 'line 1: an ACL entry names nobody'],
    [`A::${'b'.repeat(400)}:r`, 'line 1: a name in an ACL is longer than 386 bytes'],
    ['A::bob:r\n'.repeat(1025), 'line 1025: more than 1024 entries'],
  ]
  for (const [text, message] of rows) {
    t.throws(() => parseNfs4Text(text, 'file'), { name: 'StorageError', code: 'invalid', message }, message)
  }
  t.throws(() => parseNfs4Text('#'.repeat(600_000), 'file'), { code: 'invalid' })
})

t.test('what NFSv4 ACL text cannot say is not written', async (t) => {
  const rows = [
    makeAce('allow', 0, 0x201, 'OWNER@'),
    makeAce('allow', 0x100, 1, 'OWNER@'),
    makeAce('allow', 0, 1, { user: 'Jane Doe@desy.de' }),
    makeAce('allow', 0, 1, { user: 'a:b' }),
  ]
  for (const ace of rows) t.throws(() => formatEntry(ace), { code: 'unsupported' }, JSON.stringify(ace))
})

const json = {
  owner: 'alice@desy.de',
  group: null,
  dialect: 'rfc8881',
  flags: ['auto-inherit', 'protected'],
  aces: [
    { type: 'allow', who: 'OWNER@', rights: 'rwatTcCy', flags: '' },
    { type: 'deny', who: 'group:cms@desy.de', rights: 'rxtcy', flags: 'fd' },
    { type: 'allow', who: 'user:DESY\\bob', rights: 'r+0x600', flags: 'I+0x100' },
    { type: 'audit', who: 'INTERACTIVE@', rights: 'w', flags: 'SF' },
  ],
}

t.test('JSON is read and written without loss', async (t) => {
  const acl = aclFromJson(json)
  t.same(aclToJson(acl), json)
  t.same(acl.aces[1], makeAce('deny', 0x43, 0x1200a1, { group: 'cms@desy.de' }))
  t.same(acl.aces[2]?.mask, 0x601)
  t.same(JSON.parse(JSON.stringify(aclToJson(acl))), json)
  const short = aclFromJson(
    { aces: [{ type: 'allow', who: 'OWNER@', rights: 'r' }] },
    { owner: 'bob', dialect: 'gpfs' },
  )
  t.same(short, { owner: 'bob', group: undefined, dialect: 'gpfs', aces: [makeAce('allow', 0, 1, 'OWNER@')] })
  t.same(aclFromJson(aclToJson(aclOf('A::BATCH@:r D:fdg:cms:w'))), aclOf('A::BATCH@:r D:fdg:cms:w'))
})

t.test('the dialect is the storage’s to say', async (t) => {
  t.throws(() => aclFromJson({ aces: [], dialect: 'gpfs' }, { dialect: 'rfc8881' }), {
    message: 'dialect is rfc8881 here',
  })
  t.equal(aclFromJson({ aces: [], dialect: 'gpfs' }, { dialect: 'gpfs' }).dialect, 'gpfs')
})

t.test('JSON that is not an ACL is refused with the place', async (t) => {
  const ace = { type: 'allow', who: 'OWNER@', rights: 'r', flags: '' }
  const rows: ReadonlyArray<readonly [unknown, string]> = [
    [null, 'the ACL is not an object'],
    [[], 'the ACL is not an object'],
    [{}, 'aces is not a list'],
    [{ aces: [], acl: 1 }, 'the ACL has an unknown key "acl"'],
    [{ aces: [], dialect: 'ntfs' }, 'dialect is not one of rfc8881, gpfs, posix, dcache'],
    [{ aces: [], owner: 7 }, 'owner is neither a string nor null'],
    [{ aces: [], owner: 'OWNER@' }, 'owner is a special name'],
    [{ aces: [], flags: 1 }, 'flags is not a list'],
    [{ aces: [], flags: ['x'] }, 'flags holds a word other than auto-inherit, protected, defaulted'],
    [{ aces: Array(1025).fill(ace) }, 'aces has more than 1024 entries'],
    [{ aces: [ace, 'x'] }, 'aces[1] is not an object'],
    [{ aces: [{ ...ace, mask: 1 }] }, 'aces[0] has an unknown key "mask"'],
    [{ aces: [{ ...ace, type: 'Allow' }] }, 'aces[0].type is not one of allow, deny, audit, alarm'],
    [{ aces: [{ ...ace, rights: 'rz' }] }, 'aces[0].rights holds "z", which is not one of its letters'],
    [{ aces: [{ ...ace, rights: 'r+6' }] }, 'aces[0].rights holds "+6", which is not one of its letters'],
    [{ aces: [{ ...ace, rights: undefined }] }, 'aces[0].rights is not a string'],
    [{ aces: [{ ...ace, flags: 'fg' }] }, 'aces[0].flags holds g: write "group:NAME" instead'],
    [{ aces: [{ ...ace, who: 'bob' }] }, 'aces[0].who is not a special name, "user:NAME" or "group:NAME"'],
    [{ aces: [{ ...ace, who: 'user:' }] }, 'aces[0].who is no name: an ACL entry names nobody'],
    [{ aces: [{ ...ace, who: 'user:OWNER@' }] }, 'aces[0].who names a user or group like a special name'],
    [{ aces: [{ ...ace, who: null }] }, 'aces[0].who is not a string'],
  ]
  for (const [value, message] of rows) {
    t.throws(() => aclFromJson(value), { name: 'StorageError', code: 'invalid', message }, message)
  }
})
