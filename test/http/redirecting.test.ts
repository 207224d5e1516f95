/** Who is sent to the storage for bytes, when, and what is said then. */

import t, { type Test } from 'tap'
import type { Backend, Entry, Locality, RedirectFacet } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { Redirecting, type RedirectingOptions } from '../../gateway/http/redirecting.ts'
import { ace, aclOf, ask, looking, openDoor, store } from './door.ts'

const secret = 'MDAxY2xvY2F0aW9u'

/** A memory back end whose files can be fetched elsewhere, as far as `readUrl` and `locality` have it. */
function withDoor(readUrl: RedirectFacet['readUrl'], locality: Locality | undefined): Backend {
  const memory = new MemoryBackend(aclOf(ace('EVERYONE@', looking)))
  return new Proxy<Backend>(memory, {
    get(target, key) {
      if (key === 'redirects') return { readUrl }
      const value: unknown = Reflect.get(target, key, target)
      if (key !== 'walk' || locality === undefined) return typeof value === 'function' ? value.bind(target) : value
      return async (...args: Parameters<Backend['walk']>) => {
        const trail = await target.walk(...args)
        return { ...trail, entry: trail.entry && { ...trail.entry, locality } }
      }
    },
  })
}

async function open(t: Test, locality?: Locality) {
  const asked: { readonly file: string; readonly entry: Entry; readonly from: string }[] = []
  const backend = withDoor(async (file, entry, { from }) => {
    asked.push({ file, entry, from })
    return new URL(`https://door.example.org:2880/pnfs${file}?authz=${secret}`)
  }, locality)
  const setting = await openDoor(t, { mount: { backend }, redirecting: { onRequest: true } })
  await store(setting.storage, '/data/f', 'content')
  const get = (headers: Record<string, string> = {}, path = '/data/f', method = 'GET') =>
    ask(setting.port, method, path, { as: 'alice', headers: { prefer: 'redirect', ...headers } })
  return { ...setting, asked, get }
}

t.test('who asks for it is sent to the storage, and nobody keeps the address', async (t) => {
  const { get, asked, lines, audit } = await open(t)
  const answer = await get()
  t.equal(answer.status, 307)
  t.equal(answer.headers.location, `https://door.example.org:2880/pnfs/f?authz=${secret}`)
  t.match(answer.headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
  t.equal(answer.text, '')
  t.match(asked, [{ file: '/f', entry: { name: 'f', size: 7 }, from: '127.0.0.1' }])
  t.equal((await get({ range: 'bytes=1-3' })).status, 307, 'a range')
  t.notMatch(
    JSON.stringify([lines, audit.records], (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    secret,
  )
  t.match(audit.records.at(-1), { action: 'read', path: '/data/f', outcome: 'ok' })
})

t.test('all others get the bytes here', async (t) => {
  const { get, asked } = await open(t)
  const stat = await get({ prefer: '' }, '/data/f', 'HEAD')
  const etag = stat.headers.etag ?? ''
  const rows: ReadonlyArray<readonly [string, number, Record<string, string>, string?, string?]> = [
    ['no wish', 200, { prefer: '' }],
    ['another wish', 200, { prefer: 'redirecting, no-redirect' }],
    ['attributes alone', 200, {}, '/data/f', 'HEAD'],
    ['If-Range', 206, { 'if-range': etag, range: 'bytes=1-3' }],
    ['If-Match', 200, { 'if-match': etag }],
    ['If-Match that fails', 412, { 'if-match': '"other"' }],
    ['If-None-Match', 304, { 'if-none-match': etag }],
    ['several ranges', 206, { range: 'bytes=0-0,2-2' }],
    ['no such range', 416, { range: 'bytes=100-' }],
    ['a wish in the query', 200, {}, '/data/f?download'],
    ['a page', 200, { 'sec-fetch-mode': 'cors' }],
    ['a directory', 200, {}, '/data/'],
    ['nothing', 404, {}, '/data/none'],
  ]
  for (const [name, status, headers, path, method] of rows) {
    t.equal((await get(headers, path, method)).status, status, name)
  }
  t.same(asked, [])
})

t.test('nobody is sent where a tape would have to move', async (t) => {
  const rows: ReadonlyArray<readonly [Locality, number]> = [
    ['disk', 307],
    ['disk-and-tape', 307],
    ['none', 307],
    ['tape', 200],
    ['unavailable', 200],
    ['lost', 200],
  ]
  for (const [locality, status] of rows) {
    const { get, asked } = await open(t, locality)
    // The memory back end itself knows no tape, so what is not redirected is read.
    t.equal((await get()).status, status, locality)
    t.equal(asked.length, status === 307 ? 1 : 0, locality)
  }
})

t.test('where the storage gives no address, the bytes go through the gateway', async (t) => {
  const backend = withDoor(async () => undefined, undefined)
  const { port, storage } = await openDoor(t, { mount: { backend }, redirecting: { onRequest: true } })
  await store(storage, '/data/f', 'content')
  const answer = await ask(port, 'GET', '/data/f', { as: 'alice', headers: { prefer: 'redirect' } })
  t.match(answer, { status: 200, text: 'content' })
})

t.test('the gateway decides before it sends anybody elsewhere', async (t) => {
  const backend = withDoor(async () => new URL('https://door.example.org/'), undefined)
  const { port, storage } = await openDoor(t, {
    mount: { backend, anonymous: false },
    redirecting: { onRequest: true },
  })
  await store(storage, '/data/f', 'content')
  const headers = { prefer: 'redirect' }
  t.equal((await ask(port, 'GET', '/data/f', { headers })).status, 401)
  t.equal((await ask(port, 'GET', '/data/f', { as: 'reader', headers })).status, 403, 'a scope for elsewhere')
})

t.test('clients are known by their names or by what they say', async (t) => {
  const agents = { userAgents: ['rucio-clients/*', 'gfal2-util/1.*.0 *', 'exact'] }
  const rows: ReadonlyArray<readonly [RedirectingOptions | undefined, Record<string, string>, boolean]> = [
    [undefined, { prefer: 'redirect', 'user-agent': 'rucio-clients/1' }, false],
    [{}, { prefer: 'redirect', 'user-agent': 'rucio-clients/1' }, false],
    [{ onRequest: true }, { prefer: 'redirect' }, true],
    [{ onRequest: true }, { prefer: 'respond-async, Redirect' }, true],
    [{ onRequest: true }, { prefer: 'redirect; x=1, wait=3' }, true],
    [{ onRequest: true }, { prefer: 'redirect=never' }, false],
    [{ onRequest: true }, { prefer: `redirect,${'x'.repeat(2000)}` }, false],
    [{ onRequest: true }, { prefer: 'redirect', origin: 'https://page.example.org' }, false],
    [agents, { 'user-agent': 'rucio-clients/35.1' }, true],
    [agents, { 'user-agent': 'Rucio-clients/35.1' }, false],
    [agents, { 'user-agent': 'x rucio-clients/35.1' }, false],
    [agents, { 'user-agent': 'gfal2-util/1.8.0 (neon)' }, true],
    [agents, { 'user-agent': 'gfal2-util/1.8.1 (neon)' }, false],
    [agents, { 'user-agent': 'exact' }, true],
    [agents, { 'user-agent': 'exactly' }, false],
    [agents, {}, false],
    [agents, { prefer: 'redirect' }, false],
    [{ userAgents: ['*'] }, {}, true],
    [{ userAgents: ['a*a'] }, { 'user-agent': 'a' }, false],
    [{ userAgents: ['*a*'] }, { 'user-agent': `a${'x'.repeat(2000)}` }, false],
  ]
  for (const [options, headers, expected] of rows) {
    t.equal(new Redirecting(options).follows(headers), expected, JSON.stringify([options, headers]).slice(0, 200))
  }
})
