/** A token that ends in the middle of an upload or a copy finishes that one and no other. */

import { Readable } from 'node:stream'
import { mock } from 'node:test'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import type { DelegationOptions } from '../../backends/dcache/credentials.ts'
import type { Granted } from '../../backends/dcache/macaroons.ts'
import { Provision } from '../../backends/dcache/outlasting.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { Area, act, fails } from '../backends/conformance/area.ts'
import { mountOf } from '../core/world.ts'
import type { DcacheDoubleOptions } from '../doubles/dcache/dcache.ts'
import { alice, callBy, type DcacheWorld, forwarding, keyHolder, type WorldOptions, worldFor } from './world.ts'

const file = parsePath('/file')
const { service: _, ...alone } = forwarding
const refusing: DelegationOptions = { ...alone, otherwise: 'refuse' }

/** What has happened, for those who wait until it has happened so often. */
class Noted<T> {
  readonly #all: T[] = []
  #next = Promise.withResolvers<void>()

  note(one: T): void {
    this.#all.push(one)
    this.#next.resolve()
    this.#next = Promise.withResolvers()
  }

  async reached(count: number): Promise<readonly T[]> {
    while (this.#all.length < count) await this.#next.promise
    return this.#all
  }
}

/** The bytes of a file come when they are let go. `asked`: so many have asked for them. */
function holdBytes({ dcache }: DcacheWorld, path: string) {
  const node = dcache.tree.file(path)
  const { content } = node
  if (!content) throw new Error(`${path} has no bytes`)
  const reads = new Noted<number>()
  const held = Promise.withResolvers<void>()
  const bytes = async function* (start: number, end: number) {
    reads.note(start)
    await held.promise
    yield* content.read(start, end)
  }
  node.content = { ...content, read: (start, end) => Readable.from(bytes(start, end), { objectMode: false }) }
  return { asked: (count = 1) => reads.reached(count), letGo: held.resolve }
}

interface Site {
  readonly world: DcacheWorld
  readonly area: Area
  /** The caller, by a token that ends in half a minute. */
  readonly brief: Principal
  /** The first macaroon for finishing something, when dCache has given so many. */
  given(count?: number): Promise<string>
  /** The token ends, at dCache and by the clock. */
  end(): void
  /** dCache takes such tokens again. */
  renew(): void
}

async function prepared(
  t: Test,
  { options, ...more }: WorldOptions = {},
  double: DcacheDoubleOptions = {},
): Promise<Site> {
  const tokens: string[] = []
  const users = [
    { name: 'alice', uid: 1000, gids: [1000], tokens },
    { name: 'gateway', uid: 900, gids: [900, 1000], password: 'secret', isAdmin: true },
  ]
  const world = await worldFor(t, {
    ...more,
    options: { delegation: refusing, ...options },
    double: { users, ...double },
  })
  await world.dcache.tree.add({ path: '/data/file', text: 'the old bytes', owner: 'alice', mode: 0o600 })
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => mock.timers.reset())
  const issued = new Noted<string>()
  const given = async (count = 1) => (await issued.reached(count))[0] ?? ''
  const { macaroons } = world.dcache
  const issue = macaroons.issue.bind(macaroons)
  macaroons.issue = (...asked) => {
    const made = issue(...asked)
    if (asked[2].some((caveat) => caveat === 'activity:DELETE,MANAGE,READ_METADATA,UPDATE_METADATA')) {
      issued.note(made)
    }
    return made
  }
  const renew = () => void tokens.push('token-of-alice')
  renew()
  const end = () => {
    mock.timers.tick(120_000)
    tokens.length = 0
  }
  const brief = { ...alice, expires: Date.now() / 1000 + 30 }
  return { world, area: new Area(world, root), brief, given, end, renew }
}

function storageOver(t: Test, { backend }: DcacheWorld): Storage {
  return new Storage({
    namespace: new Namespace([mountOf('/data', backend, { enforce: 'delegated' })]),
    audit: new MemoryAudit(),
    spillDirectory: t.testdir(),
  })
}

for (const send of ['forward', 'macaroon'] as const) {
  for (const withoutFrontend of [false, true]) {
    const site = (t: Test) => prepared(t, { withoutFrontend, options: { delegation: { ...refusing, send } } })
    const how = `${send}, ${withoutFrontend ? 'by the door alone' : 'with the frontend'}`

    t.test(`an upload across the end of its token is finished, and no other begun (${how})`, async (t) => {
      const { area, brief, given, end, renew } = await site(t)
      const replacing = await area.draft(file, 'the new bytes', callBy(brief))
      const making = await area.draft(parsePath('/new'), 'bytes', callBy(brief))
      await given(2)
      end()
      t.equal((await area.commit(replacing)).size, 13)
      t.equal((await area.commit(making)).size, 5)
      await fails(t, act(area.backend.create(parsePath('/other'), {}, callBy(brief))), 'unauthenticated')
      await fails(t, area.backend.walk(file, callBy(brief)), 'unauthenticated')
      renew()
      t.equal(await area.text(file), 'the new bytes')
      t.equal(await area.text(parsePath('/new')), 'bytes')
      t.same(await area.names(root), ['file', 'new'])
      t.same(await area.leftovers(), [])
    })

    t.test(`an upload that is given up after the end of its token leaves nothing (${how})`, async (t) => {
      const { area, brief, given, end } = await site(t)
      const draft = await area.draft(file, 'the new bytes', callBy(brief))
      await given()
      end()
      await fails(t, area.commit(draft, { condition: 'absent' }), 'exists')
      await draft.discard()
      t.same(await area.leftovers(), [])
    })
  }
}

for (const send of ['forward', 'macaroon'] as const) {
  for (const withoutFrontend of [false, true]) {
    const site = (t: Test) => prepared(t, { withoutFrontend, options: { delegation: { ...refusing, send } } })
    const how = `${send}, ${withoutFrontend ? 'by the door alone' : 'with the frontend'}`
    const copied = ({ backend }: DcacheWorld, to: string, by: Principal, condition: 'any' | 'absent' = 'any') =>
      act(backend.copying.copy(file, parsePath(to), { condition, decide() {} }, callBy(by)))

    t.test(`a copy inside dCache across the end of its token is finished, and no other begun (${how})`, async (t) => {
      const { world, area, brief, given, end, renew } = await site(t)
      await world.dcache.tree.add({ path: '/data/sub/old', text: 'older', owner: 'alice', mode: 0o640 })
      await world.dcache.tree.add({ path: '/data/sub', directory: true, owner: 'alice' })
      const { asked, letGo } = holdBytes(world, '/data/file')
      const copying = [copied(world, '/sub/new', brief), copied(world, '/sub/old', brief)]
      await Promise.all([asked(2), given(2)])
      end()
      letGo()
      for (const entry of await Promise.all(copying)) t.equal(entry.size, 13)
      await fails(t, copied(world, '/other', brief), 'unauthenticated')
      renew()
      t.equal(await area.text(parsePath('/sub/new')), 'the old bytes')
      t.equal(await area.text(parsePath('/sub/old')), 'the old bytes')
      t.same(await area.leftovers(), [])
    })

    t.test(`a copy that comes to nothing after the end of its token leaves nothing (${how})`, async (t) => {
      const { world, area, brief, given, end } = await site(t)
      const { asked, letGo } = holdBytes(world, '/data/file')
      const copying = copied(world, '/new', brief, 'absent')
      await Promise.all([asked(), given()])
      end()
      await world.dcache.tree.add({ path: '/data/new', text: 'somebody was quicker', owner: 'alice' })
      letGo()
      await fails(t, copying, 'exists')
      t.same(await area.leftovers(), [])
    })
  }
}

t.test('a whole copy through Storage outlives its token, properties too, and the next is refused', async (t) => {
  const { world, brief, given, end, renew, area } = await prepared(t)
  const storage = storageOver(t, world)
  world.dcache.tree.file('/data/file').xattrs.set('run', '42')
  const { asked, letGo } = holdBytes(world, '/data/file')
  const [from, to] = [parsePath('/data/file'), parsePath('/data/copy')]
  const copying = storage.copy(callBy(brief), from, to, {})
  await Promise.all([asked(), given()])
  end()
  letGo()
  const { entry, created } = await copying
  t.match({ size: entry.size, created }, { size: 13, created: true })
  await fails(t, storage.copy(callBy(brief), from, parsePath('/data/other'), {}), 'unauthenticated')
  renew()
  t.equal(await area.text(parsePath('/copy')), 'the old bytes')
  t.same([...world.dcache.tree.file('/data/copy').xattrs], [['run', '42']])
  t.same(await area.leftovers(), [])
})

t.test('a copy of any length waits for its answer', async (t) => {
  const { world, area } = await prepared(t)
  await world.dcache.tree.add({ path: '/data/long', size: 4 * 2 ** 40, owner: 'alice' })
  const { asked } = holdBytes(world, '/data/long')
  const controller = new AbortController()
  const { copying } = world.backend
  const options = { condition: 'any', decide() {} } as const
  const copied = act(copying.copy(parsePath('/long'), parsePath('/copy'), options, callBy(alice, controller.signal)))
  await Promise.race([asked(), copied])
  // A timer of more than 24 days would be over at once, long before these answers.
  t.ok(await area.exists(file))
  t.ok(await area.exists(file))
  controller.abort()
  await fails(t, copied, 'cancelled')
})

t.test('a door that is ill for a moment gives the macaroon a little later', async (t) => {
  const { world, area, brief, given, end, renew } = await prepared(t)
  world.dcache.faults.add({ at: 'door', kind: 'POST', times: 1, fault: { type: 'status', status: 503 } })
  const draft = await area.draft(parsePath('/new'), 'bytes', callBy(brief))
  await given()
  end()
  await area.commit(draft)
  renew()
  t.equal(await area.text(parsePath('/new')), 'bytes')
  t.same(await area.leftovers(), [])
})

t.test('properties go along with a copy where dCache decides by the rights of the caller alone', async (t) => {
  const { backend } = await worldFor(t)
  t.equal(backend.copying.takesProperties?.(alice), true)
  t.equal(backend.copying.takesProperties?.(keyHolder), false, 'the service asks for him')
  const grants = [{ kind: 'upload', path: root, directoryOnly: false }] as const
  t.equal(backend.copying.takesProperties?.({ ...alice, grants }), false, 'he has not got all of his rights here')
  const { backend: other } = await worldFor(t, { withoutFrontend: true })
  t.equal(other.copying.takesProperties?.(alice), false, 'nobody tells them')
})

t.test('a whole upload through Storage outlives its token, and the next is refused', async (t) => {
  const { world, brief, given, end, renew, area } = await prepared(t)
  const storage = storageOver(t, world)
  const at = parsePath('/data/file')
  const writing = await storage.write(callBy(brief), at)
  await given()
  end()
  writing.body.end('the new bytes')
  const { entry, created } = await writing.commit()
  t.match({ size: entry.size, created }, { size: 13, created: false })
  await fails(t, storage.write(callBy(brief), at), 'unauthenticated')
  renew()
  t.equal(await area.text(file), 'the new bytes')
  t.same(await area.leftovers(), [])
})

t.test('what is given is for this upload: its directory, its acts and half a day', async (t) => {
  const { area, world, brief, given } = await prepared(t)
  const draft = await area.draft(parsePath('/new'), 'bytes', callBy(brief))
  const { caveats } = world.dcache.macaroons.login(await given(), '127.0.0.1')
  const before = new Date(Date.now() + 12 * 3600_000).toISOString().slice(0, 16)
  t.ok(caveats.includes('path:/data'))
  t.ok(caveats.includes('activity:DELETE,MANAGE,READ_METADATA,UPDATE_METADATA'))
  t.ok(caveats.some((caveat) => caveat.startsWith(`before:${before}`)))
  await area.commit(draft)
})

t.test('nothing is asked for where an upload ends in time', async (t) => {
  const { area, world } = await prepared(t)
  const lasting = callBy({ ...alice, expires: Date.now() / 1000 + 3600 })
  await area.commit(await area.draft(parsePath('/one'), 'bytes', lasting))
  const given = await area.draft(parsePath('/two'), 'bytes', lasting)
  await given.discard()
  await area.commit(await area.draft(parsePath('/three'), 'bytes'))
  t.equal(world.dcache.counters.requests('door', 'POST'), 0)
})

t.test('the macaroon is told to nobody', async (t) => {
  const { area, world, brief, given, end } = await prepared(t)
  const draft = await area.draft(file, 'the new bytes', callBy(brief))
  const macaroon = await given()
  end()
  // Whatever goes wrong.
  const back = world.dcache.faults.add({ at: 'door', kind: 'DELETE', fault: { type: 'status', status: 500 } })
  const error = await area.commit(draft, { condition: 'absent' }).catch((thrown: unknown) => thrown)
  await draft.discard()
  back()
  t.ok(world.messages.length > 0)
  const told = inspect([world.messages, error, draft, area.backend], { depth: 12, showHidden: true })
  t.notOk(told.includes(macaroon))
  t.notOk(told.includes(macaroon.slice(0, 24)))
})

t.test('where dCache gives no macaroon the upload is refused, which is told, and taken away', async (t) => {
  const scoped = { ...alice, grants: [{ kind: 'upload', path: root, directoryOnly: false }] } as const
  const rows: ReadonlyArray<readonly [string, DcacheDoubleOptions, Principal, RegExp]> = [
    ['that has none', { macaroons: false }, alice, /no macaroon to finish it with: ./],
    ['over plain http', { plainMacaroons: false }, alice, /no macaroon to finish it with: dCache answered/],
    [
      'that gives short ones',
      { macaroons: { maxLifetime: 600_000 } },
      alice,
      /no macaroon to finish it with: dCache answered/,
    ],
    ['for a token with scopes', {}, scoped, /storage scopes/],
  ]
  for (const [name, double, caller, text] of rows) {
    await t.test(name, async (t) => {
      const delegation: DelegationOptions = { ...forwarding, capabilities: 'forward' }
      const { area, world, end } = await prepared(t, { options: { delegation } }, double)
      const call = callBy({ ...caller, expires: Date.now() / 1000 + 30 })
      const draft = await area.draft(parsePath('/new'), 'bytes', call)
      const asked = world.dcache.counters.requests('door', 'POST')
      end()
      const error = await area.commit(draft).then(
        () => t.fail('it should fail'),
        (thrown: unknown) => StorageError.from(thrown),
      )
      if (!(error instanceof StorageError)) return
      t.equal(error.code, 'unauthenticated')
      t.match(StorageError.reasonOf(error), { rule: 'token-expired', text })
      if (caller === scoped) t.equal(asked, 0)
      await draft.discard()
      t.same(await area.leftovers(), [])
      t.notOk(world.dcache.tree.has('/data/new'))
    })
  }
})

t.test('the macaroon is asked for once, a minute before the end, and not when all is over', async (t) => {
  mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1_000_000 })
  t.teardown(() => mock.timers.reset())
  const { signal } = new AbortController()
  let asked = 0
  const ask = async (): Promise<Granted> => {
    asked++
    throw new StorageError('denied', 'no')
  }
  const month = 30 * 86_400_000
  const provision = new Provision(Date.now() + month, ask)
  const over = new Provision(Date.now() + month, ask)
  mock.timers.tick(2 ** 31 - 1)
  mock.timers.tick(month - 60_000 - (2 ** 31 - 1) - 1)
  t.equal(asked, 0)
  over.forget()
  mock.timers.tick(1)
  t.equal(asked, 1)
  t.equal(await provision.take(signal), undefined)
  mock.timers.tick(59_999)
  t.equal(await provision.take(signal), undefined, 'the token still does')
  mock.timers.tick(1)
  await fails(t, provision.take(signal), 'unauthenticated')
  await fails(t, over.take(signal), 'unauthenticated')
  t.equal(asked, 1)
})
