/** Lists that are read in parts: nothing is left out and nothing comes twice, also among what was made in one moment. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import type { ListPlace } from '../../gateway/state/state.ts'

t.test('parts of a list are the list', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-parts-'))
  let now = 1_700_000_000_000
  const state = await openState({ directory, now: () => now })
  t.teardown(async () => {
    await state.close()
    await rm(directory, { recursive: true, force: true })
  })
  const { sessions, shares, s3Keys, appPasswords, revocations } = state
  const expires = now + 1_000_000
  // Two moments, ids in no order, two users who take turns.
  for (const [index, id] of ['m', 'b', 'z', 'a', 'k', 'c', 'y', 'x'].entries()) {
    if (index === 4) now += 10
    const user = index % 2 === 0 ? 'alice@desy.de' : 'bob@desy.de'
    const common = { id, principal: `basic:${user}`, user, expires }
    await sessions.add({ ...common, hash: `hash-${id}`, facts: '{}', agent: 'x', from: '' }, 10)
    await shares.add({ ...common, path: parsePath('/a'), terms: '{}' }, 10)
    await s3Keys.add({ ...common, name: id, terms: '{}' }, 10)
    await appPasswords.add({ ...common, hash: id, name: id, terms: '{}' }, 10)
    await revocations.add({ name: `user:${id}`, principal: 'admin', note: '', until: undefined }, 10)
  }
  type List = (
    user: string | undefined,
    most: number,
    after?: ListPlace,
  ) => Promise<readonly (ListPlace & { user: string })[]>
  const lists: Readonly<Record<string, List>> = {
    sessions: (user, most, after) => sessions.list(user, 0, most, after),
    shares: (user, most, after) => shares.list(user, most, after),
    keys: (user, most, after) => s3Keys.list(user, most, after),
    passwords: (user, most, after) => appPasswords.list(user, most, after),
  }
  for (const [name, list] of Object.entries(lists)) {
    for (const user of [undefined, 'alice@desy.de', 'nobody@desy.de']) {
      const whole = await list(user, 100)
      for (const most of [1, 2, 3]) {
        const ids: string[] = []
        for (let after: ListPlace | undefined; ids.length < 20; ) {
          const part = await list(user, most, after)
          ids.push(...part.map(({ id }) => id))
          after = part.at(-1)
          if (part.length < most) break
        }
        t.same(
          ids,
          whole.map(({ id }) => id),
          `${name} of ${user} by ${most}`,
        )
      }
    }
    t.same((await list(undefined, 100)).map(({ id }) => id).join(''), 'ckxyabmz', name)
  }
  t.same((await sessions.list(undefined, now - 1, 100)).map(({ id }) => id).join(''), 'ckxy', 'used since')
  const bans = async (after: string) => (await revocations.list({ after, most: 3 })).map(({ name }) => name)
  t.same(await bans(''), ['user:a', 'user:b', 'user:c'])
  t.same(await bans('user:c'), ['user:k', 'user:m', 'user:x'])
  t.same(await bans('user:x'), ['user:y', 'user:z'])
})
