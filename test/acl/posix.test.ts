import t from 'tap'
import type { Ace } from '../../acl/acl.ts'
import { formatEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { decide } from '../../acl/evaluate.ts'
import { acesFromPosix, acesFromPosixDefault, type PosixAcl, posixFromAces } from '../../acl/posix.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf, person, randomFrom } from './cast.ts'

const bob = 1001
const cms = 2000

/** "u::rwx u:1001:r-x g::r-x g:2000:rwx m::r-x o::---" */
function posix(text: string): PosixAcl {
  const permission = (word: string) => [...word].reduce((sum, c, i) => (c === '-' ? sum : sum | (4 >> i)), 0)
  const fields = text.split(' ').map((word) => word.split(':') as [string, string, string])
  const one = (tag: string) => permission(fields.find(([kind, id]) => kind === tag && id === '')?.[2] ?? '---')
  const many = (tag: string) =>
    fields
      .filter(([kind, id]) => kind === tag && id !== '')
      .map(([, id, word]) => ({ id: Number(id), permission: permission(word) }))
  const mask = fields.some(([kind]) => kind === 'm') ? { mask: one('m') } : {}
  return { owner: one('u'), users: many('u'), group: one('g'), groups: many('g'), ...mask, other: one('o') }
}

function write(acl: PosixAcl): string {
  const word = (p: number) => `${p & 4 ? 'r' : '-'}${p & 2 ? 'w' : '-'}${p & 1 ? 'x' : '-'}`
  return [
    `u::${word(acl.owner)}`,
    ...acl.users.map(({ id, permission }) => `u:${id}:${word(permission)}`),
    `g::${word(acl.group)}`,
    ...acl.groups.map(({ id, permission }) => `g:${id}:${word(permission)}`),
    ...(acl.mask === undefined ? [] : [`m::${word(acl.mask)}`]),
    `o::${word(acl.other)}`,
  ].join(' ')
}

const show = (aces: readonly Ace[]) => aces.map(formatEntry).join(' ')

t.test('POSIX ACLs become the entries of the mapping draft', async (t) => {
  const rows: ReadonlyArray<readonly [string, ObjectKind, string]> = [
    [
      `u::rwx u:${bob}:r-x g::r-x g:${cms}:rwx m::r-x o::---`,
      'file',
      `A::OWNER@:rwaxtTcCy A::${bob}:rxtcy A::GROUP@:rxtcy A:g:${cms}:rxtcy A::EVERYONE@:tcy`,
    ],
    [
      `u::rw- u:${bob}:--- g::r-- g:${cms}:rw- m::rw- o::r--`,
      'file',
      `A::OWNER@:rwatTcCy D::${bob}:rwa A::${bob}:tcy A::GROUP@:rtcy A:g:${cms}:rwatcy A::EVERYONE@:rtcy`,
    ],
    ['u::rw- g::r-- o::---', 'file', 'A::OWNER@:rwatTcCy A::GROUP@:rtcy A::EVERYONE@:tcy'],
  ]
  for (const [text, kind, expected] of rows) t.equal(show(acesFromPosix(posix(text), kind)), expected, text)
  t.equal(
    show(acesFromPosixDefault(posix(`u::rwx u:${bob}:rwx g::r-x m::rwx o::---`))),
    `A:fdi:OWNER@:rwaDxtTcCy A:fdi:${bob}:rwaDxtcy A:fdi:GROUP@:rxtcy A:fdi:EVERYONE@:tcy`,
    'a default ACL is only inherited',
  )
})

t.test('lists become POSIX ACLs that never allow more', async (t) => {
  const rows: ReadonlyArray<readonly [string, ObjectKind, string, string?]> = [
    ['A::OWNER@:rwa A::GROUP@:r', 'file', 'u::rw- g::r-- o::---'],
    ['A::OWNER@:rw', 'file', 'u::r-- g::--- o::---'],
    ['A::OWNER@:rwax', 'directory', 'u::r-x g::--- o::---'],
    ['A::OWNER@:rwaDx', 'directory', 'u::rwx g::--- o::---'],
    ['A::EVERYONE@:rx', 'file', 'u::r-x g::r-x o::r-x'],
    [`A::${bob}:r A::EVERYONE@:x`, 'file', `u::--x u:${bob}:r-x g::--x m::r-x o::--x`],
    [`D:g:${cms}:r A::EVERYONE@:r`, 'file', `u::--- g::--- g:${cms}:--- m::--- o::r--`],
    [`D::${bob}:r A:g:${cms}:r`, 'file', `u::--- u:${bob}:--- g::--- g:${cms}:r-- m::r-- o::---`],
    ['A:fd:OWNER@:rx A:fdi:EVERYONE@:r', 'directory', 'u::r-x g::--- o::---', 'u::r-x g::r-- o::r--'],
  ]
  for (const [text, kind, access, byDefault] of rows) {
    const result = posixFromAces(parseNfs4Text(text, kind), kind)
    t.equal(write(result.access), access, text)
    t.equal(result.default && write(result.default), byDefault, `${text}, default`)
  }
})

t.test('what POSIX cannot say is refused', async (t) => {
  const rows: ReadonlyArray<readonly [string, ObjectKind, string]> = [
    ['U:S:EVERYONE@:r', 'file', 'unsupported'],
    ['A:f:bob:r', 'directory', 'unsupported'],
    ['A:fdn:1001:r', 'directory', 'unsupported'],
    ['A:fd:1001:r', 'file', 'unsupported'],
    ['D::1001:t', 'file', 'unsupported'],
    ['D::EVERYONE@:c', 'file', 'unsupported'],
    ['D::OWNER@:C', 'file', 'unsupported'],
    ['A::ANONYMOUS@:r', 'file', 'unsupported'],
    ['A::INTERACTIVE@:r', 'file', 'unsupported'],
    ['A::bob:r', 'file', 'invalid'],
  ]
  for (const [text, kind, code] of rows) {
    t.throws(() => posixFromAces(parseNfs4Text(text, 'directory'), kind), { code }, text)
  }
  const named = posixFromAces(parseNfs4Text('A::bob:r', 'file'), 'file', (name) => (name === 'bob' ? bob : undefined))
  t.equal(write(named.access), `u::--- u:${bob}:r-- g::--- m::r-- o::---`, 'a name that is known')
})

t.test('POSIX ACLs survive the way to a list and back', async (t) => {
  const rows: ReadonlyArray<readonly [string, string?]> = [
    ['u::rwx g::r-x o::r-x'],
    ['u::rw- g::r-- o::---'],
    ['u::rw- g::--- o::r--'],
    ['u::--- g::rwx o::rwx'],
    [`u::rwx u:${bob}:r-x g::r-x g:${cms}:r-x m::r-x o::---`],
    [`u::rw- u:${bob}:--- g::r-- g:${cms}:rw- m::rw- o::r--`],
  ]
  for (const kind of ['file', 'directory'] as const) {
    for (const [text] of rows)
      t.equal(write(posixFromAces(acesFromPosix(posix(text), kind), kind).access), text, `${kind} ${text}`)
  }
})

/** POSIX.1e, section 23.1.5: the most specific class that matches decides. */
function posixAllows(acl: PosixAcl, uid: number, gids: readonly number[], wanted: number): boolean {
  const mask = acl.mask ?? 7
  if (uid === 1) return (acl.owner & wanted) === wanted
  const user = acl.users.find(({ id }) => id === uid)
  if (user) return (user.permission & mask & wanted) === wanted
  const groups = [
    ...(gids.includes(1) ? [acl.group] : []),
    ...acl.groups.filter(({ id }) => gids.includes(id)).map((g) => g.permission),
  ]
  if (groups.length > 0) return groups.some((permission) => (permission & mask & wanted) === wanted)
  return (acl.other & wanted) === wanted
}

t.test('no random list becomes a POSIX ACL that allows anyone more than the list does', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  const random = randomFrom(seed)
  const who = [
    'OWNER@',
    'GROUP@',
    'EVERYONE@',
    { user: '1' },
    { user: '2' },
    { user: '3' },
    { group: '1' },
    { group: '2' },
    { group: '3' },
  ] as const
  const ids = [1, 2, 3, 4].flatMap((uid) => [[], [1], [2], [1, 2], [2, 3], [4]].map((gids) => ({ uid, gids })))
  const callers = ids.map(({ uid, gids }) => ({
    uid,
    gids,
    who: person(`u${uid}`, [], { posix: { uid, gid: gids[0] ?? 9, gids } }),
  }))
  const wanted = [
    [4, 0x1],
    [2, 0x6],
    [1, 0x20],
  ] as const
  for (let i = 0; i < 4000; i++) {
    const aces = Array.from({ length: random(7) }, () => {
      const mask = (random(2) && 0x1) | (random(2) && 0x6) | (random(2) && 0x20) | (random(4) ? 0 : 0x2)
      return makeAce(random(3) ? 'allow' : 'deny', 0, mask, who[random(who.length)] ?? 'OWNER@')
    })
    const { access } = posixFromAces(aces, 'file')
    const acl = aclOf('', { owner: '1', group: '1' })
    for (const caller of callers) {
      for (const [bit, mask] of wanted) {
        if (!posixAllows(access, caller.uid, caller.gids, bit)) continue
        if (decide({ ...acl, aces }, caller.who, mask).outcome === 'allowed') continue
        t.fail(`SEED=${seed}: ${show(aces)} became ${write(access)}, which gives ${bit} to ${JSON.stringify(caller)}`)
        return
      }
    }
  }
  t.pass('4,000 lists')
})
