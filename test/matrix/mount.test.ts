/** The same-decision matrix through mounts, one for each identity that comes with a token or a macaroon. */

import t from 'tap'
import { mountGateway } from '../mount/mounted.ts'
import { closedWay } from '../mount/places.ts'
import { fuseDoor } from './fuse-door.ts'
import { playMatrix } from './questions.ts'
import { Talk } from './talk.ts'
import { identitiesOf, makeTree, startMatrix } from './world.ts'

t.setTimeout(300_000)

const closed = closedWay('root')
if (closed) t.plan(0, closed)
else {
  const mounts = new Map<string, string>()
  const door = fuseDoor((name) => mounts.get(name))
  const means = { tickets: 'a mount is made with what fits into a token file' }
  const gateway = await startMatrix(t, { make: makeTree([door]) }, means)
  const talk = new Talk(() => gateway.port)
  t.teardown(() => talk.close())
  const all = await identitiesOf(gateway, means)
  for (const { name, http } of all) {
    const token = 'is' in http ? /^Bearer (.*)$/.exec(http.is.Authorization ?? '')?.[1] : undefined
    if (token !== undefined) mounts.set(name, (await mountGateway(t, gateway, { token })).mountpoint)
  }
  const identities = all.filter(({ name }) => mounts.has(name))
  t.ok(identities.length >= 8, `${identities.length} identities have a mount`)
  playMatrix(t, { doors: [door], identities, talk })
}
