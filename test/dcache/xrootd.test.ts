/**
 * The HTTP half of the dCache back end, without a frontend, against a real grid server: XRootD with its HTTP plugin.
 *
 * What XRootD 5.5 does otherwise than dCache, so that it is left out or expected here:
 * - "100 Continue" comes with "Connection: Close", which Node's parser refuses; the relay before it takes that out.
 * - Overwrite: F is ignored by MOVE, so nothing is taken "only if free" in one step.
 * - Destination is not percent-decoded, and names in PROPFIND are not percent-encoded: only plain names move.
 * - MKCOL makes parents and does not mind what exists; PUT answers 200; there is no ETag, no local COPY.
 * - A range that begins past the end is a 206 whose bytes never come; of several wanted digests the first is told.
 * - Header names are compared with their case: an HTTP client that writes them in lower case loses its body.
 */

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join as joinFile } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import type { Path } from '../../gateway/core/path.ts'
import { Area, act, fails } from '../backends/conformance/area.ts'
import {
  noXrootd,
  noXrootdTokens,
  startXrootd,
  type Xrootd,
  type XrootdOptions,
  xrootdAudience,
  xrootdIssuer,
} from '../peers/xrootd.ts'
import { TestServices } from '../posix/backend-world.ts'
import { forwarding, keyHolder } from './world.ts'

interface OpenWorld {
  readonly area: Area
  readonly backend: DcacheBackend
  readonly xrootd: Xrootd
  readonly services: TestServices
  /** What the server keeps under a path of the area. */
  stored(...names: string[]): string
}

async function startOpen(t: Test, interim: XrootdOptions['interim'] = 'mended'): Promise<OpenWorld> {
  const xrootd = await startXrootd({ interim })
  const services = new TestServices()
  const backend = new DcacheBackend(
    { webdav: xrootd.url, root: '/' as Path, pools: [], delegation: forwarding },
    services,
  )
  t.teardown(async () => {
    await backend.close()
    await xrootd.stop()
  })
  const world = { backend, principals: [keyHolder] as const, cleanup: async () => {} }
  const area = new Area(world, '/area' as Path)
  await act(backend.mkdir(area.base, area.call))
  return { area, backend, xrootd, services, stored: (...names) => joinFile(xrootd.data, 'area', ...names) }
}

t.test('by http, without authorization', { skip: noXrootd() }, async (t) => {
  const { area, backend, xrootd, services, stored } = await startOpen(t)
  const { checksums } = backend
  const { call } = area
  const large = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) % 251))

  t.test('what is written is there, under its name alone', async (t) => {
    const entry = await area.write(area.at('file'), 'some bytes')
    t.match(entry, { name: 'file', type: 'file', size: 10 })
    t.same(await area.read(area.at('file')), Buffer.from('some bytes'))
    t.equal(readFileSync(stored('file'), 'utf8'), 'some bytes')
    t.same(readdirSync(stored()), ['file'])
    t.equal(services.places.size, 0)
  })

  t.test('a large file goes through whole, and its ranges are right', async (t) => {
    await area.write(area.at('large'), large)
    const file = await act(backend.open(area.at('large'), {}, call))
    t.equal(file.entry.size, large.length)
    for (const [start, end] of [
      [0, 1],
      [0, large.length],
      [1_234_567, 2_345_678],
      [large.length - 1, large.length],
    ] as const) {
      t.same(await buffer(file.stream({ start, end })), large.subarray(start, end), `${start} to ${end}`)
    }
    const into = Buffer.alloc(100)
    t.equal(await file.read(into, large.length - 50), 50)
    t.same(into.subarray(0, 50), large.subarray(-50))
    t.equal(await file.read(into, large.length + 5), 0)
    await file.close()
  })

  t.test('directories are made, listed and walked', async (t) => {
    await act(backend.mkdir(area.at('directory'), call))
    await act(backend.mkdir(area.at('directory', 'inner'), call))
    await area.write(area.at('directory', 'file'), 'x')
    t.ok(statSync(stored('directory', 'inner')).isDirectory())
    const listed = await area.list(area.at('directory'))
    t.same(listed.map(({ name, type, size }) => [name, type, size]).sort(), [
      ['file', 'file', 1],
      ['inner', 'directory', 0],
    ])
    for (const entry of listed) t.same(await area.entry(area.at('directory', entry.name)), entry)
    t.equal(await area.entry(area.at('directory', 'nothing')), undefined)
    t.equal((await backend.walk(area.at('no', 'parent'), call)).parentExists, false)
  })

  t.test('names that are not plain can be listed and read', async (t) => {
    for (const name of ['with blank', 'größe', "it's", 'a+b&c']) writeFileSync(stored(name), name)
    const names = (await area.list(area.base)).map(({ name }) => name)
    for (const name of ['with blank', 'größe', "it's", 'a+b&c']) {
      t.ok(names.includes(name), name)
      t.same(await area.read(area.at(name)), Buffer.from(name))
    }
  })

  t.test('files and directories are renamed', async (t) => {
    const before = await area.write(area.at('from'), 'moving')
    const after = await area.rename(area.at('from'), area.at('to'))
    t.equal(after.version, before.version)
    t.equal(await area.entry(area.at('from')), undefined)
    t.same(await area.read(area.at('to')), Buffer.from('moving'))
    await act(backend.mkdir(area.at('tree'), call))
    await area.write(area.at('tree', 'leaf'), 'leaf')
    await area.rename(area.at('tree'), area.at('moved'))
    t.same(await area.read(area.at('moved', 'leaf')), Buffer.from('leaf'))
  })

  t.test('a file is replaced, and only where the condition holds at the look', async (t) => {
    const first = await area.write(area.at('replaced'), 'first')
    await t.rejects(area.writeIf(area.at('replaced'), 'no', 'absent'), { code: 'exists' })
    await t.rejects(area.writeIf(area.at('replaced'), 'no', { versions: ['another'] }), { code: 'precondition' })
    await area.writeIf(area.at('replaced'), 'the second', { versions: [first.version] })
    t.same(await area.read(area.at('replaced')), Buffer.from('the second'))
  })

  t.test('files and empty directories are removed, full ones are not', async (t) => {
    await act(backend.mkdir(area.at('full'), call))
    await area.write(area.at('full', 'file'), 'x')
    await t.rejects(act(backend.remove(area.at('full'), call)), { code: 'not-empty' })
    await act(backend.remove(area.at('full', 'file'), call))
    await act(backend.remove(area.at('full'), call))
    t.notOk(readdirSync(stored()).includes('full'))
    await t.rejects(act(backend.remove(area.at('full'), call)), { code: 'not-found' })
  })

  t.test('the checksum comes from the server', async (t) => {
    await area.write(area.at('summed'), 'Wikipedia')
    const digests = await act(checksums.compute(area.at('summed'), ['adler32'], call))
    t.equal(Buffer.from(digests.adler32 ?? []).toString('hex'), '11e60398')
  })

  t.test('a draft that is given up leaves nothing', async (t) => {
    const draft = await area.draft(area.at('given-up'), large)
    await draft.discard()
    t.same(
      readdirSync(stored()).filter((name) => name.startsWith('.') || name === 'given-up'),
      [],
    )
    t.equal(services.places.size, 0)
  })

  t.test('two uploads and many reads at once do not disturb each other', async (t) => {
    const [one, two] = [large.subarray(0, 1_000_000), large.subarray(1_000_000, 2_000_000)]
    await Promise.all([area.write(area.at('one'), one), area.write(area.at('two'), two)])
    const reads = Array.from({ length: 8 }, (_, i) => area.read(area.at(i % 2 === 0 ? 'one' : 'two')))
    for (const [i, bytes] of (await Promise.all(reads)).entries()) t.ok(bytes.equals(i % 2 === 0 ? one : two))
  })

  t.test('a server that has gone is unavailable', async (t) => {
    await xrootd.stop()
    await t.rejects(backend.walk(area.at('file'), call), { code: 'unavailable' })
  })
})

t.test('an interim answer that closes is an upload that fails', { skip: noXrootd() }, async (t) => {
  const { area, stored } = await startOpen(t, 'as-is')
  await t.rejects(area.write(area.at('file'), 'some bytes'), { code: 'unavailable' })
  t.notOk(readdirSync(stored()).includes('file'))
})

/** A caller with a token of the issuer that the server trusts. */
type Caller = (name: string, claims: Readonly<Record<string, unknown>>) => Promise<Principal>

async function startSecured(t: Test): Promise<{ readonly backend: DcacheBackend; readonly caller: Caller }> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'key', use: 'sig' }
  const xrootd = await startXrootd({ tokens: { jwks: { keys: [jwk] }, authdb: 'g /staff /group lr\n' } })
  for (const name of ['scoped', 'group']) {
    mkdirSync(joinFile(xrootd.data, name))
    writeFileSync(joinFile(xrootd.data, name, 'file'), name)
  }
  const backend = new DcacheBackend(
    {
      webdav: xrootd.url,
      root: '/' as Path,
      pools: [],
      ca: xrootd.ca,
      delegation: {
        accepts: [{ issuer: xrootdIssuer, audiences: [xrootdAudience] }],
        send: 'forward',
        capabilities: 'forward',
        otherwise: 'refuse',
      },
    },
    new TestServices(),
  )
  t.teardown(async () => {
    await backend.close()
    await xrootd.stop()
  })
  const caller: Caller = async (name, claims) => {
    const token = await new SignJWT({ 'wlcg.ver': '1.0', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'key', typ: 'at+jwt' })
      .setIssuer(xrootdIssuer)
      .setAudience(xrootdAudience)
      .setSubject(name)
      .setJti(`${name}-${Math.random()}`)
      .setIssuedAt()
      .setNotBefore('-1m')
      .setExpirationTime('10m')
      .sign(privateKey)
    return {
      id: `${xrootdIssuer}|${name}`,
      user: `${name}@example.org`,
      groups: new Set(),
      grants: 'unbounded',
      credential: {
        kind: 'bearer',
        secret: new Secret(token),
        issuer: xrootdIssuer,
        audiences: [xrootdAudience],
      },
    }
  }
  return { backend, caller }
}

t.test("by https, as the callers' own tokens allow", { skip: noXrootdTokens() }, async (t) => {
  const { backend, caller } = await startSecured(t)
  const scoped = await caller('alice', { scope: 'storage.read:/scoped' })
  const staff = await caller('bob', { scope: 'wlcg.groups', 'wlcg.groups': ['/staff'] })
  const guest = await caller('carol', { scope: 'wlcg.groups', 'wlcg.groups': ['/guests'] })
  const areaOf = (principal: Principal, base: string) =>
    new Area({ backend, principals: [principal], cleanup: async () => {} }, base as Path)

  t.test('a scope opens its path for what it says', async (t) => {
    const area = areaOf(scoped, '/scoped')
    t.equal(backend.enforces(scoped), true)
    t.same(await area.names(area.base), ['file'])
    t.equal(await area.text(area.at('file')), 'scoped')
    await fails(t, area.mkdir(area.at('new')), 'denied')
    await fails(t, area.write(area.at('new'), 'x'), 'denied')
    await fails(t, area.remove(area.at('file')), 'denied')
    t.equal(await area.text(area.at('file')), 'scoped')
  })

  t.test('and nothing beside it', async (t) => {
    const area = areaOf(scoped, '/group')
    await fails(t, area.text(area.at('file')), 'denied')
    await fails(t, area.names(area.base), 'denied')
  })

  t.test('a group opens what the server gives the group', async (t) => {
    const area = areaOf(staff, '/group')
    t.same(await area.names(area.base), ['file'])
    t.equal(await area.text(area.at('file')), 'group')
    await fails(t, area.write(area.at('new'), 'x'), 'denied')
    const stranger = areaOf(guest, '/group')
    await fails(t, stranger.text(stranger.at('file')), 'denied')
  })

  t.test('who has no token that may be sent is refused without being asked for', async (t) => {
    const area = areaOf(keyHolder, '/scoped')
    await fails(t, area.text(area.at('file')), 'denied')
  })
})
