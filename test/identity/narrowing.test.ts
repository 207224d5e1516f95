/** Whatever is added to a macaroon, it never allows more; and what ends it cannot be got round. */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import { permitsPath, visibleNames } from '../../acl/authorizer.ts'
import { openAccounts } from '../../acl/identity/accounts.ts'
import { activities, addressesOf, grantsOf, readCaveats } from '../../acl/identity/caveats.ts'
import { Epochs } from '../../acl/identity/epochs.ts'
import { issueMacaroon } from '../../acl/identity/macaroons.ts'
import { actions } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { boundOf } from '../../acl/scopes.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, parsePath } from '../../gateway/core/path.ts'
import { bearer, type MacaroonWorld, macaroonWorld } from './macaroon-world.ts'
import { issuerI, outcome } from './setting.ts'

const paths = ['/', '/a', '/a/b', '/a/b/c', '/ab', '/b', '/a/b/c/d'].map((text) => parsePath(text))
const addresses = ['192.0.2.7', '192.0.3.7', '127.0.0.1', '2001:db8::1', '::1', '::ffff:192.0.2.7', '', 'nonsense']

/** Numbers from a seed (mulberry32), so that a failure can be had again. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function randomCaveat(pick: (below: number) => number): string {
  const of = <T>(list: readonly [T, ...T[]]): T => list[pick(list.length)] ?? list[0]
  const some = activities.filter(() => pick(3) === 0)
  switch (pick(7)) {
    case 0:
      return `path:${of(['/', '/a', '/a/b', '/b', '/c', '/a/../b', '//', '/%2e', '/ab'])}`
    case 1:
      return `root:${of(['/', '/a', '/b'])}`
    case 2:
      return `home:${of(['/', '/zz'])}`
    case 3:
      return `activity:${some.length > 0 ? some.join(of([',', ', '])) : of(activities)}`
    case 4:
      return `before:${of(['2030-01-01T00:00:00Z', '2031-02-30T00:00:00Z', '2029-12-31T24:00:00.9999Z'])}`
    case 5:
      return `ip:${of(['192.0.2.0/24', '0.0.0.0/0', '::/0', '::ffff:0:0/96', '192.0.2.7,::1', '2001:db8::/32'])}`
    default:
      return `max-upload:${of(['0', '10', '999999999999999', '5'])}`
  }
}

/** What it leaves, as far as anybody can tell; undefined for what is refused as a whole. */
function left(caveats: readonly string[]) {
  try {
    const bounds = readCaveats(caveats)
    const grants = grantsOf(bounds)
    const principal = { id: 'x', user: 'x', groups: new Set<string>(), grants } satisfies Principal
    return { bounds, principal, from: addressesOf(bounds) }
  } catch (error) {
    if (StorageError.from(error).code !== 'invalid') throw error
    return undefined
  }
}

function isSubset(inner: ReturnType<typeof visibleNames>, outer: ReturnType<typeof visibleNames>): boolean {
  return outer === 'all' || (inner !== 'all' && inner.isSubsetOf(outer))
}

t.test('no caveat makes a macaroon wider', async (t) => {
  let compared = 0
  for (let round = 0; round < 3000; round++) {
    const pick = chance(round)
    const caveats = Array.from({ length: pick(5) }, () => randomCaveat(pick))
    const before = left(caveats)
    const after = left([...caveats, randomCaveat(pick)])
    if (!after) continue
    const story = JSON.stringify(caveats)
    if (!before) {
      t.fail(`one more made a bad one good: ${story}`)
      continue
    }
    compared++
    for (const path of paths) {
      // What leads to its path can be listed, but nothing is seen there beside the way (docs/semantics.md).
      const leads = path !== after.bounds.path && isWithin(after.bounds.path, path)
      const names = visibleNames(after.principal, path)
      if (leads && (names === 'all' || names.size !== 1)) t.fail(`more than the way in ${path} ${story}`)
      for (const action of actions) {
        if (leads && action === 'list') continue
        const wider = permitsPath(after.principal, action, path).allowed
        if (wider && !permitsPath(before.principal, action, path).allowed) t.fail(`${action} ${path} ${story}`)
      }
      for (const type of ['file', 'directory'] as const) {
        const way = leads && type === 'directory' ? right.listDirectory : 0
        const more = boundOf(after.principal, path, type) & ~boundOf(before.principal, path, type) & ~way
        if (more !== 0) t.fail(`rights ${more.toString(16)} on ${type} ${path} ${story}`)
      }
      if (!leads && !isSubset(names, visibleNames(before.principal, path))) t.fail(`names in ${path} ${story}`)
    }
    for (const address of addresses) {
      const inside = after.from?.includes(address) ?? true
      if (inside && before.from?.includes(address) === false) t.fail(`${address} ${story}`)
    }
    const [end, most] = [before.bounds.before ?? Infinity, before.bounds.maxUpload ?? Infinity]
    if ((after.bounds.before ?? Infinity) > end || (after.bounds.maxUpload ?? Infinity) > most) t.fail(story)
  }
  t.ok(compared > 500, `${compared} pairs compared`)
})

t.test('every address of a family is in its widest network', async (t) => {
  const has = (caveat: string, address: string) => addressesOf(readCaveats([caveat]))?.includes(address)
  t.equal(has('ip:0.0.0.0/0', '192.0.2.7'), true)
  t.equal(has('ip:0.0.0.0/0', '2001:db8::1'), false)
  t.equal(has('ip:::/0', '2001:db8::1'), true)
  t.equal(has('ip:::/0', '192.0.2.7'), false)
})

/** What macaroons are made with, and alice as her token tells who she is. */
async function issuingOf({ service, options, token, clock }: MacaroonWorld) {
  const { macaroons, domain } = options
  if (!macaroons) throw new Error('no macaroons')
  const now = clock.now()
  return {
    principal: await service.authenticate(bearer(token({ sub: 'sub-alice' }))),
    options: macaroons,
    epochs: new Epochs(macaroons.secrets, () => now),
    accounts: await openAccounts(options, () => now),
    domain,
    now,
  }
}

t.test('what is itself derived, and no macaroon, makes none', async (t) => {
  const { principal: alice, ...base } = await issuingOf(await macaroonWorld(t))
  const holder = { id: alice.id, user: alice.user, tokenId: undefined }
  const order = { path: parsePath('/'), caveats: [] }
  t.type((await issueMacaroon(alice, order, { ...base, holder })).id, 'string')
  const [grants, within] = [grantsOf(readCaveats(['path:/a'])), grantsOf(readCaveats(['path:/a/b']))]
  for (const derived of [
    { ...alice, grants, within },
    { ...alice, id: `${alice.id}#app-password:x`, grants },
  ]) {
    await t.rejects(
      issueMacaroon(derived, order, { ...base, holder }),
      { code: 'denied' },
      'it has more than one bound',
    )
  }
})

t.test('what is made in a session ends with the trust in the issuer at whose site it began', async (t) => {
  const world = await macaroonWorld(t)
  const { service } = world
  const { principal, ...base } = await issuingOf(world)
  // A session's principal holds no token.
  const { credential: _, ...person } = principal
  const order = { path: parsePath('/'), caveats: [] }
  const made = async (issuer: string) => {
    const holder = { id: person.id, user: person.user, tokenId: undefined, issuer }
    return (await issueMacaroon(person, order, { ...base, holder })).macaroon.reveal()
  }
  t.type(await outcome(service, await made(issuerI)), Object)
  t.equal(await outcome(service, await made('https://gone.example')), 'unauthenticated macaroon-issuer')
})

t.test('a rotation that fails half way can be told again', async (t) => {
  const world = await macaroonWorld(t)
  const other = await world.another()
  const { service, options } = world
  const { macaroons } = options
  if (!macaroons) throw new Error('no macaroons')
  const issuer = await service.authenticate(bearer(world.token({ sub: 'sub-alice' })))
  const made = await service.macaroons?.issue(issuer, { path: parsePath('/a'), caveats: [] })
  const text = made?.macaroon.reveal() ?? ''
  t.type(await outcome(other.service, text), Object, 'the other process has the key in memory')
  let isFull = true
  const revocations = {
    now: () => macaroons.revocations.now(),
    serial: () => macaroons.revocations.serial(),
    list: () => macaroons.revocations.list(),
    remove: (name: string) => macaroons.revocations.remove(name),
    async add(...parts: Parameters<typeof macaroons.revocations.add>) {
      if (isFull) throw new StorageError('busy', 'full')
      await macaroons.revocations.add(...parts)
    },
  }
  await service.reload({ ...options, macaroons: { ...macaroons, revocations } })
  await t.rejects(async () => service.macaroons?.rotate(true), { code: 'busy' })
  isFull = false
  await service.macaroons?.rotate(true)
  await other.revocations.refresh()
  t.match(await outcome(other.service, text), /revoked|macaroon-key/)
})

t.test('a ban holds for copies of who was let in', async (t) => {
  const world = await macaroonWorld(t)
  const { service, options } = world
  const alice = await service.authenticate(bearer(world.token({ sub: 'sub-alice' })))
  t.equal(service.isRevoked?.({ ...alice }), false)
  await options.macaroons?.revocations.add(
    { name: 'user:alice@desy.de', principal: 'admin', note: '', until: undefined },
    100,
  )
  await world.revocations.refresh()
  t.equal(service.isRevoked?.(alice), true)
  t.equal(service.isRevoked?.({ ...alice }), true)
})
