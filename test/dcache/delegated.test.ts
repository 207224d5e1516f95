/** A mount that dCache decides about, seen through Storage and HTTP: refusals, reasons, explanations, redirects, events. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { mock } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { anonymous, type Grant, type Principal } from '../../acl/principal.ts'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import type { DcacheOptions } from '../../backends/dcache/options.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import type { DcacheDoubleOptions } from '../doubles/dcache/dcache.ts'
import { TestServices } from '../posix/backend-world.ts'
import { alice, bob, callBy, forwarding, keyHolder, worldFor } from './world.ts'

const at = parsePath
const refusing = { ...forwarding, otherwise: 'refuse' } as const
const grants: readonly Grant[] = [{ kind: 'read', path: at('/pnfs'), directoryOnly: false }]
const seed = [
  { path: '/data', directory: true, owner: 'alice', mode: 0o755 },
  { path: '/data/f', text: 'content', owner: 'alice', mode: 0o600 },
  { path: '/data/closed', directory: true, owner: 'alice', mode: 0o700 },
  { path: '/data/closed/f', text: 'content', owner: 'alice', mode: 0o644 },
  { path: '/data/taped', text: 'content', owner: 'alice', mode: 0o644, locality: 'NEARLINE' as const },
]

interface Setting {
  readonly options?: Partial<DcacheOptions>
  readonly double?: DcacheDoubleOptions
  readonly mount?: Partial<Mount>
}

async function setUp(t: Test, { options, double, mount }: Setting = {}) {
  const world = await worldFor(t, { double: { seed, ...double }, ...(options && { options }) })
  const audit = new MemoryAudit()
  const spillDirectory = mkdtempSync(join(tmpdir(), 'portolan-delegated-'))
  t.teardown(() => rmSync(spillDirectory, { recursive: true }))
  const whole: Mount = {
    at: at('/pnfs'),
    backend: world.backend,
    base: at('/'),
    enforce: 'delegated',
    readOnly: false,
    anonymous: false,
    createParents: false,
    recall: 'explicit',
    maxInFlight: 100,
    deadline: 10_000,
    ...mount,
  }
  const storage = new Storage({ namespace: new Namespace([whole]), audit, spillDirectory })
  const get = async (who: Principal, path: string) => {
    const reading = await storage.read(callBy(who), at(path), { mayRedirect: true })
    if (reading.kind !== 'bytes') return reading.kind
    const body = await text(reading.stream({ start: 0, end: reading.entry.size }))
    await reading.close()
    return body
  }
  const outcome = (promise: Promise<unknown>) =>
    promise.then(
      (value) => (typeof value === 'string' ? value : 'ok'),
      (error) => `${error.code} ${StorageError.reasonOf(error)?.rule}`,
    )
  return { ...world, storage, audit, get, outcome }
}

type Explained = Awaited<ReturnType<Storage['explain']>>
const stepOf = ({ steps }: Explained, check: string) => steps.find((step) => step.check === check)

t.test('dCache decides about callers with tokens, whatever form they go in', async (t) => {
  for (const send of ['forward', 'macaroon'] as const) {
    const { get, outcome, storage } = await setUp(t, { options: { delegation: { ...refusing, send } } })
    t.equal(await outcome(get(alice, '/pnfs/f')), 'content', send)
    t.equal(await outcome(get(bob, '/pnfs/f')), 'denied dcache')
    t.equal(await outcome(get(bob, '/pnfs/closed/f')), 'denied dcache')
    t.equal(await outcome(storage.mkdir(callBy(bob), at('/pnfs/d'))), 'denied dcache')
    t.equal(await outcome(storage.mkdir(callBy(alice), at('/pnfs/d'))), 'ok')
    const { entry } = await storage.rename(callBy(alice), at('/pnfs/f'), at('/pnfs/d/g'))
    t.equal(entry.name, 'g', 'a macaroon reaches both names')
    t.same((await storage.remove(callBy(alice), at('/pnfs/d'), { recursive: true })).failed, [])
  }
})

t.test('what dCache refuses is in the audit log and in explain, with its reason', async (t) => {
  for (const forbids of [true, false]) {
    const { get, outcome, storage, audit } = await setUp(t, { double: { forbids } })
    t.equal(await outcome(get(bob, '/pnfs/closed/f')), 'denied dcache')
    t.match(audit.records.at(-1), {
      outcome: 'refused',
      code: 'denied',
      reason: { rule: 'dcache', text: /^dCache answered 40[13]: ./ },
    })
    const explanation = await storage.explain(callBy(bob), 'read', at('/pnfs/closed/f'))
    t.equal(explanation.allowed, false)
    t.match(stepOf(explanation, 'back end'), { allowed: false, reason: { rule: 'dcache', text: /^dCache answered/ } })
    t.match(stepOf(explanation, 'mount')?.reason.text, /by the credential of the caller/)
    const open = await storage.explain(callBy(alice), 'read', at('/pnfs/f'))
    t.equal(open.allowed, 'unknown')
    t.match(stepOf(open, 'back end'), { allowed: 'decided elsewhere', reason: { rule: 'delegated' } })
  }
})

t.test('a caller whose credential cannot be sent is refused, and explain says why', async (t) => {
  const { get, outcome, storage, dcache, audit } = await setUp(t, { options: { delegation: refusing } })
  dcache.counters.reset()
  for (const who of [keyHolder, { ...alice, grants }]) {
    t.equal(await outcome(get(who, '/pnfs/f')), 'denied credential')
    t.match(audit.records.at(-1), { outcome: 'refused', reason: { rule: 'credential' } })
    const explanation = await storage.explain(callBy(who), 'read', at('/pnfs/f'))
    t.equal(explanation.allowed, false)
    t.match(stepOf(explanation, 'back end'), { allowed: false, reason: { rule: 'credential', text: /dCache/ } })
  }
  t.same(dcache.counters.seen(), [], 'dCache was not asked')
})

t.test('where the service stands in, the gateway decides by what dCache shows', async (t) => {
  const admin = [{ name: 'gateway', uid: 900, gids: [900], password: 'secret', isAdmin: true }]
  const users = [{ name: 'alice', uid: 1000, gids: [1000], tokens: ['token-of-alice'] }, ...admin]
  const everybody = { ...seed[1], path: '/data/open', mode: 0o644 } as const
  const { get, outcome, storage } = await setUp(t, { double: { users, seed: [...seed, everybody] } })
  t.equal(await outcome(get(keyHolder, '/pnfs/open')), 'content')
  t.match(await outcome(get(keyHolder, '/pnfs/f')), /^denied (?!dcache)/)
  t.equal(await outcome(get(keyHolder, '/pnfs/closed/f')), 'denied dcache', 'what the service may not see either')
  t.equal((await storage.explain(callBy(keyHolder), 'read', at('/pnfs/f'))).allowed, false)
  const bounded = { ...alice, grants: [{ kind: 'read' as const, path: at('/pnfs/closed'), directoryOnly: false }] }
  t.equal(await outcome(get(bounded, '/pnfs/open')), 'denied scope', 'within the bounds of the token')
})

t.test('explain says what the bounds of a token refuse, where dCache decides the rest', async (t) => {
  const delegation = { ...refusing, capabilities: 'forward' } as const
  const { get, outcome, storage } = await setUp(t, { options: { delegation } })
  const bounded = { ...alice, grants }
  t.equal(await outcome(get(bounded, '/pnfs/f')), 'content')
  t.equal((await storage.explain(callBy(bounded), 'read', at('/pnfs/f'))).allowed, 'unknown')
  const refused = await storage.explain(callBy(bounded), 'read-acl', at('/pnfs/f'))
  t.equal(refused.allowed, false, 'no token gives a right to see the ACL of others')
  t.match(stepOf(refused, 'acl'), { allowed: false, reason: { rule: 'scope' } })
})

t.test('nobody is served by the service', async (t) => {
  const { get, outcome, dcache } = await setUp(t, { mount: { anonymous: true } })
  dcache.counters.reset()
  t.match(await outcome(get(anonymous, '/pnfs/f')), /^unauthenticated/)
  t.ok(dcache.counters.seen().length > 0)
  t.ok(
    dcache.counters.seen().every(({ credential }) => credential === undefined),
    'no credential was sent',
  )
  const closed = await setUp(t)
  t.match(await closed.outcome(closed.get(anonymous, '/pnfs/f')), /^unauthenticated anonymous/)
})

t.test('about somebody else nothing is known, and the asker is not taken for him', async (t) => {
  const { storage, dcache } = await setUp(t)
  const { credential: _, ...subject } = bob
  dcache.counters.reset()
  const explanation = await storage.explain(callBy({ ...alice, administrator: true }), 'read', at('/pnfs/f'), subject)
  t.equal(explanation.allowed, 'unknown')
  for (const check of ['traverse', 'acl', 'back end']) {
    t.match(stepOf(explanation, check), {
      allowed: 'decided elsewhere',
      reason: { rule: 'delegated', text: /none of this one/ },
    })
  }
  t.same(dcache.counters.seen(), [])
  const scoped = await storage.explain(callBy({ ...alice, administrator: true }), 'remove', at('/pnfs/f'), {
    ...subject,
    grants,
  })
  t.equal(scoped.allowed, false, 'what the gateway itself decides is told')
})

t.test('callers are sent to the door for what is on disk, and never for what is on tape', async (t) => {
  const { get, outcome, storage, dcache, audit } = await setUp(t, { options: { redirects: {} } })
  t.equal(await outcome(get(alice, '/pnfs/f')), 'elsewhere')
  const reading = await storage.read(callBy(alice), at('/pnfs/f'), { mayRedirect: true })
  if (reading.kind !== 'elsewhere') throw new Error('not sent elsewhere')
  t.equal(reading.url.origin, dcache.webdav.origin, 'the door, not a pool')
  const answer = await fetch(reading.url, { headers: { range: 'bytes=3-' } })
  t.equal(await answer.text(), 'tent')
  t.equal(await outcome(get(alice, '/pnfs/taped')), 'nearline undefined')
  t.equal(dcache.counters.recalls, 0)
  t.equal(await outcome(get({ ...alice, expires: 1 }, '/pnfs/f')), 'unauthenticated token-expired')
  const said = JSON.stringify(audit.records, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
  t.notMatch(said, /authz|token-of/)
  const proxied = await setUp(t)
  t.equal(await proxied.outcome(proxied.get(alice, '/pnfs/f')), 'content', 'where the mount has no redirects')
})

t.test('a macaroon that dCache does not know any more is replaced', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => mock.timers.reset())
  const { storage, dcache, outcome } = await setUp(t, { options: { delegation: { ...refusing, send: 'macaroon' } } })
  const stat = () => outcome(storage.stat(callBy(alice), at('/pnfs/f')))
  t.equal(await stat(), 'ok')
  dcache.macaroons.revoke()
  t.equal(await stat(), 'denied dcache', 'one that is fresh is refused for a reason')
  mock.timers.tick(10_000)
  t.equal(await stat(), 'ok')
})

t.test('what was looked at comes from memory until an event tells of a change', async (t) => {
  const { storage, dcache, backend } = await setUp(t, { options: { events: true } })
  const f = at('/pnfs/closed/f')
  const stat = (who: Principal, path: Path = f) => storage.stat(callBy(who), path)
  const asked = () => dcache.counters.requests('frontend', 'GET')
  const untilKept = async () => {
    for (let left = 500; left > 0; left--) {
      const before = asked()
      await stat(alice)
      if (asked() === before) return
      await pause(5)
    }
    throw new Error('never kept')
  }
  await untilKept()
  await t.rejects(stat(bob), { code: 'denied' }, 'dCache answers each caller')
  const { size } = await stat(alice)
  t.equal(size, 7)
  const writing = await storage.write(callBy(alice), f)
  writing.body.end('longer content')
  await writing.commit()
  t.equal((await stat(alice)).size, 14, 'a change by the gateway shows at once')
  await untilKept()
  dcache.tree.remove('/data/closed/f')
  let gone = false
  for (let left = 500; left > 0 && !gone; left--) {
    gone = await stat(alice).then(
      () => false,
      (error) => error.code === 'not-found',
    )
    await pause(5)
  }
  t.ok(gone, 'a change by others as soon as dCache tells')
  await backend.close()
  t.same(dcache.channels.all(), [])
})

t.test('events need a login of the gateway', async (t) => {
  const { service: _, ...unserved } = refusing
  const url = new URL('http://127.0.0.1:1/')
  const options = { webdav: url, frontend: url, root: at('/'), pools: [], delegation: unserved, events: true }
  t.throws(() => new DcacheBackend(options, new TestServices()), { code: 'invalid' })
})
