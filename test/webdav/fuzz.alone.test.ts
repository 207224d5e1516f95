/**
 * Requests that no client would send, mutated from those that clients do send: never a failure of ours, never more
 * memory. ROUNDS and SEED make it another run.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import { Dice, mutated } from '../dice.ts'
import { alice, callOf, store } from '../http/door.ts'
import { openDav } from './door.ts'

t.setTimeout(7_200_000)

const rounds = Number(process.env.ROUNDS ?? 20_000)
const seed = Number(process.env.SEED ?? 1)

const methods = [
  'PROPFIND',
  'PROPPATCH',
  'MKCOL',
  'COPY',
  'MOVE',
  'DELETE',
  'PUT',
  'GET',
  'LOCK',
  'UNLOCK',
  'OPTIONS',
] as const
const paths = [
  '/',
  '/data/',
  '/data/a',
  '/data/d/',
  '/data/d/b',
  '/data/none',
  '/data/d/%F0%9F%A6%91',
  '/data/a/b',
] as const
const values: Readonly<Record<string, readonly [string, ...string[]]>> = {
  Depth: ['0', '1', 'infinity', '2', '', '-1', 'Infinity, 0'],
  Destination: [
    '/data/x',
    '/data/d/y',
    '/data/d/',
    'http://localhost/data/z',
    'https://other.example/',
    '/data/%2e%2e/',
    '//x',
    'x:y',
    '/data/%ff',
  ],
  Overwrite: ['T', 'F', 'X', ''],
  If: [
    '(<urn:uuid:1>)',
    '(<TOKEN>)',
    '(<TOKEN>)',
    '<http://localhost/data/> (<TOKEN> Not ["x"])',
    '(Not <DAV:no-lock>)',
    '<http://localhost/data/a> (["x"] <a:b>)',
    '((',
    '<',
    '(["W/x"])',
    '()',
  ],
  Range: ['bytes=0-1', 'bytes=-', 'bytes=9-1,2-3', 'bytes=0-0,-1', 'x'],
  'If-Match': ['*', '"x"', 'W/"x"', '"', 'x'],
  'Lock-Token': ['<urn:uuid:1>', '<TOKEN>', '<TOKEN>', 'x', '<>'],
  Timeout: ['Second-1', 'Infinite', 'Second-99999999999999', ','],
  'Content-Type': ['application/xml', 'text/xml; charset=utf-8', 'text/plain', ''],
  Prefer: ['return=minimal', 'x'],
}
const bodies = [
  '',
  '<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:acl/><x xmlns="urn:x"/></D:prop></D:propfind>',
  '<propfind xmlns="DAV:"><allprop/><include><acl/><owner/></include></propfind>',
  '<propfind xmlns="DAV:"><propname/></propfind>',
  '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x" a="b">1<y/></x></D:prop></D:set><D:remove><D:prop><z xmlns=""/></D:prop></D:remove></D:propertyupdate>',
  '<propertyupdate xmlns="DAV:"><set><prop><getlastmodified>Wed, 01 Jan 2020 00:00:00 GMT</getlastmodified></prop></set></propertyupdate>',
  '<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/></resourcetype><displayname>x</displayname></prop></set></mkcol>',
  '<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype><owner>me</owner></lockinfo>',
] as const
const [nothing, some, all, names, update, times, collection, lock] = bodies
const fitting: Readonly<Record<string, readonly [string, ...string[]]>> = {
  PROPFIND: [nothing, some, all, names],
  PROPPATCH: [update, times],
  MKCOL: [nothing, collection],
  LOCK: [lock, nothing],
}
const pieces = [
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;',
  '&#x0;',
  '&#xD800;',
  '<![CDATA[',
  ']]>',
  '<?x y?>',
  '<!--',
  '\u0000',
  '\ufeff',
  'xmlns:D=""',
  '</D:prop>',
  '<a:b/>',
  '\u{1f991}',
  '"',
  '\xff',
  '<a '.repeat(50),
] as const

/** Header fields cannot hold everything; what they can hold arrives. TOKEN stands for that of the lock taken last. */
function fieldOf(choice: string, token: string, dice: Dice): string {
  const text = choice.replaceAll('TOKEN', token)
  const bytes = dice.below(3) === 0 ? mutated(text, dice, pieces) : Buffer.from(text)
  return bytes.toString('latin1').replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
}

t.test('no request makes us fail', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-fuzz-'))
  const state = await openState({ directory })
  const { port, storage, audit, lines } = await openDav(t, { locks: state.locks })
  t.teardown(async () => {
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  t.teardown(() => agent.destroy())
  const dice = new Dice(seed)
  const statuses = new Map<number, number>()
  let token = 'urn:uuid:2'
  const locked = new Map<string, number>()
  const one = async (round: number) => {
    const method = dice.of(methods)
    const headers: Record<string, string> = { authorization: 'Bearer alice' }
    for (const [name, choices] of Object.entries(values))
      if (dice.below(6) === 0) headers[name] = fieldOf(dice.of(choices), token, dice)
    if (headers.Depth === undefined && method === 'PROPFIND') headers.Depth = '1'
    if (headers['Lock-Token'] === undefined && method === 'UNLOCK') headers['Lock-Token'] = `<${token}>`
    const text = dice.below(3) === 0 ? dice.of(bodies) : dice.of(fitting[method] ?? bodies)
    const body = dice.below(3) === 0 ? Buffer.from(text) : mutated(text, dice, pieces)
    headers['content-length'] = String(body.length)
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const call = request({ host: '127.0.0.1', port, method, path: dice.of(paths), agent, headers })
    call.on('response', (response) => {
      token = /^<(urn:uuid:[-\w]+)>$/.exec(String(response.headers['lock-token']))?.[1] ?? token
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0)).on('error', reject)
    })
    call.on('error', reject)
    call.end(body)
    const status = await promise.catch((error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? 0 : -1))
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (status < 300 && method.endsWith('LOCK')) locked.set(method, (locked.get(method) ?? 0) + 1)
    // What was there is gone or moved sooner or later.
    if (round % 100 === 0) {
      await storage.mkdir(callOf(alice), parsePath('/data/d')).catch(() => {})
      await store(storage, '/data/a', 'hello').catch(() => {})
    }
  }
  const told = () => JSON.stringify(Object.fromEntries(statuses))
  const unlockAll = async () => {
    for (const lock of await storage.locks.list(callOf(alice)))
      await storage.locks.release(callOf(alice), lock.token ?? '')
  }
  let before = 0
  for (let round = 0; round < rounds; round += 8) {
    // Most requests are to find nothing locked.
    if (round % 48 === 0) await unlockAll()
    // What this test is told of each request is not the door's to keep.
    lines.length = 0
    audit.records.length = 0
    await Promise.all(Array.from({ length: 8 }, (_, i) => one(round + i).catch(() => {})))
    if (round >= rounds / 4 && before === 0) before = process.memoryUsage().rss
  }
  const grown = Math.round((process.memoryUsage().rss - before) / 2 ** 20)
  // 501, 502 and 507 are answers that such requests deserve.
  for (const status of [-1, 500, 503, 504]) t.equal(statuses.get(status) ?? 0, 0, `no ${status}: ${told()}`)
  t.ok((statuses.get(0) ?? 0) < rounds / 100, 'connections are cut rarely')
  for (const method of ['LOCK', 'UNLOCK']) t.ok(locked.get(method), `${method} was understood`)
  t.ok((statuses.get(207) ?? 0) > rounds / 100, `some were understood: ${told()}`)
  t.ok(grown < 100 + rounds / 10_000, `memory grew by ${grown} MiB`)
})
