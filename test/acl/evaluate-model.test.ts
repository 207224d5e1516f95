/** The evaluator against a naive one that shares no code with it, on random lists. */

import t from 'tap'
import type { Ace, Acl, Who } from '../../acl/acl.ts'
import { allowed, decide } from '../../acl/evaluate.ts'
import type { Principal } from '../../acl/principal.ts'
import { makeAce } from '../../acl/who.ts'
import { person, randomFrom } from './cast.ts'

const lists = 120_000
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)

const callers: readonly Principal[] = [
  person('alice@d', ['physics@d'], { posix: { uid: 1001, gid: 100, gids: [200, 300] } }),
  person('bob@d', ['physics@D', 'cms@d'], { posix: { uid: 1002, gid: 100, gids: [] } }),
  person('carol@D', ['cms@d'], { posix: { uid: 1003, gid: 101, gids: [200] } }),
  { id: 'anonymous', user: undefined, groups: new Set(), grants: 'unbounded' },
]
const names = ['alice@d', 'bob@D', 'carol@d', 'dave@d', '1001', '1002', 'nobody', 'nobody@d']
const groupNames = ['physics@d', 'cms@D', 'staff@d', '100', '200', '999', 'nobody@d']
const bits = [0x1, 0x2, 0x4, 0x20, 0x40, 0x80, 0x100, 0x10000, 0x20000, 0x40000, 0x800, 0x80000000]
const types = ['allow', 'allow', 'allow', 'deny', 'deny', 'audit', 'alarm'] as const
const dialects = ['rfc8881', 'gpfs', 'posix', 'dcache'] as const
const specials = ['OWNER@', 'GROUP@', 'EVERYONE@', 'ANONYMOUS@', 'AUTHENTICATED@'] as const

type Random = (below: number) => number

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)] as T
}

function randomMask(random: Random): number {
  let mask = 0
  for (let i = random(5); i >= 0; i--) mask = (mask | pick(random, bits)) >>> 0
  return mask
}

function randomWho(random: Random): Who {
  const kind = random(10)
  if (kind < 4) return pick(random, specials)
  if (kind < 7) return { user: pick(random, names) }
  return kind < 9 || random(8) > 0 ? { group: pick(random, groupNames) } : { unknown: 'BATCH@' }
}

function randomAcl(random: Random): Acl {
  const aces: Ace[] = []
  for (let i = random(11); i > 0; i--) {
    aces.push(
      makeAce(
        pick(random, types),
        random(4) === 0 ? 0x8 | random(4) : random(4),
        randomMask(random),
        randomWho(random),
      ),
    )
  }
  const owner = pick(random, [...names, undefined])
  return { owner, group: pick(random, [...groupNames, undefined]), aces, dialect: pick(random, dialects) }
}

/** Three-valued, bit by bit, straight from the text of RFC 8881, section 6.2.1. */
function naive(acl: Acl, caller: Principal, bit: number): 'allowed' | 'denied' | 'undefined' {
  const owner = acl.owner === undefined ? 'unresolved' : is(caller, 'user', acl.owner)
  if (
    (acl.dialect === 'gpfs' || acl.dialect === 'posix') &&
    owner === true &&
    [0x80, 0x100, 0x20000, 0x40000].includes(bit)
  ) {
    return 'allowed'
  }
  for (const { type, flags, mask, who } of acl.aces) {
    if (type === 'audit' || type === 'alarm' || flags & 0x8 || !(mask & bit)) continue
    const match = speaksTo(acl, caller, who)
    if (type === 'allow' && match === true && bit !== 0x800 && bit !== 0x80000000) return 'allowed'
    if (type === 'deny' && match !== false) return 'denied'
  }
  return 'undefined'
}

function speaksTo(acl: Acl, caller: Principal, who: Who): boolean | 'unresolved' {
  if (who === 'EVERYONE@') return true
  if (who === 'ANONYMOUS@') return caller.user === undefined
  if (who === 'AUTHENTICATED@') return caller.user !== undefined
  if (who === 'OWNER@') return acl.owner === undefined ? 'unresolved' : is(caller, 'user', acl.owner)
  if (who === 'GROUP@') return acl.group === undefined ? 'unresolved' : is(caller, 'group', acl.group)
  if ('unknown' in who) return 'unresolved'
  return 'user' in who ? is(caller, 'user', who.user) : is(caller, 'group', who.group)
}

function is(caller: Principal, kind: 'user' | 'group', name: string): boolean | 'unresolved' {
  if (name.split('@')[0] === 'nobody') return 'unresolved'
  const { user, posix } = caller
  if (user === undefined) return false
  if (/^[0-9]+$/.test(name)) {
    const ids = kind === 'user' ? [posix?.uid] : [posix?.gid, ...(posix?.gids ?? [])]
    return ids.map(String).includes(name)
  }
  const own = kind === 'user' ? [user] : [...caller.groups]
  // In this cast names are in lower case, so folding all of it is the same as folding the domain.
  return own.some((mine) => mine.toLowerCase() === name.toLowerCase())
}

t.test(`${lists} random lists are decided as the naive evaluator does (SEED=${seed})`, async (t) => {
  const random = randomFrom(seed)
  const start = Date.now()
  for (let i = 0; i < lists; i++) {
    const acl = randomAcl(random)
    const caller = pick(random, callers)
    const mask = randomMask(random)
    const asked = bits.filter((bit) => (mask & bit) !== 0)
    const outcomes = asked.map((bit) => naive(acl, caller, bit))
    const granted = asked.filter((_, k) => outcomes[k] === 'allowed').reduce((sum, bit) => sum | bit, 0)
    const expected = outcomes.includes('denied') ? 'denied' : outcomes.includes('undefined') ? 'undefined' : 'allowed'
    // Looks two and three go through what was remembered of the list.
    for (let look = 0; look < 1 + (i % 3); look++) {
      const decision = decide(acl, caller, mask)
      if (allowed(acl, caller, mask) === granted && decision.outcome === expected) continue
      t.same({ granted: allowed(acl, caller, mask), decision }, { granted, expected }, JSON.stringify({ i, acl, mask }))
      return
    }
  }
  t.ok(Date.now() - start < 10_000, `took ${Date.now() - start} ms`)
})
