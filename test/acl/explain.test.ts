import t from 'tap'
import { aceText, explainTrail, ignoredNames, pointAt, reasonText, withoutAce } from '../../acl/explain.ts'
import { type Action, actions } from '../../acl/needs.ts'
import { rightsNames } from '../../acl/rights-names.ts'
import { makeAce } from '../../acl/who.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { aclOf, entry, people, trail } from './cast.ts'

const { bob } = people
const at = parsePath('/data/dir/name')

t.test('an entry is one line, and nothing in it upsets a terminal', async (t) => {
  const rows = [
    [makeAce('allow', 0x43, 0x1200a1, { group: 'cms@desy.de' }), 'A:fdg:cms@desy.de:rxtcy'],
    [makeAce('deny', 0x100, 0x601, 'OWNER@'), 'D:+0x100:OWNER@:r+0x600'],
    [makeAce('allow', 0, 1, { user: 'Jürgen@desy.de' }), 'A::Jürgen@desy.de:r'],
    [makeAce('allow', 0, 1, { user: 'a b\u001b[2J\u202e\ud800' }), 'A::a\\u{20}b\\u{1b}[2J\\u{202e}\\u{d800}:r'],
    [makeAce('alarm', 0x20, 2, { unknown: 'BATCH@' }), 'L:F:BATCH@:w'],
  ] as const
  for (const [ace, expected] of rows) t.equal(aceText(ace), expected)
})

t.test('rights have the names of files or of directories', async (t) => {
  t.same(rightsNames(0x7, 'file'), ['READ_DATA', 'WRITE_DATA', 'APPEND_DATA'])
  t.same(rightsNames(0x7, 'directory'), ['LIST_DIRECTORY', 'ADD_FILE', 'ADD_SUBDIRECTORY'])
  t.same(rightsNames(0x80010800, 'file'), ['DELETE', '0x80000800'])
  t.same(rightsNames(0, 'file'), [])
  t.same(ignoredNames('gpfs', 0x19, 'file'), ['READ_NAMED_ATTRS', 'WRITE_NAMED_ATTRS'])
})

t.test('a reason points at the entry for who may read the ACL, and only then', async (t) => {
  const acl = aclOf('A::carol:r D::bob:r')
  const reason = { rule: 'ace', text: 'the ACL denies READ_DATA', path: at, ace: 1 }
  t.equal(reasonText(reason, acl), 'the ACL denies READ_DATA (/data/dir/name): entry 2, D::bob:r')
  t.equal(reasonText(withoutAce(reason), acl), 'the ACL denies READ_DATA (/data/dir/name)')
  t.equal(pointAt(acl, 7), 'entry 8', 'an entry that is gone')
})

t.test('the steps of an explanation say what was checked and what decided', async (t) => {
  const open = entry('directory', 'A::EVERYONE@:rxD', { name: 'dir' })
  const rows: ReadonlyArray<readonly [Action, ReturnType<typeof trail>, readonly unknown[]]> = [
    ['read', trail(open, entry('file', 'A::carol:r A::bob:r')), [true, true, 'ace', at, 1]],
    ['read', trail(open, entry('file', 'A::carol:r D::bob:r')), [true, false, 'ace', at, 1]],
    ['read', trail(open, entry('file', '')), [true, false, 'not-granted', at, undefined]],
    ['read', trail(open, undefined), [true, true, 'missing', at, undefined]],
    ['remove', trail(open, entry('file', '')), [true, true, 'ace', '/data/dir', 0]],
    ['remove', trail(open, entry('file', 'A::bob:d')), [true, true, 'ace', at, 0]],
    ['mkdir', trail(open, undefined), [true, false, 'not-granted', '/data/dir', undefined]],
    [
      'stat',
      trail(open, entry('file', aclOf('', { owner: 'bob', dialect: 'gpfs' }))),
      [true, true, 'owner', at, undefined],
    ],
    [
      'read',
      trail(entry('directory', '', { name: 'dir' }), undefined),
      [false, 'not reached', 'not-reached', undefined, undefined],
    ],
  ]
  for (const [action, way, expected] of rows) {
    const [traverse, acl] = explainTrail(bob, action, way, at)
    const { rule, path, ace } = acl?.reason ?? {}
    t.same([traverse?.allowed, acl?.allowed, rule, path, ace], expected, action)
  }
})

t.test('every action can be explained', async (t) => {
  const open = entry('directory', 'A::EVERYONE@:rwaDx', { name: 'dir' })
  for (const action of actions) {
    for (const object of [undefined, entry('file', 'A::EVERYONE@:rwatTnNcCoy'), entry('file', undefined)]) {
      const steps = explainTrail(bob, action, trail(open, object), at)
      t.equal(steps.length, 2, action)
      t.ok(
        steps.every(({ reason }) => reason.text !== ''),
        action,
      )
    }
  }
})
