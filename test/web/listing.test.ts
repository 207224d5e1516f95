import { once } from 'node:events'
import t from 'tap'
import type { Entry } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { listingRow } from '../../gateway/web/listing.ts'
import { versioned } from '../core/versioned.ts'
import { ace, aclOf, alice, ask, callOf, looking, openDoor, store } from '../http/door.ts'
import { accept, asPage, fill, instead, pageOf, rowsOf } from './world.ts'

const hostile = [
  '<script>alert(1)<script>',
  '"><img src=x onerror=alert(1)>',
  "it's & <b>",
  'a\nb',
  '\u202egpj.exe',
  '&lt;',
  ']]>',
  '#?%&+;',
  'javascript:alert(1)',
  'back\\slash',
  '<!--',
]

t.test('every page is well-formed and has no barriers, whatever names are in it', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, Object.fromEntries(hostile.map((name) => [name, 'x'])))
  await fill(setting, Object.fromEntries(hostile.map((name) => [`${name}.d`, null])))
  const { port } = setting
  for (const path of ['/', '/data/', '/data/%3C%21--.d/', '/data/none', '/data/%3Cscript%3E', '/data/a%0Ab.d/']) {
    for (const as of ['', 'alice', 'bob', 'reader']) {
      const page = await pageOf(port, path, as)
      t.strictSame(page.barriers, [], `${path} for ${as || 'nobody'}: ${page.status}`)
    }
  }
  const page = await pageOf(port, '/data/', 'alice')
  const names = rowsOf(page).map(([name = '']) => name.replace(/\/$/, ''))
  t.strictSame(names.toSorted(), hostile.flatMap((name) => [shown(name), `${shown(name)}.d`]).toSorted())
  for (const { attributes } of page.elements) {
    for (const address of [attributes.href, attributes.action]) {
      if (address !== undefined && address !== '#content') t.match(address, /^\.?\/(?!\/)/, address)
    }
  }
})

function shown(name: string): string {
  return name.replaceAll('\n', '␊')
}

t.test('a page may run no script, and send forms to us alone', async (t) => {
  const { port } = await openDoor(t)
  const { headers } = await pageOf(port, '/data/')
  const policy = headers['content-security-policy']
  t.match(
    policy,
    /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
  )
  t.equal(headers['x-content-type-options'], 'nosniff')
  t.equal(headers.vary, 'Accept')
})

t.test('the table is sorted by what its heads say, folders first', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { 'f10.txt': '1', 'f2.txt': '333', zoo: null, 'a.raw': '22', ape: null, 'B.txt': '' })
  await setting.storage.setAttributes(callOf(alice), parsePath('/data/f2.txt'), { modified: 10n ** 18n })
  const orders: ReadonlyArray<readonly [string, string, string | undefined, readonly string[]]> = [
    ['', 'Name', 'ascending', ['ape/', 'zoo/', 'a.raw', 'B.txt', 'f2.txt', 'f10.txt']],
    ['?sort=name', 'Name', 'ascending', ['ape/', 'zoo/', 'a.raw', 'B.txt', 'f2.txt', 'f10.txt']],
    ['?sort=name&order=desc', 'Name', 'descending', ['zoo/', 'ape/', 'f10.txt', 'f2.txt', 'B.txt', 'a.raw']],
    ['?sort=size', 'Size', 'ascending', ['ape/', 'zoo/', 'B.txt', 'f10.txt', 'a.raw', 'f2.txt']],
    ['?sort=size&order=desc', 'Size', 'descending', ['ape/', 'zoo/', 'f2.txt', 'a.raw', 'f10.txt', 'B.txt']],
    ['?sort=type', 'Kind', 'ascending', ['ape/', 'zoo/', 'a.raw', 'B.txt', 'f2.txt', 'f10.txt']],
    ['?sort=colour', 'Name', 'ascending', ['ape/', 'zoo/', 'a.raw', 'B.txt', 'f2.txt', 'f10.txt']],
  ]
  for (const [query, head, direction, expected] of orders) {
    const page = await pageOf(setting.port, `/data/${query}`)
    t.strictSame(
      rowsOf(page).map(([name]) => name),
      expected,
      query,
    )
    const sorted = page.elements.filter(({ attributes }) => attributes['aria-sort'] !== undefined)
    t.strictSame(
      sorted.map(({ text, attributes }) => [text.slice(0, -2), attributes['aria-sort']]),
      [[head, direction]],
    )
  }
  const byTime = await pageOf(setting.port, '/data/?sort=time')
  t.equal(rowsOf(byTime)[2]?.[0], 'f2.txt', 'the file of 2001')
  const links = byTime.elements.filter(({ name, parent }) => name === 'a' && parent?.attributes['aria-sort'])
  t.strictSame(
    links.map(({ attributes }) => attributes.href),
    ['./?sort=time&order=desc'],
  )
})

t.test('a row tells size, time, owner and what the caller may do', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { 'a.txt': 'x'.repeat(1536), sub: null })
  const rows = async (as: string) => rowsOf(await pageOf(setting.port, '/data/', as))
  const [folder, file] = await rows('alice')
  t.match(folder, ['sub/', 'Folder', '', /^\d{4}-\d\d-\d\d \d\d:\d\d$/, 'alice@desy.de'])
  t.equal(folder?.[5], 'list, add files, add folders, delete, share')
  t.match(file, ['a.txt', 'TXT', '1.5 KiB', /^\d{4}-/, 'alice@desy.de', 'read, change, delete, share'])
  t.equal(file?.[6], 'Download a.txtRename a.txtDelete a.txt')
  t.match((await rows('bob'))[1]?.slice(5), ['read', 'Download a.txt'])
  t.match((await rows(''))[1]?.slice(5), ['read', 'Download a.txt'])
})

t.test('what only the storage knows is said to be so, and is not made up', async (t) => {
  const unknown: Entry = { name: 'd', type: 'directory', size: 0, modified: 0n, changed: 0n, version: '1', id: '1' }
  const rights: Entry = { ...unknown, name: 'l', type: 'symlink', target: 'd', modified: 10n ** 18n }
  const { port } = await openDoor(t, {
    around: (storage) =>
      instead(storage, {
        list: async (...args) => {
          const listed = await storage.list(...args)
          const about = {
            ...listed.about,
            rights: ({ name }: Entry) => (name === 'd' ? ('unknown' as const) : 0x10001),
          }
          return {
            ...listed,
            about,
            async *pages() {
              yield [unknown, rights]
            },
          }
        },
      }),
  })
  const page = await pageOf(port, '/data/', 'alice')
  t.match(page.text, 'Where the table does not tell what you may do, the storage itself decides, each time you try.')
  const [directory, link] = rowsOf(page)
  t.strictSame(directory, ['d/', 'Folder', '', '', '', '', 'Rename dDelete d'], 'no time, no rights')
  t.equal(link?.[5], 'delete', 'nobody reads a link')
  t.notMatch((await pageOf((await openDoor(t)).port, '/data/', 'alice')).text, 'Where the table')
})

t.test('parts of the namespace have no buttons', async (t) => {
  const nested = (storage: Storage) => {
    const mounts: StorageOperations['mounts'] = (call) =>
      storage.mounts(call).flatMap((mount) => [mount, { ...mount, path: parsePath('/data/part/of') }])
    return instead(storage, { mounts })
  }
  const setting = await openDoor(t, { around: nested })
  await fill(setting, { part: null, sub: null })
  t.strictSame(
    rowsOf(await pageOf(setting.port, '/data/', 'alice')).map(([name, , , , , , acts]) => [name, acts]),
    [
      ['part/', ''],
      ['sub/', 'Rename subDelete sub'],
    ],
  )
})

t.test('times far away are whole', (t) => {
  const row = listingRow({ name: 'a', type: 'file', href: './a', modified: '+012345-06-07T08:09:10.000Z' }, false)
  t.match(row, '>+012345-06-07 08:09</time>')
  t.end()
})

t.test('where files are is text', (t) => {
  t.equal(listingRow({ name: 'a', type: 'file', href: './a', locality: '<b>' }, true).includes('<b>'), false)
  t.end()
})

t.test('what is closed to the caller is not on the page', async (t) => {
  const setting = await openDoor(t, { acl: aclOf(ace('EVERYONE@', 0x21)) })
  await fill(setting, { a: 'secret' })
  const page = await pageOf(setting.port, '/data/', 'bob')
  t.strictSame(rowsOf(page), [['a', 'File', '', '', '', 'nothing', 'Download a']])
  t.notMatch(page.text, 'You may see', 'whoever may not see the attributes is not told his rights')
})

t.test('the head tells path, parent, space, notes and what may be done', async (t) => {
  const setting = await openDoor(t, { mount: { note: 'Scratch <space>: no backup' } })
  await fill(setting, { sub: null, 'sub/deep er': null })
  const page = await pageOf(setting.port, '/data/sub/deep%20er/', 'alice')
  const trail = page.elements.filter(({ name, parent }) => name === 'a' && parent?.name === 'li')
  t.strictSame(
    trail.map(({ text, attributes }) => [text, attributes.href, attributes['aria-current']]),
    [
      ['Portolan', '/', undefined],
      ['data', '/data/', undefined],
      ['sub', '/data/sub/', undefined],
      ['deep er', '/data/sub/deep%20er/', 'page'],
    ],
  )
  t.match(page.text, 'href="/data/sub/">Up to the folder above')
  t.match(page.text, 'Scratch &lt;space&gt;: no backup')
  t.match(page.text, /Space: 0 B used, .*files?\./)
  t.match(
    page.text,
    'You may see what is in it, add files, add folders, delete what is in it and change who may do what.',
  )
  t.match(page.text, 'Signed in as <span class="name">alice@desy.de')
  t.match(page.text, 'This folder is empty.')
  t.notOk(
    page.elements.some(({ name }) => name === 'table'),
    'no table of nothing',
  )
  t.notMatch((await pageOf(setting.port, '/')).text, 'Up to the folder above')
})

t.test('forms are for whoever may use them', async (t) => {
  const forms = async (port: number, path: string, as: string) => {
    const { elements } = await pageOf(port, path, as)
    return elements.filter(({ name }) => name === 'input').map(({ attributes }) => attributes.name)
  }
  const { port } = await openDoor(t)
  t.strictSame(await forms(port, '/data/', 'alice'), ['csrf', 'csrf', 'replace', 'files', 'csrf', 'mkdir'])
  t.strictSame(await forms(port, '/data/', 'bob'), ['csrf'])
  t.strictSame(await forms(port, '/', 'alice'), ['csrf'])
  const closed = await openDoor(t, { mount: { readOnly: true } })
  t.strictSame(await forms(closed.port, '/data/', 'alice'), ['csrf'])
  t.match((await pageOf(closed.port, '/data/', 'alice')).text, 'This part of the namespace is read-only.')
})

t.test('who asks for JSON gets JSON, and by name where that is asked for', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { b: '', a: '', 'c d': '' })
  const variants: ReadonlyArray<readonly [string | undefined, string]> = [
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    [accept, 'text/html; charset=utf-8'],
    ['text/html;q=0.5, application/json', 'application/json'],
    ['application/x-ndjson', 'application/x-ndjson'],
    ['image/png', 'application/json'],
    ['text/*', 'text/html; charset=utf-8'],
  ]
  for (const [header, type] of variants) {
    const { headers } = await ask(setting.port, 'GET', '/data/', {
      headers: header === undefined ? {} : { accept: header },
    })
    t.equal(headers['content-type'], type, header ?? 'none')
  }
  const { text } = await ask(setting.port, 'GET', '/data/?sort=name')
  t.strictSame(
    JSON.parse(text).entries.map(({ name }: Entry) => name),
    ['a', 'b', 'c d'],
  )
})

t.test('a directory too big to be sorted says so, and by name it is sorted all the same', async (t) => {
  const many = Array.from({ length: 2500 }, (_, at) => `f${(at * 7919) % 2500}`.padEnd(8, '-'))
  const { port } = await openDoor(t, { around: (storage) => listing(storage, many) })
  const plain = asPage(await ask(port, 'GET', '/data/?sort=size', { headers: { accept } }))
  t.match(plain.text, 'too many entries to be sorted')
  t.strictSame(plain.barriers, [])
  t.equal(rowsOf(plain).length, 2500)
  t.notMatch(plain.text, 'aria-sort')
  const named = await openDoor(t)
  for (const name of many) await store(named.storage, `/data/${name}`, '')
  const sorted = await pageOf(named.port, '/data/?sort=name')
  t.notMatch(sorted.text, 'too many entries')
  t.strictSame(
    rowsOf(sorted).map(([name]) => name),
    many.toSorted(),
  )
  t.match(sorted.text, 'aria-sort="ascending"')
})

/** Lists files of these names. */
function listing(storage: Storage, names: readonly string[]): StorageOperations {
  const entries = names.map((name): Entry => {
    return { name, type: 'file', size: 1, modified: 1n, changed: 1n, version: name, id: name }
  })
  const list: StorageOperations['list'] = async (...args) => {
    const listed = await storage.list(...args)
    return {
      ...listed,
      async *pages() {
        for (let at = 0; at < entries.length; at += 1000) yield entries.slice(at, at + 1000)
      },
    }
  }
  return instead(storage, { list })
}

t.test('a mount that does not tell its space or rights does not keep the page back', async (t) => {
  const never = (call: Call) => once(call.signal, 'abort').then(() => Promise.reject(new StorageError('cancelled', '')))
  const around = (storage: Storage) => instead(storage, { usage: never, rights: never })
  const { port } = await openDoor(t, { around })
  const page = await pageOf(port, '/data/', 'alice')
  t.equal(page.status, 200)
  t.notMatch(page.text, /Space:|You may (?!<)/)
})

t.test('earlier versions are a page, and one of them is a download', async (t) => {
  const acl = aclOf(ace('EVERYONE@', looking))
  const [now, then] = [new MemoryBackend(acl), new MemoryBackend(acl)]
  const setting = await openDoor(t, { mount: { backend: versioned(now, then), base: root } })
  await store(setting.storage, '/data/f', 'second')
  const old = await openDoor(t, { mount: { backend: then, base: root } })
  await store(old.storage, '/data/f', 'first')
  const { port } = setting
  t.match((await pageOf(port, '/data/', 'bob')).text, 'href="./f?versions">Versions')
  const page = await pageOf(port, '/data/f?versions', 'bob')
  t.strictSame(page.barriers, [])
  const [link] = page.elements.filter(({ name, parent }) => name === 'a' && parent?.name === 'th')
  const earlier = await ask(port, 'GET', link?.attributes.href ?? '', { as: 'bob' })
  t.equal(earlier.text, 'first')
  t.match(earlier.headers['content-disposition'], 'attachment')
  t.equal((await ask(port, 'GET', '/data/f?versions', { as: 'bob' })).text, 'second', 'for programs it is the file')
})

t.test('errors are pages that lead on', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { a: 'x' })
  const missing = await pageOf(setting.port, '/data/no/thing', 'alice')
  t.equal(missing.status, 404)
  t.match(missing.text, 'href="/data/no/">Go to the folder')
  const closed = await openDoor(t, { acl: aclOf() })
  const denied = await pageOf(closed.port, '/data/', 'bob')
  t.equal(denied.status, 403)
  t.match(denied.text, /href="http:\/\/localhost\/.portolan\/explain\?path=%2Fdata&amp;action=list">Ask why/)
  const unknown = await pageOf(closed.port, '/data/')
  t.equal(unknown.status, 401)
  const inner = await openDoor(t, { mount: { anonymous: false } })
  const top = await pageOf(inner.port, '/')
  t.equal(top.status, 401)
  t.notMatch(top.text, 'Go to the folder', 'there is none above')
  t.match(unknown.text, 'href="/">Go to the folder')
  for (const page of [missing, denied, unknown, top]) {
    t.strictSame(page.barriers, [])
    t.match(page.text, String(page.headers['x-request-id']))
  }
})
