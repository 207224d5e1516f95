import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Walked, WalkOptions } from '../../gateway/core/walking.ts'
import { aclOf, allow, callBy, deny, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath
const all = allow('EVERYONE@', readAll)

async function setUp(t: Test, files: readonly string[] = []): Promise<World> {
  const world = new World({ '/data': {}, '/data/inner': {}, '/z/other': {} })
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', all)
  for (const file of files) await put(world, file)
  return world
}

async function put(world: World, key: string): Promise<void> {
  const names = `/data/d/${key}`.split('/')
  for (let end = 4; end < names.length; end++) {
    const path = names.slice(0, end).join('/')
    if ((await world.state(path)) === 'not-found') await world.directory(path)
  }
  if (!key.endsWith('/')) await world.file(`/data/d/${key}`, key)
}

function told({ items }: Walked): string[] {
  return items.map((item) => ('folded' in item ? `[${item.folded}]` : item.key))
}

/** All keys, by pages. */
async function keysOf(
  world: World,
  who: Parameters<typeof callBy>[0],
  path: string,
  options: Partial<WalkOptions> = {},
): Promise<string[]> {
  const { limit = 1000 } = options
  const keys: string[] = []
  let { resume } = options
  for (;;) {
    const walked = await world.storage.walk(callBy(who), at(path), { ...options, limit, ...(resume && { resume }) })
    keys.push(...told(walked))
    if (!walked.next) return keys
    if (told(walked).length === 0) throw new Error('a page with a next one is empty')
    resume = walked.next
  }
}

const foldBy =
  (prefix: string, delimiter: string) =>
  (key: string): string | undefined => {
    const found = key.indexOf(delimiter, prefix.length)
    return found < 0 || !key.startsWith(prefix) ? undefined : key.slice(0, found + delimiter.length)
  }

/** What the whole of the keys amounts to, the simple way. */
function model(keys: readonly string[], options: { prefix: string; delimiter: string; after: string }): string[] {
  const { prefix, delimiter, after } = options
  const fold = delimiter === '' ? () => undefined : foldBy(prefix, delimiter)
  const sorted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const skipped = fold(after)
  const found = new Set<string>()
  for (const key of sorted) {
    if (!key.startsWith(prefix) || Buffer.compare(Buffer.from(key), Buffer.from(after)) <= 0) continue
    const folded = fold(key)
    if (skipped !== undefined && folded === skipped) continue
    found.add(folded === undefined ? key : `[${folded}]`)
  }
  return [...found]
}

t.test('keys come in the order of their bytes, and files beside a directory before what is in it', async (t) => {
  const world = await setUp(t, ['a/x', 'a.txt', 'a!', 'a-b', 'a0', 'a/y/z', 'a/y!', 'é', '\u{1f600}', '\uffff', 'Z'])
  t.same(await keysOf(world, 'bob', '/data/d'), [
    'Z',
    'a!',
    'a-b',
    'a.txt',
    'a/x',
    'a/y!',
    'a/y/z',
    'a0',
    'é',
    '\uffff',
    '\u{1f600}',
  ])
})

t.test('prefix, delimiter, place and length of pages do what they would do with all keys at hand', async (t) => {
  const keys = ['a', 'b/c', 'b/d/e', 'b/d/f', 'b/dd', 'b!', 'b-/x', 'b.c/d.e/f', 'bb/c-d', 'c/', 'dé/é', 'dé/x/', 'e f']
  const world = await setUp(t, keys)
  const some = [
    '',
    'a',
    'b',
    'b/',
    'b/d',
    'b/d/',
    'b/d/e',
    'b-',
    'b-/',
    'bb',
    'bb/',
    'c',
    'c/',
    'dé',
    'dé/x/',
    'x',
    'b/z',
  ]
  let count = 0
  for (const prefix of some) {
    for (const delimiter of ['', '/', '-', 'd', '/d', '/x', 'é', 'c/']) {
      for (const after of some) {
        const expected = model(keys, { prefix, delimiter, after })
        for (const limit of [1, 2, 1000]) {
          const options = {
            prefix,
            limit,
            ...(after !== '' && { resume: { after } }),
            ...(delimiter !== '' && { fold: foldBy(prefix, delimiter) }),
          }
          const found = await keysOf(world, 'bob', '/data/d', options)
          const name = JSON.stringify({ prefix, delimiter, after, limit })
          if (found.join('\n') !== expected.join('\n')) t.same(found, expected, name)
          count++
        }
      }
    }
  }
  t.equal(count, 17 * 8 * 17 * 3)
})

t.test('a directory in which nothing is, is a key; one with something in it is not', async (t) => {
  const world = await setUp(t, ['empty/', 'full/x'])
  const walked = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 10 })
  t.same(told(walked), ['empty/', 'full/x'])
  t.match(walked.items, [{ entry: { type: 'directory' } }, { entry: { type: 'file', size: 6 } }])
  t.same(await keysOf(world, 'bob', '/data/d', { prefix: 'empty/' }), ['empty/'])
  t.same(await keysOf(world, 'bob', '/data/d', { prefix: 'empty' }), ['empty/'])
  t.same(await keysOf(world, 'bob', '/data/d/empty'), [], 'not the top itself')
})

t.test('a page says that there is more only where there is', async (t) => {
  const world = await setUp(t, ['a', 'b/c', 'b/d', 'e/'])
  for (const [limit, more] of [
    [3, true],
    [4, false],
    [5, false],
  ] as const) {
    const walked = await world.storage.walk(callBy('bob'), at('/data/d'), { limit })
    t.equal(walked.next !== undefined, more, `${limit}`)
  }
  t.same(await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 0 }), { items: [] })
  // What the caller may not look at does not count.
  await world.file('/data/d/f', 'f', 'keeper', deny(user('bob'), right.readAttributes), all)
  const walked = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 4 })
  t.same([told(walked).length, walked.next], [4, undefined])
  t.same(await keysOf(world, 'carol', '/data/d', { limit: 4 }), ['a', 'b/c', 'b/d', 'e/', 'f'])
})

t.test('what the caller may not list, links and what has no ACL are left out', async (t) => {
  const world = await setUp(t, ['a/x', 'closed/x', 'z'])
  world.link('/data/d/link', 'a')
  await world.directory('/data/d/blind', 'alice', allow('EVERYONE@', right.traverse | right.readAttributes))
  await world.file('/data/d/blind/y', 'y', 'keeper', all)
  world.acl('/data/d/closed', undefined)
  t.same(await keysOf(world, 'bob', '/data/d'), ['a/x', 'z'])
  t.same(
    await keysOf(world, 'bob', '/data/d', { fold: foldBy('', '/') }),
    ['[a/]', '[blind/]', '[closed/]', 'z'],
    'names of a directory that may be listed are no secret',
  )
  t.equal(await outcome(keysOf(world, 'bob', '/data/d/blind')), 'denied')
  t.equal(await outcome(keysOf(world, 'bob', '/data/d', { prefix: 'blind/' })), 'denied')
  t.equal(await outcome(keysOf(world, 'bob', '/data/none')), 'not-found')
  t.equal(await outcome(keysOf(world, 'bob', '/data/d/z')), 'not-directory')
  for (const prefix of ['none/', 'z/', 'link/', 'a//', '/', '../', './', 'a/../', '\0/', `${'n'.repeat(256)}/`]) {
    t.same(await keysOf(world, 'bob', '/data/d', { prefix }), [], JSON.stringify(prefix))
  }
})

t.test('what is kept with a file is for who may read it', async (t) => {
  const world = await setUp(t)
  for (const name of ['mine', 'theirs']) await world.put('keeper', `/data/d/${name}`, name, { record: `of ${name}` })
  world.acl('/data/d/theirs', aclOf('keeper', deny(user('bob'), right.readData), all))
  const listOnly = person('bob', { grants: grants('list:/data/d') })
  const many = world.memories.values().map(({ members }) => members)
  t.ok([...many].every((members) => members))
  for (const facet of [true, false]) {
    if (!facet) for (const memory of world.memories.values()) Reflect.set(memory, 'members', undefined)
    for (const [who, records] of [
      ['bob', ['of mine', undefined]],
      ['carol', ['of mine', 'of theirs']],
      [listOnly, [undefined, undefined]],
    ] as const) {
      const { items } = await world.storage.walk(callBy(who), at('/data/d'), { limit: 9, kept: true })
      t.same(
        items.map((item) => ('key' in item ? [item.key, item.kept?.record] : item)),
        [
          ['mine', records[0]],
          ['theirs', records[1]],
        ],
        `${typeof who === 'string' ? who : 'a token for listing'}, ${facet ? 'at once' : 'one by one'}`,
      )
    }
  }
})

t.test('mounts are directories, and a path-bound token sees the way to its path', async (t) => {
  const world = await setUp(t, ['a/x', 'a/y'])
  await world.file('/data/inner/i', 'i')
  world.memories.get(at('/data/inner'))?.replaceAcl(at('/i'), aclOf('keeper', all))
  await world.file('/z/other/o', 'o', 'keeper', all)
  t.same(await keysOf(world, 'bob', '/'), ['data/d/a/x', 'data/d/a/y', 'data/inner/i', 'z/other/o'])
  t.same(await keysOf(world, 'bob', '/', { fold: foldBy('', '/') }), ['[data/]', '[z/]'])
  t.same(await keysOf(world, 'bob', '/data', { limit: 1 }), ['d/a/x', 'd/a/y', 'inner/i'])
  const job = person('bob', { grants: grants('read:/data/d/a/x', 'read:/z') })
  t.same(await keysOf(world, job, '/'), ['data/d/a/x', 'z/other/o'])
  t.equal(await outcome(keysOf(world, job, '/data/inner')), 'denied')
})

t.test('keys that are too long for a door are left out with everything below them', async (t) => {
  const long = 'n'.repeat(250)
  const world = await setUp(t, [
    'a',
    [long, long, long, long, 'x'].join('/'),
    [long, long, long, long.slice(4), 'end'].join('/'),
  ])
  const keys = await keysOf(world, 'bob', '/data/d')
  t.same(
    keys.map((key) => Buffer.byteLength(key)),
    [1, 1003, 1005],
  )
})

t.test(
  'names are read once for all pages, and again where the directory has changed since the walk began',
  async (t) => {
    const world = await setUp(t, ['a', 'b', 'c', 'd'])
    const first = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 2 })
    t.same(told(first), ['a', 'b'])
    await world.storage.remove(callBy('keeper'), at('/data/d/c'))
    await world.file('/data/d/bb', 'bb')
    const { next } = first
    const second = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 2, ...(next && { resume: next }) })
    t.same(told(second), ['d'], 'what is gone is never told')
    const fresh = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 9, resume: { after: 'b' } })
    t.same(told(fresh), ['bb', 'd'], 'a walk that begins sees everything')
  },
)

t.test('names of one directory are never told as those of another that has come to its path', async (t) => {
  const world = await setUp(t, ['a', 'b', 'secret/x', 'z'])
  const options = { limit: 2, fold: foldBy('', '/') }
  const first = await world.storage.walk(callBy('bob'), at('/data/d'), options)
  t.same(told(first), ['a', 'b'])
  await world.storage.rename(callBy('keeper'), at('/data/d'), at('/data/closed'))
  await world.directory('/data/d', 'alice', all)
  await world.file('/data/d/new', 'new')
  const { next } = first
  const second = await world.storage.walk(callBy('bob'), at('/data/d'), { ...options, ...(next && { resume: next }) })
  t.same(told(second), ['new'])
})

t.test('names of which nothing is told keep nobody else waiting, nor a caller who has gone', async (t) => {
  const world = await setUp(t, ['last'])
  for (let count = 0; count < 20_000; count++) await world.file(`/data/d/${count}`, '')
  const walk = (more: { signal?: AbortSignal } = {}) =>
    world.storage.walk({ ...callBy('bob'), ...more }, at('/data/d'), { limit: 1, accepts: (key) => key === 'last' })
  await walk()
  let turns = 0
  let next = setImmediate(function turn() {
    turns++
    next = setImmediate(turn)
  })
  t.same(told(await walk()), ['last'])
  clearImmediate(next)
  t.ok(turns > 10, `${turns} turns of the event loop`)
  const gone = new AbortController()
  setImmediate(() => gone.abort())
  t.equal(await outcome(walk({ signal: gone.signal })), 'cancelled')
})

t.test('a walk that takes too long stops with what it has, and goes on from there', async (t) => {
  const world = await setUp(t, ['a/x', 'b/y', 'c/z'])
  const keys: string[] = []
  let resume: Walked['next']
  let pages = 0
  do {
    const walked: Walked = await world.storage.walk(callBy('bob'), at('/data/d'), {
      limit: 10,
      patience: pages % 2 === 0 ? 0 : 2,
      ...(resume && { resume }),
    })
    keys.push(...told(walked))
    resume = walked.next
  } while (resume && ++pages < 1000)
  t.same(keys, ['a/x', 'b/y', 'c/z'])
})

t.test('a thousand files take few calls', async (t) => {
  const world = await setUp(t)
  for (let count = 0; count < 1200; count++) await world.file(`/data/d/${count}`, '')
  world.calls.length = 0
  const walked = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 1000, kept: true })
  t.equal(walked.items.length, 1000)
  t.ok(world.calls.length <= 6, world.calls.join(' '))
  t.equal(world.storage.limits.inFlight, 0)
  const lines = world.audit.records.filter(({ principal }) => principal === 'bob')
  t.match(lines, [{ action: 'list', path: '/data/d', outcome: 'ok', items: 1000 }])
})

t.test('back ends that know no members are listed, or asked for each file', async (t) => {
  const world = await setUp(t, ['a/x', 'b', ...Array.from({ length: 30 }, (_, index) => `many/${index}`)])
  for (const memory of world.memories.values()) Reflect.set(memory, 'members', undefined)
  await world.put('keeper', '/data/d/kept', 'k', { record: 'r' })
  await world.file('/data/d/many/closed', '', 'keeper', deny(user('bob'), right.readAttributes), all)
  const walked = await world.storage.walk(callBy('bob'), at('/data/d'), { limit: 1000, kept: true })
  const many = Array.from({ length: 30 }, (_, index) => `many/${index}`)
  t.same(told(walked), ['a/x', 'b', 'kept', ...many.toSorted()])
  t.match(walked.items[1], { entry: { size: 1, type: 'file' }, kept: { digests: {} } })
  t.match(walked.items[2], { entry: { size: 1 }, kept: { record: 'r' } })
  t.same(await keysOf(world, 'bob', '/data/d', { limit: 7 }), told(walked))
})
