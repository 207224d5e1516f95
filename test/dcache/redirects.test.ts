/** Addresses of the door that are given to callers: for whom, for what, and how little they are good for. */

import t from 'tap'
import { parseMacaroon } from '../../acl/macaroon.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import type { Entry, Locality } from '../../backends/backend.ts'
import { Delegation } from '../../backends/dcache/credentials.ts'
import { DoorRedirects } from '../../backends/dcache/redirects.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { alice, callBy, FakeDoor, issuer } from './issuing.ts'
import { delegationTo, startSite, user } from './site.ts'

const at = parsePath
const entryOf = (locality: Locality | undefined): Entry => ({
  name: 'f',
  type: 'file',
  size: 7,
  modified: 0n,
  changed: 0n,
  version: 'v',
  id: 'i',
  ...(locality && { locality }),
})
const online = entryOf('disk')

function over(door: FakeDoor, changes: object = {}) {
  const delegation = new Delegation({ ...delegationTo, ...changes }, () => door)
  const logged: unknown[] = []
  const redirects = new DoorRedirects(
    { validity: 120 },
    {
      door: new URL('https://door.example.org:2880/'),
      root: at('/pnfs/desy.de'),
      delegation,
      log: (...line) => void logged.push(line),
    },
  )
  return { delegation, redirects, logged }
}

t.test('the address is the door, with a macaroon for this file, this caller and minutes', async (t) => {
  const door = new FakeDoor()
  const { redirects } = over(door)
  const url = await redirects.readUrl(at('/vo/a b%2e#ü?'), online, callBy(alice()))
  t.equal(url?.origin, 'https://door.example.org:2880')
  t.equal(url?.pathname, '/pnfs/desy.de/vo/a%20b%252e%23%C3%BC%3F')
  const { macaroon } = parseMacaroon(url?.searchParams.get('authz') ?? '')
  const bounds = ['activity:DOWNLOAD,READ_METADATA', 'ip:192.0.2.7']
  t.same(
    macaroon.caveats.filter((caveat) => !/^(before|id):/.test(caveat)),
    ['path:/pnfs/desy.de/vo/a b%2e#ü?', ...bounds, ...bounds],
  )
  t.match(JSON.parse(String(door.asked[0]?.body)), { validity: /^PT1(20|19)S$/ })
  t.equal(door.asked[0]?.path, '/pnfs/desy.de/vo/a b%2e#ü?')
})

t.test('it is given again to the same caller at the same place, and to nobody else', async (t) => {
  const door = new FakeDoor()
  const { redirects, delegation } = over(door)
  const principal = alice()
  const first = await redirects.readUrl(at('/f'), online, callBy(principal))
  t.same(await redirects.readUrl(at('/f'), online, callBy(principal)), first)
  t.equal(door.asked.length, 1)
  await redirects.readUrl(at('/f'), online, { ...callBy(principal), from: '192.0.2.8' })
  await redirects.readUrl(at('/g'), online, callBy(principal))
  await redirects.readUrl(at('/f'), online, callBy(alice({}, { jti: '2' })))
  t.equal(door.asked.length, 4)
  await delegation.authorize(callBy(principal), ['DOWNLOAD', 'READ_METADATA'], '/pnfs/desy.de/f/x')
  t.equal(door.asked.length, 5, 'the one that the gateway uses itself is another')
})

t.test('for whom there is none', async (t) => {
  const capable = { capabilities: 'forward' }
  const service = {
    otherwise: 'service',
    service: async () => ({ scheme: 'Bearer', secret: new Secret('own') }),
  }
  const grants = [{ kind: 'read' as const, path: at('/'), directoryOnly: false }]
  const { credential: _, ...keyed } = alice()
  const rows: ReadonlyArray<readonly [string, object, Principal, Entry, string]> = [
    ['a capability', capable, alice({ grants }), online, '192.0.2.7'],
    ['the service', service, keyed, online, '192.0.2.7'],
    ['nobody', {}, anonymous, online, '192.0.2.7'],
    ['who comes otherwise', {}, keyed, online, '192.0.2.7'],
    ['a token about to end', {}, alice({ expires: Date.now() / 1000 + 5 }), online, '192.0.2.7'],
    ['an address that is none', {}, alice(), online, 'unknown'],
    ['an address of one link', {}, alice(), online, 'fe80::1%eth0'],
    ['a file on tape', {}, alice(), entryOf('tape'), '192.0.2.7'],
    ['a file that cannot be reached', {}, alice(), entryOf('unavailable'), '192.0.2.7'],
    ['a file that nobody knows of where it is', {}, alice(), entryOf(undefined), '192.0.2.7'],
  ]
  for (const [name, changes, principal, entry, from] of rows) {
    const door = new FakeDoor()
    const { redirects } = over(door, changes)
    t.equal(await redirects.readUrl(at('/f'), entry, { ...callBy(principal), from }), undefined, name)
    t.equal(door.asked.length, 0, name)
  }
})

t.test('an address in the form of IPv6 is that of IPv4', async (t) => {
  const door = new FakeDoor()
  const { redirects } = over(door)
  await redirects.readUrl(at('/f'), online, { ...callBy(alice()), from: '::ffff:192.0.2.9' })
  t.match(String(door.asked[0]?.body), '"ip:192.0.2.9"')
})

t.test('a door that gives no such macaroon is no reason to refuse the bytes', async (t) => {
  for (const [status, body] of [
    [403, ''],
    [500, ''],
    [200, '{}'],
  ] as const) {
    const door = new FakeDoor()
    door.answer = { status, body }
    const { redirects, logged } = over(door)
    t.equal(await redirects.readUrl(at('/f'), online, callBy(alice())), undefined)
    t.equal(logged.length, 1)
  }
  const forgetful = new FakeDoor()
  forgetful.request = async (request) => FakeDoor.prototype.request.call(forgetful, { ...request, path: '/pnfs' })
  t.equal(
    await over(forgetful).redirects.readUrl(at('/f'), online, callBy(alice())),
    undefined,
    'not bound to the path',
  )
})

t.test('a macaroon does not travel without TLS', async (t) => {
  const parts = { root: at('/'), delegation: new Delegation(delegationTo, () => new FakeDoor()) }
  const make = (url: string) => () => new DoorRedirects({}, { ...parts, door: new URL(url) })
  t.throws(make('http://door.example.org:2880/'), { code: 'invalid' })
  t.doesNotThrow(make('http://127.0.0.1:2880/'))
  const inside = new URL('https://inside.example.org/')
  const outside = new URL('https://outside.example.org/dav/')
  const redirects = new DoorRedirects({ door: outside }, { ...parts, door: inside })
  t.equal((await redirects.readUrl(at('/f'), online, callBy(alice())))?.href.split('?')[0], `${outside.href}f`)
})

t.test('dCache serves many ranges by it, and nothing else, from nowhere else', async (t) => {
  const seed = [
    { path: '/pnfs/vo/f', text: 'content', owner: 'alice', mode: 0o600 },
    { path: '/pnfs/vo/g', text: 'another', owner: 'alice', mode: 0o600 },
  ]
  const { dcache, delegation } = await startSite(t, { seed })
  const redirects = new DoorRedirects({}, { door: dcache.webdav, root: at('/pnfs'), delegation })
  const call = (from: string, principal = user('alice')) => ({ ...callBy(principal), from })
  const url = await redirects.readUrl(at('/vo/f'), online, call('127.0.0.1'))
  if (!url) throw new Error('there is no address')
  for (const [range, expected] of [
    ['bytes=0-2', 'con'],
    ['bytes=4-', 'ent'],
    ['bytes=0-', 'content'],
  ] as const) {
    const answer = await fetch(url, { headers: { range } })
    t.equal(await answer.text(), expected)
  }
  const status = async (target: URL, init: RequestInit = {}) => {
    const answer = await fetch(target, init)
    await answer.body?.cancel()
    return answer.status
  }
  const other = new URL(url)
  other.pathname = '/pnfs/vo/g'
  t.ok((await status(other)) >= 400, 'another file')
  t.ok((await status(url, { method: 'DELETE' })) >= 400, 'another act')
  t.ok((await status(url, { method: 'PUT', body: 'x' })) >= 400, 'writing')
  t.equal(await (await fetch(url)).text(), 'content', 'is as it was')
  const elsewhere = await redirects.readUrl(at('/vo/f'), online, call('192.0.2.1'))
  t.ok(elsewhere && (await status(elsewhere)) >= 400, 'another address')
  const bobs = await redirects.readUrl(at('/vo/f'), online, call('127.0.0.1', user('bob')))
  t.ok(bobs && (await status(bobs)) >= 400, 'dCache decides by the rights of the caller')
  t.equal(dcache.counters.recalls, 0)
})

t.test('an issuer that dCache does not know gets no address', async (t) => {
  const { redirects } = over(new FakeDoor(), { accepts: [{ issuer: `${issuer}/other`, audiences: ['dcache'] }] })
  t.equal(await redirects.readUrl(at('/f'), online, callBy(alice())), undefined)
})
