/**
 * The same decision for every credential, ACL and action through every door, and it is the one that the standards ask
 * for (oracle.ts). A cell that differs fails, with the chain of checks that the gateway itself tells.
 */

import t from 'tap'
import { named } from '../gateway/people.ts'
import { noSlapd } from '../peers/slapd.ts'
import { startDirectory } from './directory.ts'
import type { MatrixDoor, MatrixIdentity } from './doors.ts'
import { explainDoor, restDoor, rightsDoor, webdavDoor } from './http-doors.ts'
import { playMatrix } from './questions.ts'
import { s3Door } from './s3-door.ts'
import { Talk } from './talk.ts'
import { startTickets } from './tickets.ts'
import { identitiesOf, makeTree, startMatrix } from './world.ts'

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

playMatrix(t, { doors, identities, talk })
