/** Files that are closed are given back to the gateway many at a time; what a write tells is handed on. */

import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import type { Attributes } from '../../mounts/client/fs/remote.ts'
import { eventually } from '../gateway/processes.ts'
import { Pretended, say } from './pretended.ts'

const path = parsePath('/data/file')
const anew = { write: true, create: { exclusive: false, mode: 0o600 } }
const text = (value: string) => Buffer.from(value)

/** Keeps account of what is open at a pretended gateway. */
function watched(gateway: Pretended) {
  const batches: string[][] = []
  const released = () => batches.flat()
  /** Answers instead of the gateway; what it refuses is not given back. */
  const state: { refuse: ((response: Parameters<typeof say>[0]) => void) | undefined } = { refuse: undefined }
  gateway.misbehave = ({ what, body, response }) => {
    if (what !== 'op/release') return false
    if (state.refuse) {
      state.refuse(response)
      return true
    }
    const { handle, handles = [handle] } = JSON.parse(body.toString()) as { handle?: string; handles?: string[] }
    // A question of no interest comes before what alters, on a new connection.
    if (handle !== '-') batches.push(handles as string[])
    return false
  }
  return { batches, released, state }
}

t.test('many files are given back with few requests, each once, and nobody waits', async (t) => {
  const gateway = await Pretended.start(t)
  const { batches, released } = watched(gateway)
  const fs = await gateway.reach(t)
  const files = await Promise.all(Array.from({ length: 300 }, () => fs.open(path, anew)))
  await Promise.all(files.map((file) => file.close()))
  await Promise.all(files.map((file) => file.close()))
  await eventually(() => released().length >= 300, 5000, 'not all were given back')
  t.equal(new Set(released()).size, 300)
  t.equal(released().length, 300)
  t.ok(batches.length <= 5, `${batches.length} requests`)
  t.ok(batches.every(({ length }) => length <= 256))
})

t.test('those that could not be told of are told of later', async (t) => {
  const gateway = await Pretended.start(t)
  const { batches, released, state } = watched(gateway)
  const fs = await gateway.reach(t)
  const [one, two] = [await fs.open(path, anew), await fs.open(path, anew)]
  let refused = 0
  state.refuse = (response) => {
    refused++
    response.destroy()
  }
  await one.close()
  await eventually(() => refused > 0, 5000, 'it was not told')
  state.refuse = undefined
  await eventually(() => released().length === 1, 8000, 'the same request is sent again')
  state.refuse = (response) => {
    state.refuse = undefined
    say(response, 409, { code: 'busy' })
  }
  const three = await fs.open(path, anew)
  await two.close()
  await eventually(() => state.refuse === undefined, 5000, 'it was not told')
  t.equal(released().length, 1)
  await three.close()
  await eventually(() => released().length === 3, 10_000, 'they do not go with the next one')
  t.same(batches.at(-1)?.toSorted(), ['h2', 'h3'])
})

t.test('of a session that is over nothing is given back to the next one', async (t) => {
  const gateway = await Pretended.start(t)
  const { released } = watched(gateway)
  const fs = await gateway.reach(t)
  const [old, kept] = [await fs.open(path, anew), await fs.open(path, anew)]
  await old.close()
  gateway.forget()
  // On a busy machine the first may have been given back before its session was over.
  const before = released().length
  // It is open anew, under another name.
  await kept.write(text('x'), 0)
  await kept.close()
  await eventually(() => released().length > before, 5000, 'nothing was given back')
  await fs.stat(path)
  t.same(released().slice(before), ['h3'])
})

t.test('the end of a mount does not wait for files, nor for a gateway that does not answer', async (t) => {
  const gateway = await Pretended.start(t)
  const { state } = watched(gateway)
  const fs = await gateway.reach(t)
  const files = await Promise.all(Array.from({ length: 200 }, () => fs.open(path, anew)))
  // Never answered.
  state.refuse = () => {}
  await Promise.all(files.map((file) => file.close()))
  const began = performance.now()
  await fs.close()
  t.ok(performance.now() - began < 3000)
  t.equal(gateway.asked.at(-1), 'session', 'its end is told')
})

t.test('what a gateway tells along with a write is handed on before the write is done', async (t) => {
  const gateway = await Pretended.start(t)
  const attributes = { type: 'file', size: 5, modified: '7', changed: '7', mine: true, version: 'v2', id: 'one' }
  const queries: string[] = []
  gateway.misbehave = ({ what, method, request, response }) => {
    if (what !== 'data' || method !== 'PUT') return false
    queries.push(new URL(request.url ?? '', gateway.url).search)
    if (!queries.at(-1)?.includes('attributes=1')) return false
    say(response, 200, attributes)
    return true
  }
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  let seen: Attributes | undefined
  const told = (attributes: Attributes) => {
    seen = attributes
  }
  await file.write(text('hello'), 0)
  t.equal(queries[0], '?handle=h1&offset=0')
  await file.write(text('hello'), 0, undefined, told)
  t.match(seen, { size: 5, modified: 7n, version: 'v2' })
  queries.length = 0
  await file.write(Buffer.alloc(1024 * 1024 + 1), 0, undefined, told)
  t.same(queries, ['?handle=h1&offset=0', '?handle=h1&offset=1048576&attributes=1'], 'the last piece tells')
  seen = undefined
  gateway.misbehave = () => false
  await file.write(text('hello'), 0, undefined, told)
  t.equal(seen, undefined, 'a gateway that does not tell is asked by itself')
  gateway.flushes = true
  const late = await fs.open(path, anew)
  gateway.misbehave = ({ what, request }) => {
    if (what === 'data') t.notMatch(request.url, /attributes/, 'where the last word is not spoken yet')
    return false
  }
  await late.write(text('hello'), 0, undefined, told)
  await Promise.all([file.close(), late.close()])
})

t.test('a directory goes after what was closed in it: there may be names for what is open', async (t) => {
  const gateway = await Pretended.start(t)
  const { released } = watched(gateway)
  const fs = await gateway.reach(t)
  const files = await Promise.all(Array.from({ length: 200 }, () => fs.open(path, anew)))
  await Promise.all(files.map((file) => file.close()))
  const before = gateway.misbehave
  let left: number | undefined
  gateway.misbehave = (asked) => {
    if (asked.what !== 'op/remove') return before(asked)
    left = 200 - released().length
    say(asked.response, 200, {})
    return true
  }
  await fs.remove(parsePath('/data/directory'), 'directory')
  t.equal(left, 0)
})
