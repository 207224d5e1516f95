/** The stand-in dCache does what dCache's documents say. */

import { setImmediate } from 'node:timers/promises'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { attenuate, parseMacaroon, serializeMacaroon } from '../../acl/macaroon.ts'
import { adler32, adler32Joined } from '../doubles/dcache/adler32.ts'
import { fingerprint } from '../doubles/dcache/counters.ts'
import { type DcacheDouble, type DcacheDoubleOptions, startDcache } from '../doubles/dcache/dcache.ts'
import { ask, basic, bearer, jsonOf, type Reply } from './double-client.ts'

const alice = basic('alice', 'pw')
const bob = basic('bob', 'pw')

async function start(test: Test, options: DcacheDoubleOptions = {}): Promise<DcacheDouble> {
  const double = await startDcache({
    plainMacaroons: true,
    users: [
      { name: 'alice', uid: 1000, gids: [1000, 2000], password: 'pw', subjects: { WLCG: 'alice-sub' } },
      { name: 'bob', uid: 1001, gids: [1001], password: 'pw' },
    ],
    ...options,
    seed: [
      { path: '/a', directory: true, owner: 'alice' },
      { path: '/b', directory: true, owner: 'alice' },
      { path: '/a/file', text: 'hello, pool', owner: 'alice' },
      { path: '/b/file', text: 'other', owner: 'alice' },
      ...(options.seed ?? []),
    ],
  })
  test.teardown(() => double.close())
  return double
}

const at = (base: URL, path: string) => new URL(path, base)
const rest = ({ frontend }: DcacheDouble, path: string) => `${frontend}/${path}`
const post = (body: unknown, headers: Readonly<Record<string, string>>) => ({
  method: 'POST',
  headers: { ...headers, 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
})

async function macaroonFor(
  double: DcacheDouble,
  path: string,
  request: unknown,
  headers: Readonly<Record<string, string>> = alice,
): Promise<Reply> {
  return await ask(at(double.webdav, path), {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/macaroon-request' },
    body: JSON.stringify(request),
  })
}

t.test('an upload that waits for leave is sent to a pool, which tells the checksum', async (t) => {
  const double = await start(t)
  const url = at(double.webdav, '/a/new')
  const door = await ask(url, { method: 'PUT', headers: alice, body: 'bytes', expect: true })
  t.equal(door.status, 307)
  t.notOk(door.continued)
  const location = new URL(door.headers.location ?? '')
  t.not(location.port, double.webdav.port)
  t.match(location.searchParams.get('dcache-http-uuid'), /^[0-9a-f-]{36}$/)
  t.ok(double.tree.has('/a/new'), 'the name is there while the bytes are not')
  const pool = await ask(location, {
    method: 'PUT',
    headers: { 'Want-Digest': 'adler32' },
    body: 'bytes',
    expect: true,
  })
  t.equal(pool.status, 201)
  t.ok(pool.continued)
  t.equal(pool.headers.digest, `adler32=${adler32(Buffer.from('bytes')).toString(16).padStart(8, '0')}`)
  t.same(await double.tree.bytes('/a/new'), Buffer.from('bytes'))
  t.equal((await ask(location, { method: 'PUT', body: 'again' })).status, 400, 'good for one use')
})

t.test('an upload without Expect goes through the door', async (t) => {
  const double = await start(t)
  const reply = await ask(at(double.webdav, '/a/new'), { method: 'PUT', headers: alice, body: 'relayed' })
  t.equal(reply.status, 201)
  t.same(await double.tree.bytes('/a/new'), Buffer.from('relayed'))
  t.equal(double.counters.requests('pool', 'PUT'), 0)
})

t.test('overwriting makes another object, where it is allowed', async (t) => {
  const double = await start(t)
  const url = at(double.webdav, '/a/file')
  const before = (await ask(url, { method: 'HEAD', headers: alice })).headers.etag
  t.equal((await ask(url, { method: 'PUT', headers: alice, body: 'second' })).status, 201)
  const after = (await ask(url, { method: 'HEAD', headers: alice })).headers.etag
  t.match(after, /^"[0-9A-F]{36}_-?\d+"$/)
  t.not(after, before)
  const strict = await start(t, { overwrite: false })
  const refused = await ask(at(strict.webdav, '/a/file'), { method: 'PUT', headers: alice, body: 'second' })
  t.equal(refused.status, 403)
  t.same(await strict.tree.bytes('/a/file'), Buffer.from('hello, pool'))
})

t.test('a read is redirected to a pool, which honours ranges and tells the digest', async (t) => {
  const double = await start(t)
  const door = await ask(at(double.webdav, '/a/file'), { headers: { ...alice, 'Want-Digest': 'adler32' } })
  t.equal(door.status, 307)
  const whole = await ask(door.headers.location ?? '')
  t.equal(whole.status, 200)
  t.match(whole.headers.digest, /^adler32=[0-9a-f]{8}$/)
  t.equal(whole.body.toString(), 'hello, pool')
  const again = await ask(at(double.webdav, '/a/file'), { headers: alice })
  const part = await ask(again.headers.location ?? '', { headers: { Range: 'bytes=7-100' } })
  t.equal(part.status, 206)
  t.equal(part.headers['content-range'], 'bytes 7-10/11')
  t.equal(part.body.toString(), 'pool')
  t.same(
    double.counters.seen().filter((seen) => seen.at === 'pool'),
    [{ at: 'pool', kind: 'GET', credential: undefined }],
  )
  t.ok(double.counters.seen().some((seen) => seen.credential === fingerprint(alice.Authorization ?? '')))
})

t.test('activities and paths of a macaroon bound it', async (t) => {
  for (const forbids of [false, true]) {
    const double = await start(t, { forbids })
    const denied = forbids ? 403 : 401
    const { macaroon } = jsonOf(await macaroonFor(double, '/a', { caveats: ['activity:DOWNLOAD'] }))
    const headers = bearer(String(macaroon))
    const cases: readonly (readonly [string, string, number])[] = [
      ['GET', '/a/file', 307],
      ['HEAD', '/a/file', 200],
      ['PUT', '/a/file', denied],
      ['GET', '/b/file', denied],
      ['DELETE', '/a/file', denied],
      ['PROPFIND', '/a', denied],
    ]
    for (const [method, path, status] of cases) {
      const depth = method === 'PROPFIND' ? { Depth: '1' } : {}
      const reply = await ask(at(double.webdav, path), { method, headers: { ...headers, ...depth } })
      t.equal(reply.status, status, `${method} ${path}`)
    }
    const byQuery = at(double.webdav, '/a/file')
    byQuery.searchParams.set('authz', String(macaroon))
    t.equal((await ask(byQuery)).status, 307)
  }
})

t.test('a macaroon with a caveat nobody knows is void, and so is a forged one', async (t) => {
  const double = await start(t)
  const { macaroon: text } = jsonOf(await macaroonFor(double, '/', {}))
  const { macaroon } = parseMacaroon(String(text))
  t.match(macaroon.caveats[1], /^id:1000;1000,2000;alice$/)
  const url = at(double.webdav, '/a/file')
  const status = async (token: string) => (await ask(url, { headers: bearer(token) })).status
  t.equal(await status(serializeMacaroon(macaroon, 'v1')), 307)
  t.equal(await status(serializeMacaroon(attenuate(macaroon, 'ip:127.0.0.0/8'), 'v2')), 307)
  t.equal(await status(serializeMacaroon(attenuate(macaroon, 'ip:192.0.2.1'), 'v1')), 401)
  t.equal(await status(serializeMacaroon(attenuate(macaroon, 'colour:blue'), 'v1')), 401)
  t.equal(await status(serializeMacaroon({ ...macaroon, caveats: macaroon.caveats.slice(0, -1) }, 'v1')), 401)
  double.clock.advance(25 * 3_600_000)
  t.equal(await status(serializeMacaroon(macaroon, 'v1')), 401, 'expired')
})

t.test('a macaroon that would live too long, or is asked for by nobody, is refused', async (t) => {
  const double = await start(t)
  t.equal((await macaroonFor(double, '/a', { validity: 'P3650D' })).status, 400)
  t.equal((await macaroonFor(double, '/a', { validity: 'PT30M' })).status, 200)
  t.equal((await macaroonFor(double, '/a', {}, {})).status, 400)
  t.equal((await macaroonFor(double, '/a', { caveats: ['id:0;0;root'] })).status, 400)
  const { macaroon } = jsonOf(await macaroonFor(double, '/a', { caveats: ['activity:LIST'], validity: 'PT5M' }))
  const narrower = jsonOf(await macaroonFor(double, '/a', { validity: 'PT1M' }, bearer(String(macaroon))))
  const { caveats } = parseMacaroon(String(narrower.macaroon)).macaroon
  t.ok(caveats.includes('activity:LIST'))
})

t.test('a pull whose source is not there starts with 202 and says failure at the end', async (t) => {
  const remote = await start(t, { anonymous: 'FULL' })
  const double = await start(t)
  const copy = (source: string, path: string) =>
    ask(at(double.webdav, path), { method: 'COPY', headers: { ...alice, Source: at(remote.webdav, source).href } })
  const failed = await copy('/nothing', '/a/pulled')
  t.equal(failed.status, 202)
  t.match(failed.body.toString(), /^failure: rejected GET: 404 Not Found\n$/m)
  t.notOk(double.tree.has('/a/pulled'))
  remote.tree.setMode('/a/file', 0o644)
  const done = await copy('/a/file', '/a/pulled')
  t.equal(done.body.toString(), 'success: Created\n')
  t.same(await double.tree.bytes('/a/pulled'), Buffer.from('hello, pool'))
})

t.test('a push sends the file with its own credential for the remote', async (t) => {
  const remote = await start(t, { redirectWrites: false })
  const double = await start(t)
  const headers = {
    ...alice,
    Destination: at(remote.webdav, '/b/pushed').href,
    TransferHeaderAuthorization: bob.Authorization ?? '',
  }
  const denied = await ask(at(double.webdav, '/a/file'), { method: 'COPY', headers })
  t.match(denied.body.toString(), /failure: rejected PUT: 401/)
  const right = { ...headers, TransferHeaderAuthorization: alice.Authorization ?? '' }
  const done = await ask(at(double.webdav, '/a/file'), { method: 'COPY', headers: right })
  t.equal(done.body.toString(), 'success: Created\n')
  t.same(await remote.tree.bytes('/b/pushed'), Buffer.from('hello, pool'))
})

const onTape = { seed: [{ path: '/a/tape', text: 'from tape', owner: 'alice', locality: 'NEARLINE' }] } as const

t.test('files are staged, told of, cancelled and released', async (t) => {
  const double = await start(t, { ...onTape, recallDelay: 60_000, bulkDelay: 1000 })
  const files = [{ path: '/a/tape', diskLifetime: 'PT1H' }, { path: '//a/missing' }, { path: '/b' }]
  const staged = await ask(rest(double, 'tape/stage'), post({ files }, alice))
  t.equal(staged.status, 201)
  const id = String(jsonOf(staged).requestId)
  t.equal(staged.headers.location, rest(double, `tape/stage/${id}`))
  const states = async () => {
    const info = jsonOf(await ask(staged.headers.location ?? '', { headers: alice }))
    return Object.fromEntries((info.files as { path: string; state: string }[]).map(({ path, state }) => [path, state]))
  }
  t.same(await states(), { '/a/tape': 'SUBMITTED', '/a/missing': 'SUBMITTED', '/b': 'SUBMITTED' })
  double.clock.advance(1000)
  await setImmediate()
  t.same(await states(), { '/a/tape': 'STARTED', '/a/missing': 'FAILED', '/b': 'FAILED' })
  const foreign = await ask(rest(double, `tape/stage/${id}/cancel`), post({ paths: ['/a/tape', '/a/file'] }, alice))
  t.equal(foreign.status, 400)
  t.equal((await states())['/a/tape'], 'STARTED', 'nothing was done')
  t.equal((await ask(rest(double, `tape/stage/${id}`), { headers: bob })).status, 403)
  double.clock.advance(60_000)
  await setImmediate()
  t.equal((await states())['/a/tape'], 'COMPLETED')
  t.equal(double.counters.recalls, 1)
  t.notOk(double.tree.evict('/a/tape'), 'it is pinned')
  t.equal((await ask(rest(double, `tape/release/${id}`), post({ paths: ['/a/tape'] }, alice))).status, 200)
  double.clock.advance(1000)
  await setImmediate()
  t.ok(double.tree.evict('/a/tape'))
  t.equal((await ask(rest(double, 'tape/release/unknown'), post({ paths: ['/a/tape'] }, alice))).status, 200)
  t.equal((await ask(rest(double, `tape/stage/${id}`), { method: 'DELETE', headers: alice })).status, 200)
  t.equal((await ask(rest(double, `tape/stage/${id}`), { headers: alice })).status, 404)
  t.equal((await ask(rest(double, 'tape/stage'), post({ files, comment: 'hi' }, alice))).status, 400)
})

t.test('a request that is cancelled while files are on their way leaves no pin', async (t) => {
  const double = await start(t, { ...onTape, recallDelay: 60_000 })
  const staged = await ask(rest(double, 'tape/stage'), post({ files: [{ path: '/a/tape' }] }, alice))
  double.clock.advance(0)
  const { headers } = staged
  t.equal((await ask(`${headers.location}/cancel`, post({ paths: ['/a/tape'] }, alice))).status, 200)
  double.clock.advance(60_000)
  await setImmediate()
  t.match(jsonOf(await ask(headers.location ?? '', { headers: alice })).files, [{ state: 'CANCELLED' }])
  t.notOk(double.tree.isPinned('/a/tape'))
})

t.test('archiveinfo tells localities, and errors file by file', async (t) => {
  const double = await start(t, { ...onTape, maxArchiveInfo: 3 })
  const paths = ['/a/tape', '/a/missing', '/a/file', '/b/file']
  const reply = await ask(rest(double, 'tape/archiveinfo'), post({ paths }, alice))
  t.equal(reply.status, 200)
  const infos = jsonOf(reply) as unknown as { path: string; locality?: string; error?: string }[]
  t.equal(infos.length, 3, 'those beyond the limit are left out')
  t.match(infos[0], { path: '/a/tape', locality: 'TAPE' })
  t.match(infos[1], { path: '/a/missing', error: /No such file/ })
  t.match(infos[2], { path: '/a/file', locality: 'DISK' })
  t.equal(double.counters.recalls, 0)
  const known = jsonOf(await ask(new URL('/.well-known/wlcg-tape-rest-api', double.frontend)))
  t.match(known, { endpoints: [{ uri: rest(double, 'tape'), version: 'v1' }] })
})

t.test('reading a file on tape waits for it', async (t) => {
  const double = await start(t, { ...onTape, recallDelay: 60_000 })
  const recalled = double.tape.nextRecall()
  const reading = ask(at(double.webdav, '/a/tape'), { headers: alice })
  await recalled
  double.clock.advance(60_000)
  t.equal((await reading).status, 307)
  t.equal(double.tree.locality('/a/tape'), 'ONLINE_AND_NEARLINE')
})

t.test('properties are given by name, and what is not known is missing', async (t) => {
  const double = await start(t, { seed: [{ path: '/a/unsummed', text: 'x', owner: 'alice', unsummed: true }] })
  const body =
    '<propfind xmlns="DAV:" xmlns:c="http://www.dcache.org/2013/webdav" ' +
    'xmlns:s="http://srm.lbl.gov/StorageResourceManager"><prop><c:Checksums/><s:FileLocality/></prop></propfind>'
  const find = (path: string, depth: string, text = '') =>
    ask(at(double.webdav, path), { method: 'PROPFIND', headers: { ...alice, Depth: depth }, body: text })
  const known = await find('/a/file', '0', body)
  t.equal(known.status, 207)
  t.match(known.body.toString(), /Checksums[^>]*>adler32=[0-9a-f]{8},md5=[^<]*</)
  t.match(known.body.toString(), />ONLINE</)
  const unknown = (await find('/a/unsummed', '0', body)).body.toString()
  t.match(unknown, /<d:prop><ns1:Checksums[^>]*\/><\/d:prop><d:status>HTTP\/1.1 404 Not Found/)
  const all = (await find('/a', '1')).body.toString()
  t.match(all, /<d:href>\/a\/<\/d:href>/)
  t.match(all, /<d:href>\/a\/file<\/d:href>/)
  t.notMatch(all, /Checksums/)
  t.equal((await find('/a', '0', '<propfind')).status, 400)
})

t.test('the frontend refuses in JSON: 401 to nobody, 403 to somebody', async (t) => {
  const double = await start(t)
  double.tree.setMode('/a', 0o700)
  const url = rest(double, 'namespace/a/file')
  for (const [headers, status] of [
    [{}, 401],
    [bob, 403],
    [alice, 200],
  ] as const) {
    const reply = await ask(url, { headers })
    t.equal(reply.status, status)
    if (status !== 200) t.match(jsonOf(reply), { errors: [{ message: 'Permission denied', status: `${status}` }] })
  }
  const missing = await ask(rest(double, 'namespace/nothing'), { headers: alice })
  t.equal(missing.status, 404)
  t.match(await ask(rest(double, 'user')).then(jsonOf), { status: 'ANONYMOUS' })
  t.match(await ask(rest(double, 'user'), { headers: alice }).then(jsonOf), { uid: 1000, gids: [1000, 2000] })
})

/** Reads server-sent events until it has so many of them. */
async function eventsFrom(url: string, count: number, headers: Readonly<Record<string, string>>): Promise<string[]> {
  const abort = new AbortController()
  const answered = await fetch(url, { headers: { ...headers, Accept: 'text/event-stream' }, signal: abort.signal })
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of answered.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true })
    if (text.split('\n\n').length > count) break
  }
  abort.abort()
  return text.split('\n\n').slice(0, count)
}

t.test('changes in a directory are told, and so is that some were lost', async (t) => {
  const double = await start(t, { eventQueue: 2, eventsKept: 3 })
  const channel =
    (await ask(rest(double, 'events/channels'), { method: 'POST', headers: alice })).headers.location ?? ''
  const watch = () =>
    ask(`${channel}/subscriptions/inotify`, post({ path: '/a', flags: ['IN_CREATE', 'IN_DELETE'] }, alice))
  t.equal((await watch()).status, 201)
  t.equal((await watch()).status, 303, 'the same again')
  t.equal((await ask(channel, { headers: bob })).status, 403)
  await double.tree.add({ path: '/a/one', text: '' })
  await setImmediate()
  const [first] = await eventsFrom(channel, 1, { ...alice, 'Last-Event-ID': '99' })
  t.equal(first, 'event: SYSTEM\ndata: {"type":"EVENT_LOSS"}')
  const reading = eventsFrom(channel, 3, alice)
  await double.channels.nextReader()
  double.tree.remove('/a/one')
  double.tree.remove('/a/file')
  double.tree.move('/b/file', '/a/moved')
  double.tree.remove('/a/moved')
  const events = await reading
  t.match(events[0], /^event: inotify\nid: 1\ndata: {"event":{"name":"one","mask":\["IN_DELETE"\]}/)
  t.match(events[1], /"name":"file"/)
  t.match(events[2], /"mask":\["IN_Q_OVERFLOW"\]/)
  const [replayed] = await eventsFrom(channel, 1, { ...alice, 'Last-Event-ID': '2' })
  t.match(replayed, /^event: inotify\nid: 3\n.*IN_Q_OVERFLOW/)
  for (const open of double.channels.all()) open.disconnect()
  await setImmediate()
  double.clock.advance(301_000)
  t.equal((await ask(channel, { headers: alice })).status, 404, 'a channel nobody reads goes')
})

t.test('a token of groups is bound by ACLs, one with storage scopes is not', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'k' }] }
  const issuer = 'https://issuer.example'
  const provider = {
    name: 'WLCG',
    issuer,
    jwks,
    audiences: ['dcache'],
    profile: 'wlcg' as const,
    groups: { '/x': 3000 },
  }
  const double = await start(t, { providers: [provider], acls: true })
  const token = async (claims: Record<string, unknown>, audience = 'dcache') =>
    await new SignJWT({ 'wlcg.ver': '1.0', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject('alice-sub')
      .setExpirationTime('10m')
      .sign(privateKey)
  double.tree.setAcl('/a/file', ['USER:1000:-r', 'EVERYONE@:+r'])
  const status = async (text: string, path = '/a/file') =>
    (await ask(at(double.webdav, path), { headers: bearer(text) })).status
  t.equal(await status(await token({ 'wlcg.groups': ['/x'] })), 401, 'the ACL denies alice')
  t.equal(await status(await token({ scope: 'storage.read:/a' })), 307, 'the scope alone decides')
  t.equal(await status(await token({ scope: 'storage.read:/a' }), '/b/file'), 401, 'and bounds')
  t.equal(await status(await token({}, 'elsewhere'), '/b/file'), 401)
  const scoped = await token({ scope: 'storage.read:/a' })
  t.equal((await macaroonFor(double, '/a', {}, bearer(scoped))).status, 400, 'cannot be made a macaroon')
  t.equal((await macaroonFor(double, '/a', {}, bearer(await token({})))).status, 200)
})

t.test('ACLs are asked first, modes where they are silent', async (t) => {
  const double = await start(t)
  const read = async (headers: Readonly<Record<string, string>>) =>
    (await ask(at(double.webdav, '/a/file'), { headers })).status
  double.tree.setMode('/a/file', 0o600)
  t.equal(await read(bob), 401)
  double.tree.setAcl('/a/file', ['USER:1001:+r'])
  t.equal(await read(bob), 307)
  t.equal(await read(alice), 307, 'of her the ACL says nothing')
  double.tree.setAcl('/a/file', ['EVERYONE@:-r'])
  t.equal(await read(alice), 401)
  const shown = jsonOf(await ask(rest(double, 'namespace/a/file?optional=true'), { headers: alice }))
  t.match(shown, {
    owner: 1000,
    mode: 0o600,
    acl: { list: [{ type: 'ACCESS_DENIED_ACE_TYPE', accessMsk: 1, who: 'EVERYONE', whoID: -1 }], rsType: 'FILE' },
  })
})

t.test('faults strike where they are switched on', async (t) => {
  const double = await start(t, { seed: [{ path: '/a/big', size: 1 << 20, owner: 'alice' }] })
  const { faults } = double
  const poolUrl = async () => (await ask(at(double.webdav, '/a/big'), { headers: alice })).headers.location ?? ''
  faults.add({ at: 'pool', times: 1, fault: { type: 'reset', after: 1000 } })
  await t.rejects(ask(await poolUrl()), { code: 'ECONNRESET' })
  faults.add({ at: 'pool', times: 1, fault: { type: 'truncate', after: 1000 } })
  await t.rejects(ask(await poolUrl()), { code: 'ECONNRESET' })
  faults.add({ at: 'door', times: 1, fault: { type: 'dead-pool' } })
  await t.rejects(ask(await poolUrl()), { code: 'ECONNREFUSED' })
  faults.add({ at: 'door', times: 1, fault: { type: 'redirect', to: new URL('http://elsewhere.example/x') } })
  t.equal(await poolUrl(), 'http://elsewhere.example/x')
  faults.add({ at: 'frontend', kind: 'namespace', fault: { type: 'html' } })
  t.match((await ask(rest(double, 'namespace/a'), { headers: alice })).body.toString(), /^<html>/)
  t.equal((await ask(rest(double, 'user'), { headers: alice })).headers['content-type'], 'application/json')
  faults.clear()
  const takeBack = faults.add({ at: 'door', fault: { type: 'slow-headers' } })
  const slow = ask(at(double.webdav, '/a/file'), { method: 'HEAD', headers: alice })
  await double.faults.nextStrike()
  takeBack()
  t.equal((await slow).status, 200)
  const comeBack = await double.refuse('door')
  await t.rejects(ask(at(double.webdav, '/a/file')), { code: 'ECONNREFUSED' })
  await comeBack()
  t.equal((await ask(at(double.webdav, '/a/file'), { headers: alice })).status, 307)
})

t.test('an upload that fails leaves no name behind', async (t) => {
  const double = await start(t)
  const url = at(double.webdav, '/a/new')
  const wrong = { ...alice, 'Content-MD5': Buffer.alloc(16).toString('base64') }
  const mismatch = await ask(url, { method: 'PUT', headers: wrong, body: 'bytes' })
  t.equal(mismatch.status, 400)
  t.match(mismatch.reason, /^Checksum mismatch/)
  t.notOk(double.tree.has('/a/new'))
  double.faults.add({ at: 'door', kind: 'PUT', times: 1, fault: { type: 'reset-upload', after: 1 } })
  await t.rejects(ask(url, { method: 'PUT', headers: alice, body: 'bytes' }), { code: 'ECONNRESET' })
  t.notOk(double.tree.has('/a/new'))
  await ask(url, { method: 'PUT', headers: alice, body: 'bytes', expect: true })
  t.ok(double.tree.has('/a/new'))
  double.clock.advance(181_000)
  t.notOk(double.tree.has('/a/new'), 'nobody came to the pool')
})

t.test('the WebDAV door deletes a directory with all in it, the frontend does not', async (t) => {
  const double = await start(t, { seed: [{ path: '/a/full/inner/file', text: 'x', owner: 'alice' }] })
  for (const path of ['/a/full', '/a/full/inner']) double.tree.setMode(path, 0o777)
  const url = rest(double, 'namespace/a/full')
  t.equal((await ask(url, { method: 'DELETE', headers: alice })).status, 400)
  t.ok(double.tree.has('/a/full/inner/file'))
  t.equal((await ask(at(double.webdav, '/a/full'), { method: 'DELETE', headers: alice })).status, 204)
  t.notOk(double.tree.has('/a/full'))
  const seed = [{ path: '/a/full/file', text: 'x', owner: 'alice' }]
  const careful = await start(t, { keepsFullDirectories: true, seed })
  t.equal((await ask(at(careful.webdav, '/a/full'), { method: 'DELETE', headers: alice })).status, 500)
  t.ok(careful.tree.has('/a/full/file'))
})

t.test('a move replaces what is there with Overwrite: T alone', async (t) => {
  const double = await start(t)
  const move = (overwrite: Readonly<Record<string, string>>) =>
    ask(at(double.webdav, '/a/file'), {
      method: 'MOVE',
      headers: { ...alice, Destination: at(double.webdav, '/b/file').href, ...overwrite },
    })
  t.equal((await move({})).status, 412)
  t.equal((await move({ Overwrite: 'F' })).status, 412)
  t.equal((await move({ Overwrite: 'T' })).status, 204)
  t.same(await double.tree.bytes('/b/file'), Buffer.from('hello, pool'))
})

t.test('generated files have the checksum of their bytes', async (t) => {
  const double = await start(t, { seed: [{ path: '/a/generated', size: 300_001, owner: 'alice' }] })
  const sum = double.tree.file('/a/generated').checksums.get('adler32')
  const bytes = await double.tree.bytes('/a/generated')
  t.equal(bytes.length, 300_001)
  t.equal(sum?.readUInt32BE(), adler32(bytes))
  t.equal(adler32Joined(adler32(bytes.subarray(0, 77)), adler32(bytes.subarray(77)), bytes.length - 77), adler32(bytes))
})

t.test('large uploads are kept in files that go with the stand-in', async (t) => {
  const double = await start(t, { memory: 1000, forget: 50_000 })
  const bytes = Buffer.alloc(20_000, 'abc')
  await ask(at(double.webdav, '/a/large'), { method: 'PUT', headers: alice, body: bytes })
  t.same(await double.tree.bytes('/a/large'), bytes)
  await ask(at(double.webdav, '/a/huge'), { method: 'PUT', headers: alice, body: Buffer.alloc(60_000) })
  t.equal(double.tree.file('/a/huge').content?.size, 60_000)
})
