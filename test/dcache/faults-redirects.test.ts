/** Where a door may send the gateway, and what the gateway takes along. */

import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { PoolPolicy } from '../../backends/dcache/pools.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Area, fails, pattern } from '../backends/conformance/area.ts'
import { type WorldOptions, worldFor } from './world.ts'

const bytes = pattern(10_000)
const file = parsePath('/file')

interface Stranger {
  readonly url: URL
  readonly seen: Array<{ readonly method: string | undefined; readonly headers: IncomingHttpHeaders }>
  /** Instead of the bytes. */
  redirectTo: string | undefined
}

/** A server of no dCache's, which gives the bytes of the file to whoever asks. */
async function stranger(t: Test, host: string): Promise<Stranger> {
  const seen: Stranger['seen'] = []
  const answer: RequestListener = (request, response) => {
    seen.push({ method: request.method, headers: request.headers })
    request.resume()
    if (found.redirectTo !== undefined) response.writeHead(307, { Location: found.redirectTo }).end()
    else if (request.method === 'PUT') response.writeHead(201).end()
    else response.writeHead(200, { 'Content-Length': bytes.length }).end(bytes)
  }
  const server = createServer(answer)
  server.on('checkContinue', answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const found: Stranger = { url: new URL(`http://${host}:${port}/file?secret=1`), seen, redirectTo: undefined }
  return found
}

async function prepared(t: Test, to: URL, options: WorldOptions = {}): Promise<Area> {
  const world = await worldFor(t, options)
  await world.dcache.tree.add({ path: '/data/file', bytes, owner: 'alice' })
  world.dcache.faults.add({ at: 'door', fault: { type: 'redirect', to } })
  return new Area(world, root)
}

t.test('a redirect to a host that nobody named is refused, and nothing is sent there', async (t) => {
  const foreign = await stranger(t, '127.0.0.1')
  const area = await prepared(t, foreign.url, { options: { pools: ['localhost'] } })
  await fails(t, area.read(file), 'unavailable')
  await fails(t, area.write(parsePath('/new'), 'secret bytes'), 'unavailable')
  t.same(foreign.seen, [])
  t.same(await area.leftovers(), [])
})

t.test('a redirect by plain http is refused unless the mount says otherwise', async (t) => {
  const pool = await stranger(t, 'localhost')
  const area = await prepared(t, pool.url, { options: { insecurePools: false } })
  await fails(t, area.read(file), 'unavailable')
  await fails(t, area.write(parsePath('/new'), 'x'), 'unavailable')
  t.same(pool.seen, [])
})

t.test('neither a token nor a cookie goes to a pool', async (t) => {
  const pool = await stranger(t, 'localhost')
  const area = await prepared(t, pool.url)
  t.ok((await area.read(file)).equals(bytes))
  await area.write(parsePath('/new'), 'x').catch(() => {})
  t.same(
    pool.seen.map(({ method }) => method),
    ['GET', 'PUT'],
  )
  for (const { headers } of pool.seen) {
    t.equal(headers.authorization, undefined)
    t.equal(headers.cookie, undefined)
  }
})

t.test('redirects in circles end', async (t) => {
  const pool = await stranger(t, 'localhost')
  const area = await prepared(t, pool.url)
  pool.redirectTo = pool.url.href
  await fails(t, area.read(file), 'unavailable')
  t.equal(pool.seen.length, 2)
  await fails(t, area.write(parsePath('/new'), 'x'), 'unavailable')
  t.equal(pool.seen.length, 4)
})

t.test('a pool may send us on, but not away', async (t) => {
  const foreign = await stranger(t, '127.0.0.1')
  const pool = await stranger(t, 'localhost')
  const area = await prepared(t, pool.url, { options: { pools: ['localhost'] } })
  pool.redirectTo = foreign.url.href
  await fails(t, area.read(file), 'unavailable')
  t.same(foreign.seen, [])
})

t.test('hosts are compared whole', async (t) => {
  const door = new URL('https://door.desy.de:2880/')
  const rows: ReadonlyArray<readonly [pools: readonly string[], location: string, allowed: boolean, insecure?: true]> =
    [
      [['pool1.desy.de'], 'https://pool1.desy.de:20001/f', true],
      [['POOL1.desy.de'], 'https://Pool1.DESY.de/f', true],
      [['pool1.desy.de'], 'https://pool1.desy.de.evil.org/f', false],
      [['pool1.desy.de'], 'https://xpool1.desy.de/f', false],
      [['pool1.desy.de:20001'], 'https://pool1.desy.de:20001/f', true],
      [['pool1.desy.de:20001'], 'https://pool1.desy.de:20002/f', false],
      [['pool1.desy.de:443'], 'https://pool1.desy.de/f', true],
      [['*.desy.de'], 'https://a.b.desy.de/f', true],
      [['*.desy.de'], 'https://desy.de/f', false],
      [['*.desy.de'], 'https://evildesy.de/f', false],
      [['*.desy.de'], 'https://.desy.de/f', false],
      [['[2001:db8::1]'], 'https://[2001:db8::1]:20000/f', true],
      [[], 'https://pool1.desy.de/f', false],
      [[], 'https://door.desy.de:2880/other', true],
      [[], 'https://door.desy.de:2881/other', false],
      [[''], 'https://pool1.desy.de/f', false],
      [[], '/relative', true],
      [['pool1.desy.de'], 'http://pool1.desy.de/f', false],
      [['pool1.desy.de'], 'http://pool1.desy.de/f', true, true],
      [['pool1.desy.de'], 'ftp://pool1.desy.de/f', false, true],
      [['pool1.desy.de'], 'file:///etc/passwd', false, true],
      [['pool1.desy.de'], 'https://user:password@pool1.desy.de/f', false],
      [['pool1.desy.de'], 'https://', false],
      [['pool1.desy.de'], 'https://pool1.desy.de@evil.org/f', false],
    ]
  for (const [pools, location, allowed, insecure = false] of rows) {
    const policy = new PoolPolicy(door, pools, { insecure })
    try {
      policy.target(location, door)
      t.ok(allowed, `${location} within ${pools}`)
    } catch (error) {
      t.notOk(allowed, `${location} not within ${pools}`)
      t.equal(StorageError.from(error).code, 'unavailable')
    }
  }
  t.throws(() => new PoolPolicy(door, [], { insecure: true }).target(undefined, door))
})
