/**
 * The same decisions where the kernel decides as the user: what the doors let through is what the kernel lets that user
 * do, tried by itself beside them, and what the credential is good for.
 */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { groups, named, users } from '../gateway/people.ts'
import { type Attempt, type Cell, type MatrixDoor, type MatrixIdentity, type OtherWay, waysFor } from './doors.ts'
import { explainDoor, restDoor, webdavDoor } from './http-doors.ts'
import type { Trial, Trials } from './kernel-program.ts'
import { makeGuarded, modeCases } from './modes.ts'
import { type MatrixAction, matrixActions, mayByCredential, type Place } from './oracle.ts'
import { s3Door } from './s3-door.ts'
import { atOnce, Talk } from './talk.ts'
import { startTickets } from './tickets.ts'
import {
  cellOf,
  color,
  dora,
  freeOf,
  identitiesOf,
  identityNames,
  nameOf,
  objectsOf,
  pathOf,
  startMatrix,
} from './world.ts'

// A minute or so on two idle processors.
t.setTimeout(600_000)

const talk = new Talk(() => gateway.port)
const s3Talk = new Talk(() => gateway.s3Port)
/** What no system call of the program here stands for. */
const untried: readonly MatrixAction[] = ['edit', 'set-times-now', 'set-owner', 'stage']
const doors: readonly MatrixDoor[] = [
  webdavDoor(talk),
  restDoor(talk),
  s3Door(s3Talk, () => `127.0.0.1:${gateway.s3Port}`),
  withoutUntried(explainDoor(talk)),
]
/** Objects for the kernel, one for each decision. */
const kernelObjects = new Map<string, Pick<Attempt, 'object' | 'source'>>(
  matrixActions.map((action) => [`kernel-${action}`, objectFor(action)]),
)
const means = { tickets: await startTickets(t, ['bob']) }
const gateway = await startMatrix(t, { make: makeModes, enforce: 'native' }, means)
t.teardown(() => {
  talk.close()
  s3Talk.close()
})
const identities = await identitiesOf(gateway, means)
const tree = gateway.tree('/lab')

function withoutUntried(door: MatrixDoor): MatrixDoor {
  const others = untried.map((action) => [action, { not: 'it is not tried here' }])
  return { ...door, attempts: { ...door.attempts, ...Object.fromEntries(others) } }
}

function objectFor(action: MatrixAction): Pick<Attempt, 'object' | 'source'> {
  if (action === 'list') return { object: 'directory' }
  if (action === 'create' || action === 'mkdir') return { object: 'nothing' }
  if (action === 'move-in-file') return { object: 'nothing', source: 'file' }
  if (action === 'move-in-directory') return { object: 'nothing', source: 'directory' }
  return { object: 'file' }
}

function makeModes(top: string): void {
  mkdirSync(top)
  chmodSync(top, 0o755)
  const objects = new Map<string, Pick<Attempt, 'object' | 'source'>>([...objectsOf(doors), ...kernelObjects])
  const at = (path: string) => join(top, path.slice('/lab/'.length))
  for (const identity of identityNames) {
    mkdirSync(join(top, identity))
    mkdirSync(join(top, identity, 'free'))
    chmodSync(join(top, identity, 'free'), 0o777)
    for (const [index, { around, object: guard }] of modeCases.entries()) {
      makeGuarded(join(top, identity, `c${index}`), 'directory', { ...around, exactly: true })
      for (const [name, { object, source }] of objects) {
        if (object !== 'nothing') makeGuarded(at(pathOf(identity, index, name)), object, guard)
        if (object === 'file') color(at(pathOf(identity, index, name)))
        if (source) makeGuarded(at(freeOf(identity, index, name)), source, { mode: source === 'file' ? 0o666 : 0o777 })
      }
    }
  }
}

/** The numbers of an account, with those of the groups that tokens add. */
function idsOf({ caller }: MatrixIdentity): Omit<Trials, 'trials'> {
  const known: Readonly<Record<string, { readonly uid: number; readonly gid: number }>> = { ...users, dora }
  const name = caller.user?.split('@')[0] ?? ''
  const ids = known[name]
  if (!ids) return { uid: 65_534, gid: 65_534, gids: [] }
  const gids = Object.entries(groups).flatMap(([group, { gid }]) => (caller.groups.includes(named(group)) ? gid : []))
  return { uid: ids.uid, gid: ids.gid, gids }
}

const inTree = (path: string) => join(tree, path.slice('/lab/'.length))

/** What the kernel says to an identity, by ACL and action. */
function askKernel(identity: MatrixIdentity): (index: number, action: MatrixAction) => boolean {
  const tried = matrixActions.filter((action) => !untried.includes(action))
  const trials: (Trial & { readonly key: string })[] = modeCases.flatMap((_, index) =>
    tried.map((action) => {
      const { path, free } = cellOf(identity, index, `kernel-${action}`)
      return { key: `${index} ${action}`, action, path: inTree(path), free: inTree(free) }
    }),
  )
  const input = JSON.stringify({ ...idsOf(identity), trials } satisfies Trials)
  const program = join(import.meta.dirname, 'kernel-program.ts')
  const answers: boolean[] = JSON.parse(execFileSync(process.execPath, [program], { input, encoding: 'utf8' }))
  const known = new Map(trials.map(({ key }, at) => [key, answers[at] ?? false]))
  return (index, action) => known.get(`${index} ${action}`) ?? false
}

const kernel = new Map(identities.map((identity) => [identity, askKernel(identity)]))

interface Question {
  readonly what: string
  readonly cell: Cell
  readonly expected: boolean
  run(): Promise<boolean>
}

function placeOf(path: string, kind: Attempt['object'] | undefined): Place {
  const object = { path, owner: named('alice'), group: named('photon'), isDirectory: kind === 'directory', entries: [] }
  return { way: [], object: kind === 'nothing' ? undefined : object, path }
}

function questionOf(door: MatrixDoor, identity: MatrixIdentity, way: OtherWay, index: number): Question {
  const { name, action, attempt } = way
  const { object, source, takes = [action], beside } = attempt
  const cell = cellOf(identity, index, nameOf(door, way))
  const { caller } = identity
  const credential =
    takes.every((each) => mayByCredential(caller, each, placeOf(cell.path, object))) &&
    (beside === undefined || mayByCredential(caller, beside, placeOf(cell.free, source ?? 'nothing')))
  // New content is written beside the old file, in its directory, before it takes its place.
  const asked: readonly MatrixAction[] = takes.includes('replace') ? [...takes, 'create'] : takes
  const expected = credential && asked.every((each) => kernel.get(identity)?.(index, each) === true)
  return { what: `${identity.name} ${name} by ${door.name}`, cell, expected, run: () => attempt.run(cell) }
}

for (const [index, { name, ...guards }] of modeCases.entries()) {
  t.test(`${name}`, async (t) => {
    const questions = doors.flatMap((door) =>
      identities.flatMap((identity) => waysFor(door, identity).map((way) => questionOf(door, identity, way, index))),
    )
    const works = questions.map((question) => () => question.run().catch((error: unknown) => String(error)))
    const answers = await atOnce(16, works)
    for (const [at, { what, cell, expected }] of questions.entries()) {
      const answer = answers[at]
      if (answer === expected) continue
      t.fail(`${what}: the kernel says ${expected ? 'yes' : 'no'}, got ${String(answer)}`, { path: cell.path, guards })
    }
    const allowed = answers.filter((answer) => answer === true).length
    t.ok(allowed > 0 && allowed < questions.length, `${allowed} of ${questions.length} were allowed`)
  })
}
