import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Range, SocketSink } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import { alice, ask, callOf, openDoor, rawConnection, store } from './door.ts'

const auth = 'Authorization: Bearer alice\r\n'

t.test('100 Continue is sent after the decision, and only then', async (t) => {
  const events: string[] = []
  const { port } = await openDoor(t, {
    around: (storage) =>
      proxied(storage, {
        write: async (...args) => {
          const writing = await storage.write(...args)
          await new Promise((resolve) => setImmediate(resolve))
          events.push('decided')
          return writing
        },
      }),
  })
  const raw = rawConnection(t, port)
  raw.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
  t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n\r\n$/)
  t.same(events, ['decided'])
  raw.send('hello')
  t.match(await raw.until(/201/), /HTTP\/1\.1 201 Created/)
})

t.test('a refused upload gets its status instead of 100 Continue, and the connection ends', async (t) => {
  const { port } = await openDoor(t)
  const raw = rawConnection(t, port)
  raw.send(
    'PUT /data/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bob\r\nExpect: 100-continue\r\nContent-Length: 50000000000\r\n\r\n',
  )
  const text = await raw.until(/"code"/)
  raw.socket.end()
  t.match(text, /^HTTP\/1\.1 403 Forbidden\r\n/)
  t.match(text, /Connection: close\r\n/)
  await raw.end()
})

t.test('a sender that does not wait is answered early and not read to the end', async (t) => {
  const { port } = await openDoor(t)
  const raw = rawConnection(t, port)
  raw.send(
    'PUT /data/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bob\r\nContent-Length: 50000000000\r\n\r\n',
  )
  const chunk = Buffer.alloc(256 * 1024)
  let sent = 0
  const pump = () => {
    while (!raw.socket.destroyed && raw.socket.write(chunk)) sent += chunk.length
  }
  raw.socket.on('drain', pump)
  pump()
  t.match(await raw.until(/"code"/), /^HTTP\/1\.1 403 Forbidden\r\n/)
  await raw.end()
  t.ok(sent < 200 * 1024 * 1024, `${sent} bytes were taken`)
})

t.test('other expectations are refused with 417', async (t) => {
  const { port } = await openDoor(t)
  for (const value of ['200-maybe', '100-continue, more']) {
    const answer = await ask(port, 'GET', '/data/', { headers: { expect: value } })
    t.equal(answer.status, 417, value)
  }
})

t.test('requests that are no HTTP, or two things at once, are refused', async (t) => {
  const { port } = await openDoor(t)
  const head = 'Host: localhost\r\n'
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    [`PUT /data/a HTTP/1.1\r\n${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, / 400 /],
    [`PUT /data/a HTTP/1.1\r\n${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`, / 400 /],
    [`PUT /data/a HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n`, / 400 /],
    [`GET /data/a HTTP/1.1\r\n${head}Bad Header: x\r\n\r\n`, / 400 /],
    [`GET /data/a HTTP/1.1\r\n${head}X: a\0b\r\n\r\n`, / 400 /],
    ['GET /data/ HTTP/1.1\r\n\r\n', / 400 /],
    ['GET /data/ HTTP/1.0\r\n\r\n', / 400 /],
    ['GET /data/ HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n', / 400 /],
    ['GET /data/ HTTP/1.1\r\nHost: evil.example\r\n\r\n', / 421 /],
    ['GET http://evil.example/data/ HTTP/1.1\r\nHost: localhost\r\n\r\n', / 421 /],
    [`GET /data/../x HTTP/1.1\r\n${head}\r\n`, / 400 /],
    [`GET /data/%2e%2e/x HTTP/1.1\r\n${head}\r\n`, / 400 /],
    [`GET /data/a%00 HTTP/1.1\r\n${head}\r\n`, / 400 /],
    [`GET /data/\xff HTTP/1.1\r\n${head}\r\n`, / 400 /],
    [`GET /${'a/'.repeat(2049)} HTTP/1.1\r\n${head}\r\n`, / 414 /],
    [`GET /data/ HTTP/1.1\r\n${head}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`, / 400 /],
    [`GET /data/?authz=a HTTP/1.1\r\n${head}Authorization: Bearer alice\r\n\r\n`, / 400 /],
    [`GET /data/ HTTP/1.1\r\n${head}X: ${'x'.repeat(70_000)}\r\n\r\n`, / 431 /],
    [`GET /data/ HTTP/1.1\r\n${head}${'X: y\r\n'.repeat(300)}\r\n`, / 431 /],
    ['CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', / 405 /],
    ['NONSENSE / HTTP/1.1\r\nHost: localhost\r\n\r\n', / 400 /],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', / 400 /],
  ]
  for (const [request, expected] of cases) {
    const raw = rawConnection(t, port)
    raw.send(request)
    const text = await raw.until(/\r\n\r\n/)
    t.match(text.slice(0, 40), expected, JSON.stringify(request.slice(0, 70)))
    raw.socket.destroy()
  }
})

t.test('an absolute-form target of ours is served, and wins over Host', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  const raw = rawConnection(t, port)
  raw.send('GET http://localhost/data/a HTTP/1.1\r\nHost: evil.example\r\n\r\n')
  t.match(await raw.until(/hello/), /^HTTP\/1\.1 200 OK/)
})

t.test('a header beyond 16 KiB is no trouble below 64', async (t) => {
  const { port } = await openDoor(t)
  const answer = await ask(port, 'GET', '/data/', { headers: { 'x-ticket': 'k'.repeat(60_000) } })
  t.equal(answer.status, 200)
})

t.test('pipelined requests are answered one after the other, in order', async (t) => {
  let running = 0
  let most = 0
  const { port, storage } = await openDoor(t, {
    around: (storage) =>
      proxied(storage, {
        read: async (...args) => {
          most = Math.max(most, ++running)
          await new Promise((resolve) => setImmediate(resolve))
          running--
          return storage.read(...args)
        },
      }),
  })
  for (let index = 0; index < 20; index++) await store(storage, `/data/${index}`, `<${index}>`)
  const raw = rawConnection(t, port)
  raw.send(Array.from({ length: 20 }, (_, index) => `GET /data/${index} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''))
  const text = await raw.until(/<19>/)
  t.same(
    text.match(/<\d+>/g),
    Array.from({ length: 20 }, (_, index) => `<${index}>`),
  )
  t.equal(most, 1)
})

t.test('a body that ends early is refused and leaves the old file', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'old')
  const raw = rawConnection(t, port)
  raw.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Length: 10\r\n\r\nhello`)
  raw.socket.end()
  t.match(await raw.end(), /^HTTP\/1\.1 400 /)
  const bad = rawConnection(t, port)
  bad.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n`)
  t.match(await bad.until(/\r\n\r\n/), /^HTTP\/1\.1 400 /)
  t.equal((await ask(port, 'GET', '/data/a')).text, 'old')
})

t.test('a body longer than announced is refused and leaves the old file', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'old')
  const raw = rawConnection(t, port)
  raw.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Length: 5\r\n\r\nhello world, this is more`)
  t.match(await raw.end(), /^HTTP\/1\.1 400 /)
  t.equal((await ask(port, 'GET', '/data/a')).text, 'old')
})

t.test('a client gone in the middle of an upload leaves nothing', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { port, storage } = await openDoor(t, {
    around: (storage) =>
      proxied(storage, {
        write: async (...args) => {
          const writing = await storage.write(...args)
          const discard = async (error?: unknown) => {
            await writing.discard(error)
            resolve()
          }
          return Object.assign(Object.create(writing) as typeof writing, { body: writing.body, discard })
        },
      }),
  })
  await store(storage, '/data/a', 'old')
  const raw = rawConnection(t, port)
  raw.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Length: 1000000\r\n\r\nhello`)
  await new Promise((done) => setTimeout(done, 50))
  raw.socket.resetAndDestroy()
  await promise
  t.equal((await ask(port, 'GET', '/data/a')).text, 'old')
  const names: string[] = []
  const listing = await storage.list(callOf(alice), parsePath('/data'))
  for await (const page of listing.pages()) names.push(...page.map(({ name }) => name))
  t.same(names, ['a'])
})

t.test('slow headers, idle connections and stalled bodies are cut', async (t) => {
  const limits = { headersTimeout: 200, idleTimeout: 200, stallTimeout: 300 }
  const { port, storage } = await openDoor(t, { limits })
  await store(storage, '/data/a', 'old')

  const silent = rawConnection(t, port)
  const loris = rawConnection(t, port)
  loris.send('GET /data/a HTTP/1.1\r\nHost: localhost\r\n')
  const drip = setInterval(() => loris.send('X: y\r\n'), 50)
  const idle = rawConnection(t, port)
  idle.send('GET /data/a HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const stalled = rawConnection(t, port)
  stalled.send(`PUT /data/a HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Length: 10\r\n\r\nhello`)

  t.match(await silent.end(), /^(HTTP\/1\.1 408 |$)/)
  t.match(await loris.end(), /^HTTP\/1\.1 408 /)
  clearInterval(drip)
  t.match(await idle.end(), /old$/)
  t.match(await stalled.end(), /^HTTP\/1\.1 408 /)
  t.equal((await ask(port, 'GET', '/data/a')).text, 'old')
})

t.test('a reader that takes nothing is cut, a slow storage is not', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { port, storage, audit, lines } = await openDoor(t, {
    limits: { stallTimeout: 150 },
    around: (storage) =>
      proxied(storage, {
        stat: async (...args) => {
          await new Promise((resolve) => setTimeout(resolve, 500))
          return storage.stat(...args)
        },
        read: async (...args) => {
          const reading = await storage.read(...args)
          if (reading.kind !== 'bytes') return reading
          const close = async (outcome?: { readonly bytes: number; readonly error?: unknown }) => {
            await reading.close(outcome)
            closed.resolve()
          }
          return Object.assign(Object.create(reading) as typeof reading, {
            stream: reading.stream.bind(reading),
            close,
          })
        },
      }),
  })
  await store(storage, '/data/big', Buffer.alloc(64 * 1024 * 1024))
  const raw = rawConnection(t, port)
  await once(raw.socket, 'connect')
  raw.socket.pause()
  raw.send('GET /data/big HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await closed.promise
  t.match(audit.records.at(-1), { action: 'read', outcome: 'failed', code: 'cancelled' })
  t.same(
    lines.filter((line) => 'err' in line),
    [],
    'that is no error of ours',
  )
  const slow = await ask(port, 'GET', '/.portolan/api/v1/rights?path=/data/big', { as: 'alice' })
  t.equal(slow.status, 200)
})

t.test('a stream that sends to the socket itself keeps order, ranges and the connection', async (t) => {
  const size = 3_000_000
  const bytes = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) % 253))
  let direct = 0
  const { port, storage } = await openDoor(t, {
    around: (storage) =>
      proxied(storage, {
        read: async (...args) => {
          const reading = await storage.read(...args)
          if (reading.kind !== 'bytes' || reading.content) return reading
          const stream = ({ start, end }: Range) => {
            const sendTo = async (sink: SocketSink) => {
              // As the real one does where the kernel takes nothing: everything by way of `write`.
              for (let at = start; at < end; at += 100_000)
                await sink.write(bytes.subarray(at, Math.min(end, at + 100_000)))
              direct += sink.fd >= 0 ? end - start : 0
            }
            return Object.assign(reading.stream({ start, end }), { sendTo })
          }
          return Object.assign(Object.create(reading) as typeof reading, { stream, close: reading.close.bind(reading) })
        },
      }),
  })
  await store(storage, '/data/big', bytes)
  await store(storage, '/data/small', 'small')
  const raw = rawConnection(t, port)
  const get = (path: string, more = '') => `GET /data/${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`
  raw.send(get('big') + get('small') + get('big', 'Range: bytes=5-2000004\r\n') + get('small', 'Connection: close\r\n'))
  const text = Buffer.from(await raw.end(), 'latin1')
  const bodies: Buffer[] = []
  for (let at = 0; at < text.length; ) {
    const start = text.indexOf('\r\n\r\n', at) + 4
    const length = Number(/Content-Length: (\d+)/.exec(text.toString('latin1', at, start))?.[1])
    bodies.push(text.subarray(start, start + length))
    at = start + length
  }
  t.same(
    bodies.map((body) => body.length),
    [size, 5, 2_000_000, 5],
  )
  t.ok(bodies[0]?.equals(bytes) && bodies[2]?.equals(bytes.subarray(5, 2_000_005)))
  t.ok(direct > size, `${direct} bytes went the direct way`)
})

t.test('curl uploads, resumes, and does not send what is refused', async (t) => {
  const { port, storage } = await openDoor(t)
  const directory = await mkdtemp(join(tmpdir(), 'portolan-curl-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'up')
  await writeFile(file, Buffer.alloc(3_000_000, 'portolan'))
  const url = `http://127.0.0.1:${port}/data/up`
  const curl = async (...args: string[]) => (await promisify(execFile)('curl', ['-s', ...args])).stdout
  const told = ['-w', '%{http_code} %{size_upload}', '-o', join(directory, 'out')]
  t.equal(await curl(...told, '-T', file, '-H', 'Authorization: Bearer bob', url), '403 0')
  t.equal(await curl(...told, '-T', file, '-H', 'Authorization: Bearer alice', url), '201 3000000')
  await truncate(file, 1_000_000)
  await curl('-C', '-', '-o', file, url)
  t.ok((await readFile(file)).equals(Buffer.alloc(3_000_000, 'portolan')))
  t.equal((await storage.stat(callOf(alice), parsePath('/data/up'))).size, 3_000_000)
})

function proxied(storage: StorageOperations, changes: Partial<StorageOperations>): StorageOperations {
  return new Proxy(storage, {
    get: (target, key) => {
      const changed: unknown = Reflect.get(changes, key)
      if (changed !== undefined) return changed
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
