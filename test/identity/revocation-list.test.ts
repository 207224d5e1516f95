/** Bans in memory, in step with the store. */

import t from 'tap'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import type { Revocation, RevocationStore } from '../../gateway/state/state.ts'

const ban = (name: string): Revocation => ({ name, principal: 'admin', note: '', added: 0, until: undefined })

t.test('a look that began earlier and ends later takes nothing back', async (t) => {
  const lists: Array<() => void> = []
  let serial = 1
  let entries: readonly Revocation[] = []
  const store: Pick<RevocationStore, 'serial' | 'list' | 'now'> = {
    now: () => 0,
    serial: async () => serial,
    list: () => {
      const seen = entries
      if (serial === 1) return Promise.resolve(seen)
      return new Promise((resolve) => lists.push(() => resolve(seen)))
    },
  }
  const list = await RevocationList.open(store as RevocationStore, (error) => t.fail(String(error)))
  t.teardown(() => list.close())
  const turn = () => new Promise((done) => setImmediate(done))
  serial = 2
  entries = [ban('user:alice@lab.example')]
  const earlier = list.refresh()
  await turn()
  serial = 3
  entries = [...entries, ban('user:bob@lab.example')]
  const later = list.refresh()
  await turn()
  const [first, second] = lists
  second?.()
  await later
  first?.()
  await earlier
  for (const user of ['alice', 'bob']) {
    t.ok(list.isRevoked({ id: 'x', user: `${user}@lab.example`, tokenId: undefined }), user)
  }
})
