/** Decisions per second of the ACL evaluator on lists of 10 entries, one thread. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { type Acl, type Rights, right } from '../acl/acl.ts'
import { parseNfs4Text } from '../acl/codec/nfs4-text.ts'
import { allowed, decide } from '../acl/evaluate.ts'
import type { Principal } from '../acl/principal.ts'
import { type Figure, print } from './report.ts'

const goal = { atLeast: 5_000_000 }
const decisions = 4_000_000
const rounds = 5

const bob: Principal = {
  id: 'bob',
  user: 'bob@desy.de',
  groups: new Set(['physics@desy.de', 'cms@desy.de', 'flash@desy.de']),
  grants: 'unbounded',
  posix: { uid: 1002, gid: 100, gids: [2000, 2001] },
}

/** Owner, users, groups and EVERYONE@ as a project directory has them; bob is let in by the tenth entry. */
const mixed = listOf(`A::OWNER@:rwaDdxtTnNcCoy A::carol@desy.de:rwaxtcy A::dave@desy.de:rxtcy D::erin@desy.de:rwa
  A:g:atlas@desy.de:rxtcy A:g:admins@desy.de:rwaDxtcy D:g:guests@desy.de:rwa A::GROUP@:tcy A:g:xfel@desy.de:rxtcy
  A::EVERYONE@:rxtcy`)
/** The worst case: nine groups that bob is not in speak about what he asks for. */
const groups = listOf(
  `${Array.from({ length: 9 }, (_, i) => `A:g:group${i}@desy.de:rxtcy`).join(' ')} A:g:flash@desy.de:rxtcy`,
)
/** The same by numbers, as a mapped POSIX ACL has it. */
const numbers = listOf(
  `${Array.from({ length: 9 }, (_, i) => `A:g:${3000 + i}:rxtcy`).join(' ')} A:g:2001:rxtcy`,
  '1000',
)

const figures: Figure[] = [
  figure('allowed, 10 mixed entries, the tenth decides', () => run(allowed, [mixed])),
  figure('allowed, 10 entries for groups by name', () => run(allowed, [groups])),
  figure('allowed, 10 entries for groups by number', () => run(allowed, [numbers])),
  figure('allowed, 1,000 different lists in turn', () => run(allowed, copies(mixed, 1000))),
  figure('decide, 10 mixed entries, the tenth decides', () => run((...args) => decide(...args).rights, [mixed])),
]

print(figures)
mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
writeFileSync(resolve(import.meta.dirname, 'results/acl.json'), `${JSON.stringify({ machine, figures }, null, 2)}\n`)

type Evaluator = (acl: Acl, principal: Principal, mask: Rights) => Rights

function listOf(text: string, owner = 'alice@desy.de'): Acl {
  return { owner, group: 'physicists@desy.de', aces: parseNfs4Text(text, 'directory'), dialect: 'rfc8881' }
}

function copies(acl: Acl, count: number): Acl[] {
  return Array.from({ length: count }, () => ({ ...acl, aces: [...acl.aces] }))
}

function figure(what: string, measure: () => number): Figure {
  return { what, value: measure(), unit: 'decisions/s', goal }
}

/** The best of some rounds: what is measured is the evaluator, not what else the machine does. */
function run(evaluate: Evaluator, acls: readonly Acl[]): number {
  let best = 0
  let held = 0
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < decisions; i++) {
      const acl = acls[i % acls.length]
      if (acl) held += evaluate(acl, bob, right.readData | (i & right.execute))
    }
    best = Math.max(best, (decisions * 1e9) / Number(process.hrtime.bigint() - start))
  }
  if (held === 0) throw new Error('nothing was allowed: the measurement is wrong')
  return Math.round(best)
}
