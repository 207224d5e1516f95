/** Long reads: by stream, straight to a connection, in pieces, over TLS; and who is trusted. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { OpenFile } from '../../backends/backend.ts'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Area, act, fails, pattern } from '../backends/conformance/area.ts'
import { TestServices } from '../posix/backend-world.ts'
import { callBy, forwarding, type WorldOptions, worldFor } from './world.ts'

const bytes = pattern(5_000_003)
const file = parsePath('/file')

function certificate(): { readonly key: string; readonly cert: string } {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-dcache-tls-'))
  try {
    const [key, cert] = [join(directory, 'key'), join(directory, 'cert')]
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function opened(t: Test, options: WorldOptions = {}) {
  const world = await worldFor(t, options)
  await world.dcache.tree.add({ path: '/data/file', bytes, owner: 'alice', mode: 0o664 })
  const open = (): Promise<OpenFile> => act(world.backend.open(file, {}, callBy()))
  return { world, open, area: new Area(world, root) }
}

/** Collects what is sent straight to a connection, which takes two pieces at once and one later, and fails after `most` bytes. */
async function sent(file: OpenFile, start: number, end: number, until?: number, most = Number.POSITIVE_INFINITY) {
  const chunks: Buffer[] = []
  let length = 0
  let turn = 0
  const later = async (chunk: Uint8Array) => {
    if (length > most) throw new Error('the receiver has gone')
    await new Promise((resolve) => setImmediate(resolve))
    // The buffer is the sender's again afterwards.
    chunks.push(Buffer.from(chunk))
  }
  const write = (chunk: Uint8Array) => {
    length += chunk.length
    if (turn++ % 3 === 2 || length > most) return later(chunk)
    chunks.push(Buffer.from(chunk))
    return undefined
  }
  const stream = file.stream({ start, end }, until)
  if (!stream.sendTo) throw new Error('it should send')
  await stream.sendTo({ fd: -1, write })
  return Buffer.concat(chunks)
}

for (const kind of ['plain', 'TLS'] as const) {
  const options = (): WorldOptions =>
    kind === 'plain' ? {} : { double: { tls: certificate() }, options: { insecurePools: false, pools: ['localhost'] } }

  t.test(`bytes by stream and straight to a connection are the same (${kind})`, async (t) => {
    const { open, area } = await opened(t, options())
    const file = await open()
    for (const [start, end] of [
      [0, bytes.length],
      [1, bytes.length - 1],
      [1_000_000, 4_000_000],
      [77, 100_077],
    ] as const) {
      const expected = bytes.subarray(start, end)
      t.ok((await buffer(file.stream({ start, end }))).equals(expected), `streamed ${start} to ${end}`)
      t.ok((await sent(file, start, end)).equals(expected), `sent ${start} to ${end}`)
    }
    t.equal((await sent(file, 5, 5)).length, 0)
    await file.close()
    await area.write(parsePath('/up'), bytes)
    t.ok((await area.read(parsePath('/up'))).equals(bytes), 'and come back from an upload')
  })

  t.test(`pieces in order come by one request (${kind})`, async (t) => {
    const { world, open } = await opened(t, options())
    const file = await open()
    world.dcache.counters.reset()
    const { length } = bytes
    const pieces = [
      await buffer(file.stream({ start: 0, end: 65_536 }, length)),
      await sent(file, 65_536, 2_000_000, length),
      await sent(file, 2_000_000, 2_000_001, length),
      await buffer(file.stream({ start: 2_000_001, end: 4_500_000 }, length)),
      await sent(file, 4_500_000, length, length),
    ]
    t.ok(Buffer.concat(pieces).equals(bytes))
    t.equal(world.dcache.counters.requests('pool', 'GET'), 1)
    t.ok((await sent(file, 0, 65_536)).equals(bytes.subarray(0, 65_536)), 'another order is another request')
    t.equal(world.dcache.counters.requests('pool', 'GET'), 2)
    await buffer(file.stream({ start: 0, end: 65_536 }, length))
    await file.close()
  })
}

t.test('a certificate of somebody else is not trusted', async (t) => {
  const { area } = await opened(t, { double: { tls: certificate() }, options: { ca: certificate().cert } })
  await fails(t, area.read(file), 'unavailable')
})

t.test('a receiver that goes away ends the request, and the file goes on', async (t) => {
  const { open } = await opened(t)
  const file = await open()
  for (let round = 0; round < 5; round++) {
    await t.rejects(sent(file, 0, bytes.length, bytes.length, 1_000_000), { message: 'the receiver has gone' })
    const stream = file.stream({ start: 0, end: bytes.length })
    stream.destroy()
    stream.on('error', () => {})
  }
  t.ok((await sent(file, 0, bytes.length)).equals(bytes))
  await file.close()
  t.throws(() => file.stream({ start: 0, end: 1 }), { code: 'invalid' })
})

t.test('a pool that breaks off or stops while bytes are sent is unavailable', async (t) => {
  const { world, open } = await opened(t, { options: { stall: 300 } })
  for (const fault of [
    { type: 'reset', after: 3_000_000 },
    { type: 'truncate', after: 3_000_000 },
    { type: 'slow-body', after: 3_000_000 },
  ] as const) {
    const well = world.dcache.faults.add({ at: 'pool', fault })
    const file = await open()
    await fails(t, sent(file, 0, bytes.length), 'unavailable', fault.type)
    await file.close()
    well()
  }
})

t.test('a caller who goes ends what is being sent', async (t) => {
  const { world } = await opened(t)
  const controller = new AbortController()
  const file = await act(world.backend.open(parsePath('/file'), {}, callBy(undefined, controller.signal)))
  const stream = file.stream({ start: 0, end: bytes.length })
  const write = async () => controller.abort()
  const sending = stream.sendTo?.({ fd: -1, write }) ?? Promise.resolve()
  await fails(t, sending, 'cancelled')
  await file.close()
})

t.test('a file that was replaced since it was opened is stale, not other bytes', async (t) => {
  const { world, open } = await opened(t)
  const file = await open()
  await world.dcache.tree.add({ path: '/data/other', bytes: Buffer.alloc(bytes.length), owner: 'alice' })
  world.dcache.tree.remove('/data/file')
  world.dcache.tree.move('/data/other', '/data/file')
  await fails(t, buffer(file.stream({ start: 0, end: 1000 })), 'stale')
  await fails(t, sent(file, 0, bytes.length), 'stale')
  await file.close()
})

/** A back end whose frontend answers with what `answer` makes of a query. */
async function withFrontend(t: Test, answer: (query: URLSearchParams) => string) {
  const server = createServer((request, response) => {
    const body = answer(new URL(request.url ?? '', 'http://x').searchParams)
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`)
  const options = { webdav: url, frontend: url, root: '/' as Path, pools: [], delegation: forwarding, deadline: 2000 }
  const backend = new DcacheBackend(options, new TestServices())
  t.teardown(async () => {
    await backend.close()
    server.closeAllConnections()
    server.close()
  })
  return new Area({ backend, principals: [callBy().principal], cleanup: async () => {} }, root)
}

const directory = '"fileType":"DIR","pnfsId":"00FF","mtime":1'
const named = (name: string) => `{"fileName":${JSON.stringify(name)},"fileType":"REGULAR","pnfsId":"00AA","size":1}`

t.test('a frontend that lists without an end, too much or nonsense is unavailable', async (t) => {
  const same = Array.from({ length: 1001 }, (_, index) => named(`file-${index}`)).join()
  const endless = await withFrontend(t, () => `{${directory},"children":[${same}]}`)
  await fails(t, endless.list(root), 'unavailable', 'the same page again and again')
  const huge = await withFrontend(
    t,
    () => `{${directory},"children":[${`${named('x'.repeat(200))},`.repeat(80_000)}{}]}`,
  )
  await fails(t, huge.list(root), 'unavailable', 'more than is read')
  for (const text of [
    '[]',
    '7',
    'null',
    '""',
    '{}',
    '{"children":[]}',
    `{${directory},"children":[7]}`,
    '{"fileType":',
  ]) {
    const area = await withFrontend(t, () => text)
    await fails(t, area.list(root), 'unavailable', text)
    if (!text.includes('children')) await fails(t, area.entry(root), 'unavailable', text)
  }
})

t.test('names that are none are left out of a listing', async (t) => {
  const names = [
    'good',
    '.',
    '..',
    'a/b',
    '',
    'nul\0',
    '.(get)(x)(locality)',
    '.portolan-upload-x',
    'x'.repeat(300),
    '\ud800',
  ]
  const area = await withFrontend(t, () => `{${directory},"children":[${names.map(named).join()}]}`)
  t.same(await area.names(root), ['good'])
  t.same(await (await withFrontend(t, () => `{${directory},"children":"x"}`)).names(root), [])
})
