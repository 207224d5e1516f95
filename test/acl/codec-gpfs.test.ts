import t from 'tap'
import { formatGpfsText, parseGpfsText } from '../../acl/codec/gpfs-text.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf } from './cast.ts'

/** As mmgetacl prints it. */
const worked = `#NFSv4 ACL
#owner:root
#group:physics
special:owner@:rwxc:allow:FileInherit:DirInherit
 (X)READ/LIST (X)WRITE/CREATE (X)APPEND/MKDIR (X)SYNCHRONIZE (X)READ_ACL  (X)READ_ATTR  (X)READ_NAMED
 (-)DELETE    (X)DELETE_CHILD (X)CHOWN        (X)EXEC/SEARCH (X)WRITE_ACL (X)WRITE_ATTR (X)WRITE_NAMED

group:cms:r-x-:allow:FileInherit:InheritOnly
 (X)READ/LIST (-)WRITE/CREATE (-)APPEND/MKDIR (X)SYNCHRONIZE (X)READ_ACL  (X)READ_ATTR  (X)READ_NAMED
 (-)DELETE    (-)DELETE_CHILD (-)CHOWN        (X)EXEC/SEARCH (-)WRITE_ACL (-)WRITE_ATTR (-)WRITE_NAMED

user:guest:-w--:deny
 (-)READ/LIST (X)WRITE/CREATE (X)APPEND/MKDIR (-)SYNCHRONIZE (-)READ_ACL  (-)READ_ATTR  (-)READ_NAMED
 (-)DELETE    (-)DELETE_CHILD (-)CHOWN        (-)EXEC/SEARCH (-)WRITE_ACL (-)WRITE_ATTR (-)WRITE_NAMED

special:everyone@:----:allow
 (-)READ/LIST (-)WRITE/CREATE (-)APPEND/MKDIR (X)SYNCHRONIZE (X)READ_ACL  (X)READ_ATTR  (-)READ_NAMED
 (-)DELETE    (-)DELETE_CHILD (-)CHOWN        (-)EXEC/SEARCH (-)WRITE_ACL (-)WRITE_ATTR (-)WRITE_NAMED
`

const readOnlyCells = ` (X)READ/LIST (-)WRITE/CREATE (-)APPEND/MKDIR (-)SYNCHRONIZE (-)READ_ACL (-)READ_ATTR (-)READ_NAMED
 (-)DELETE (-)DELETE_CHILD (-)CHOWN (-)EXEC/SEARCH (-)WRITE_ACL (-)WRITE_ATTR (-)WRITE_NAMED`

const entry = (line: string, cells = readOnlyCells) => `#NFSv4 ACL\n#owner:alice\n#group:physics\n${line}\n${cells}\n`

t.test('the worked list is read and written byte by byte', async (t) => {
  const { acl, readOnly } = parseGpfsText(worked)
  t.same([acl.owner, acl.group, acl.dialect, readOnly], ['root', 'physics', 'gpfs', []])
  t.same(acl.aces, [
    makeAce('allow', 0x3, 0x1e01ff, 'OWNER@'),
    makeAce('allow', 0x49, 0x1200a9, { group: 'cms' }),
    makeAce('deny', 0, 0x6, { user: 'guest' }),
    makeAce('allow', 0, 0x120080, 'EVERYONE@'),
  ])
  t.equal(formatGpfsText(acl), worked)
})

t.test('plain names belong to the domain that is told, others stay', async (t) => {
  const { acl } = parseGpfsText(worked, { domain: 'desy.de' })
  t.same([acl.owner, acl.group], ['root@desy.de', 'physics@desy.de'])
  t.same(acl.aces[2]?.who, { user: 'guest@desy.de' })
  t.equal(formatGpfsText(acl, { domain: 'DESY.de' }), worked)
  const rows: ReadonlyArray<readonly [string, string]> = [
    ['user:DESY\\bob:r---:allow', 'DESY\\bob'],
    ['user:1001:r---:allow', '1001'],
    ['user:bob@cern.ch:r---:allow', 'bob@cern.ch'],
  ]
  for (const [line, user] of rows) {
    const parsed = parseGpfsText(entry(line), { domain: 'desy.de' }).acl
    t.same(parsed.aces[0]?.who, { user }, line)
    t.match(formatGpfsText(parsed, { domain: 'desy.de' }), line, 'written as it was')
  }
})

t.test('the parser takes what releases differ in and refuses what it cannot be sure of', async (t) => {
  const flags = parseGpfsText(entry('group:cms:r-x-:allow:FileInherit:InheritOnly:Inherited')).acl.aces[0]?.flags
  t.equal(flags, 0xc9)
  const detail = parseGpfsText(entry('user:bob:rw--:allow'))
  t.equal(detail.acl.aces[0]?.mask, 0x1, 'the details win over the summary')
  const loose = readOnlyCells
    .replace(/\(X\)READ/, '(X)  READ')
    .replace(/^ /gm, '')
    .replace(/ \(/g, '    (')
  for (const cells of [loose, readOnlyCells.replace(/\n/g, '\r\n'), readOnlyCells.replace(/ /g, '\t')]) {
    t.same(parseGpfsText(entry('user:bob:r---:allow', cells)).acl.aces, [makeAce('allow', 0, 1, { user: 'bob' })])
  }
  const crlf = parseGpfsText(worked.replaceAll('\n', '\r\n')).acl
  t.same(crlf, parseGpfsText(worked).acl, 'line ends of Windows')
  const traditional = '#owner:alice\n#group:physics\nuser::rwxc\ngroup::r-x-\nother::----\n'
  const faults: ReadonlyArray<readonly [string, string, RegExp]> = [
    ['traditional format', traditional, /^line 1: /],
    ['no first line', '', /^line 1: /],
    ['not an entry', entry('user:bob:r--:allow'), /^line 4: /],
    ['an unknown type', entry('user:bob:r---:permit'), /^line 4: /],
    ['no details', '#NFSv4 ACL\nuser:bob:r---:allow\n', /^line 2: not all cells/],
    ['a cell missing', entry('user:bob:r---:allow', readOnlyCells.replace('(-)CHOWN', '')), /^line 4: not all cells/],
    ['a cell twice', entry('user:bob:r---:allow', `${readOnlyCells} (X)CHOWN`), /^line 6: a right is there twice/],
    ['text among the cells', entry('user:bob:r---:allow', `${readOnlyCells} CHOWN`), /^line 6: /],
    ['cells without an entry', `#NFSv4 ACL\n${readOnlyCells}`, /^line 2: /],
    ['a user like a special name', entry('user:OWNER@:r---:allow'), /^line 4: /],
    ['a control character', entry('user:b\u0007b:r---:allow'), /^line 4: /],
  ]
  for (const [what, text, message] of faults) {
    t.throws(() => parseGpfsText(text), { name: 'StorageError', code: 'invalid', message }, what)
  }
})

t.test('a list with unknown parts can be read but must not be written back', async (t) => {
  const rows: ReadonlyArray<readonly [string, string, string]> = [
    ['an unknown flag', entry('user:bob:r---:allow:DirInherit:Later'), 'A:d:bob:r'],
    ['an unknown right', entry('user:bob:r---:allow', `${readOnlyCells} (X)TELEPORT`), 'A::bob:r'],
    ['flags of the list', `${entry('user:bob:r---:allow')}#ACL flags: PROTECTED\n`, 'A::bob:r'],
  ]
  for (const [what, text, expected] of rows) {
    const { acl, readOnly } = parseGpfsText(text)
    t.same(readOnly, [what], what)
    t.same(acl.aces.map(formatEntry), [expected], what)
  }
  t.same(parseGpfsText(entry('special:batch@:r---:deny')).acl.aces[0]?.who, { unknown: 'batch@' })
})

t.test('what GPFS has no word for is not written', async (t) => {
  const rows = [
    makeAce('allow', 0, 0x200, 'OWNER@'),
    makeAce('allow', 0x10, 1, 'OWNER@'),
    makeAce('allow', 0, 1, 'ANONYMOUS@'),
    makeAce('allow', 0, 1, { user: 'a:b' }),
    makeAce('allow', 0, 1, { user: ' bob' }),
  ]
  for (const ace of rows) {
    t.throws(
      () => formatGpfsText({ ...aclOf('', { dialect: 'gpfs' }), aces: [ace] }),
      { code: 'unsupported' },
      JSON.stringify(ace),
    )
  }
})
