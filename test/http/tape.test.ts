import t, { type Test } from 'tap'
import { BodyBudget } from '../../gateway/api/body-budget.ts'
import { parseDuration } from '../../gateway/api/iso-duration.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Exchange } from '../../gateway/http/exchange.ts'
import { delay, queue, TapeWorld } from '../core/tape-world.ts'
import { ask, openDoor, rawConnection } from './door.ts'

const api = '/.portolan/api/v1/tape'
const json = { 'content-type': 'application/json' }

async function door(t: Test, options: ConstructorParameters<typeof TapeWorld>[1] = {}) {
  const world = new TapeWorld(t, options)
  const storage = await world.open()
  const { port } = await openDoor(t, { around: () => storage, publicUrl: 'https://gw.desy.de', hosts: ['127.0.0.1'] })
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    { as = 'alice', headers = {} }: { readonly as?: string; readonly headers?: Record<string, string> } = {},
  ) => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await ask(port, method, path, {
      as,
      headers: { host: 'gw.desy.de', ...(text !== undefined && json), ...headers },
      ...(text !== undefined && { body: text }),
    })
    return { ...answer, value: answer.text === '' ? undefined : JSON.parse(answer.text) }
  }
  return { world, storage, port, send }
}

t.test('clients find the interface where they look for it', async (t) => {
  const { send } = await door(t)
  const found = await send('GET', '/.well-known/wlcg-tape-rest-api', undefined, { as: '' })
  t.equal(found.status, 200)
  t.match(found.headers['content-type'], /^application\/json/)
  t.strictSame(found.value.endpoints, [
    { uri: 'https://gw.desy.de/.portolan/api/v1/tape', version: 'v1', metadata: {} },
  ])
  t.equal(found.value.sitename, 'gw.desy.de')
  t.equal((await send('PUT', '/.well-known/wlcg-tape-rest-api', 'x')).status, 405)
  t.equal((await send('GET', '/.well-known/other')).status, 404)
})

t.test('a file is staged, watched, and released, as the document has it', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const staged = await send('POST', `${api}/stage`, {
    files: [
      { path: '/pnfs/a', diskLifetime: 'PT1H', targetedMetadata: { DESY: { activity: 'x' } }, more: 1 },
      { path: '/pnfs/b' },
      { path: '/pnfs/none' },
    ],
    unknown: true,
  })
  t.equal(staged.status, 201)
  const { requestId } = staged.value
  t.strictSame(Object.keys(staged.value), ['requestId'])
  t.equal(staged.headers.location, `https://gw.desy.de${api}/stage/${requestId}`)
  t.equal(world.orders[0]?.files[0]?.lifetime, 3600)
  const created = 1_000_000
  const none = { path: '/pnfs/none', state: 'FAILED', finishedAt: created, error: 'no such file or directory' }
  t.strictSame((await send('GET', `${api}/stage/${requestId}`)).value, {
    id: requestId,
    createdAt: created,
    startedAt: created,
    files: [{ path: '/pnfs/a', state: 'SUBMITTED' }, { path: '/pnfs/b', state: 'SUBMITTED' }, none],
  })
  const cancelled = await send('POST', `${api}/stage/${requestId}/cancel`, { paths: ['/pnfs/b'] })
  t.equal(cancelled.status, 200)
  world.time += queue + delay
  const done = created + (queue + delay) / 1000
  t.strictSame((await send('GET', `${api}/stage/${requestId}`)).value, {
    id: requestId,
    createdAt: created,
    startedAt: created + queue / 1000,
    completedAt: done,
    files: [
      { path: '/pnfs/a', state: 'COMPLETED', startedAt: created + queue / 1000, finishedAt: done },
      { path: '/pnfs/b', state: 'CANCELLED', finishedAt: created },
      none,
    ],
  })
  t.equal(world.tape().evict(parsePath('/a')), true)
  t.equal((await send('POST', `${api}/release/${requestId}`, { paths: ['/pnfs/a'] })).status, 200)
  t.equal(world.tape().evict(parsePath('/a')), false)
  t.equal((await send('DELETE', `${api}/stage/${requestId}`)).status, 200)
  t.equal((await send('GET', `${api}/stage/${requestId}`)).status, 404)
})

t.test('archiveinfo answers for each path', async (t) => {
  const { world, storage, send } = await door(t)
  await world.closedDirectory(storage, '/pnfs/closed')
  await world.fill(storage, '/pnfs/a', '/pnfs/b', '/pnfs/c', '/pnfs/closed/x', '/disk/d')
  world.tape().put(parsePath('/b'), 'disk-and-tape')
  world.tape().put(parsePath('/c'), 'disk')
  const paths = ['/pnfs/a', '/pnfs/b', '/pnfs/c', '/pnfs', '/disk/d', '/pnfs/none', '/pnfs/closed/x', 'no path']
  const answer = await send('POST', `${api}/archiveinfo`, { paths }, { as: 'bob' })
  t.equal(answer.status, 200)
  t.strictSame(answer.value, [
    { path: '/pnfs/a', locality: 'TAPE' },
    { path: '/pnfs/b', locality: 'DISK_AND_TAPE' },
    { path: '/pnfs/c', locality: 'DISK' },
    { path: '/pnfs', locality: 'NONE' },
    { path: '/disk/d', locality: 'DISK' },
    { path: '/pnfs/none', error: 'no such file or directory' },
    { path: '/pnfs/closed/x', error: 'not allowed' },
    { path: 'no path', error: 'the path is not absolute' },
  ])
})

t.test('an idempotency key makes a repetition the same request', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const stage = (key: string, path: string) =>
    send('POST', `${api}/stage`, { files: [{ path }] }, { headers: { 'idempotency-key': key } })
  const first = await stage('"8e03978e-40d5"', '/pnfs/a')
  t.equal((await stage('8e03978e-40d5', '/pnfs/a')).value.requestId, first.value.requestId)
  t.equal((await stage('8e03978e-40d5', '/pnfs/b')).status, 400)
  t.not((await stage('"other"', '/pnfs/a')).value.requestId, first.value.requestId)
  for (const key of ['', '""', '"', 'a b', 'x'.repeat(256), '"a"b"']) {
    t.equal((await stage(key, '/pnfs/a')).status, 400, key)
  }
})

t.test('requests of others do not exist', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a')
  const { requestId } = (await send('POST', `${api}/stage`, { files: [{ path: '/pnfs/a' }] })).value
  const bob = { as: 'bob' }
  const paths = { paths: ['/pnfs/a'] }
  for (const [method, path, body] of [
    ['GET', `stage/${requestId}`, undefined],
    ['DELETE', `stage/${requestId}`, undefined],
    ['POST', `stage/${requestId}/cancel`, paths],
    ['POST', `release/${requestId}`, paths],
    ['GET', 'stage/none', undefined],
    ['GET', 'stage/..%2Fx', undefined],
  ] as const) {
    const answer = await send(method, `${api}/${path}`, body, bob)
    t.ok([404, 400].includes(answer.status), `${method} ${path}`)
    t.equal(answer.headers['content-type'], 'application/problem+json')
  }
  const nobody = await send('GET', `${api}/stage/${requestId}`, undefined, { as: '' })
  t.equal(nobody.status, 401)
  t.equal((await send('GET', `${api}/stage/${requestId}`, undefined, { as: 'admin' })).status, 200)
  const foreign = await send('POST', `${api}/stage/${requestId}/cancel`, { paths: ['/pnfs/a', '/pnfs/b'] })
  t.equal(foreign.status, 400)
  t.match((await send('GET', `${api}/stage/${requestId}`)).value, { files: [{ state: 'SUBMITTED' }] })
})

t.test('a token without a scope for staging is refused, and told where to ask why', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a')
  const refused = await send('POST', `${api}/stage`, { files: [{ path: '/pnfs/a' }] }, { as: 'reader' })
  t.equal(refused.status, 403)
  t.match(refused.value, { code: 'denied', explain: /explain\?path=%2Fpnfs%2Fa&action=stage$/ })
  t.equal(world.orders.length, 0)
  const anonymous = await send('POST', `${api}/stage`, { files: [{ path: '/pnfs/a' }] }, { as: '' })
  t.equal(anonymous.status, 401)
})

t.test('malformed requests are refused with their place', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a')
  const file = { path: '/pnfs/a' }
  const cases: ReadonlyArray<readonly [string, unknown, RegExp]> = [
    ['stage', '{', /JSON/],
    ['stage', '[]', /object/],
    ['stage', 'null', /object/],
    ['stage', {}, /files/],
    ['stage', { files: [] }, /files/],
    ['stage', { files: 'x' }, /files/],
    ['stage', { files: [file, 'x'] }, /files\[1\]/],
    ['stage', { files: [file, {}] }, /files\[1\]\.path/],
    ['stage', { files: [file, { path: 7 }] }, /files\[1\]\.path/],
    ['stage', { files: [file, { path: 'a' }] }, /files\[1\]\.path/],
    ['stage', { files: [file, { path: '/pnfs/../a' }] }, /files\[1\]\.path/],
    ['stage', { files: [file, { path: '/pnfs//a' }] }, /files\[1\]\.path/],
    ['stage', { files: [file, { path: '/a\0b' }] }, /files\[1\]\.path/],
    ['stage', { files: [{ path: `/${'x'.repeat(5000)}` }] }, /files\[0\]\.path/],
    ['stage', { files: [{ ...file, diskLifetime: 3600 }] }, /diskLifetime/],
    ['stage', { files: [{ ...file, diskLifetime: '1h' }] }, /diskLifetime/],
    ['stage', { files: [{ ...file, diskLifetime: 'P1Y' }] }, /diskLifetime/],
    ['stage', { files: [{ ...file, diskLifetime: 'PT0S' }] }, /lifetime/],
    ['stage', { files: [{ ...file, diskLifetime: 'P999999999D' }] }, /lifetime/],
    ['archiveinfo', {}, /paths/],
    ['archiveinfo', { paths: [] }, /paths/],
    ['archiveinfo', { paths: [1] }, /paths\[0\]/],
    ['release/x', { paths: '/pnfs/a' }, /paths/],
    ['stage/x/cancel', { paths: ['a'] }, /paths\[0\]/],
  ]
  for (const [path, body, detail] of cases) {
    const answer = await send('POST', `${api}/${path}`, body)
    t.equal(answer.status, 400, `${path} ${JSON.stringify(body).slice(0, 60)}`)
    t.match(answer.value.detail, detail)
  }
  t.equal(
    (await send('POST', `${api}/stage`, { files: [file] }, { headers: { 'content-type': 'text/plain' } })).status,
    415,
  )
  t.equal((await send('POST', `${api}/stage`)).status, 415)
  t.equal((await send('POST', `${api}/stage?x=1`, { files: [file] })).status, 400)
  t.equal((await send('GET', `${api}/stage`)).status, 405)
  for (const [method, path, allow] of [
    ['PUT', '/stage/1111', /^(?=.*\bGET\b)(?=.*\bDELETE\b)(?!.*POST)/],
    ['GET', '/stage/1111/cancel', /^POST$/],
    ['DELETE', '/release/1111', /^POST$/],
  ] as const) {
    const answer = await send(method, `${api}${path}`)
    t.equal(answer.status, 405, `${method} ${path}`)
    t.match(answer.headers.allow, allow)
  }
  for (const path of ['/stage/1111/other', '/stage/', '/stage/1111/']) {
    t.equal((await send('PUT', `${api}${path}`)).status, 404, path)
  }
  t.equal(world.orders.length, 0)
})

t.test('ten thousand files fit, a body without end does not', async (t) => {
  const { send } = await door(t)
  const files = Array.from({ length: 10_000 }, (_, index) => ({ path: `/disk/${'d'.repeat(200)}/f${index}` }))
  const staged = await send('POST', `${api}/stage`, { files })
  t.equal(staged.status, 201)
  const { value } = await send('GET', `${api}/stage/${staged.value.requestId}`)
  t.equal(value.files.length, 10_000)
  t.equal(value.files[9999].state, 'FAILED')
  const huge = await send('POST', `${api}/stage`, ' '.repeat(17 * 1024 * 1024))
  t.equal(huge.status, 413)
  const many = Array.from({ length: 50_001 }, (_, index) => ({ path: `/f${index}` }))
  t.equal((await send('POST', `${api}/stage`, { files: many })).status, 413)
})

t.test('nobody sends a large body before it is known who he is', async (t) => {
  const { port } = await door(t)
  const raw = rawConnection(t, port)
  const head = ['Host: gw.desy.de', 'Authorization: Bearer expired', 'Content-Type: application/json']
  raw.send(
    [`POST ${api}/stage HTTP/1.1`, ...head, 'Content-Length: 1000000', 'Expect: 100-continue', '', ''].join('\r\n'),
  )
  t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 401 /)
})

t.test('a read of a file on tape says where it can be asked for', async (t) => {
  const { world, storage, send } = await door(t)
  await world.fill(storage, '/pnfs/a')
  const answer = await send('GET', '/pnfs/a')
  t.equal(answer.status, 424)
  t.match(answer.value, { code: 'nearline', stage: `https://gw.desy.de${api}/stage` })
  t.equal(answer.headers.link, `<https://gw.desy.de${api}/stage>; rel="related"`)
  const head = await ask((await door(t)).port, 'HEAD', '/pnfs/a', { as: 'alice' })
  t.equal(head.status, 404)
})

t.test('where the mount recalls on reading the answer is to come back later', async (t) => {
  const { world, storage, send } = await door(t, { mount: { recall: 'on-read' } })
  await world.fill(storage, '/pnfs/a')
  t.equal((await send('GET', '/pnfs/a', undefined, { headers: { range: 'bytes=0-0' } })).status, 424)
  t.equal(world.orders.length, 0)
  const answer = await send('GET', '/pnfs/a')
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '60')
  t.equal(world.orders.length, 1)
})

t.test('durations are ISO 8601, where they have a fixed length', async (t) => {
  const cases: ReadonlyArray<readonly [string, number | 'invalid']> = [
    ['PT1H', 3600],
    ['PT90M', 5400],
    ['PT1H30M5S', 5405],
    ['P1D', 86_400],
    ['P1DT12H', 129_600],
    ['P2W', 1_209_600],
    ['PT0.5S', 1],
    ['PT1,2S', 2],
    ['PT0S', 0],
    ...[
      '',
      'P',
      'PT',
      'P1DT',
      '1H',
      'PT1',
      'PT1.5H',
      'PT-1H',
      '-PT1H',
      'pt1h',
      'PT1h',
      'P1Y',
      'P1M',
      'P1W1D',
      'PT1S1M',
    ].map((text) => [text, 'invalid'] as const),
    ...[' PT1H', 'PT1H ', 'PT1H\n', 'PT1H1H', `PT${'9'.repeat(10)}S`].map((text) => [text, 'invalid'] as const),
  ]
  for (const [text, expected] of cases) {
    let found: number | string
    try {
      found = parseDuration(text)
    } catch (error) {
      found = StorageError.from(error).code
    }
    t.equal(found, expected, JSON.stringify(text))
  }
})

t.test('large bodies are held for some callers at a time', async (t) => {
  const budget = new BodyBudget(100, 60)
  const closers: Array<() => void> = []
  const request = (id: string, length: string | undefined) =>
    ({
      request: { headers: { 'content-length': length } },
      response: { once: (_event: string, close: () => void) => closers.push(close) },
      principal: { id, user: id },
      from: '::1',
    }) as unknown as Exchange
  budget.reserve(request('a', '50'), 60)
  t.throws(() => budget.reserve(request('a', '20'), 60), { code: 'busy' }, 'his share')
  t.throws(() => budget.reserve(request('b', undefined), 60), { code: 'busy' }, 'all of it')
  t.throws(() => budget.reserve(request('b', '61'), 60), { code: 'too-large' })
  budget.reserve(request('b', '50'), 60)
  for (const close of closers) close()
  budget.reserve(request('a', undefined), 60)
})
