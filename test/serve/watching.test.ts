/** Which workers tell which of their changes. */

import t from 'tap'
import type { Change } from '../../gateway/core/feed.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { SupervisorLine } from '../../gateway/supervisor/change-line.ts'
import type { FromWorker } from '../../gateway/supervisor/messages.ts'
import { type Watched, Watching } from '../../gateway/supervisor/watching.ts'

const change: Change = { path: parsePath('/m/f'), kind: 'entry', mount: parsePath('/m') }

class FakeWorker implements Watched {
  readonly heard: Change[] = []
  readonly granted: number[] = []
  wanted: boolean | undefined
  isDeaf = false

  async tellChanges(wanted: boolean): Promise<void> {
    if (this.isDeaf) throw new Error('no answer')
    this.wanted = wanted
  }

  hearChanges(changes: readonly Change[]): void {
    this.heard.push(...changes)
  }

  grant(id: number): void {
    this.granted.push(id)
  }
}

t.test('workers tell of their changes while another one watches', async (t) => {
  const [one, two, three] = [new FakeWorker(), new FakeWorker(), new FakeWorker()]
  const workers = new Set([one, two, three])
  const watching = new Watching<FakeWorker>(workers)
  t.equal(watching.isWanted(one), false)
  await watching.wish(one, 1, true)
  t.same([one.wanted, two.wanted, three.wanted], [undefined, true, true])
  t.same(one.granted, [1])
  t.equal(watching.isWanted(one), false, 'nobody but itself')
  t.equal(watching.isWanted(two), true)
  await watching.wish(two, 5, true)
  t.equal(one.wanted, true)
  watching.pass(three, [change])
  t.same([one.heard.length, two.heard.length, three.heard.length], [1, 1, 0])
  watching.pass(one, [change])
  t.same([one.heard.length, two.heard.length, three.heard.length], [1, 2, 0], 'its own do not come back')
  await watching.wish(one, 2, false)
  t.same([two.wanted, three.wanted], [false, true])
  workers.delete(two)
  watching.forget(two)
  await new Promise((resolve) => setImmediate(resolve))
  t.same([one.wanted, three.wanted], [false, false])
})

t.test('what a worker has not told before it died is lost, and that is told', async (t) => {
  const [one, two] = [new FakeWorker(), new FakeWorker()]
  const workers = new Set([one, two])
  const watching = new Watching<FakeWorker>(workers)
  await watching.wish(one, 1, true)
  workers.delete(two)
  watching.forget(two)
  t.same(one.heard, [{ path: '/', kind: 'all', mount: '/' }])
})

t.test('a worker that does not answer keeps no other from watching', async (t) => {
  const [one, two] = [new FakeWorker(), new FakeWorker()]
  two.isDeaf = true
  const watching = new Watching<FakeWorker>(new Set([one, two]))
  await watching.wish(one, 1, true)
  t.same(one.granted, [1])
})

t.test('a worker’s wish is granted by its number', async (t) => {
  const told: FromWorker[] = []
  const line = new SupervisorLine((message, sent) => {
    told.push(message)
    sent?.()
  })
  const heard: Change[] = []
  line.listen((changes) => heard.push(...changes))
  const wish = line.want(true)
  t.same(told, [{ kind: 'watching', id: 1, wanted: true }])
  line.granted(7)
  line.granted(1)
  await wish
  line.hear([change])
  t.same(heard, [change])
  line.send([change])
  t.same(told.at(-1), { kind: 'changes', changes: [change] })
})
