/** Ten thousand people, a group of five thousand, and a server that is stopped and started while it is asked. */

import t from 'tap'
import { bisBase, group, labBase, noSlapd, person, Slapd, userDn } from '../peers/slapd.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'

const people = 10_000
const name = (index: number) => `user${String(index).padStart(5, '0')}`
const names = Array.from({ length: people }, (_, index) => name(index))
const everybody = (base: string) => names.map((each, index) => person(base, each, { uid: 40_000 + index })).join('')
const half = names.slice(0, people / 2)

t.test('a large directory', { skip: noSlapd(), timeout: 120_000 }, async (t) => {
  const slapd = await Slapd.start(t, {
    lab: everybody(labBase) + group(labBase, 'half', 33_000, half),
    bis:
      everybody(bisBase) +
      group(
        bisBase,
        'half',
        33_000,
        half.map((each) => userDn(each)),
      ),
  })
  for (const kind of ['rfc2307', 'rfc2307bis'] as const) {
    await t.test(`${kind}: all are found, and all are listed`, async (t) => {
      const { source } = worldOf(t, optionsFor(kind, { servers: [slapd.url] }))
      // Every twentieth by himself, all of them by listing.
      const some = names.flatMap((each, index) => (index % 20 === 0 ? [{ each, uid: 40_000 + index }] : []))
      const found = await Promise.all(some.map(({ each }) => source.find(each)))
      t.ok(found.every((account, index) => account?.ids?.uid === some[index]?.uid))
      t.equal(found.filter((account) => account?.groups.includes('half')).length, some.length / 2)
      let listed = 0
      let inHalf = 0
      for await (const account of source.list()) {
        listed++
        if (account.groups.includes('half')) inHalf++
      }
      t.same([listed, inHalf], [people + 2, people / 2])
    })
  }

  await t.test('nobody who is known notices that the server is stopped and started', async (t) => {
    const { source, clock, told } = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url], found: 1 }))
    const known = names.slice(0, 200)
    await Promise.all(known.map((each) => source.find(each)))
    let running = true
    let asked = 0
    const load = Array.from({ length: 8 }, async () => {
      for (let at = 0; running; at++) {
        clock.now += 2
        const who = known[at % known.length] ?? ''
        const account = await outcome(source.find(who))
        asked++
        if (typeof account === 'string') t.fail(`${who}: ${account}`)
        if (at % 50 === 0) await new Promise(setImmediate)
      }
    })
    for (let time = 0; time < 3; time++) {
      await slapd.stop()
      t.match(await outcome(source.find(`nobody${time}`)), /^(unavailable|busy) /, 'nobody new comes in')
      await slapd.resume()
      while (!source.state().available) await new Promise(setImmediate)
    }
    running = false
    await Promise.all(load)
    t.ok(asked > 1000, `${asked} look-ups`)
    t.ok(told.length >= 6 && told.length < 60, `${told.length} lines in the log`)
  })
})
