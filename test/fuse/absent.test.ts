/** Names that are known to be absent are so for their time, and not after anything was said of them. */

import t from 'tap'
import { AbsentNames } from '../../mounts/fuse/absent.ts'

t.test('an absent name stays absent for its time, or until it may be there', async (t) => {
  let now = 0
  const absent = new AbsentNames(() => now)
  absent.put(1, 'a', 1000)
  absent.put(1, 'b', 1000)
  t.equal(absent.left(1, 'a'), 1000)
  t.equal(absent.left(2, 'a'), undefined, 'in this directory alone')
  now = 400
  t.equal(absent.left(1, 'a'), 600, 'asking again makes it no younger')
  absent.forget(1, 'a')
  t.equal(absent.left(1, 'a'), undefined)
  now = 1000
  t.equal(absent.left(1, 'b'), undefined)
})

t.test('a directory that was just made has nothing in it but what was put there', async (t) => {
  let now = 0
  const absent = new AbsentNames(() => now)
  absent.began(5)
  t.ok(absent.left(5, 'anything'))
  absent.forget(5, 'made')
  t.equal(absent.left(5, 'made'), undefined)
  t.ok(absent.left(5, 'other'))
  now = 1001
  t.equal(absent.left(5, 'other'), undefined, 'for a second: others may work there')
})

t.test('what is remembered is bounded', async (t) => {
  const absent = new AbsentNames(() => 0)
  for (let index = 0; index < 200_000; index++) absent.put(index % 50, `name-${index}`, 1000)
  let count = 0
  for (let index = 0; index < 200_000; index++) if (absent.left(index % 50, `name-${index}`)) count++
  t.ok(count <= 65_536, `${count} names`)
})
