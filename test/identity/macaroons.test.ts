/** Macaroons of our own: what they are worth, to whom, for how long, and how they end. */

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { permitsPath, visibleNames } from '../../acl/authorizer.ts'
import { activities } from '../../acl/identity/caveats.ts'
import type { MacaroonOrder } from '../../acl/identity/identity.ts'
import type { IdentityService } from '../../acl/identity/service.ts'
import { attenuate, createMacaroon, parseMacaroon, serializeMacaroon } from '../../acl/macaroon.ts'
import { type Action, actions } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { bearer, lives, type MacaroonWorld, macaroonWorld } from './macaroon-world.ts'
import { accounts, issuerI, issuerP, outcome } from './setting.ts'

const plain = { iss: issuerP, 'wlcg.ver': undefined }

/** Alice, with groups from her token and no capabilities. */
function alice({ service, token }: MacaroonWorld): Promise<Principal> {
  return service.authenticate(bearer(token({ sub: 'sub-alice', 'wlcg.groups': ['/cms', '/cms/x'] })))
}

async function make(service: IdentityService, principal: Principal, order: Partial<MacaroonOrder> = {}) {
  const issued = await service.macaroons?.issue(principal, { path: parsePath('/data'), caveats: [], ...order })
  if (!issued) throw new Error('no macaroons are made')
  return { ...issued, text: issued.macaroon.reveal() }
}

async function taken(service: IdentityService, text: string): Promise<Principal> {
  const found = await outcome(service, text)
  if (typeof found === 'string') throw new Error(found)
  return found
}

function narrowed(text: string, ...caveats: readonly string[]): string {
  const { macaroon, format } = parseMacaroon(text)
  return serializeMacaroon(attenuate(macaroon, ...caveats), format)
}

const may = (principal: Principal, action: Action, path: string) =>
  permitsPath(principal, action, parsePath(path)).allowed

t.test('a macaroon stands for its issuer, by his account and the groups of his token', async (t) => {
  const world = await macaroonWorld(t)
  const issuer = await alice(world)
  const { text, id } = await make(world.service, issuer)
  const principal = await taken(world.service, text)
  t.equal(principal.user, 'alice@desy.de')
  t.same(principal.groups, issuer.groups)
  t.same(principal.posix, issuer.posix)
  t.equal(principal.id, `${issuerI}|sub-alice#macaroon:${id}`, 'the audit log names issuer and macaroon')
  t.equal(principal.counted, issuer.id, 'it counts against his limits')
  t.equal(principal.administrator, undefined)
  t.equal(principal.credential, undefined, 'no back end is sent anything of it')
  t.ok(text.startsWith('MDA'), 'in the format of which all libraries know')
  t.equal(parseMacaroon(text).macaroon.location, 'https://gw.desy.de')
})

t.test('nothing of its issuer can be read in it, and nothing prints it', async (t) => {
  const world = await macaroonWorld(t)
  const issuer = await alice(world)
  const { text, ...issued } = await make(world.service, issuer)
  const { identifier } = parseMacaroon(text).macaroon
  for (const name of ['alice', 'cms', 'p01', 'vo.example.org']) t.notMatch(identifier, name)
  const principal = await taken(world.service, text)
  t.notMatch(
    inspect([principal, issued], { depth: 9, showHidden: true }) + JSON.stringify(principal),
    text.slice(0, 60),
  )
})

t.test('an administrator hands on his rights on data and nothing else', async (t) => {
  const world = await macaroonWorld(t)
  const admin = await world.service.authenticate(bearer(world.token({ ...plain, preferred_username: 'admin' })))
  t.equal(admin.administrator, true)
  const { text } = await make(world.service, admin, { path: parsePath('/') })
  const principal = await taken(world.service, text)
  t.equal(principal.administrator, undefined)
  for (const action of ['write-acl', 'set-mode', 'set-owner'] as const) t.notOk(may(principal, action, '/x'), action)
  const others = actions.filter((action) => !['write-acl', 'set-mode', 'set-owner'].includes(action))
  for (const action of others) t.ok(may(principal, action, '/x'), action)
})

t.test('each activity allows what it says and no more', async (t) => {
  const world = await macaroonWorld(t)
  const issuer = await alice(world)
  const looking: readonly Action[] = ['stat', 'read-properties', 'read-acl', 'locality']
  const expected: Readonly<Record<string, readonly Action[]>> = {
    READ_METADATA: [],
    LIST: ['list'],
    DOWNLOAD: ['read'],
    UPLOAD: ['create'],
    DELETE: ['remove'],
    MANAGE: ['mkdir', 'move-away', 'move-in-file', 'move-in-directory'],
    UPDATE_METADATA: ['set-times-now', 'set-attributes', 'write-properties'],
    'UPLOAD,DELETE': ['create', 'remove', 'replace', 'edit'],
  }
  t.same(Object.keys(expected).slice(0, -1).toSorted(), [...activities].toSorted())
  for (const [activity, more] of Object.entries(expected)) {
    const { text } = await make(world.service, issuer, { caveats: [`activity:${activity}`] })
    const principal = await taken(world.service, text)
    const allowed = actions.filter((action) => may(principal, action, '/data/file'))
    t.same(allowed.toSorted(), [...looking, ...more].toSorted(), activity)
    t.same(
      actions.filter((action) => may(principal, action, '/other')),
      [],
      'nothing beside its path',
    )
    t.same(visibleNames(principal, parsePath('/')), new Set(['data']), 'and above it the way there')
    t.notOk(may(principal, 'mkdir', '/'), 'nothing is made above it')
  }
})

t.test('whoever holds it narrows it without asking', async (t) => {
  const world = await macaroonWorld(t)
  const { text } = await make(world.service, await alice(world), { caveats: ['activity:DOWNLOAD,LIST,UPLOAD'] })
  const inner = await taken(world.service, narrowed(text, 'path:/run1', 'activity:DOWNLOAD,DELETE', 'path:/raw'))
  t.same(inner.grants, [
    { kind: 'look', path: '/data/run1/raw', directoryOnly: false },
    { kind: 'download', path: '/data/run1/raw', directoryOnly: false },
  ])
  t.same((await taken(world.service, narrowed(text, 'activity:DOWNLOAD', 'activity:LIST'))).grants, [
    { kind: 'look', path: '/data', directoryOnly: false },
  ])
  const rooted = await taken(world.service, narrowed(text, 'root:/run1'))
  t.ok(may(rooted, 'read', '/data/run1/x') && !may(rooted, 'read', '/data/x'), 'root bounds; names stay as they are')
  const limited = await taken(world.service, narrowed(text, 'max-upload:1000', 'max-upload:10', 'max-upload:500'))
  t.equal(limited.maxUpload, 10)
  const addressed = await taken(world.service, narrowed(text, 'ip:192.0.2.0/24,2001:db8::/32', 'ip:192.0.2.7'))
  const answers = ['192.0.2.7', '192.0.2.8', '2001:db8::1', '198.51.100.1', 'nonsense', ''].map((from) =>
    addressed.addresses?.includes(from),
  )
  t.same(answers, [true, false, false, false, false, false])
})

t.test('a caveat that is not understood is a refusal', async (t) => {
  const world = await macaroonWorld(t)
  const { text } = await make(world.service, await alice(world))
  const bad = [
    'unknown:1',
    'id:0;0;root',
    'iid:x',
    'path',
    '',
    ':',
    'path:relative',
    'path:/a/../..',
    'path:/a//b',
    'root:x',
    'home:..',
    'activity:',
    'activity:ALL',
    'activity:download',
    'activity:DOWNLOAD;LIST',
    'before:tomorrow',
    'before:2040-01-01T00:00:00',
    'before:2040-01-01T00:00:00+01:00',
    'before:2040-13-01T00:00:00Z',
    'ip:',
    'ip:host.example.org',
    'ip:192.0.2.0/33',
    'ip:192.0.2.0/24/8',
    'ip:192.0.2.0/-1',
    'ip:fe80::1%eth0',
    'max-upload:-1',
    'max-upload:1e3',
    'max-upload:',
    'Path:/x',
  ]
  for (const caveat of bad) {
    t.equal(await outcome(world.service, narrowed(text, caveat)), 'unauthenticated macaroon-caveat', caveat)
    await t.rejects(make(world.service, await alice(world), { caveats: [caveat] }), { code: /^invalid$/ }, caveat)
  }
})

t.test('what was changed, made elsewhere or cut is no credential', async (t) => {
  const world = await macaroonWorld(t)
  const { text } = await make(world.service, await alice(world), { caveats: ['activity:LIST'] })
  const { macaroon } = parseMacaroon(text)
  const wider = { ...macaroon, caveats: macaroon.caveats.filter((caveat) => !caveat.startsWith('activity:')) }
  const named = (identifier: string) =>
    serializeMacaroon(createMacaroon({ location: 'x', identifier, rootKey: Buffer.from('guess') }), 'v2')
  const cases: readonly (readonly [string, string])[] = [
    [serializeMacaroon(wider, 'v1'), 'macaroon-signature'],
    [serializeMacaroon({ ...macaroon, caveats: macaroon.caveats.toReversed() }, 'v1'), 'macaroon-signature'],
    [named(macaroon.identifier), 'macaroon-signature'],
    [named('someone else'), 'macaroon-key'],
    [named(macaroon.identifier.replace(/-[0-9a-f]/, (found) => `-${found[1] === '0' ? '1' : '0'}`)), 'macaroon-key'],
    [text.slice(0, -4), 'macaroon-format'],
    ['hello', 'macaroon-format'],
  ]
  for (const [sent, rule] of cases) t.equal(await outcome(world.service, sent), `unauthenticated ${rule}`, rule)
  t.type(await taken(world.service, serializeMacaroon(macaroon, 'v2')), Object, 'in the other format it is the same')
})

t.test('it outlives neither what was asked, nor what is allowed, nor what it was made from', async (t) => {
  const world = await macaroonWorld(t)
  const { service, clock, token } = world
  const now = clock.now()
  const password = { ...(await alice(world)) }
  const ends = async (principal: Principal, order: Partial<MacaroonOrder>) =>
    ((await make(service, principal, order)).expires - now) / 1000
  const { expires: _, ...endless } = password
  t.equal(await ends(endless, {}), lives.defaultLifetime)
  t.equal(await ends(endless, { validity: 60 }), 60)
  t.equal(await ends(endless, { validity: 1e9 }), lives.maxLifetime)
  t.equal(await ends(endless, { validity: 1e9, link: true }), lives.maxShareLifetime)
  t.equal(await ends(password, { validity: 1e9 }), 3600, 'the token lives an hour')
  const before = new Date(now + 30_000).toISOString()
  t.equal(await ends(password, { caveats: [`before:${before}`] }), 30)
  const { text } = await make(service, await service.authenticate(bearer(token({ sub: 'sub-alice' }))), { validity: 7 })
  clock.pass(6)
  t.type(await outcome(service, text), Object)
  clock.pass(1)
  t.equal(await outcome(service, text), 'unauthenticated token-expired', 'also one that is remembered')
  await t.rejects(make(service, endless, { validity: 0 }), { code: 'invalid' })
})

t.test('what a macaroon makes is itself with more caveats', async (t) => {
  const world = await macaroonWorld(t)
  const { service } = world
  const first = await make(service, await alice(world), { caveats: ['activity:LIST,DOWNLOAD', 'ip:192.0.2.0/24'] })
  const holder = await taken(service, first.text)
  const order = { path: parsePath('/data/run1'), caveats: ['activity:DOWNLOAD,UPLOAD'], validity: 1e9 }
  const second = await make(service, holder, order)
  t.equal(second.id, first.id, 'one revocation ends both')
  t.ok(second.expires <= first.expires)
  const inner = await taken(service, second.text)
  t.ok(may(inner, 'read', '/data/run1/x'))
  for (const action of ['create', 'list'] as const) t.notOk(may(inner, action, '/data/run1/x'), action)
  t.notOk(may(inner, 'read', '/data/run2/x'))
  t.equal(inner.addresses?.includes('198.51.100.1'), false)
  for (const path of ['/', '/dat', '/other']) {
    await t.rejects(make(service, holder, { path: parsePath(path) }), { code: 'denied' }, path)
  }
  await t.rejects(make(service, holder, { link: true }), { code: 'denied' }, 'links are made by people')
})

t.test('the bounds of a token go with it, whatever is asked for', async (t) => {
  const world = await macaroonWorld(t)
  const { service, token } = world
  const robot = await service.authenticate(bearer(token({ scope: 'storage.read:/a storage.create:/b' })))
  const { text } = await make(service, robot, { path: parsePath('/') })
  const principal = await taken(service, text)
  const allowed = (['read /vo/a/x', 'list /vo/a', 'create /vo/b/x', 'list /vo'] as const).map((line) => {
    const [action, path] = line.split(' ')
    return may(principal, action as Action, path ?? '')
  })
  t.same(allowed, [true, true, true, true])
  for (const [action, path] of [
    ['read', '/vo/b/x'],
    ['create', '/vo/a/x'],
    ['remove', '/vo/b/x'],
    ['read', '/j/x'],
    ['set-attributes', '/vo/b/x'],
  ] as const) {
    t.notOk(may(principal, action, path), `${action} ${path}`)
  }
  t.same(visibleNames(principal, parsePath('/vo')), new Set(['a', 'b']))
})

t.test('nobody hands on what he does not have', async (t) => {
  const world = await macaroonWorld(t)
  await t.rejects(make(world.service, await world.service.authenticate({ kind: 'none' })), { code: 'unauthenticated' })
})

t.test('it dies with the account, its ban, and the ban of the token it was made with', async (t) => {
  const world = await macaroonWorld(t)
  const { service, options, directory } = world
  const { text } = await make(service, await alice(world))
  const { revocations } = options.macaroons ?? {}
  for (const name of ['user:alice@desy.de', `principal:${issuerI}|sub-alice`, `token:${issuerI}|j1`]) {
    t.type(await outcome(service, text), Object)
    await revocations?.add({ name, principal: 'admin', note: '', until: undefined }, 100)
    await world.revocations.refresh()
    t.equal(await outcome(service, text), 'denied revoked', name)
    await revocations?.remove(name)
    await world.revocations.refresh()
  }
  writeFileSync(join(directory, 'accounts.yaml'), accounts.replace(/ {2}alice.*\n/, ''))
  await service.reload(options)
  t.equal(await outcome(service, text), 'denied account-unknown')
  await service.reload({ ...options, issuers: options.issuers.filter(({ name }) => name !== 'vo'), mapping: [] })
  t.equal(
    await outcome(service, text),
    'unauthenticated macaroon-issuer',
    'and with the trust in the issuer of the token',
  )
  rmSync(join(directory, 'accounts.yaml'))
})

t.test('a group that is gone from the account is gone from the macaroon', async (t) => {
  const world = await macaroonWorld(t)
  const { service, options, directory } = world
  const { text } = await make(service, await alice(world))
  writeFileSync(join(directory, 'accounts.yaml'), accounts.replace(', groups: [p01]', ''))
  await service.reload(options)
  t.notOk((await taken(service, text)).groups.has('p01@desy.de'))
})

t.test('a revocation holds at once here and within two seconds in the other processes', async (t) => {
  const world = await macaroonWorld(t)
  const other = await world.another()
  const issuer = await alice(world)
  const { text, id, expires } = await make(world.service, issuer)
  const child = narrowed(text, 'activity:LIST')
  const principal = await taken(other.service, text)
  t.type(await outcome(other.service, child), Object, 'what one process makes, all accept')
  t.same(await world.service.macaroons?.identify(new Secret(child)), {
    ...(await world.service.macaroons?.identify(new Secret(text))),
  })
  const start = performance.now()
  await world.service.macaroons?.revoke(id, issuer, expires)
  t.equal(await outcome(world.service, text), 'denied revoked')
  while ((await outcome(other.service, text)) !== 'denied revoked') {
    if (performance.now() - start > 10_000) throw new Error('the revocation did not arrive')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.ok(performance.now() - start < 2000, `${Math.round(performance.now() - start)} ms`)
  t.equal(await outcome(other.service, child), 'denied revoked', 'and of all that were made from it')
  t.equal(other.service.isRevoked?.(principal), true, 'who is being served with it can be told')
  t.type(await outcome(world.service, (await make(world.service, issuer)).text), Object, 'another one is not touched')
  world.clock.pass(lives.maxLifetime)
  t.same(await world.options.macaroons?.revocations.list(), [], 'it is forgotten when nothing is left of it')
})

t.test('a rotation lets the old ones live, or ends them all', async (t) => {
  const world = await macaroonWorld(t)
  const other = await world.another()
  const { service, clock } = world
  const issuer = await alice(world)
  const first = await make(service, issuer)
  t.type(await outcome(other.service, first.text), Object)
  await service.macaroons?.rotate(false)
  const second = await make(service, issuer)
  for (const { text } of [first, second]) t.type(await outcome(service, text), Object)
  const epochs = async () => (await world.options.macaroons?.secrets.names())?.length
  t.equal(await epochs(), 2)
  await service.macaroons?.rotate(true)
  t.equal(await epochs(), 1, 'their keys are gone')
  await other.revocations.refresh()
  for (const { text } of [first, second]) {
    t.equal(await outcome(service, text), 'denied revoked')
    t.match(await outcome(other.service, text), /revoked|macaroon-key/)
  }
  const third = await make(service, issuer)
  t.type(await outcome(other.service, third.text), Object)
  await service.macaroons?.rotate(false)
  clock.pass(Math.max(lives.maxLifetime, lives.maxShareLifetime) + 1)
  await service.macaroons?.rotate(false)
  t.equal(await epochs(), 2, 'keys of which nothing can be left go with the next rotation')
})

t.test('without a master key there are none', async (t) => {
  const world = await macaroonWorld(t)
  const { text } = await make(world.service, await alice(world))
  const { macaroons: _, ...without } = world.options
  await world.service.reload(without)
  t.equal(await outcome(world.service, text), 'unauthenticated token-format')
  await t.rejects(make(world.service, await alice(world)), { code: 'unsupported' })
})

t.test('links are listed, opened and taken back by who made them', async (t) => {
  const world = await macaroonWorld(t)
  const { shares } = world.service
  if (!shares) throw new Error('no shares')
  const issuer = await alice(world)
  const order = { path: parsePath('/data'), activities: ['LIST', 'DOWNLOAD'], networks: [], note: 'for the review' }
  const { macaroon, ...share } = await shares.create(issuer, { ...order, validity: 600 })
  t.match(share, { path: '/data', user: 'alice@desy.de', note: 'for the review', activities: ['LIST', 'DOWNLOAD'] })
  const guest = await taken(world.service, macaroon.reveal())
  t.equal(guest.id, `${issuer.id}#share:${share.id}`)
  t.equal(guest.counted, `${issuer.id}#shares`, 'guests do not use up what the issuer needs')
  t.same(await shares.list(issuer, false), [share])
  const bob = await world.service.authenticate(bearer(world.token({ ...plain, preferred_username: 'bob' })))
  t.same(await shares.list(bob, false), [])
  await t.rejects(shares.list(bob, true), { code: 'denied' })
  await t.rejects(shares.revoke(bob, share.id), { code: 'not-found' })
  t.same(await shares.list(guest, false), [], 'a guest sees none')
  await t.rejects(shares.revoke(guest, share.id), { code: 'not-found' })
  await shares.revoke(issuer, share.id)
  t.same(await shares.list(issuer, false), [])
  t.equal(await outcome(world.service, macaroon.reveal()), 'denied revoked')
  await t.rejects(shares.create(issuer, { ...order, activities: [] }), { code: 'invalid' })
  await t.rejects(shares.create(issuer, { ...order, activities: ['FLY'] }), { code: 'invalid' })
})

t.test('no text makes anything but a refusal', async (t) => {
  const world = await macaroonWorld(t)
  const { text } = await make(world.service, await alice(world))
  const bytes = Buffer.from(text, 'base64url')
  for (let round = 0; round < 400; round++) {
    const changed = Buffer.from(bytes)
    const at = Math.floor(Math.random() * changed.length)
    changed[at] = (changed[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8))
    try {
      const principal = await world.service.authenticate(bearer(changed.toString('base64url')))
      // The location is not signed.
      t.equal(principal.user, 'alice@desy.de')
    } catch (error) {
      if (StorageError.from(error).code !== 'unauthenticated') t.fail(String(error))
    }
  }
})
