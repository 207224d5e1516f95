/** Large forms: as much as a person has, and no more memory than for a small one. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { Writable } from 'node:stream'
import { promisify } from 'node:util'
import t from 'tap'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations, Writing } from '../../gateway/core/storage.ts'
import { alice, callOf, openDoor, rawConnection } from '../http/door.ts'
import { accept, boundary, closing, fill, instead, pageOf, part, rowsOf, tokenFor } from './world.ts'

const mebibyte = Buffer.alloc(1024 * 1024, 'x')

/** Throws the bytes away, and takes its time. */
function bottomless(storage: Storage, sizes: number[]): StorageOperations {
  const write: StorageOperations['write'] = async (_call, path): Promise<Writing> => {
    let size = 0
    const body = new Writable({
      write(chunk: Buffer, _encoding, done) {
        size += chunk.length
        setImmediate(done)
      },
    })
    const entry: Entry = { name: path, type: 'file', size, modified: 1n, changed: 1n, version: '1', id: '1' }
    const commit = async () => {
      sizes.push(size)
      return { entry, created: true, digests: {} }
    }
    return { body, replaces: undefined, announce: () => {}, commit, discard: async () => void body.destroy() }
  }
  return instead(storage, { write })
}

t.test('256 MiB pass through in bounded memory', async (t) => {
  const sizes: number[] = []
  const { port } = await openDoor(t, { around: (storage) => bottomless(storage, sizes) })
  const token = await tokenFor(port, '/data/')
  const before = process.memoryUsage()
  let most = 0
  const watch = setInterval(() => {
    const { external, heapUsed } = process.memoryUsage()
    most = Math.max(most, external + heapUsed - before.external - before.heapUsed)
  }, 20)
  const headers = { authorization: 'Bearer alice', accept, 'content-type': `multipart/form-data; boundary=${boundary}` }
  const sending = request({ port, host: '127.0.0.1', method: 'POST', path: '/data/', headers })
  const answered = once(sending, 'response')
  const send = async (bytes: string | Buffer) => void (sending.write(bytes) || (await once(sending, 'drain')))
  await send(part('csrf', token))
  for (const [name, size] of [
    ['first', 255],
    ['second', 1],
  ] as const) {
    await send(part('files', '', name).slice(0, -2))
    for (let sent = 0; sent < size; sent++) await send(mebibyte)
    await send('\r\n')
  }
  sending.end(closing)
  const [response] = await answered
  clearInterval(watch)
  t.equal(response.statusCode, 303)
  response.resume()
  t.strictSame(sizes, [255 * mebibyte.length, mebibyte.length])
  // The sender is in this process too, and what neither needs any more waits for the collector.
  t.ok(most < 128 * 2 ** 20, `grew by ${Math.round(most / 2 ** 20)} MiB`)
})

t.test('a sender that goes away leaves the files that were whole, and nothing else', async (t) => {
  const begun = Promise.withResolvers<void>()
  const discarded = Promise.withResolvers<unknown>()
  const setting = await openDoor(t, {
    around: (storage) =>
      instead(storage, {
        write: async (call, path, options) => {
          const writing = await storage.write(call, path, options)
          if (path !== '/data/half') return writing
          begun.resolve()
          return new Proxy(writing, {
            get: (target, key) => {
              if (key === 'discard') {
                return async (error: unknown) => {
                  await target.discard(error)
                  discarded.resolve(error)
                }
              }
              const value: unknown = Reflect.get(target, key, target)
              return typeof value === 'function' ? value.bind(target) : value
            },
          })
        },
      }),
  })
  const { port } = setting
  const token = await tokenFor(port, '/data/')
  const raw = rawConnection(t, port)
  const body =
    part('csrf', token) + part('files', 'all of it', 'whole') + part('files', 'x'.repeat(5000), 'half').slice(0, -600)
  const type = `multipart/form-data; boundary=${boundary}`
  raw.send(
    `POST /data/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nContent-Type: ${type}\r\nContent-Length: 1000000\r\n\r\n${body}`,
  )
  await begun.promise
  raw.socket.destroy()
  t.ok((await discarded.promise) instanceof StorageError)
  t.strictSame(
    rowsOf(await pageOf(port, '/data/')).map(([name]) => name),
    ['whole'],
  )
})

t.test('refused files are read past for a while, and then no more', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { taken: 'x' })
  const { port, storage } = setting
  const token = await tokenFor(port, '/data/')
  const headers = { authorization: 'Bearer alice', accept, 'content-type': `multipart/form-data; boundary=${boundary}` }
  const sending = request({ port, host: '127.0.0.1', method: 'POST', path: '/data/', headers })
  sending.on('error', () => {})
  const answered = once(sending, 'response')
  sending.write(part('csrf', token) + part('files', '', 'taken').slice(0, -2))
  let answer: Awaited<typeof answered> | undefined
  const got = answered.then((value) => {
    answer = value
  })
  let sent = 0
  for (; !answer && sent < 4096; sent++) {
    await Promise.race([new Promise((resolve) => sending.write(mebibyte, resolve)), got])
  }
  await got
  t.equal(answer?.[0].statusCode, 412)
  t.ok(sent > 60 && sent < 200, `${sent} MiB were taken`)
  let text = ''
  for await (const chunk of answer?.[0] ?? []) text += chunk
  t.match(text, 'taken</span>: there is something of this name already')
  t.match(text, 'What came after that was not looked at: too much of the form was refused.')
  sending.destroy()
  t.equal((await storage.stat(callOf(alice), parsePath('/data/taken'))).size, 1)
})

t.test('curl uploads by the recipe of the documentation', async (t) => {
  const { port, storage } = await openDoor(t)
  const directory = t.testdir({ 'results.h5': 'x'.repeat(3_000_000), 'notes.txt': 'y' })
  const recipe = readFileSync(new URL('../../docs/users.md', import.meta.url), 'utf8')
  const lines = recipe.split('\n').filter((line) => line.includes('csrf') && line.includes('curl'))
  t.equal(lines.length, 2)
  const script = lines
    .join('\n')
    .replaceAll('https://gw.example.org/data-dust/user/alice/', `http://localhost:${port}/data/`)
  const env = { ...process.env, TOKEN: 'alice' }
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { cwd: directory, env })
  t.strictSame(JSON.parse(stdout), { stored: ['results.h5', 'notes.txt'], refused: [] })
  t.equal((await storage.stat(callOf(alice), parsePath('/data/results.h5'))).size, 3_000_000)
})
