/**
 * The same decision for every credential, ACL and action through every door, and it is the one that the standards ask
 * for (oracle.ts). A cell that differs fails, with the chain of checks that the gateway itself tells.
 */

import t from 'tap'
import { named } from '../gateway/people.ts'
import { noSlapd } from '../peers/slapd.ts'
import { type AclCase, aclCases } from './acls.ts'
import { startDirectory } from './directory.ts'
import { type Cell, type MatrixDoor, type MatrixIdentity, type OtherWay, waysFor } from './doors.ts'
import { explainDoor, restDoor, rightsDoor, webdavDoor } from './http-doors.ts'
import { type MatrixAction, mayDo } from './oracle.ts'
import { s3Door } from './s3-door.ts'
import { atOnce, Talk } from './talk.ts'
import { startTickets } from './tickets.ts'
import { cellOf, freePlaceOf, identitiesOf, makeTree, nameOf, placeOf, startMatrix } from './world.ts'

// A minute or so on two idle processors.
t.setTimeout(600_000)

const talk = new Talk(() => gateway.port)
const s3Talk = new Talk(() => gateway.s3Port)
const doors: readonly MatrixDoor[] = [
  webdavDoor(talk),
  restDoor(talk),
  s3Door(s3Talk, () => `127.0.0.1:${gateway.s3Port}`),
  explainDoor(talk),
  rightsDoor(talk),
]
const means = { tickets: await startTickets(t, ['bob']), directory: await startDirectory(t) }
const gateway = await startMatrix(t, { make: makeTree(doors) }, means)
t.teardown(() => {
  talk.close()
  s3Talk.close()
})
const identities = await identitiesOf(gateway, means)

interface Question {
  readonly door: MatrixDoor
  readonly name: string
  readonly action: MatrixAction
  readonly cell: Cell
  readonly expected: boolean
  run(): Promise<boolean>
}

/** All that can be asked about one ACL. */
function questionsOf(acl: AclCase, index: number): Question[] {
  return doors.flatMap((door) =>
    identities.flatMap((identity) => waysFor(door, identity).map((way) => questionOf(door, identity, way, acl, index))),
  )
}

function questionOf(door: MatrixDoor, identity: MatrixIdentity, way: OtherWay, acl: AclCase, index: number): Question {
  const { name, action, attempt } = way
  const { object, source, takes = [action], beside } = attempt
  const cell = cellOf(identity, index, nameOf(door, way))
  const place = placeOf(acl, cell.path, object)
  const here = takes.every((each) => mayDo(identity.caller, each, place))
  const there = beside === undefined || mayDo(identity.caller, beside, freePlaceOf(cell.free, source))
  return { door, name, action, cell, expected: here && there, run: () => attempt.run(cell) }
}

/** What the gateway says itself, where the identity can ask it. */
async function chainOf({ cell, action }: Question): Promise<unknown> {
  const { http } = cell.identity
  if ('not' in http) return http.not
  const query = new URLSearchParams({ path: cell.path, action })
  const path = `/.portolan/api/v1/explain?${query}`
  return (await talk.send({ method: 'GET', path, headers: http.is })).text
}

t.test('a password is that of a directory', { skip: noSlapd() }, async (t) => {
  t.equal(identities.find(({ name }) => name === 'password')?.caller.user, named('erin'))
})

for (const { name, http, s3 } of identities) {
  t.test(`${name} comes in somewhere`, { skip: 'not' in http && 'not' in s3 && http.not }, async (t) => {
    t.notSame(
      doors.filter(
        (door) => door.closedTo(identities.find((each) => each.name === name) as MatrixIdentity) === undefined,
      ),
      [],
    )
  })
}

for (const [index, acl] of aclCases.entries()) {
  t.test(`an object with ${acl.name}`, async (t) => {
    const questions = questionsOf(acl, index)
    const answers = await atOnce(
      16,
      questions.map((question) => () => question.run().catch((error: unknown) => String(error))),
    )
    let allowed = 0
    for (const [at, question] of questions.entries()) {
      const { door, name, cell, expected } = question
      const answer = answers[at]
      if (answer === true) allowed++
      if (answer === expected) continue
      const what = `${cell.identity.name} ${name} by ${door.name}: expected ${expected ? 'yes' : 'no'}`
      t.fail(`${what}, got ${String(answer)}`, { path: cell.path, acl, chain: await chainOf(question) })
    }
    t.ok(allowed > 0 && allowed < questions.length, `${allowed} of ${questions.length} were allowed`)
  })
}
