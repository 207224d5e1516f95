import t from 'tap'
import type { Entry } from '../../backends/backend.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { openDoor } from '../http/door.ts'
import { accept, instead } from './world.ts'

const pages = 300

t.test('the page of 300,000 entries begins at once and passes in bounded memory', async (t) => {
  const { port } = await openDoor(t, { around: endless })
  const before = process.memoryUsage()
  const headers = { accept, authorization: 'Bearer alice' }
  const started = performance.now()
  const { body } = await fetch(`http://127.0.0.1:${port}/data/`, { headers })
  let first = 0
  let most = 0
  let rows = 0
  for await (const chunk of body ?? []) {
    first ||= performance.now() - started
    const { heapUsed, external } = process.memoryUsage()
    most = Math.max(most, heapUsed + external - before.heapUsed - before.external)
    rows += Buffer.from(chunk).toString('latin1').split('<tr><th scope="row">').length - 1
  }
  // Chunks may cut a few of them in two.
  t.ok(rows > pages * 1000 * 0.95, `${rows} rows`)
  t.ok(first < 5000, `the first after ${Math.round(first)} ms`)
  t.ok(most < 256 * 2 ** 20, `grew by ${Math.round(most / 2 ** 20)} MiB`)
})

function endless(storage: Storage): StorageOperations {
  const list: StorageOperations['list'] = async (...args) => {
    const listed = await storage.list(...args)
    return {
      ...listed,
      async *pages() {
        for (let index = 0; index < pages; index++) yield entries(index, listed.entry)
      },
    }
  }
  return instead(storage, { list })
}

function entries(index: number, directory: Entry): Entry[] {
  return Array.from({ length: 1000 }, (_, at) => {
    const name = `file-${index}-${at}.raw`
    const { acl } = directory
    return {
      name,
      type: 'file',
      size: at,
      modified: 10n ** 18n,
      changed: 0n,
      version: name,
      id: name,
      ...(acl && { acl }),
    }
  })
}
