/** Tape of dCache, as the gateway asks for it: once, as the caller, and never by accident. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Backend, EarlierOrder, StageFile, TapeFacet } from '../../backends/backend.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { states, wishes } from '../core/tape-world.ts'
import { mountOf, outcome } from '../core/world.ts'
import { alice, bob, callBy, type DcacheWorld, keyHolder, type WorldOptions, worldFor } from './world.ts'

const at = parsePath
const seed = [
  { path: '/data', directory: true, owner: 'alice', mode: 0o775 },
  { path: '/data/a', text: 'alpha', owner: 'alice', locality: 'NEARLINE' },
  { path: '/data/b', text: 'beta', owner: 'alice', locality: 'NEARLINE' },
  { path: '/data/sub/c d', text: 'gamma', owner: 'alice', locality: 'ONLINE_AND_NEARLINE' },
  { path: '/data/here', text: 'delta', owner: 'alice' },
  { path: '/data/lost', text: 'x', owner: 'alice', locality: 'LOST' },
  { path: '/data/secret', text: 'x', owner: 'alice', mode: 0o600, locality: 'NEARLINE' },
] as const

async function site(t: Test, options: WorldOptions = {}) {
  const world = await worldFor(t, { ...options, double: { seed, recallDelay: 60_000, ...options.double } })
  const { tape } = world.backend
  if (!tape) throw new Error('no tape')
  return { ...world, tape }
}

function files(...paths: readonly string[]): StageFile[] {
  return paths.map((path) => ({ path: at(path) }))
}

async function stateOf(tape: TapeFacet, id: string, principal = alice): Promise<Record<string, string>> {
  const progress = await tape.progress(id, callBy(principal))
  return Object.fromEntries(progress.map(({ path, state }) => [path, state]))
}

/** Lets the stand-in's own work, which nobody waits for, come to rest. */
async function settle({ tape, backend }: { readonly tape: TapeFacet; readonly backend: Backend }, id: string) {
  for (let turn = 0; turn < 50; turn++) {
    await backend.walk(at('/a'), callBy())
    const all = Object.values(await stateOf(tape, id))
    if (!all.includes('submitted')) return
  }
}

t.test('files come from tape, are kept for their lifetime, and are let go of', async (t) => {
  const { tape, dcache, backend } = await site(t)
  const order = { key: 'k', files: [{ path: at('/a'), lifetime: 7200 }, ...files('/sub/c d')] }
  const id = await tape.stage(order, callBy())
  await settle({ tape, backend }, id)
  t.same(await stateOf(tape, id), { '/a': 'started', '/sub/c d': 'completed' })
  dcache.clock.advance(60_000)
  await settle({ tape, backend }, id)
  for (let turn = 0; (await stateOf(tape, id))['/a'] !== 'completed' && turn < 50; turn++);
  const [a] = await tape.progress(id, callBy())
  t.match(a, { path: '/a', state: 'completed' })
  t.ok(Math.abs((a?.finishedAt ?? 0) - dcache.clock.now()) < 30_000, 'in milliseconds')
  t.same(await tape.locality([at('/a'), at('/sub/c d')], callBy()), ['disk-and-tape', 'disk-and-tape'])
  const node = dcache.tree.get('/data/a')
  if (node.type !== 'file') return
  t.equal(dcache.tape.evict(node), false, 'pinned')
  await tape.release(id, [at('/a')], callBy())
  for (let turn = 0; dcache.tape.isPinned(node) && turn < 50; turn++) await backend.walk(at('/a'), callBy())
  t.equal(dcache.tape.evict(node), true)
  await tape.release('unknown', [at('/a')], callBy())
})

t.test('some files are cancelled, or all that are left', async (t) => {
  const { tape, dcache } = await site(t)
  const id = await tape.stage({ key: 'k', files: files('/a', '/b', '/sub/c d') }, callBy())
  await tape.cancel(id, [at('/a')], callBy())
  t.match(await stateOf(tape, id), { '/a': 'cancelled' })
  await tape.cancel(id, undefined, callBy())
  t.match(await stateOf(tape, id), { '/a': 'cancelled', '/b': 'cancelled' })
  dcache.clock.advance(120_000)
  t.match(await stateOf(tape, id), { '/b': 'cancelled' })
  for (const unknown of ['none', '../namespace', '..']) {
    t.equal(await outcome(tape.progress(unknown, callBy())), 'not-found', unknown)
    t.equal(await outcome(tape.cancel(unknown, undefined, callBy())), 'not-found', unknown)
  }
})

t.test('locality is told for each file, whatever dCache takes at once', async (t) => {
  const { tape, dcache } = await site(t, { double: { maxArchiveInfo: 2 } })
  const paths = ['/a', '/here', '/sub/c d', '/lost', '/none', '/sub', '/.(get)(a)(locality)', '/a']
  const answers = await tape.locality(
    paths.map((path) => at(path)),
    callBy(),
  )
  t.same(
    answers.map((answer) => (answer instanceof StorageError ? answer.code : answer)),
    ['tape', 'disk', 'disk-and-tape', 'lost', 'not-found', 'none', 'not-found', 'tape'],
  )
  t.equal(dcache.counters.recalls, 0)
})

t.test('dCache decides about its own callers, file by file', async (t) => {
  const { tape } = await site(t)
  const id = await tape.stage({ key: 'k', files: files('/a', '/secret', '/none') }, callBy(bob))
  for (let turn = 0; turn < 50; turn++) if ((await stateOf(tape, id, bob))['/none'] === 'failed') break
  t.same(await stateOf(tape, id, bob), { '/a': 'started', '/secret': 'failed', '/none': 'failed' })
  t.equal(await outcome(tape.progress(id, callBy(alice))), 'denied', "another's request")
})

t.test('too many requests are busy, and a dead frontend is unavailable', async (t) => {
  const { tape, dcache } = await site(t, { double: { maxBulk: 1 } })
  await tape.stage({ key: 'k', files: files('/a') }, callBy())
  t.equal(await outcome(tape.stage({ key: 'l', files: files('/b') }, callBy())), 'busy')
  await dcache.refuse('frontend')
  t.equal(await outcome(tape.stage({ key: 'm', files: files('/b') }, callBy())), 'unavailable')
  t.equal(await outcome(tape.locality([at('/a')], callBy())), 'unavailable')
})

const since = (at: number, ...taken: readonly string[]): EarlierOrder => ({
  at,
  isTaken: async (id) => taken.includes(id),
})

t.test('a request whose answer was lost is found again', async (t) => {
  const { tape } = await site(t)
  const order = { key: 'k', files: files('/a', '/sub/c d') }
  const before = Date.now()
  const first = await tape.stage(order, callBy())
  const again = (earlier: EarlierOrder, wanted = order.files) =>
    tape.stage({ ...order, files: wanted, earlier }, callBy())
  t.equal(await again(since(before)), first)
  t.equal(await again(since(before), files('/sub/c d', '/a')), first, 'in any order')
  t.not(await again(since(before), files('/a')), first, 'other files')
  t.not(await again(since(before, first)), first, "another's")
  t.not(await again(since(before + 600_000)), first, 'made before it was asked for')
})

/** A gateway over the back end whose clock goes on by as much as two looks at a request are apart. */
async function queue(t: Test, world: DcacheWorld) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-tape-'))
  let ahead = 0
  const state = await openState({ directory, now: () => Date.now() + ahead })
  const goOn = () => {
    ahead += 3000
  }
  t.teardown(async () => {
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const namespace = new Namespace([mountOf('/pnfs', world.backend, { enforce: 'delegated' })])
  return { storage: new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: directory, state }), goOn }
}

t.test('through the queue: as the caller, or as the service where Storage decides', async (t) => {
  const world = await site(t, { double: { recallDelay: 0 } })
  const { storage, goOn } = await queue(t, world)
  const paths = ['/pnfs/a', '/pnfs/secret', '/pnfs/none', '/pnfs/.(get)(a)(locality)']
  for (const principal of [bob, keyHolder]) {
    const id = await storage.staging.stage(callBy(principal), wishes(...paths))
    const done = (seen: Record<string, string>) =>
      Object.values(seen).every((state) => /^(completed|failed)/.test(state))
    let seen = await states(storage, principal, id)
    for (let turn = 0; turn < 100 && !done(seen); turn++) {
      goOn()
      seen = await states(storage, principal, id)
    }
    t.match(seen, {
      '/pnfs/a': 'completed',
      '/pnfs/secret': /^failed: /,
      '/pnfs/none': /^failed: /,
      '/pnfs/.(get)(a)(locality)': 'failed: no such file or directory',
    })
    const local = await storage.locality(
      callBy(principal),
      paths.map((path) => at(path)),
    )
    t.equal(local[0], 'disk-and-tape')
    t.ok(local[2] instanceof StorageError)
  }
})

t.test('an answer that got lost makes no second request in dCache', async (t) => {
  const world = await site(t)
  const { storage } = await queue(t, world)
  const stage = () => storage.staging.stage(callBy(), wishes('/pnfs/a', '/pnfs/b'), { key: 'once' })
  world.dcache.faults.add({ at: 'frontend', kind: 'tape', times: 1, fault: { type: 'reset', after: 5 } })
  await t.rejects(stage(), { code: 'unavailable' })
  const id = await stage()
  t.same(await states(storage, alice, id), { '/pnfs/a': 'started', '/pnfs/b': 'started' })
  const url = new URL(`${world.dcache.frontend.href}/bulk-requests`)
  const list = await fetch(url, { headers: { authorization: 'Bearer token-of-alice' } })
  t.equal(((await list.json()) as unknown[]).length, 1)
})

t.test('reading waits for nobody: what is on tape is nearline', async (t) => {
  const world = await site(t)
  const { storage } = await queue(t, world)
  for (const principal of [alice, keyHolder]) {
    const call = callBy(principal)
    t.equal(await outcome(storage.read(call, at('/pnfs/a'))), 'nearline')
    const head = await storage.read(call, at('/pnfs/a'), { headOnly: true })
    if (head.kind === 'bytes') await head.close()
    t.equal(head.kind, 'bytes')
    t.equal((await storage.stat(call, at('/pnfs/a'))).locality, 'tape')
    t.same(Object.keys(await storage.checksum(call, at('/pnfs/a'), ['adler32'])), ['adler32'], 'kept by dCache')
    t.equal(await outcome(storage.checksum(call, at('/pnfs/a'), ['sha-512'])), 'nearline')
    t.equal(await outcome(storage.copy(call, at('/pnfs/a'), at('/pnfs/copy'))), 'nearline')
  }
  t.equal(world.dcache.counters.recalls, 0)
})
