/** PROPPATCH and extended MKCOL: dead properties, the live ones that clients set, all or nothing. */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage } from '../../gateway/core/storage.ts'
import { parseXml, textOf, writeElement } from '../../gateway/webdav/xml.ts'
import { ace, aclOf, alice, callOf, looking, store } from '../http/door.ts'
import { type Dav, instead, openDav, propfindFor, responsesOf } from './door.ts'

const at = (depth: string) => ({ headers: { depth } })

/** A propertyupdate with these parts. */
function update(...parts: readonly string[]): string {
  return `<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">${parts.join('')}</D:propertyupdate>`
}
const set = (xml: string) => `<D:set><D:prop>${xml}</D:prop></D:set>`
const remove = (xml: string) => `<D:remove><D:prop>${xml}</D:prop></D:remove>`

async function told({ dav }: Dav, path: string, ...names: readonly string[]): Promise<ReadonlyMap<number, string>> {
  const answer = await dav('PROPFIND', path, { ...at('0'), body: propfindFor(...names) })
  return responsesOf(answer).values().next().value ?? new Map()
}

t.test('dead properties are kept as they were, and told again', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const values = [
    '<k:one xmlns:k="urn:k">text</k:one>',
    '<two xmlns="urn:k" xml:lang="de" a="&quot;&lt;">a &amp; <b xmlns="">b</b><k:c xmlns:k="urn:c" k:d="e"/></two>',
    '<three xmlns="">\u{1f991}</three>',
    '<k:four xmlns:k="urn:k"/>',
  ]
  for (const value of values) {
    const answer = await door.dav('PROPPATCH', '/data/a', { body: update(set(value)) })
    t.equal(answer.status, 207)
    t.equal(responsesOf(answer).get('/data/a')?.has(200), true, answer.text)
  }
  const wanted = ['<one xmlns="urn:k"/>', '<two xmlns="urn:k"/>', '<three xmlns=""/>', '<four xmlns="urn:k"/>']
  const found = (await told(door, '/data/a', ...wanted)).get(200) ?? ''
  for (const value of values)
    t.match(found, value.replaceAll(' xmlns=""', value.startsWith('<three') ? '' : ' xmlns=""'))
  const all = await door.dav('PROPFIND', '/data/', at('1'))
  t.match(all.text, '>text</k:one>', 'allprop of a small directory tells those of its members')
  const names = await door.dav('PROPFIND', '/data/a', {
    ...at('0'),
    body: '<propfind xmlns="DAV:"><propname/></propfind>',
  })
  t.match(names.text, '<one xmlns="urn:k"/>')
  await door.dav('PROPPATCH', '/data/a', {
    body: update(remove('<one xmlns="urn:k"/>'), remove('<never xmlns="urn:k"/>')),
  })
  t.match((await told(door, '/data/a', '<one xmlns="urn:k"/>')).get(404), 'one')
})

t.test('the language in scope goes with the value', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const body = `<propertyupdate xmlns="DAV:" xml:lang="fr">${'<set><prop><x xmlns="urn:x">oui</x></prop></set>'}</propertyupdate>`
  await door.dav('PROPPATCH', '/data/a', { body })
  t.match((await told(door, '/data/a', '<x xmlns="urn:x"/>')).get(200), '<x xmlns="urn:x" xml:lang="fr">oui</x>')
})

t.test('instructions are followed in document order', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const x = '<x xmlns="urn:x"/>'
  await door.dav('PROPPATCH', '/data/a', { body: update(set('<x xmlns="urn:x">1</x>'), remove(x)) })
  t.equal((await told(door, '/data/a', x)).has(200), false)
  await door.dav('PROPPATCH', '/data/a', { body: update(remove(x), set('<x xmlns="urn:x">2</x>')) })
  t.match((await told(door, '/data/a', x)).get(200), '>2<')
})

t.test('a protected property keeps the others from being set', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const body = update(
    set('<x xmlns="urn:x">1</x><D:getetag>"mine"</D:getetag>'),
    set('<D:getlastmodified>soon</D:getlastmodified>'),
  )
  const answer = await door.dav('PROPPATCH', '/data/a', { body })
  const stats = responsesOf(answer).get('/data/a')
  t.equal(stats?.get(403), '<D:getetag/>')
  t.equal(stats?.get(409), '<D:getlastmodified/>')
  t.equal(stats?.get(424), '<x xmlns="urn:x"/>')
  t.match(answer.text, '<D:error><D:cannot-modify-protected-property/></D:error>')
  t.equal((await told(door, '/data/a', '<x xmlns="urn:x"/>')).has(200), false)
})

t.test('times are set as clients send them', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const time = 'Wed, 01 Jan 2020 00:00:00 GMT'
  const windows = [
    `<Z:Win32CreationTime>${time}</Z:Win32CreationTime>`,
    `<Z:Win32LastAccessTime>${time}</Z:Win32LastAccessTime>`,
    `<Z:Win32LastModifiedTime>${time}</Z:Win32LastModifiedTime>`,
    '<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>',
  ]
  const answer = await door.dav('PROPPATCH', '/data/a', { body: update(set(windows.join(''))) })
  t.strictSame([...(responsesOf(answer).get('/data/a')?.keys() ?? [])], [200])
  const micro = '<Win32FileAttributes xmlns="urn:schemas-microsoft-com:"/>'
  const found = (await told(door, '/data/a', 'getlastmodified', micro)).get(200)
  t.match(found, `<D:getlastmodified>${time}</D:getlastmodified>`)
  t.match(found, '>00000020</')
  const later = 'Fri, 01 Jan 2021 00:00:00 GMT'
  await door.dav('PROPPATCH', '/data/a', { body: update(set(`<D:getlastmodified>${later}</D:getlastmodified>`)) })
  t.equal((await door.dav('HEAD', '/data/a')).headers['last-modified'], later)
})

t.test('what was set is taken back where the rest fails', async (t) => {
  const broken = (storage: Storage) => {
    const setAttributes = () => Promise.reject(new StorageError('denied', 'no'))
    return instead(storage, { setAttributes })
  }
  const door = await openDav(t, { around: broken })
  await store(door.storage, '/data/a', 'x')
  await door.dav('PROPPATCH', '/data/a', { body: update(set('<x xmlns="urn:x">old</x>')) })
  const time = '<D:getlastmodified>Wed, 01 Jan 2020 00:00:00 GMT</D:getlastmodified>'
  const body = update(set(`<x xmlns="urn:x">new</x><y xmlns="urn:x">new</y>${time}`))
  t.equal((await door.dav('PROPPATCH', '/data/a', { body })).status, 403)
  const stats = await told(door, '/data/a', '<x xmlns="urn:x"/>', '<y xmlns="urn:x"/>')
  t.match(stats.get(200), '>old<')
  t.match(stats.get(404), 'y')
})

t.test('what cannot be taken back does not hide why it should have been', async (t) => {
  const setAttributes = () => Promise.reject(new StorageError('denied', 'no'))
  const setProperties = () => Promise.reject(new StorageError('unsupported', 'none here'))
  const door = await openDav(t, { around: (storage) => instead(storage, { setAttributes, setProperties }) })
  await store(door.storage, '/data/a', 'x')
  const time = 'Wed, 01 Jan 2020 00:00:00 GMT'
  const windows = `<Z:Win32CreationTime>${time}</Z:Win32CreationTime><Z:Win32LastModifiedTime>${time}</Z:Win32LastModifiedTime>`
  t.equal((await door.dav('PROPPATCH', '/data/a', { body: update(set(windows)) })).status, 403)
})

t.test('who may not write properties does not, and what is not there has none', async (t) => {
  const door = await openDav(t, { acl: aclOf(ace('EVERYONE@', looking | right.readNamedAttributes)) })
  await store(door.storage, '/data/a', 'x')
  const body = update(set('<x xmlns="urn:x">1</x>'))
  t.equal((await door.dav('PROPPATCH', '/data/a', { body, as: 'bob' })).status, 403)
  t.equal((await door.dav('PROPPATCH', '/data/none', { body })).status, 404)
  t.equal((await door.dav('PROPPATCH', '/data/a', { body, headers: { 'if-match': '"other"' } })).status, 412)
  t.equal((await door.dav('PROPPATCH', '/data/a/', { body })).status, 404, 'a file is no directory')
  t.equal((await door.dav('PROPPATCH', '/data/a')).status, 400)
  t.equal((await door.dav('PROPPATCH', '/data/a', { body: update(set('')) })).status, 400)
  const large = await door.dav('PROPPATCH', '/data/a', {
    body: update(set(`<x xmlns="urn:x">${'a'.repeat(70_000)}</x>`)),
  })
  t.equal(responsesOf(large).get('/data/a')?.get(413), '<x xmlns="urn:x"/>')
})

t.test('what somebody else has put among the properties does not break out of an answer', async (t) => {
  const door = await openDav(t)
  await store(door.storage, '/data/a', 'x')
  const hostile = new Map([
    ['dav:{urn:x}a', '</D:prop></D:propstat><evil/>'],
    ['dav:{urn:x}b', '<b xmlns="urn:x"/><evil/>'],
    ['dav:{urn:x}c', '<other xmlns="urn:x"/>'],
    ['dav:{urn:x}d', '<d xmlns="urn:x">fine</d>'],
    ['user:tag', 'not ours'],
  ])
  await door.storage.setProperties(callOf(alice), parsePath('/data/a'), hostile)
  const { text } = await door.dav('PROPFIND', '/data/a', at('0'))
  t.notMatch(text, /evil|other|not ours/)
  t.match(text, '<d xmlns="urn:x">fine</d>')
})

t.test('MKCOL makes a directory with the properties it is given, or none', async (t) => {
  const door = await openDav(t)
  const mkcol = (path: string, properties: string, type = 'application/xml') =>
    door.dav('MKCOL', path, {
      headers: { 'content-type': type },
      body: `<D:mkcol xmlns:D="DAV:"><D:set><D:prop>${properties}</D:prop></D:set></D:mkcol>`,
    })
  const collection = '<D:resourcetype><D:collection/></D:resourcetype>'
  t.equal(
    (await mkcol('/data/d', `${collection}<D:displayname>Run 1</D:displayname><x xmlns="urn:x">1</x>`)).status,
    201,
  )
  const found = (await told(door, '/data/d', 'displayname', '<x xmlns="urn:x"/>')).get(200)
  t.match(found, '<D:displayname xmlns:D="DAV:">Run 1</D:displayname>')
  t.match(found, '>1</x>')
  const refused = await mkcol('/data/e', `${collection}<x xmlns="urn:x">1</x><D:getetag>x</D:getetag>`)
  t.equal(refused.status, 403)
  t.match(refused.text, /<D:mkcol-response .*cannot-modify-protected-property/s)
  t.equal((await door.dav('PROPFIND', '/data/e', at('0'))).status, 404, 'and there is no directory')
  t.equal((await mkcol('/data/f', '<D:resourcetype><D:principal/></D:resourcetype>')).status, 403)
  t.equal((await mkcol('/data/f', collection, 'text/plain')).status, 415)
  t.equal((await mkcol('/data/d', collection)).status, 405)
  t.equal((await door.dav('MKCOL', '/data/d')).status, 405)
  t.equal((await door.dav('MKCOL', '/data/none/d')).status, 409)
  t.equal((await door.dav('MKCOL', '/data/g/', { as: 'bob' })).status, 403)
})

t.test('an element means the same wherever it is put', (t) => {
  const text = '<D:a xmlns:D="DAV:" xmlns="urn:1"><b x="1" D:y="2"><c xmlns=""/>&#13;&amp;</b></D:a>'
  const written = writeElement(parseXml(Buffer.from(text)))
  t.equal(written, text)
  const inner = parseXml(Buffer.from(text)).children[0]
  const alone = typeof inner === 'object' ? writeElement(inner) : ''
  t.equal(alone, '<b xmlns="urn:1" xmlns:D="DAV:" x="1" D:y="2"><c xmlns=""/>&#13;&amp;</b>')
  t.equal(textOf(parseXml(Buffer.from(alone))), '&')
  t.end()
})
