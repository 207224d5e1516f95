import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import type { Entry } from '../../backends/backend.ts'
import { compareNames } from '../../gateway/core/names.ts'
import { sortedPages } from '../../gateway/core/sort.ts'

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-sort-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

const entryOf = (name: string): Entry => ({
  name,
  type: 'file',
  size: name.length,
  modified: 1_700_000_000_123_456_789n,
  changed: 5n,
  version: `v-${name}`,
  id: name,
  // Not every storage tells it, and it may be the beginning of time.
  ...(name.length % 3 > 0 && { accessed: BigInt(name.length % 3) - 1n }),
})

/** Numbers in an order that looks random and never repeats: a full period of a linear congruence. */
function* shuffled(count: number): Generator<number> {
  for (let at = 0, value = 7; at < count; at++, value = (value * 5 + 3) % 131_072) yield value
}

async function* pagesOf(names: Iterable<string>, length = 1000): AsyncGenerator<Entry[]> {
  let page: Entry[] = []
  for (const name of names) {
    page.push(entryOf(name))
    if (page.length < length) continue
    yield page
    page = []
  }
  yield page
}

t.test('names are compared as their UTF-8 bytes are', async (t) => {
  const names = [
    '',
    'a',
    'ab',
    'b',
    'Z',
    'é',
    '\u{1f600}',
    '\ue000',
    '\uffff',
    '\ud7ff',
    '\u{10ffff}',
    'a\u{1f600}',
    'a\ue000',
  ]
  for (const a of names) {
    for (const b of names) {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b))
      t.equal(Math.sign(compareNames(a, b)), expected, `${JSON.stringify(a)} ${JSON.stringify(b)}`)
    }
  }
})

t.test('100,000 names sort in little memory, and nothing is left on disk', async (t) => {
  const directory = directoryFor(t)
  const names = [...shuffled(100_000)].map((value) => `name "${value}"\n\u{1f600}`)
  let last = ''
  let count = 0
  let disordered = 0
  const pages = sortedPages(pagesOf(names), { directory, memory: 512 * 1024, fanIn: 4 })
  for await (const page of pages) {
    t.equal(readdirSync(directory).length, 0, 'the file has no name')
    if (page.length > 1000) t.fail('a page is too long')
    for (const entry of page) {
      count++
      if (compareNames(last, entry.name) >= 0) disordered++
      last = entry.name
      if (entry.modified !== 1_700_000_000_123_456_789n || entry.version !== `v-${entry.name}`) disordered++
    }
  }
  t.equal(count, 100_000)
  t.equal(disordered, 0)
})

t.test('few names stay in memory', async (t) => {
  const got: string[] = []
  const pages = sortedPages(pagesOf(['c', 'a', 'b']), { directory: '/does/not/exist' })
  for await (const page of pages) got.push(...page.map(({ name }) => name))
  t.same(got, ['a', 'b', 'c'])
})

t.test('no names are no pages', async (t) => {
  let pages = 0
  for await (const _ of sortedPages(pagesOf([]), { directory: '/does/not/exist' })) pages++
  t.equal(pages, 0)
})

t.test('a directory that cannot be written is unavailable', async (t) => {
  const pages = sortedPages(pagesOf(['c', 'a', 'b']), { directory: '/does/not/exist', memory: 1 })
  await t.rejects(pages.next(), { code: 'unavailable' })
})

t.test('whoever stops early leaves nothing open', async (t) => {
  const directory = directoryFor(t)
  let closed = false
  async function* source() {
    try {
      yield* pagesOf([...shuffled(5000)].map(String), 100)
    } finally {
      closed = true
    }
  }
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for await (const page of sortedPages(source(), { directory, memory: 10_000 })) {
    t.equal(page.length, 1000)
    break
  }
  t.equal(closed, true)
  t.equal(open(), before)
})

t.test('ACLs count as well, a shared one once', async (t) => {
  const aclOf = (): Acl => ({
    owner: undefined,
    group: undefined,
    dialect: 'rfc8881',
    aces: Array.from({ length: 40 }, () => ({ type: 'allow', flags: 0, mask: 1, who: 'EVERYONE@' })),
  })
  async function* withAcls(acl: () => Acl) {
    for await (const page of pagesOf(['c', 'a', 'b'])) yield page.map((entry) => ({ ...entry, acl: acl() }))
  }
  const options = { directory: '/does/not/exist', memory: 10_000 }
  await t.rejects(sortedPages(withAcls(aclOf), options).next(), { code: 'unavailable' }, 'they go to disk')
  const shared = aclOf()
  const pages = sortedPages(
    withAcls(() => shared),
    options,
  )
  for await (const page of pages) t.equal(page.length, 3)
})
