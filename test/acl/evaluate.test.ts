import t from 'tap'
import type { Acl, Dialect } from '../../acl/acl.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import { allowed, decide, goesBy, isOwner } from '../../acl/evaluate.ts'
import { anonymous } from '../../acl/principal.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf, type Name, people, person, rightsOf } from './cast.ts'

const t14 = 'A::OWNER@:rw D:g:GROUP@:w A::EVERYONE@:rw'
const t33 = 'D::carol:x A::EVERYONE@:rx'
const mode0640 = 'A::OWNER@:rwatTcCy A::GROUP@:rtcy A::EVERYONE@:tcy'

type Outcome = 'allowed' | 'denied' | 'undefined'

/** What is asked, the outcome, and the entry that decides, counted from 1 as a person would. */
const vectors: ReadonlyArray<readonly [string, string, Name, string, Outcome, number?]> = [
  ['T01', '', 'alice', 'r', 'undefined'],
  ['T02', 'A::OWNER@:r', 'alice', 'r', 'allowed', 1],
  ['T03', 'A::OWNER@:r', 'bob', 'r', 'undefined'],
  ['T04', 'A::EVERYONE@:r', 'alice', 'r', 'allowed', 1],
  ['T05', 'D::EVERYONE@:w A::OWNER@:rw', 'alice', 'w', 'denied', 1],
  ['T06', 'A::OWNER@:rw D::EVERYONE@:w', 'alice', 'w', 'allowed', 1],
  ['T07', 'A::bob:r D::bob:rw', 'bob', 'r', 'allowed', 1],
  ['T08', 'A::bob:r D::bob:rw', 'bob', 'rw', 'denied', 2],
  ['T09', 'D::bob:r A::bob:r', 'bob', 'r', 'denied', 1],
  ['T10', 'A::bob:r A:g:cms:w', 'bob', 'rw', 'allowed', 2],
  ['T11', 'A::bob:r', 'bob', 'rw', 'undefined'],
  ['T12', 'A:g:GROUP@:r D::EVERYONE@:r', 'bob', 'r', 'allowed', 1],
  ['T13', 'D:g:GROUP@:w A::OWNER@:rw', 'alice', 'w', 'denied', 1],
  ['T14', t14, 'bob', 'w', 'denied', 2],
  ['T15', t14, 'carol', 'w', 'allowed', 3],
  ['T16', 'A::cms:r', 'carol', 'r', 'undefined'],
  ['T17', 'A:g:cms:r', 'carol', 'r', 'allowed', 1],
  ['T18', 'A:fdi:EVERYONE@:rwx', 'carol', 'r', 'undefined'],
  ['T19', 'A:fd:EVERYONE@:rx', 'carol', 'rx', 'allowed', 1],
  ['T20', 'U:S:EVERYONE@:r', 'carol', 'r', 'undefined'],
  ['T21', 'L:F:EVERYONE@:r A::carol:r', 'carol', 'r', 'allowed', 2],
  ['T22', 'A::bob:a', 'bob', 'w', 'undefined'],
  ['T23', 'A::bob:a', 'bob', 'a', 'allowed', 1],
  ['T24', 'A::bob:w', 'bob', 'wa', 'undefined'],
  ['T25', 'D::bob:w A::bob:r', 'bob', 'r', 'allowed', 2],
  ['T26', 'A::AUTHENTICATED@:r', 'carol', 'r', 'allowed', 1],
  ['T27', 'A::AUTHENTICATED@:r', 'anon', 'r', 'undefined'],
  ['T28', 'A::ANONYMOUS@:r', 'anon', 'r', 'allowed', 1],
  ['T29', 'A::ANONYMOUS@:r', 'carol', 'r', 'undefined'],
  ['T30', 'D::OWNER@:rwax A:g:GROUP@:rwax', 'alice', 'r', 'denied', 1],
  ['T31', 'D:g:cms:r A:g:physics:r', 'bob', 'r', 'denied', 1],
  ['T32', 'A:g:physics:r D:g:cms:r', 'bob', 'r', 'allowed', 1],
  ['T33', t33, 'carol', 'r', 'allowed', 2],
  ['T34', t33, 'carol', 'rx', 'denied', 1],
  ['T35', 'A::OWNER@:rw', 'alice', 'c', 'undefined'],
  ['T36', 'D:i:bob:r A::bob:r', 'bob', 'r', 'allowed', 2],
  ['T37', mode0640, 'dave', 't', 'allowed', 3],
  ['T38', mode0640, 'dave', 'r', 'undefined'],
  ['T39', 'A:g:OWNER@:r', 'alice', 'r', 'allowed', 1],
  ['T40', 'A::EVERYONE@:r', 'anon', 'r', 'allowed', 1],
]

t.test('the evaluation vectors come out as stated, on the first and on later looks', async (t) => {
  for (const [id, text, name, asked, outcome, entry] of vectors) {
    const acl = aclOf(text)
    const mask = rightsOf(asked)
    for (const look of [1, 2, 3]) {
      const decision = decide(acl, people[name], mask)
      const at = decision.ace === undefined ? undefined : decision.ace + 1
      t.same([decision.outcome, at], [outcome, entry], `${id} look ${look}: ${text} | ${name} ${asked}`)
      t.equal(allowed(acl, people[name], mask) === mask, outcome === 'allowed', `${id} allowed()`)
    }
  }
})

t.test('the owner holds what his dialect always gives him, even where the list denies it', async (t) => {
  const rows: ReadonlyArray<readonly [Dialect, string, Name, string, Outcome]> = [
    ['rfc8881', 'A::OWNER@:rw', 'alice', 'c', 'undefined'],
    ['gpfs', 'A::OWNER@:rw', 'alice', 'tc', 'allowed'],
    ['gpfs', 'D::EVERYONE@:tc', 'alice', 'tc', 'allowed'],
    ['gpfs', '', 'bob', 'c', 'undefined'],
    ['gpfs', '', 'alice', 'rc', 'undefined'],
    ['posix', '', 'alice', 'c', 'allowed'],
    ['dcache', '', 'alice', 'c', 'undefined'],
  ]
  for (const [dialect, text, name, asked, outcome] of rows) {
    const decision = decide(aclOf(text, { dialect }), people[name], rightsOf(asked))
    t.equal(decision.outcome, outcome, `${dialect} ${text} ${name} ${asked}`)
  }
})

const alice = person('alice@desy.de', ['cms@desy.de', 'p01@IAM'], { posix: { uid: 1001, gid: 100, gids: [2000] } })
const plain = person('job@desy.de', ['cms@desy.de'])
const nobody = person('nobody@desy.de', ['nobody@desy.de', 'nogroup'], { posix: { uid: 65534, gid: 65534, gids: [] } })

t.test('names are matched exactly, domains without case, numbers by id', async (t) => {
  const rows: ReadonlyArray<readonly [string, typeof alice, Outcome]> = [
    ['A::alice@desy.de:r', alice, 'allowed'],
    ['A::alice@DESY.de:r', alice, 'allowed'],
    ['A::Alice@desy.de:r', alice, 'undefined'],
    ['A::alice@desy.org:r', alice, 'undefined'],
    ['A::alice:r', alice, 'undefined'],
    ['A:g:cms@Desy.De:r', alice, 'allowed'],
    ['A:g:p01@iam:r', alice, 'allowed'],
    ['A:g:P01@iam:r', alice, 'undefined'],
    ['A::cms@desy.de:r', alice, 'undefined'],
    ['A::1001:r', alice, 'allowed'],
    ['A::01001:r', alice, 'undefined'],
    ['A::100:r', alice, 'undefined'],
    ['A:g:100:r', alice, 'allowed'],
    ['A:g:2000:r', alice, 'allowed'],
    ['A:g:1001:r', alice, 'undefined'],
    ['A::4294968297:r', alice, 'undefined'],
    ['A::1001:r', plain, 'undefined'],
    ['A::1001:r', anonymous, 'undefined'],
    ['A::INTERACTIVE@:r', alice, 'undefined'],
  ]
  for (const [text, who, outcome] of rows) t.equal(decide(aclOf(text), who, 1).outcome, outcome, `${text} ${who.id}`)
})

t.test('nobody is matched by no entry that allows', async (t) => {
  for (const text of ['A::nobody:r', 'A::nobody@desy.de:r', 'A::nobody@DESY.DE:r', 'A::65534:r', 'A:g:nogroup:r']) {
    t.equal(decide(aclOf(text), nobody, 1).outcome, 'undefined', text)
  }
  for (const owner of [undefined, 'nobody', 'nobody@desy.de', '65534', '4294967294']) {
    const acl = aclOf('A::OWNER@:r A::GROUP@:r', { owner, group: owner, dialect: 'gpfs' })
    t.equal(allowed(acl, nobody, 0x20001), 0, `owner ${owner}`)
    t.notOk(isOwner(acl, nobody), `owner ${owner}`)
  }
  t.notOk(goesBy(nobody, 'user', 'nobody@desy.de'))
  t.ok(goesBy(alice, 'group', '2000'))
})

t.test('a deny that cannot be resolved holds for everybody it may be meant for', async (t) => {
  const rows: ReadonlyArray<readonly [string, typeof alice, Outcome]> = [
    ['D::INTERACTIVE@:r A::EVERYONE@:r', alice, 'denied'],
    ['D::INTERACTIVE@:w A::EVERYONE@:r', alice, 'allowed'],
    ['D::nobody@desy.de:r A::EVERYONE@:r', alice, 'denied'],
    ['D::65534:r A::EVERYONE@:r', anonymous, 'denied'],
    ['D::1001:r A::EVERYONE@:r', plain, 'denied'],
    ['D:g:2000:r A::EVERYONE@:r', plain, 'denied'],
    ['D:g:2001:r A::EVERYONE@:r', alice, 'allowed'],
    ['D::1001:r A::EVERYONE@:r', anonymous, 'allowed'],
    ['D::alice:r A::EVERYONE@:r', alice, 'denied'],
    ['D:g:cms:r A::EVERYONE@:r', alice, 'denied'],
    ['D::bob:r A::EVERYONE@:r', alice, 'allowed'],
    ['D::alice@elsewhere:r A::EVERYONE@:r', alice, 'allowed'],
    ['D:fi:INTERACTIVE@:r', alice, 'undefined'],
  ]
  for (const [text, who, outcome] of rows) t.equal(decide(aclOf(text), who, 1).outcome, outcome, `${text} ${who.id}`)
  const unowned = aclOf('D::OWNER@:r A::EVERYONE@:r', { owner: undefined })
  t.equal(decide(unowned, alice, 1).outcome, 'denied', 'an owner that cannot be told')
})

t.test('bits that nobody knows are never granted', async (t) => {
  const acl: Acl = { ...aclOf(''), aces: [makeAce('allow', 0, 0xffffffff, 'EVERYONE@')] }
  t.equal(allowed(acl, alice, 0xffffffff), 0x1f07ff)
  t.equal(decide(acl, alice, 0x800).outcome, 'undefined')
  t.equal(decide(acl, alice, 0x80000000).outcome, 'undefined')
  t.equal(decide(acl, alice, 0x80000001).rights, 0x80000000)
  t.equal(decide(acl, alice, 0).outcome, 'allowed', 'asking for nothing')
})

t.test('a principal without a user is anonymous whatever else it holds', async (t) => {
  const odd = { ...anonymous, groups: new Set(['cms']), posix: { uid: 1001, gid: 100, gids: [] } }
  for (const text of ['A:g:cms:r', 'A::1001:r', 'A:g:100:r', 'A::AUTHENTICATED@:r']) {
    t.equal(decide(aclOf(text), odd, 1).outcome, 'undefined', text)
  }
})

t.test('the vectors are written as they are read', async (t) => {
  for (const [id, text] of vectors) {
    const written = aclOf(text).aces.map(formatEntry).join(' ')
    t.equal(written, text.replaceAll(':g:GROUP@', '::GROUP@').replaceAll(':g:OWNER@', '::OWNER@'), id)
  }
})
