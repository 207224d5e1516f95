/** All questions of the matrix, asked at some doors; an answer that differs from the oracle's fails. */

import type { Test } from 'tap'
import { type AclCase, aclCases } from './acls.ts'
import { type Cell, type MatrixDoor, type MatrixIdentity, type OtherWay, waysFor } from './doors.ts'
import { type MatrixAction, mayDo } from './oracle.ts'
import { atOnce, type Talk } from './talk.ts'
import { cellOf, freePlaceOf, nameOf, placeOf } from './world.ts'

export interface Matrix {
  readonly doors: readonly MatrixDoor[]
  readonly identities: readonly MatrixIdentity[]
  /** To ask the gateway why, when an answer differs. */
  readonly talk: Talk
}

interface Question {
  readonly door: MatrixDoor
  readonly name: string
  readonly action: MatrixAction
  readonly cell: Cell
  readonly expected: boolean
  run(): Promise<boolean>
}

/** One subtest for each ACL. */
export function playMatrix(t: Test, matrix: Matrix): void {
  for (const [index, acl] of aclCases.entries()) {
    t.test(`an object with ${acl.name}`, async (t) => {
      const questions = questionsOf(matrix, acl, index)
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
        t.fail(`${what}, got ${String(answer)}`, { path: cell.path, acl, chain: await chainOf(matrix, question) })
      }
      t.ok(allowed > 0 && allowed < questions.length, `${allowed} of ${questions.length} were allowed`)
    })
  }
}

/** All that can be asked about one ACL. */
function questionsOf({ doors, identities }: Matrix, acl: AclCase, index: number): Question[] {
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
async function chainOf({ talk }: Matrix, { cell, action }: Question): Promise<unknown> {
  const { http } = cell.identity
  if ('not' in http) return http.not
  const query = new URLSearchParams({ path: cell.path, action })
  const path = `/.portolan/api/v1/explain?${query}`
  return (await talk.send({ method: 'GET', path, headers: http.is })).text
}
