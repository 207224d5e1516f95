import t from 'tap'
import { formatEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { aclOfNew, type InheritOptions, inherit } from '../../acl/inherit.ts'
import { modeOf } from '../../acl/mode.ts'
import { aclOf } from './cast.ts'

function inherited(text: string, kind: 'file' | 'directory', options?: InheritOptions): string {
  return inherit(parseNfs4Text(text, 'directory'), kind, options).map(formatEntry).join(' ')
}

const vectors: ReadonlyArray<readonly [id: string, parent: string, file: string, directory: string]> = [
  ['I01', 'A:f:bob:r', 'A::bob:r', 'A:fi:bob:r'],
  ['I02', 'A:d:bob:r', '', 'A:d:bob:r'],
  ['I03', 'A:fd:bob:r', 'A::bob:r', 'A:fd:bob:r'],
  ['I04', 'A:fdi:bob:r', 'A::bob:r', 'A:fd:bob:r'],
  ['I05', 'A:fdn:bob:r', 'A::bob:r', 'A::bob:r'],
  ['I06', 'A:fn:bob:r', 'A::bob:r', ''],
  ['I07', 'A:fdg:cms:rx', 'A:g:cms:rx', 'A:fdg:cms:rx'],
  ['I08', 'A::bob:r', '', ''],
  ['I09', 'A:fd:OWNER@:rwaD', 'A::OWNER@:rwa', 'A:fd:OWNER@:rwaD'],
  ['I10', 'A:di:bob:r', '', 'A:d:bob:r'],
  ['fi', 'A:fi:bob:r', 'A::bob:r', 'A:fi:bob:r'],
  ['fdin', 'A:fdni:bob:r', 'A::bob:r', 'A::bob:r'],
  ['dn', 'A:dn:bob:r', '', 'A::bob:r'],
  ['audit', 'U:fdSF:EVERYONE@:w', 'U:SF:EVERYONE@:w', 'U:fdSF:EVERYONE@:w'],
  ['D alone means nothing on a file', 'A:fd:bob:D', '', 'A:fd:bob:D'],
  ['what was inherited is not marked in a plain list', 'A:fdI:bob:r', 'A::bob:r', 'A:fd:bob:r'],
]

t.test('the inheritance vectors come out as stated', async (t) => {
  for (const [id, parent, file, directory] of vectors) {
    t.equal(inherited(parent, 'file'), file, `${id} file`)
    t.equal(inherited(parent, 'directory'), directory, `${id} directory`)
  }
})

const parent = `A:fd:OWNER@:rwaDdxtTnNcCoy
A:fdg:cms@desy.de:rxtncy
A:d:bob@desy.de:rxtncy
A:fi:EVERYONE@:rtncy
A:fdn:carol@desy.de:rtcy
D:fdi:dave@desy.de:wa
A::EVERYONE@:xtcy`

t.test('the worked example keeps the order and drops DELETE_CHILD on the file', async (t) => {
  const file =
    'A::OWNER@:rwadxtTnNcCoy A:g:cms@desy.de:rxtncy A::EVERYONE@:rtncy A::carol@desy.de:rtcy D::dave@desy.de:wa'
  const directory =
    'A:fd:OWNER@:rwaDdxtTnNcCoy A:fdg:cms@desy.de:rxtncy A:d:bob@desy.de:rxtncy A:fi:EVERYONE@:rtncy ' +
    'A::carol@desy.de:rtcy D:fd:dave@desy.de:wa'
  t.equal(inherited(parent, 'file'), file)
  t.equal(inherited(parent, 'directory'), directory)
  for (const ace of inherit(parseNfs4Text(parent, 'directory'), 'directory', { mark: true })) {
    t.ok(ace.flags & 0x80, `in a dacl ${formatEntry(ace)} is marked`)
  }
})

t.test('an entry that is effective and heritable is split where that is asked for', async (t) => {
  t.equal(inherited('A:fd:bob:r', 'directory', { split: 'rfc8881' }), 'A::bob:r A:fdi:bob:r')
  t.equal(inherited('A:fd:bob:r', 'directory', { split: 'gpfs', mark: true }), 'A:dI:bob:r A:fiI:bob:r')
  t.equal(inherited('A:d:bob:r', 'directory', { split: 'gpfs', mark: true }), 'A:dI:bob:r')
  t.equal(inherited('A:fd:bob:r', 'file', { split: 'gpfs', mark: true }), 'A:I:bob:r')
})

t.test('a new object belongs to its maker and gets what its directory gives', async (t) => {
  const made = { kind: 'file', owner: 'carol', group: 'physics', defaultMode: 0o660 } as const
  const acl = aclOfNew(aclOf('A:fd:OWNER@:rwaD A:fdg:cms:r A::EVERYONE@:x'), made)
  t.same(acl.aces.map(formatEntry), ['A::OWNER@:rwa', 'A:g:cms:r'])
  t.same([acl.owner, acl.group, acl.dialect, acl.flags], ['carol', 'physics', 'rfc8881', undefined])

  const plain = aclOfNew(aclOf('A::bob:rwx'), made)
  t.equal(modeOf(plain.aces), 0o660, 'nothing heritable: the default mode')
  t.equal(modeOf(aclOfNew(aclOf('A::bob:rwx'), { ...made, mode: 0o600 }).aces), 0o600, 'or the mode asked for')

  const cut = aclOfNew(aclOf('A:fd:OWNER@:rwax A:fd:bob:rwax A:fd:EVERYONE@:rx'), { ...made, mode: 0o640 })
  t.equal(modeOf(cut.aces), 0o640, 'a mode cuts what was inherited')
  t.equal(cut.aces.map(formatEntry).join(' '), 'A::OWNER@:rwa A::bob:r A::GROUP@:r', 'the group bits cut named users')

  const audited = aclOfNew(aclOf('U:fdS:EVERYONE@:r'), made)
  t.equal(modeOf(audited.aces), 0o660, 'audit entries alone give nobody access')
  t.equal(audited.aces.at(-1)?.type, 'audit')
})

t.test('the flags of a dacl are handed down', async (t) => {
  const made = { kind: 'directory', owner: 'carol', group: 'physics', defaultMode: 0o770 } as const
  const protectedParent = aclOf('A:fd:bob:r', { flags: 1 | 2 })
  const acl = aclOfNew(protectedParent, made)
  t.equal(acl.flags, 1, 'auto-inherit is copied, protected is clear')
  t.same(acl.aces.map(formatEntry), ['A:fdI:bob:r'])
  t.equal(aclOfNew(aclOf('', { flags: 1 }), made).flags, 1 | 4, 'nothing inherited: defaulted')
  const gpfs = aclOfNew(aclOf('A:fd:bob:r', { dialect: 'gpfs' }), made)
  t.same(gpfs.aces.map(formatEntry), ['A:dI:bob:r', 'A:fiI:bob:r'], 'GPFS splits and marks')
})
