/** What each door cannot express, and who cannot come in by it: written down, so that a gap is nobody's accident. */

import t from 'tap'
import { aclCases } from './acls.ts'
import { type MatrixDoor, waysOf } from './doors.ts'
import { fuseDoor } from './fuse-door.ts'
import { explainDoor, restDoor, rightsDoor, webdavDoor } from './http-doors.ts'
import { matrixActions } from './oracle.ts'
import { s3Door } from './s3-door.ts'
import { Talk } from './talk.ts'
import { identityNames } from './world.ts'

const talk = new Talk(() => 0)
const doors: readonly MatrixDoor[] = [
  webdavDoor(talk),
  restDoor(talk),
  s3Door(talk, () => ''),
  explainDoor(talk),
  rightsDoor(talk),
  fuseDoor(() => undefined),
]

const absent: Readonly<Record<string, string>> = {
  webdav: 'edit set-times-now set-owner read-acl write-acl stage locality',
  rest: [
    'stat list read create replace edit mkdir remove move-away move-in-file move-in-directory set-times-now',
    'set-attributes set-mode set-owner read-properties write-properties stage',
  ].join(' '),
  s3: [
    'edit move-away move-in-file move-in-directory set-times-now set-attributes set-mode set-owner read-acl write-acl',
    'stage locality',
  ].join(' '),
  explain: '',
  rights: 'create mkdir move-in-file move-in-directory',
  fuse: 'set-owner stage',
}

t.test('what a door has no words for is written down, with the reason', async (t) => {
  for (const { name, attempts } of doors) {
    const missing = matrixActions.filter((action) => 'not' in attempts[action])
    t.equal(missing.join(' '), absent[name], name)
    for (const action of missing) {
      const attempt = attempts[action]
      t.ok('not' in attempt && attempt.not.length > 10, `${name} ${action}`)
    }
  }
})

t.test('every action but that of tapes is tried at some door, and not only asked about', async (t) => {
  const untried = matrixActions.filter((action) =>
    doors.every((door) => door.changesNothing || waysOf(door).every((way) => way.action !== action)),
  )
  t.same(untried, ['stage'])
})

t.test('the matrix is as large as it says', async (t) => {
  t.ok(identityNames.length >= 8, `${identityNames.length} identities`)
  t.ok(aclCases.length >= 40, `${aclCases.length} ACLs`)
  t.equal(new Set(aclCases.map(({ name }) => name)).size, aclCases.length, 'each has a name of its own')
  t.ok(matrixActions.length >= 20, `${matrixActions.length} actions`)
})
