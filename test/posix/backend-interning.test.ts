/** What an I/O thread tells by number is understood, whatever gets lost on the way. */

import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { Listener, Teller, type Told, UnknownNumber } from '../../backends/posix/interning.ts'
import type { EntryWire, Looked } from '../../backends/posix/wire.ts'

interface Known extends Told {
  readonly acl: Acl
}

const aclOf = (owner: string): Acl => ({ owner, group: undefined, aces: [], dialect: 'rfc8881' })
const wireOf = (name: string, acl: number): EntryWire => [name, 0, 1, 0n, 0n, 'v', 'id', 0, 1, acl]

/** One look at an object with this ACL. */
function tell(teller: Teller, known: Known, whole: boolean): Looked {
  teller.begin(whole)
  const entry = wireOf('name', teller.refer(known, known.acl))
  return { above: [], parentExists: true, entry, ...teller.end() }
}

t.test('an ACL is told once', async (t) => {
  const teller = new Teller(1)
  const listener = new Listener()
  const known: Known = { number: 0, acl: aclOf('alice') }
  const first = tell(teller, known, false)
  const second = tell(teller, known, false)
  t.equal(first.fresh?.length, 1)
  t.equal(second.fresh, undefined)
  t.equal(listener.trail(first).entry?.acl, listener.trail(second).entry?.acl)
})

t.test('what got lost is noticed and told again', async (t) => {
  const teller = new Teller(1)
  const listener = new Listener()
  const known: Known = { number: 0, acl: aclOf('alice') }
  tell(teller, known, false)
  try {
    listener.trail(tell(teller, known, false))
    t.fail('a number was understood that was never told')
  } catch (error) {
    t.ok(error instanceof UnknownNumber)
  }
  t.equal(listener.trail(tell(teller, known, true)).entry?.acl?.owner, 'alice')
  t.equal(listener.trail(tell(teller, known, false)).entry?.acl?.owner, 'alice')
})

t.test('numbers of two threads stay apart', async (t) => {
  const listener = new Listener()
  const looks = [1, 2].map((table) => tell(new Teller(table), { number: 0, acl: aclOf(`owner ${table}`) }, false))
  t.same(
    looks.map((looked) => listener.trail(looked).entry?.acl?.owner),
    ['owner 1', 'owner 2'],
  )
})

t.test('both sides forget the oldest, and never mean different things', async (t) => {
  const teller = new Teller(1)
  const listener = new Listener()
  const all = Array.from({ length: 40_000 }, (_, index): Known => ({ number: 0, acl: aclOf(`${index}`) }))
  let seed = 1
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  let asked = 0
  for (let round = 0; round < 120_000; round++) {
    const known = all[round % 3 === 0 ? random(all.length) : random(50)] as Known
    const looked = tell(teller, known, false)
    // One in fifty answers is lost: its caller had gone.
    if (random(50) === 0) continue
    let owner: string | undefined
    try {
      owner = listener.trail(looked).entry?.acl?.owner
    } catch (error) {
      if (!(error instanceof UnknownNumber)) throw error
      asked++
      owner = listener.trail(tell(teller, known, true)).entry?.acl?.owner
    }
    if (owner !== known.acl.owner) t.fail(`${owner} instead of ${known.acl.owner}`)
  }
  t.ok(asked > 0, `${asked} looks were told again`)
})
