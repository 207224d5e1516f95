/** litmus, the test suite for WebDAV servers, against gateways in both grades. */

import t from 'tap'
import { noNative, startTestGateway } from '../gateway/harness.ts'
import { Guarded, Owned, openToAll, ownerOnly } from '../gateway/tree.ts'
import { litmus, noLitmus, suites } from '../peers/litmus.ts'

t.setTimeout(180_000)

const grades = {
  gateway: (top: string) => {
    const tree = new Guarded(top)
    tree.directory('', 'admin', openToAll)
    tree.directory('alice', 'alice', ownerOnly)
  },
  native: (top: string) => {
    const tree = new Owned(top)
    tree.directory('alice', 'alice', 0o700)
  },
} as const

for (const enforce of ['gateway', 'native'] as const) {
  const skip = noLitmus() || (enforce === 'native' && noNative)
  t.test(`litmus has nothing to complain about in the ${enforce} grade`, { skip }, async (t) => {
    const gateway = await startTestGateway(t, {
      mounts: [{ path: '/lab', enforce, make: grades[enforce] }],
      passwords: true,
    })
    const { summaries, complaints } = await litmus(new URL('/lab/alice/', gateway.url).href)
    t.equal(summaries.length, suites.length, summaries.join('; '))
    t.same(complaints, [])
  })
}
