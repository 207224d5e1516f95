import t from 'tap'
import type { Acl, Dialect } from '../../acl/acl.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import { type ObjectKind, storable } from '../../acl/dialects.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf } from './cast.ts'

t.test('each dialect stores what it can and refuses the rest', async (t) => {
  const rows: ReadonlyArray<readonly [Dialect, ObjectKind, string, 'unsupported' | 'invalid' | 'stored']> = [
    ['rfc8881', 'directory', 'A:fd:OWNER@:rwaDx U:SF:EVERYONE@:r A::INTERACTIVE@:r A::ANONYMOUS@:r', 'stored'],
    ['gpfs', 'directory', 'A:fdI:OWNER@:rwaDx D:g:cms:w A::EVERYONE@:tcy', 'stored'],
    ['gpfs', 'file', 'U:S:EVERYONE@:r', 'unsupported'],
    ['gpfs', 'file', 'A::ANONYMOUS@:r', 'unsupported'],
    ['gpfs', 'file', 'A::INTERACTIVE@:r', 'unsupported'],
    ['dcache', 'file', 'A::ANONYMOUS@:r A::AUTHENTICATED@:w', 'stored'],
    ['dcache', 'directory', 'A:fdn:bob:r', 'unsupported'],
    ['dcache', 'directory', 'A:fdI:bob:r', 'unsupported'],
    ['dcache', 'file', 'L:F:bob:r', 'unsupported'],
    ['posix', 'directory', 'A:fdi:1001:r A::OWNER@:rw', 'stored'],
    ['posix', 'file', 'A::AUTHENTICATED@:r', 'unsupported'],
    ['rfc8881', 'file', 'A:f:bob:r', 'unsupported'],
    ['rfc8881', 'file', 'A:d:bob:r', 'unsupported'],
    ['rfc8881', 'directory', 'A:i:bob:r', 'unsupported'],
    ['rfc8881', 'directory', 'A:fi:bob:r', 'stored'],
    ['rfc8881', 'file', 'A:S:bob:r', 'invalid'],
  ]
  for (const [dialect, kind, text, expected] of rows) {
    const store = () => storable(aclOf(text, { dialect }), kind)
    if (expected === 'stored') t.same(store().aces, aclOf(text).aces, `${dialect} ${kind} ${text}`)
    else t.throws(store, { code: expected }, `${dialect} ${kind} ${text}`)
  }
})

t.test('lists that are no lists are refused', async (t) => {
  const of = (...aces: Acl['aces']): Acl => ({ ...aclOf(''), aces })
  const bad: ReadonlyArray<readonly [string, Acl, string]> = [
    ['an unknown right', of(makeAce('allow', 0, 0x800, 'OWNER@')), 'unsupported'],
    ['an unknown flag', of(makeAce('allow', 0x100, 1, 'OWNER@')), 'unsupported'],
    ['a group without its flag', of({ type: 'allow', flags: 0, mask: 1, who: { group: 'cms' } }), 'invalid'],
    ['a user with the flag of groups', of({ type: 'allow', flags: 0x40, mask: 1, who: { user: 'bob' } }), 'invalid'],
    ['a user like a special name', of(makeAce('allow', 0, 1, { user: 'OWNER@' })), 'invalid'],
    ['an empty name', of(makeAce('allow', 0, 1, { user: '' })), 'invalid'],
    ['a name with a newline', of(makeAce('allow', 0, 1, { user: 'bob\nA::EVERYONE@:rwx' })), 'invalid'],
    ['an endless name', of(makeAce('allow', 0, 1, { user: 'b'.repeat(387) })), 'invalid'],
    ['half a character', of(makeAce('allow', 0, 1, { user: '\ud800' })), 'invalid'],
  ]
  for (const [what, acl, code] of bad) t.throws(() => storable(acl, 'file'), { code }, what)
  const limits: ReadonlyArray<readonly [Dialect, number]> = [
    ['rfc8881', 1024],
    ['gpfs', 638],
    ['dcache', 1024],
    ['posix', 170],
  ]
  for (const [dialect, most] of limits) {
    const list = (length: number): Acl => ({
      ...aclOf('', { dialect }),
      aces: Array(length).fill(makeAce('allow', 0, 1, 'OWNER@')),
    })
    t.equal(storable(list(most), 'file').aces.length, most, `${dialect} ${most}`)
    t.throws(() => storable(list(most + 1), 'file'), { code: 'unsupported' }, `${dialect} ${most + 1}`)
  }
})

t.test('DELETE_CHILD is dropped on files and nothing else is changed', async (t) => {
  const acl = storable(aclOf('A::bob:rD', { flags: 1 }), 'file')
  t.same(acl.aces.map(formatEntry), ['A::bob:r'])
  t.same([acl.owner, acl.group, acl.flags], ['alice', 'physics', 1])
  t.same(storable(aclOf('A::bob:rD'), 'directory').aces.map(formatEntry), ['A::bob:rD'])
})
