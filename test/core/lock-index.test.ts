import t from 'tap'
import { LockIndex } from '../../gateway/core/lock-index.ts'
import { forbids, isBelow, isOn, type Spot } from '../../gateway/core/lock-scope.ts'
import { type Path, parentOf, parsePath, root } from '../../gateway/core/path.ts'
import type { StoredLock } from '../../gateway/state/state.ts'

const names = ['a', 'b', 'c']
const places = [root, ...names.flatMap((x) => [`/${x}`, ...names.flatMap((y) => [`/${x}/${y}`, `/${x}/${y}/z`])])]

/** From 0 to `below`, the same in each run. */
let seed = 7
function random(below: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
  return Math.floor((seed / 2 ** 31) * below)
}
const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T

function spotAt(at: Path): Spot {
  const above: string[] = []
  for (let place = at; place !== root; ) {
    place = parentOf(place)
    above.unshift(`id:${place}`)
  }
  const realm = pick(['tree', 'other'])
  // Names change behind the gateway's back, ids stay.
  const id = pick([`id:${at}`, `id:${pick(places)}`, undefined])
  return { path: at, backend: realm, realm, at, id, above, parent: above.at(-1) }
}

function lockOn(token: string): StoredLock {
  const { path, backend, realm, at, id, above } = spotAt(parsePath(pick(places)))
  return {
    ...{ token, path, backend, realm, at, above, object: id },
    ...{ principal: 'alice', counted: 'alice', user: 'alice@x', owner: '', created: 0, expires: 0, fresh: false },
    scope: 'exclusive',
    depth: pick(['0', 'infinity']),
  }
}

t.test('the index finds every lock that has a say, among many', (t) => {
  const index = new LockIndex()
  const all = new Map<string, StoredLock>()
  let spoken = 0
  for (let round = 0; round < 3000; round++) {
    const token = `t${random(60)}`
    if (random(3) === 0) {
      index.delete(token)
      all.delete(token)
    } else {
      const lock = lockOn(token)
      index.set(lock)
      all.set(token, lock)
    }
    const spot = spotAt(parsePath(pick(places)))
    const [near, below] = [index.near(spot), index.below(spot)]
    for (const lock of all.values()) {
      for (const touch of ['content', 'name', 'tree'] as const) {
        const found = near.has(lock) || (touch === 'tree' && below.has(lock))
        if (forbids(lock, { spot, touch }) && ++spoken && !found) t.fail(`${touch} ${JSON.stringify([lock, spot])}`)
      }
      if (isOn(lock, spot) && !near.has(lock)) t.fail(`on ${JSON.stringify([lock, spot])}`)
      if (isBelow(lock, spot) !== below.has(lock)) t.fail(`below ${JSON.stringify([lock, spot])}`)
    }
    for (const lock of [...near, ...below]) if (all.get(lock.token) !== lock) t.fail('a lock that is gone')
  }
  t.ok(spoken > 10_000, `${spoken} times`)
  for (const token of all.keys()) index.delete(token)
  t.same([...index.near(spotAt(parsePath('/a/b/z'))), ...index.below(spotAt(root))], [])
  t.end()
})
