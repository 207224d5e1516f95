/** Identities of issuers that are linked to accounts: whom they stand for, for how long, and what ends with them. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { startAlise } from '../doubles/alise.ts'
import { eventually } from '../gateway/processes.ts'
import { type LinkWorld, linkWorld, madeWith, type Process, whose } from './link-world.ts'
import { bearer } from './macaroon-world.ts'
import { accounts, issuerI, issuerP } from './setting.ts'

// Two processes wait for each other again and again.
t.setTimeout(120_000)
const alice = 'alice@desy.de'
const user = (process: Process, token: string) => whose(() => process.service.authenticate(bearer(token)))

/** Takes it away as its owner's desk does. */
async function unlink({ here }: LinkWorld, id: string): Promise<void> {
  const owner = { id: 'basic:alice', user: alice, groups: new Set<string>(), grants: 'unbounded' } as const
  await here.service.links?.remove(owner, id)
}

t.test('a linked identity stands for the account, in every process', async (t) => {
  const { here, there, person, link } = await linkWorld(t)
  t.equal(await user(here, person('s1')), 'denied mapping-none')
  const id = await link('s1', 'alice')
  for (const process of [here, there]) {
    const principal = await process.service.authenticate(bearer(person('s1')))
    t.match(principal, { user: alice, link: id, id: `${issuerP}|s1`, posix: { uid: 2001 } })
  }
  t.equal(await user(here, person('s2')), 'denied mapping-none', 'another subject')
  t.equal(await user(here, person('S1')), 'denied mapping-none')
})

t.test('look-alike issuers are others', async (t) => {
  const { here, person, token, link } = await linkWorld(t)
  for (const issuer of [`${issuerP}/`, issuerP.toUpperCase(), issuerI, 'https://evil.example'])
    await link('s1', 'alice', issuer)
  t.equal(await user(here, person('s1')), 'denied mapping-none')
  t.equal(await user(here, token({ sub: 's1' })), 'denied mapping-none', 'an issuer whose identities are not linked')
})

t.test('odd subjects are who they are', async (t) => {
  const { here, person, link } = await linkWorld(t)
  const odd = ["'", '"', '%', 'a|b', '|', '../..', '*', 'a b', '__proto__', 'constructor', 'x'.repeat(255)]
  for (const subject of odd) await link(subject, 'alice')
  for (const subject of odd) t.equal(await user(here, person(subject)), alice, subject)
  for (const subject of ['%%', 'a', 'b', 'a|', "''"])
    t.equal(await user(here, person(subject)), 'denied mapping-none', subject)
  t.equal(await user(here, person('ä')), 'unauthenticated token-profile')
})

t.test('a rule and a link that disagree are a refusal', async (t) => {
  const { here, person, link } = await linkWorld(t)
  await link('s1', 'alice')
  t.equal(await user(here, person('s1', { preferred_username: 'alice' })), alice)
  t.equal(await user(here, person('s1', { preferred_username: 'bob' })), 'denied mapping-ambiguous')
})

t.test('all that was made by a link ends with it within two seconds, in every process', async (t) => {
  const world = await linkWorld(t)
  const { here, there, person, link } = world
  const id = await link('s1', 'alice')
  const token = person('s1')
  const made = await madeWith(token, here)
  for (const [what, use] of made) for (const process of [here, there]) t.equal(await use(process), alice, what)
  const running = await there.service.authenticate(bearer(token))
  const started = performance.now()
  await unlink(world, id)
  for (const [what, use] of made) t.not(await use(here), alice, `${what}: here at once`)
  const goneThere = async () => {
    for (const use of made.values()) if ((await use(there)) === alice) return false
    return there.service.isRevoked?.(running) === true
  }
  await eventually(goneThere, 2000, 'something goes on elsewhere')
  t.ok(performance.now() - started < 2000)
  t.equal(await user(there, token), 'denied mapping-none', 'with what is so')
  await link('s1', 'alice')
  t.equal(await user(there, token), alice, 'the identity can be linked anew')
  t.equal(await user(here, token), alice)
  for (const [what, use] of made) {
    if (what === 'token') continue
    for (const process of [here, there]) t.not(await use(process), alice, `${what} does not come back`)
  }
})

t.test('what was made with a token that a rule knows too does not end with the link', async (t) => {
  const world = await linkWorld(t)
  const { here, there, person, link } = world
  const id = await link('s1', 'alice')
  const made = await madeWith(person('s1', { preferred_username: 'alice' }), here)
  await unlink(world, id)
  for (const [what, use] of made) for (const process of [here, there]) t.equal(await use(process), alice, what)
})

t.test('a link that was not proven anew counts no more, and all that was made by it', async (t) => {
  const { here, clock, person, link } = await linkWorld(t)
  await link('s1', 'alice')
  const made = await madeWith(person('s1'), here)
  const { service } = here
  const old = await service.authenticate(bearer(person('s1')))
  const lasting = await service.s3?.create(old, { name: 'lasting', networks: [], validity: 30 * 86_400 })
  const use = () => whose(async () => (await service.s3?.key(lasting?.id ?? '', undefined))?.principal)
  clock.pass(10 * 86_400 - 1)
  t.equal(await user(here, person('s1')), alice)
  clock.pass(2)
  t.equal(await user(here, person('s1')), 'denied mapping-none')
  for (const [what, each] of made) t.not(await each(here), alice, what)
  t.not(await use(), alice)
  await link('s1', 'alice')
  t.equal(await user(here, person('s1')), alice, 'the same link, proven anew')
})

t.test('what was believed of a link ends with it, and goes on if it is proven anew', async (t) => {
  const { here, there, clock, person, link } = await linkWorld(t)
  const id = await link('s1', 'alice')
  clock.pass(10 * 86_400 - 100)
  const token = person('s1')
  const made = await madeWith(token, here)
  for (const [what, use] of made) for (const process of [here, there]) t.equal(await use(process), alice, what)
  clock.pass(90)
  for (const [what, use] of made) t.equal(await use(here), alice, what)
  clock.pass(11)
  for (const [what, use] of made) for (const process of [here, there]) t.not(await use(process), alice, what)
  await link('s1', 'alice')
  for (const [what, use] of made) for (const process of [here, there]) t.equal(await use(process), alice, what)
  t.equal((await here.service.authenticate(bearer(token))).link, id, 'by the same link')
})

t.test('when the account goes or is banned, so does who is linked to it', async (t) => {
  const { here, there, directory, person, link } = await linkWorld(t)
  await link('s1', 'alice')
  const token = person('s1')
  t.equal(await user(here, token), alice)
  const by = await here.service.principalOf('admin')
  if (!by) throw new Error('no administrator')
  await here.service.bans?.add(by, { name: `user:${alice}`, note: '', until: undefined })
  t.equal(await user(here, token), 'denied revoked')
  await eventually(async () => (await user(there, token)) === 'denied revoked', 2000, 'he goes on')
  await here.service.bans?.remove(`user:${alice}`)
  t.equal(await user(here, token), alice)
  writeFileSync(join(directory, 'accounts.yaml'), accounts.replace(/\n {2}alice:.*/, ''), { mode: 0o600 })
  await here.service.reload(here.options)
  t.equal(await user(here, token), 'denied account-unknown')
})

t.test('switched off, no link counts', async (t) => {
  const { here, person, link } = await linkWorld(t)
  await link('s1', 'alice')
  const made = await madeWith(person('s1'), here)
  const { links: _off, ...without } = here.options
  const { links } = here.options
  if (!links) throw new Error('no links')
  for (const options of [{ ...without, links: { ...links, issuers: [] } }, without]) {
    await here.service.reload(options)
    t.equal(await user(here, person('s1')), 'denied mapping-none')
    for (const [what, use] of made) t.not(await use(here), alice, what)
    t.same(here.service.links?.ways, [])
  }
  await here.service.reload(here.options)
  for (const [what, use] of made) t.equal(await use(here), alice, what)
})

t.test('who may take links away, and see them', async (t) => {
  const { here, person, link } = await linkWorld(t)
  const { service } = here
  const [s1, s2] = [await link('s1', 'alice'), await link('s2', 'bob')]
  const { links } = service
  if (!links) throw new Error('no links')
  const ids = async (...asked: Parameters<typeof links.list>) =>
    (await links.list(...asked)).map(({ id }) => id).toSorted()
  const own = await service.authenticate(bearer(person('s1')))
  const macaroon = await service.macaroons?.issue(own, { path: '/' as never, caveats: [] })
  const derived = await service.authenticate(bearer(macaroon?.macaroon.reveal() ?? ''))
  const admin = await service.principalOf('admin')
  const bob = await service.principalOf('bob')
  if (!admin || !bob) throw new Error('no accounts')
  t.same(await ids(own, false), [s1])
  t.same(await ids(bob, false), [s2])
  t.same(await ids(admin, false), [])
  t.same(await ids(admin, true), [s1, s2])
  t.same(await ids(admin, true, { user: alice }), [s1])
  t.same(await ids(derived, false), [])
  await t.rejects(links.list(own, true), { code: 'denied' })
  for (const who of [bob, derived]) await t.rejects(links.remove(who, s1), { code: 'not-found' })
  await t.rejects(links.remove(own, 'nothing'), { code: 'not-found' })
  t.match(await links.remove(admin, s2), {
    id: s2,
    user: 'bob@desy.de',
    issuer: issuerP,
    subject: 's2',
    label: 'Login',
  })
  t.match(await links.remove(own, s1), { id: s1 })
  t.same(await ids(admin, true), [])
})

t.test('only who signed in with a browser, by the account itself, links anything', async (t) => {
  const { here, person, link } = await linkWorld(t)
  const { links } = here.service
  if (!links) throw new Error('no links')
  await link('s1', 'alice')
  const linked = await here.service.authenticate(bearer(person('s1')))
  const byRule = await here.service.authenticate(bearer(person('s9', { preferred_username: 'alice' })))
  const account = await here.service.principalOf('alice')
  const proven = { issuer: issuerP, subject: 's7', label: 'Login' }
  for (const principal of [linked, byRule, account, { ...byRule, session: 'x' }]) {
    if (!principal) throw new Error('nobody')
    await t.rejects(links.start(principal, 'login', 'https://gw/x'), { code: 'denied' })
    await t.rejects(links.add(principal, proven, ''), { code: 'denied' })
  }
  t.equal(await user(here, person('s7')), 'denied mapping-none')
})

async function withService(t: Test) {
  const double = await startAlise(t)
  double.issuers.add(issuerP)
  const { url, site, apiKey } = double
  const options = { url, site, apiKey: new Secret(apiKey), issuers: ['login'], form: 'sha1', insecure: true } as const
  return { double, ...(await linkWorld(t, { alise: [options] })) }
}

t.test('an account linking service is asked too, and must agree', async (t) => {
  const { double, here, person, token, link, clock } = await withService(t)
  double.accounts.set(`${issuerP}|s1`, 'alice').set(`${issuerP}|s2`, 'root').set(`${issuerP}|s3`, '../x')
  const principal = await here.service.authenticate(bearer(person('s1')))
  t.match(principal, { user: alice })
  t.equal(principal.link, undefined)
  t.equal(await user(here, person('s2')), 'denied account-refused')
  t.equal(await user(here, person('s3')), 'denied account-refused')
  t.equal(await user(here, person('s4')), 'denied mapping-none')
  t.equal(await user(here, person('s1', { preferred_username: 'bob' })), 'denied mapping-ambiguous')
  await link('s1', 'bob')
  t.equal(await user(here, person('s1')), 'denied mapping-ambiguous')
  const asked = double.asked.length
  t.equal(await user(here, token({ sub: 'sub-alice' })), alice, 'of other issuers it is not asked')
  t.equal(double.asked.length, asked)
  double.answer = (_request, response) => void response.writeHead(500).end()
  t.equal(await user(here, person('s5')), 'unavailable link')
  t.equal(await user(here, person('s5', { preferred_username: 'alice' })), 'unavailable link', 'it might disagree')
  double.answer = undefined
  clock.pass(3)
  t.equal(await user(here, person('s5')), 'denied mapping-none')
})

t.test('whether the service answers is told to who checks', async (t) => {
  const { double, here } = await withService(t)
  const found = async () => (await here.service.checkIssuers()).find(({ subject }) => subject === 'link')
  t.match(await found(), { level: 'ok', text: /test-hpc answers/ })
  await double.stop()
  await here.service.reload(here.options)
  t.match(await found(), { level: 'error', text: /ECONNREFUSED/ })
})

t.test('a banned group lets nobody in, whatever he comes with, within two seconds', async (t) => {
  const { here, there, person, token } = await linkWorld(t)
  const by = await here.service.principalOf('admin')
  const { bans } = here.service
  if (!by || !bans) throw new Error('no bans')
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['group:p01@desy.de', person('s1', { preferred_username: 'alice' })],
    ['group:p09 ä@login', person('s2', { preferred_username: 'bob', entitlements: ['p09 ä', 'other'] })],
    ['group:/vo/sub@vo', token({ sub: 'sub-alice', 'wlcg.groups': ['/vo/sub'], jti: 'g' })],
    ['group:cms@desy.de', token({ sub: 'sub-alice', 'wlcg.groups': ['/cms'], jti: 'h' })],
    ['group:/cms@vo', token({ sub: 'sub-alice', 'wlcg.groups': ['/cms'], jti: 'i' })],
  ]
  for (const [name, text] of cases) {
    const made = await madeWith(text, here).catch((error: unknown) => t.fail(`${name}: ${String(error)}`))
    if (!(made instanceof Map)) continue
    const before = new Map<string, string>()
    for (const [what, use] of made) before.set(what, await use(there))
    t.notOk(
      [...before.values()].some((each) => /^(denied|unauth)/.test(each)),
      name,
    )
    const running = await there.service.authenticate(bearer(text))
    await bans.add(by, { name, note: '', until: undefined })
    for (const [what, use] of made) t.equal(await use(here), 'denied revoked', `${name}: ${what}`)
    const over = async () => {
      for (const use of made.values()) if ((await use(there)) !== 'denied revoked') return false
      return there.service.isRevoked?.(running) === true && there.service.isRevoked({ ...running })
    }
    await eventually(over, 2000, `${name} goes on elsewhere`)
    await bans.remove(name)
    for (const [what, use] of made) t.equal(await use(here), before.get(what), `${name}: ${what} again`)
    const isBack = async () => there.service.isRevoked?.(running) === false
    await eventually(isBack, 2000, `${name} stays out elsewhere`)
  }
})

t.test('scopes do not hide the groups of a token from a ban', async (t) => {
  const { here, token } = await linkWorld(t)
  const by = await here.service.principalOf('admin')
  if (!by) throw new Error('no administrator')
  const scoped = { sub: 'sub-alice', scope: 'storage.read:/' }
  const member = token({ ...scoped, 'wlcg.groups': ['/vo/sub'], jti: 'm' })
  const other = token({ ...scoped, 'wlcg.groups': ['/vo'], jti: 'o' })
  for (const each of [member, other]) t.equal(await user(here, each), alice)
  await here.service.bans?.add(by, { name: 'group:/vo/sub@vo', note: '', until: undefined })
  t.equal(await user(here, member), 'denied revoked')
  t.equal(await user(here, other), alice)
})

t.test('who has a certificate can be banned by its name, in whatever script', async (t) => {
  const { here } = await linkWorld(t)
  const { service } = here
  const by = await service.principalOf('admin')
  if (!by) throw new Error('no administrator')
  const holder = {
    id: 'dn:CN=Jörg Müller,O=Grid',
    user: alice,
    groups: new Set<string>(),
    grants: 'unbounded',
  } as const
  t.equal(service.isRevoked?.(holder), false)
  await service.bans?.add(by, { name: `principal:${holder.id}`, note: '', until: undefined })
  t.equal(service.isRevoked?.(holder), true)
  t.match(await service.bans?.list(), { bans: [{ name: `principal:${holder.id}` }] })
  await t.rejects(Promise.resolve(service.bans?.add(by, { name: 'principal:a\nb', note: '', until: undefined })), {
    code: 'invalid',
  })
})

t.test('a ban of a group names its domain or issuer', async (t) => {
  const { here, person } = await linkWorld(t)
  const by = await here.service.principalOf('admin')
  const { bans } = here.service
  if (!by || !bans) throw new Error('no bans')
  for (const name of [
    'group:p01',
    'group:@desy.de',
    'group:p01@',
    'group:',
    'group:a\u0000@desy.de',
    'group:p01@DESY.de',
  ]) {
    await t.rejects(bans.add(by, { name, note: '', until: undefined }), { code: 'invalid' }, name)
  }
  for (const name of [
    'group:p0@desy.de',
    'group:P01@desy.de',
    'group:p01@login',
    'group:p01x@desy.de',
    'user:p01@desy.de',
  ]) {
    await bans.add(by, { name, note: '', until: undefined })
  }
  t.equal(await user(here, person('s1', { preferred_username: 'alice' })), alice, 'others are not meant')
})
