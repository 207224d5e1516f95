/** Directories and files that no memory holds. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { act } from '../backends/conformance/area.ts'
import { TestServices } from '../posix/backend-world.ts'
import { callBy, forwarding, worldFor } from './world.ts'

const MiB = 1024 * 1024

t.setTimeout(300_000)

/** The largest growth of the process's memory while `work` runs, in bytes. */
async function growth(work: () => Promise<void>): Promise<number> {
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss() - before)
  }, 20)
  try {
    await work()
  } finally {
    clearInterval(watch)
  }
  return most
}

t.test('a million entries are listed page by page, each once', { timeout: 120_000 }, async (t) => {
  const count = 1_000_000
  let largest = 0
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams
    const limit = Number(query.get('limit') ?? count)
    const offset = Number(query.get('offset') ?? 0)
    largest = Math.max(largest, query.has('children') ? limit : 0)
    const children: string[] = []
    for (let index = offset; query.has('children') && index < Math.min(count, offset + limit); index++) {
      children.push(
        `{"fileName":"file-${index}","fileType":"REGULAR","pnfsId":"0000${index}","size":${index},"mtime":1}`,
      )
    }
    const body = `{"fileType":"DIR","pnfsId":"00FF","mtime":1,"children":[${children.join()}]}`
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`)
  const options = { webdav: url, frontend: url, root: '/' as Path, pools: [], delegation: forwarding }
  const backend = new DcacheBackend(options, new TestServices())
  t.teardown(async () => {
    await backend.close()
    server.closeAllConnections()
    server.close()
  })
  let seen = 0
  let sum = 0
  const most = await growth(async () => {
    const listing = await act(backend.list(root, {}, callBy()))
    for await (const page of listing.pages()) {
      if (page.length > 1000) t.fail(`a page of ${page.length}`)
      seen += page.length
      for (const { size } of page) sum += size
    }
  })
  t.equal(seen, count)
  t.equal(sum, (count * (count - 1)) / 2, 'each once')
  t.ok(largest <= 1001, `pages of ${largest}, the first of the next with them`)
  // The server answers a million entries in this process too, and its garbage counts.
  t.ok(most < 256 * MiB, `${Math.round(most / MiB)} MiB more, the server's included`)
})

t.test('an upload of any size needs little memory', { timeout: 120_000 }, async (t) => {
  const size = 512 * MiB
  const world = await worldFor(t, { double: { forget: MiB } })
  const chunk = Buffer.alloc(256 * 1024, 'x')
  const most = await growth(async () => {
    const draft = await act(world.backend.create(parsePath('/big'), { size }, callBy()))
    for (let sent = 0; sent < size; sent += chunk.length) {
      if (!draft.body.write(chunk)) await new Promise<void>((resolve) => draft.body.once('drain', () => resolve()))
    }
    draft.body.end()
    const entry = await draft.commit({ condition: 'absent', decide() {} }).catch(async (error) => {
      if (error?.code !== 'invalid') throw error
      await new Promise((resolve) => draft.body.once('finish', resolve))
      return draft.commit({ condition: 'absent', decide() {} })
    })
    t.equal(entry.size, size)
  })
  t.ok(most < 64 * MiB, `${Math.round(most / MiB)} MiB more, the pool's included`)
})
