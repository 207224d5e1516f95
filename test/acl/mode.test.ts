import t from 'tap'
import { formatEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { decide } from '../../acl/evaluate.ts'
import { acesFromMode, aclFromMode, modeOf, withMode } from '../../acl/mode.ts'
import { makeAce } from '../../acl/who.ts'
import { aclOf, people, randomFrom } from './cast.ts'

t.test('a mode becomes the canonical list', async (t) => {
  const rows: ReadonlyArray<readonly [number, ObjectKind, string]> = [
    [0o640, 'file', 'A::OWNER@:rwatTcCy A::GROUP@:rtcy A::EVERYONE@:tcy'],
    [0o604, 'file', 'A::OWNER@:rwatTcCy A::GROUP@:tcy D::GROUP@:r A::EVERYONE@:rtcy'],
    [0o077, 'file', 'D::OWNER@:rwax A::OWNER@:tTcCy A::GROUP@:rwaxtcy A::EVERYONE@:rwaxtcy'],
    [0o470, 'file', 'D::OWNER@:wax A::OWNER@:rtTcCy A::GROUP@:rwaxtcy A::EVERYONE@:tcy'],
    [0o755, 'file', 'A::OWNER@:rwaxtTcCy A::GROUP@:rxtcy A::EVERYONE@:rxtcy'],
    [0o750, 'directory', 'A::OWNER@:rwaDxtTcCy A::GROUP@:rxtcy A::EVERYONE@:tcy'],
  ]
  for (const [mode, kind, text] of rows) {
    t.equal(acesFromMode(mode, kind).map(formatEntry).join(' '), text, `${mode.toString(8)} ${kind}`)
  }
})

t.test('a list amounts to a mode', async (t) => {
  const rows: ReadonlyArray<readonly [string, number]> = [
    ['A::OWNER@:rwaxtTcCy A::GROUP@:rxtcy A::EVERYONE@:tcy', 0o750],
    ['D:g:GROUP@:w A::EVERYONE@:rwa', 0o646],
    ['A::EVERYONE@:rw', 0o444],
    ['A::OWNER@:rw A::bob:rwax', 0o400],
    ['A::bob:rwax', 0o000],
    ['A:fdi:EVERYONE@:rwax A::OWNER@:x', 0o100],
    ['U:S:EVERYONE@:r A::GROUP@:r', 0o040],
    ['A::OWNER@:w A::EVERYONE@:a', 0o200],
  ]
  for (const [text, mode] of rows) t.equal(modeOf(parseNfs4Text(text, 'file')).toString(8), mode.toString(8), text)
})

t.test('every mode survives the way to a list and back, and means the same', async (t) => {
  const { alice, bob, carol } = people
  for (const kind of ['file', 'directory'] as const) {
    for (let mode = 0; mode < 0o1000; mode++) {
      const acl = aclFromMode(mode, kind, { owner: 'alice', group: 'physics' })
      const label = `${mode.toString(8)} ${kind}`
      if (modeOf(acl.aces) !== mode) t.equal(modeOf(acl.aces), mode, label)
      for (const [who, shift] of [
        [alice, 6],
        [bob, 3],
        [carol, 0],
      ] as const) {
        for (const [bit, mask] of [
          [4, 0x1],
          [2, 0x6],
          [1, 0x20],
        ] as const) {
          const expected = ((mode >> shift) & bit) !== 0
          const is = decide(acl, who, mask).outcome === 'allowed'
          if (is !== expected) t.equal(is, expected, `${label}: ${who.id} ${bit}`)
        }
      }
    }
  }
  t.pass('1,024 modes')
})

t.test('chmod changes the three classes and cuts the named ones by the group bits', async (t) => {
  const rows: ReadonlyArray<readonly [string, ObjectKind, number, string]> = [
    [
      'A::OWNER@:rwaxtTcCy A::bob@d:rwaxtcy A::GROUP@:rxtcy A::EVERYONE@:rxtcy',
      'file',
      0o640,
      'A::OWNER@:rwatTcCy A::bob@d:rtcy A::GROUP@:rtcy A::EVERYONE@:tcy',
    ],
    [
      'A::OWNER@:rwatTcCy A::bob@d:rtcy A::GROUP@:rtcy A::EVERYONE@:tcy',
      'file',
      0o604,
      'A::OWNER@:rwatTcCy A::bob@d:tcy A::GROUP@:tcy D::GROUP@:r A::EVERYONE@:rtcy',
    ],
    ['A:fdi:EVERYONE@:rx A::EVERYONE@:rx', 'directory', 0o700, 'A::OWNER@:rwaDx A:fdi:EVERYONE@:rx'],
    ['A:fd:OWNER@:rwaDxtc A::EVERYONE@:tc', 'directory', 0o500, 'A::OWNER@:rxtc A:fdi:OWNER@:rwaDxtc A::EVERYONE@:tc'],
    ['A::EVERYONE@:rx A::OWNER@:rwax', 'file', 0o604, 'A::OWNER@:rwa D::GROUP@:r A::EVERYONE@:r'],
    ['U:S:EVERYONE@:rwa D::bob:w A::OWNER@:r', 'file', 0o000, 'U:S:EVERYONE@:rwa D::bob:w'],
    ['', 'file', 0o077, 'D::OWNER@:rwax A::GROUP@:rwax A::EVERYONE@:rwax'],
    ['A:g:cms:rx', 'file', 0o040, 'D::OWNER@:r A:g:cms:r A::GROUP@:r'],
  ]
  for (const [before, kind, mode, after] of rows) {
    const acl = withMode(aclOf(before), mode, kind)
    t.equal(acl.aces.map(formatEntry).join(' '), after, `${before} chmod ${mode.toString(8)}`)
  }
})

t.test(
  'after any chmod of any list the mode is exactly that, and named classes are within the group bits',
  async (t) => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    const random = randomFrom(seed)
    const names = ['OWNER@', 'GROUP@', 'EVERYONE@', 'ANONYMOUS@', { user: 'bob' }, { group: 'cms' }] as const
    for (let i = 0; i < 20_000; i++) {
      const aces = Array.from({ length: random(8) }, () => {
        const type = (['allow', 'allow', 'deny', 'audit'] as const)[random(4)] ?? 'allow'
        return makeAce(type, random(16), random(0x200), names[random(names.length)] ?? 'OWNER@')
      })
      const mode = random(0o1000)
      const kind = random(2) === 0 ? 'file' : 'directory'
      const acl = withMode({ ...aclOf(''), aces }, mode, kind)
      const cut = (mode & 0o40 ? 0 : 0x1) | (mode & 0o20 ? 0 : 0x6) | (mode & 0o10 ? 0 : 0x20)
      const isNamed = (who: unknown) => typeof who === 'object' || who === 'ANONYMOUS@'
      const wide = acl.aces.find(
        (ace) => ace.type === 'allow' && !(ace.flags & 8) && isNamed(ace.who) && ace.mask & cut,
      )
      const heritable = aces.filter((ace) => ace.flags & 3).length
      const kept = acl.aces.filter((ace) => ace.flags & 3).length
      if (modeOf(acl.aces) === mode && !wide && kept >= heritable) continue
      t.fail(`SEED=${seed}, list ${i}: ${JSON.stringify({ aces, mode: mode.toString(8), acl })}`)
      return
    }
    t.pass('20,000 lists')
  },
)

t.test('chmod protects a dacl whose inherited entries it had to change', async (t) => {
  const acl = aclOf('A:I:OWNER@:rwa A:I:bob:r', { flags: 1 })
  t.same(withMode(acl, 0o400, 'file').flags, 1 | 2)
  t.same(withMode(acl, 0o400, 'file').aces.map(formatEntry), ['A::OWNER@:r'], 'bob is cut by the group bits')
  const kept = withMode(aclOf('A::OWNER@:rwa A:I:bob:r', { flags: 1 }), 0o440, 'file')
  t.equal(kept.flags, 1)
  t.same(kept.aces.map(formatEntry), ['A::OWNER@:r', 'A:I:bob:r', 'A::GROUP@:r'])
})
