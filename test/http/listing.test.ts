import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import type { Entry } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { escapeHtml } from '../../gateway/web/page.ts'
import { readableSize } from '../../gateway/web/words.ts'
import { ace, aclOf, alice, ask, callOf, everything, openDoor, rawConnection, store } from './door.ts'

const hostile = [
  '<script>alert(1)<script>',
  '"onx="y',
  "it's",
  'a\nb',
  '\u202egpj.exe',
  '🚀',
  '-rf',
  '.hidden',
  '#?%&+;',
  'javascript:alert(1)',
  'back\\slash',
  '%2e%2e',
]

t.test('hostile names work in every form of a listing and when followed', async (t) => {
  const { port, storage } = await openDoor(t)
  for (const name of hostile) await store(storage, `/data/${name}`, name)
  const json = await ask(port, 'GET', '/data/', { headers: { accept: 'application/json' } })
  const names = JSON.parse(json.text).entries.map(({ name }: { name: string }) => name)
  t.strictSame(names.toSorted(), hostile.toSorted())
  const lines = await ask(port, 'GET', '/data/', { headers: { accept: 'application/x-ndjson' } })
  t.equal(
    lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)).length,
    hostile.length,
  )
  const html = await ask(port, 'GET', '/data/', { headers: { accept: 'text/html' } })
  t.notMatch(html.text, /<script|"onx=/)
  t.notMatch(html.text, /href="(?!\.\/|\/|#content")/, 'every link begins with a slash or ./')
  const links = [...html.text.matchAll(/<th scope="row"><a href="([^"]+)">/g)].map(
    ([, href = '']) => new URL(href, 'http://localhost/data/'),
  )
  t.equal(links.length, hostile.length)
  for (const link of links) {
    const { status, text } = await ask(port, 'GET', link.pathname)
    t.ok(status === 200 && hostile.includes(text), link.pathname)
  }
})

t.test('entries tell programs what they need', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a.txt', 'hello')
  await storage.mkdir(callOf(alice), parsePath('/data/sub'))
  const { headers, text } = await ask(port, 'GET', '/data/')
  t.equal(headers['content-type'], 'application/json')
  t.equal(headers['content-location'], '/data/')
  const { path, entries } = JSON.parse(text)
  t.equal(path, '/data')
  const file = entries.find(({ name }: Entry) => name === 'a.txt')
  const { headers: of } = await ask(port, 'HEAD', '/data/a.txt')
  t.match(file, { type: 'file', size: 5, etag: of.etag, modified: /^\d{4}-\d\d-\d\dT.*Z$/ })
  t.match(
    entries.find(({ name }: Entry) => name === 'sub'),
    { type: 'directory', modified: /Z$/ },
  )
  t.strictSame(JSON.parse((await ask(port, 'GET', '/data/sub/')).text), { path: '/data/sub', entries: [] })
})

t.test('a directory without its slash is a redirect for browsers and a listing for programs', async (t) => {
  const { port } = await openDoor(t, { publicUrl: 'https://gw.desy.de', hosts: ['127.0.0.1'] })
  const page = await ask(port, 'GET', '/data?x=1', { headers: { accept: 'text/html' } })
  t.equal(page.status, 301)
  t.equal(page.headers.location, '/data/?x=1', 'on the host that was asked')
  t.equal((await ask(port, 'GET', '/data', { headers: { accept: 'text/*' } })).status, 301)
  const json = await ask(port, 'GET', '/data')
  t.equal(json.status, 200)
  t.equal(json.headers['content-location'], '/data/')
  t.equal((await ask(port, 'GET', '/')).status, 200)
})

t.test('HEAD of a directory has the headers of GET and no body', async (t) => {
  const { port } = await openDoor(t)
  for (const accept of ['application/json', 'text/html', 'application/x-ndjson']) {
    const get = await ask(port, 'GET', '/data/', { headers: { accept } })
    const head = await ask(port, 'HEAD', '/data/', { headers: { accept } })
    t.equal(head.status, 200)
    t.equal(head.body.length, 0)
    t.equal(head.headers['content-type'], get.headers['content-type'])
  }
})

t.test('a slash after a file is not the file', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'x')
  t.equal((await ask(port, 'GET', '/data/a/')).status, 404)
  t.equal((await ask(port, 'GET', '/data/a/b')).status, 404)
  t.equal((await ask(port, 'HEAD', '/data/a/')).status, 404)
})

t.test('attributes that are closed to the caller are not in the listing', async (t) => {
  const { port, storage } = await openDoor(t, { acl: aclOf(ace('EVERYONE@', 0x21)) })
  await store(storage, '/data/a', 'x')
  t.strictSame(JSON.parse((await ask(port, 'GET', '/data/')).text).entries, [{ name: 'a', type: 'file' }])
})

t.test('a token bound to a path sees only the names that lead there', async (t) => {
  const { port, storage } = await openDoor(t, { acl: aclOf(ace('EVERYONE@', everything)) })
  await storage.mkdir(callOf(alice), parsePath('/data/open'))
  await storage.mkdir(callOf(alice), parsePath('/data/other'))
  const { status, text } = await ask(port, 'GET', '/data', { as: 'reader' })
  t.equal(status, 200)
  t.same(
    JSON.parse(text).entries.map(({ name }: Entry) => name),
    ['open'],
  )
})

t.test('a million entries are streamed, the first at once, in bounded memory', async (t) => {
  const { port } = await openDoor(t, { around: (storage) => endless(storage, 1000) })
  const before = process.memoryUsage().rss
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 20)
  const raw = await fetch(`http://127.0.0.1:${port}/data/`)
  const started = performance.now()
  let first = 0
  let bytes = 0
  for await (const chunk of raw.body ?? []) {
    first ||= performance.now() - started
    bytes += chunk.length
  }
  clearInterval(watch)
  t.ok(bytes > 100_000_000, `${bytes} bytes`)
  t.ok(first < 2000, `first after ${Math.round(first)} ms`)
  t.ok(most - before < 150 * 2 ** 20, `grew by ${Math.round((most - before) / 2 ** 20)} MiB`)
})

t.test('a reader that stops reading stops the listing', async (t) => {
  let pages = 0
  const ended = Promise.withResolvers<void>()
  const count = () => void pages++
  const { port } = await openDoor(t, { around: (storage) => endless(storage, 1000, count, ended.resolve) })
  const raw = rawConnection(t, port)
  raw.send('GET /data/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await raw.until(/entries/)
  raw.socket.pause()
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.ok(pages < 500, `${pages} pages were made`)
  raw.socket.destroy()
  await ended.promise
})

t.test('a listing that fails in the middle is cut, not ended', async (t) => {
  const broken = (storage: Storage) => {
    const list: StorageOperations['list'] = async (...args) => {
      const listed = await storage.list(...args)
      return {
        ...listed,
        async *pages() {
          yield page(0)
          throw new Error('the disk is gone')
        },
      }
    }
    return Object.assign(Object.create(storage) as Storage, { list })
  }
  const { port } = await openDoor(t, { around: broken })
  const raw = rawConnection(t, port)
  raw.send('GET /data/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.notMatch(await raw.end(), /\r\n0\r\n\r\n$/)
})

t.test('sizes and text are readable', async (t) => {
  const sizes: ReadonlyArray<readonly [number, string]> = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [5 * 1024 ** 5, '5.0 PiB'],
  ]
  for (const [bytes, text] of sizes) t.equal(readableSize(bytes), text)
  t.equal(escapeHtml(`<a href="x">'&'\n`), '&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;␊')
})

function page(index: number): Entry[] {
  return Array.from({ length: 1000 }, (_, at) => ({
    name: `file-${index}-${at}`,
    type: 'file' as const,
    size: at,
    modified: 1_700_000_000_000_000_000n,
    changed: 0n,
    version: `${index}-${at}`,
    id: `${index}-${at}`,
  }))
}

/** Lists as many pages of a thousand entries as it is told to. */
function endless(storage: Storage, count: number, made = () => {}, ended = () => {}): StorageOperations {
  const list: StorageOperations['list'] = async () => {
    const listed = await storage.list(callOf({ ...anonymous, ...alice }), parsePath('/data'))
    return {
      ...listed,
      async *pages() {
        try {
          for (let index = 0; index < count; index++) {
            made()
            yield page(index)
          }
        } finally {
          ended()
        }
      },
    }
  }
  return new Proxy(storage, {
    get: (target, key) => {
      if (key === 'list') return list
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
