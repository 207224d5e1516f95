import t from 'tap'
import { Turns } from '../../gateway/webdav/turns.ts'

/** Work that ends when it is told to. */
function held(turns: Turns, signal = new AbortController().signal) {
  const { promise, resolve } = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const result = turns.run(signal, () => {
    begun.resolve()
    return promise
  })
  result.catch(() => {})
  return { begun: begun.promise, end: resolve, result }
}

t.test('so many run at once, the others in the order in which they came', async (t) => {
  const turns = new Turns({ running: 2, waiting: 2 })
  const [a, b, c, d] = [held(turns), held(turns), held(turns), held(turns)]
  await Promise.all([a.begun, b.begun])
  await t.rejects(held(turns).result, { code: 'busy' })
  b.end()
  await c.begun
  a.end()
  await d.begun
  c.end()
  d.end()
  await Promise.all([a, b, c, d].map(({ result }) => result))
  await t.resolves(turns.run(new AbortController().signal, async () => {}))
})

t.test('who goes away gives up its turn, and work that fails too', async (t) => {
  const turns = new Turns({ running: 1, waiting: 2 })
  const first = held(turns)
  const caller = new AbortController()
  const gone = held(turns, caller.signal)
  const failing = turns.run(new AbortController().signal, () => Promise.reject(new Error('failed')))
  failing.catch(() => {})
  caller.abort()
  await t.rejects(gone.result, { code: 'cancelled' })
  await t.rejects(held(turns, AbortSignal.abort()).result, { code: 'cancelled' })
  first.end()
  await t.rejects(failing, { message: 'failed' })
  await t.resolves(turns.run(new AbortController().signal, async () => {}))
})
