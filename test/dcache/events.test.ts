/** Events of dCache: what was seen is believed only while somebody would tell if it changed. */

import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import type { Entry, Locality } from '../../backends/backend.ts'
import { type EventOptions, Events } from '../../backends/dcache/events.ts'
import { Memory } from '../../backends/dcache/memory.ts'
import { eventsOf } from '../../backends/dcache/sse.ts'
import { Watches } from '../../backends/dcache/watches.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import type { DcacheDouble } from '../doubles/dcache/dcache.ts'
import { startSite } from './site.ts'

const at = parsePath
const login = async () => new Secret(`Basic ${Buffer.from('gateway:secret').toString('base64')}`)

async function until(isSo: () => boolean | undefined, what: string): Promise<void> {
  for (let left = 1000; left > 0; left--) {
    if (isSo()) return
    await pause(5)
  }
  throw new Error(`never: ${what}`)
}

interface Listening {
  readonly dcache: DcacheDouble
  readonly events: Events
  readonly logged: unknown[]
  /** Resolves when all directories on the way are watched. */
  watched(path: Path): Promise<void>
}

async function listen(t: Test, options: Partial<EventOptions> = {}): Promise<Listening> {
  const seed = [
    { path: '/pnfs/a/b/f', text: 'content' },
    { path: '/pnfs/a/c/f', text: 'content' },
    { path: '/pnfs/x/f', text: 'content' },
  ]
  const { dcache, frontend } = await startSite(t, { seed })
  const logged: unknown[] = []
  const events = new Events({
    frontend,
    root: at('/pnfs'),
    login,
    log: (...line) => void logged.push(line),
    patience: { first: 5, most: 20 },
    ...options,
  })
  t.teardown(() => events.close())
  const watched = (path: Path) =>
    until(() => {
      events.want(path)
      return events.watches.isUnchanged(path, events.watches.now)
    }, `${path} is watched`)
  return { dcache, events, logged, watched }
}

t.test('server-sent events are read as the standard has it', async (t) => {
  async function* chunks(...texts: readonly string[]) {
    for (const text of texts) yield Buffer.from(text)
  }
  const read = async (...texts: readonly string[]) => {
    const found: string[] = []
    for await (const { type, data, id } of eventsOf(chunks(...texts))) found.push(`${type}|${data}|${id}`)
    return found
  }
  t.same(await read('data: a\n\n'), ['message|a|undefined'])
  t.same(await read('event: x\nid: 1\ndata:a\ndata: b\n\n', 'data: c\n\n'), ['x|a\nb|1', 'message|c|1'])
  t.same(await read('da', 'ta: ü'.slice(0, 4), 'ü\r', '\n\r\n', ': comment\r\rdata\r\r'), [
    'message|ü|undefined',
    'message||undefined',
  ])
  t.same(await read('event: x\n\n', 'data: cut'), [], 'no data, and no end')
  t.same(await read('id: a\0b\ndata: x\n\n'), ['message|x|undefined'])
  await t.rejects(read('x'.repeat(70_000)), RangeError)
  await t.rejects(read('data: x\n'.repeat(70_000)), RangeError)
})

t.test('what was seen holds until something on the way to it changes', async (t) => {
  const watches = new Watches()
  const path = at('/a/b/f')
  t.notOk(watches.isUnchanged(path, watches.now), 'nothing is watched')
  watches.begin(at('/a'))
  watches.begin(at('/a/b'))
  t.notOk(watches.isUnchanged(path, watches.now), 'the top is not')
  const early = watches.now
  watches.begin(at('/'))
  t.notOk(watches.isUnchanged(path, early), 'seen before all was watched')
  const rows: ReadonlyArray<readonly [string, string | undefined, boolean]> = [
    ['/a/b', 'f', false],
    ['/a/b', 'g', true],
    ['/a/b', undefined, false],
    ['/a', 'b', false],
    ['/a', 'c', true],
    ['/', 'a', false],
    ['/', 'x', true],
    ['/x', 'f', true],
  ]
  for (const [directory, name, holds] of rows) {
    const moment = watches.now
    t.ok(watches.isUnchanged(path, moment))
    watches.change(at(directory), name)
    t.equal(watches.isUnchanged(path, moment), holds, `${directory} ${name}`)
  }
  const moment = watches.now
  t.ok(watches.isQuiet(at('/a/b'), moment))
  watches.change(at('/a/b'), 'other')
  t.notOk(watches.isQuiet(at('/a/b'), moment), 'a directory changes with what is in it')
  watches.end(at('/a'))
  t.notOk(watches.isUnchanged(path, watches.now))
})

t.test('so many names that change are the whole directory', async (t) => {
  const watches = new Watches()
  watches.begin(at('/'))
  const moment = watches.now
  for (let index = 0; index < 5000; index++) watches.change(at('/'), `n${index}`)
  t.notOk(watches.isUnchanged(at('/other'), moment))
})

t.test('changes in dCache are told', async (t) => {
  const { dcache, events, watched } = await listen(t)
  const path = at('/a/b/f')
  const acts: ReadonlyArray<readonly [string, () => unknown]> = [
    ['removed', () => dcache.tree.remove('/pnfs/a/b/f')],
    ['made', () => dcache.tree.add({ path: '/pnfs/a/b/f', text: 'new' })],
    ['the directory moved away', () => dcache.tree.move('/pnfs/a/b', '/pnfs/a/moved')],
  ]
  for (const [name, act] of acts) {
    await watched(path)
    const moment = events.watches.now
    t.ok(events.watches.isUnchanged(path, moment))
    await act()
    await until(() => !events.watches.isUnchanged(path, moment), name)
    t.pass(name)
  }
  const other = at('/x/f')
  await watched(other)
  const moment = events.watches.now
  await dcache.tree.add({ path: '/pnfs/a/c/g', text: 'new' })
  await watched(at('/a/c/g'))
  t.ok(events.watches.isUnchanged(other, moment), 'and what is elsewhere stays')
})

t.test('a directory in the place of another is watched anew', async (t) => {
  const { dcache, events, watched } = await listen(t)
  await watched(at('/a/b/f'))
  await dcache.tree.move('/pnfs/a/b', '/pnfs/a/old')
  await dcache.tree.add({ path: '/pnfs/a/b/f', text: 'other' })
  await until(() => !events.watches.has(at('/a/b')), 'the old one is given up')
  await watched(at('/a/b/f'))
  const moment = events.watches.now
  await dcache.tree.remove('/pnfs/a/b/f')
  await until(() => !events.watches.isUnchanged(at('/a/b/f'), moment), 'told of the new one')
  await watched(at('/a/old/f'))
  const later = events.watches.now
  await dcache.tree.remove('/pnfs/a/old/f')
  await until(() => !events.watches.isUnchanged(at('/a/old/f'), later), 'told of the old one under its new name')
})

t.test('when events were lost, nothing that was seen counts', async (t) => {
  const { dcache, events, watched } = await listen(t)
  const path = at('/a/b/f')
  await watched(path)
  const moment = events.watches.now
  for (const channel of dcache.channels.all()) channel.overflow()
  await until(() => !events.watches.isUnchanged(path, moment), 'overflow')
  t.ok(events.watches.isUnchanged(path, events.watches.now), 'what is seen from then on counts')
})

t.test('a lost connection is made again, and nothing counts in between', async (t) => {
  const { dcache, events, watched } = await listen(t)
  const path = at('/a/b/f')
  await watched(path)
  const moment = events.watches.now
  for (const channel of dcache.channels.all()) channel.disconnect()
  await until(() => !events.watches.isUnchanged(path, moment), 'the end of the stream')
  await watched(path)
  t.equal(dcache.channels.all().length, 1, 'the same channel')
  t.notOk(events.watches.isUnchanged(path, moment))
  const later = events.watches.now
  for (const channel of dcache.channels.all()) channel.close()
  await until(() => !events.watches.isUnchanged(path, later), 'the end of the channel')
  await watched(path)
  t.equal(dcache.channels.all().length, 1, 'a new one')
})

t.test('a frontend that is away is asked again, ever more rarely', async (t) => {
  const { dcache, events, watched, logged } = await listen(t)
  const restore = await dcache.refuse('frontend')
  events.want(at('/a/b/f'))
  await until(() => logged.length > 2, 'tries')
  t.notOk(events.watches.has(at('/')))
  await restore()
  await watched(at('/a/b/f'))
  t.pass('there again')
})

t.test('directories watched are bounded', async (t) => {
  const { events, watched, dcache } = await listen(t, { directories: 3 })
  await watched(at('/a/b/f'))
  await watched(at('/x/f'))
  t.notOk(events.watches.has(at('/a/b')))
  await until(() => dcache.channels.all().every(({ subscriptions }) => subscriptions.size <= 3), 'given up there too')
})

t.test('the channel goes with the back end', async (t) => {
  const { events, watched, dcache } = await listen(t)
  await watched(at('/a/b/f'))
  await events.close()
  t.same(dcache.channels.all(), [])
})

t.test('without a login there are no events', async (t) => {
  const { events, logged, dcache } = await listen(t, { login: async () => undefined })
  events.want(at('/a/b/f'))
  await until(() => logged.length > 0, 'it is said')
  t.same(dcache.channels.all(), [])
})

t.test('one caller is not shown what another was told, and nothing that may be on tape is kept', async (t) => {
  const { events, watched, dcache } = await listen(t)
  const memory = new Memory(events)
  const entry = (type: Entry['type'], locality?: Locality): Entry => ({
    name: 'n',
    type,
    size: 1,
    modified: 0n,
    changed: 0n,
    version: 'v',
    id: 'i',
    ...(locality && { locality }),
  })
  await watched(at('/a/b/f'))
  const path = at('/a/b/f')
  const keep = (what: Entry | undefined, where = path) => memory.keep('alice', where, what, memory.begin(where))
  keep(entry('file', 'disk'))
  t.match(memory.recall('alice', path), { entry: { name: 'n' } })
  t.equal(memory.recall('bob', path), undefined)
  keep(undefined, at('/a/b/gone'))
  t.same(memory.recall('alice', at('/a/b/gone'))?.entry, undefined)
  t.ok(memory.recall('alice', at('/a/b/gone')))
  for (const locality of ['tape', 'disk-and-tape', 'unavailable', 'lost', 'none', undefined] as const) {
    const where = at(`/a/b/${locality ?? 'unknown'}`)
    keep(entry('file', locality), where)
    t.equal(memory.recall('alice', where), undefined, locality ?? 'unknown')
  }
  keep(entry('directory'), at('/a/b'))
  t.ok(memory.recall('alice', at('/a/b')))
  memory.changed(at('/a/b/g'))
  t.notOk(memory.recall('alice', at('/a/b')), 'the gateway itself has changed what is in it')
  t.ok(memory.recall('alice', path))
  memory.changed(path)
  t.notOk(memory.recall('alice', path))
  keep(entry('file', 'disk'))
  const moment = memory.begin(path)
  await dcache.tree.remove('/pnfs/a/b/f')
  await until(() => !memory.recall('alice', path), 'dCache tells')
  memory.keep('alice', path, entry('file', 'disk'), moment)
  t.notOk(memory.recall('alice', path), 'an answer that is older than the change')
  await memory.close()
})
