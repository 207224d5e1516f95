/** PROPFIND: what is told of whom, and how (RFC 4918, section 9.1). */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage } from '../../gateway/core/storage.ts'
import { parseXml } from '../../gateway/webdav/xml.ts'
import { ace, aclOf, alice, callOf, looking, rawConnection, store } from '../http/door.ts'
import { instead, openDav, propfindFor, responsesOf } from './door.ts'

const at = (depth: string) => ({ headers: { depth } })

t.test('depth 0 tells of the resource, depth 1 of its members too', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await store(storage, '/data/d/a', 'abc')
  await storage.mkdir(callOf(alice), parsePath('/data/d/e'))
  const none = await dav('PROPFIND', '/data/d', at('0'))
  t.equal(none.status, 207)
  t.equal(none.headers['content-type'], 'application/xml; charset=utf-8')
  t.equal(none.headers['content-location'], '/data/d/')
  t.strictSame([...responsesOf(none).keys()], ['/data/d/'])
  const all = responsesOf(await dav('PROPFIND', '/data/d/', at('1')))
  t.strictSame([...all.keys()].sort(), ['/data/d/', '/data/d/a', '/data/d/e/'])
  t.match(all.get('/data/d/e/')?.get(200), '<D:resourcetype><D:collection/></D:resourcetype>')
  t.match(all.get('/data/d/a')?.get(200), '<D:resourcetype/>')
  t.match(all.get('/data/d/a')?.get(200), '<D:getcontentlength>3</D:getcontentlength>')
  const file = responsesOf(await dav('PROPFIND', '/data/d/a', at('1')))
  t.strictSame([...file.keys()], ['/data/d/a'], 'rclone asks for members of files too')
  t.equal((await dav('PROPFIND', '/data/d/a/', at('0'))).status, 404, 'a file is no directory')
  t.equal((await dav('PROPFIND', '/data/none', at('1'))).status, 404)
  t.equal((await dav('PROPFIND', '/data/d', at('2'))).status, 400)
})

t.test('the top and directories between mounts answer', async (t) => {
  const { dav } = await openDav(t)
  const top = responsesOf(await dav('PROPFIND', '/', at('1')))
  t.strictSame([...top.keys()], ['/', '/data/'])
})

t.test('infinity is refused for directories with the condition that says so', async (t) => {
  const { dav, storage } = await openDav(t)
  await store(storage, '/data/a', 'abc')
  for (const headers of [{ depth: 'infinity' }, {}]) {
    const answer = await dav('PROPFIND', '/data/', { headers })
    t.equal(answer.status, 403)
    t.match(answer.text, /<D:error [^>]*><D:propfind-finite-depth\/>/)
    t.equal(answer.headers['content-type'], 'application/xml; charset=utf-8')
  }
  t.equal((await dav('PROPFIND', '/data/a')).status, 207, 'of a file it is the file')
})

t.test('what is asked for by name is told, or is not there', async (t) => {
  const { dav, storage } = await openDav(t)
  await store(storage, '/data/a.txt', 'abc')
  const body = propfindFor('getetag', 'getcontenttype', '<x xmlns="urn:x"/>', '<y xmlns=""/>', 'nothing')
  const answer = await dav('PROPFIND', '/data/a.txt', { ...at('0'), body })
  const told = responsesOf(answer).get('/data/a.txt')
  const { etag } = (await dav('GET', '/data/a.txt')).headers
  t.match(told?.get(200), `<D:getetag>${String(etag).replaceAll('"', '&quot;')}</D:getetag>`)
  t.match(told?.get(200), '<D:getcontenttype>text/plain; charset=utf-8</D:getcontenttype>')
  t.equal(told?.get(404), '<x xmlns="urn:x"/><y xmlns=""/><D:nothing/>')
  const minimal = { depth: '0', prefer: 'return=minimal' }
  const short = await dav('PROPFIND', '/data/a.txt', { headers: minimal, body })
  t.equal(responsesOf(short).get('/data/a.txt')?.has(404), false)
  t.equal(short.headers['preference-applied'], 'return=minimal')
  t.doesNotThrow(() => parseXml(Buffer.from(answer.text)), 'and it is XML')
})

t.test('allprop, include and propname', async (t) => {
  const { dav, storage } = await openDav(t)
  await store(storage, '/data/a', 'abc')
  const ask = async (inner: string) => {
    const body = `<propfind xmlns="DAV:" xmlns:oc="http://owncloud.org/ns">${inner}</propfind>`
    const answer = await dav('PROPFIND', '/data/a', { ...at('0'), body })
    return answer.status === 207 ? (responsesOf(answer).get('/data/a')?.get(200) ?? '') : String(answer.status)
  }
  t.match(await ask('<allprop/>'), /<D:getlastmodified>.*<D:resourcetype\/>.*<D:supportedlock/)
  t.notMatch(await ask('<allprop/>'), /privilege|quota|oc:/, 'what is costly or long is told when it is named')
  const more = await ask('<allprop/><include><current-user-privilege-set/><oc:permissions/></include>')
  t.match(more, /<D:current-user-privilege-set><D:privilege>/)
  t.match(more, '<oc:permissions>GDNVW</oc:permissions>')
  t.match(await ask('<propname/>'), '<D:getetag/>')
  t.equal(await ask(''), '400')
  t.equal(await ask('<prop/><allprop/>'), '400')
  t.equal(await ask('<prop/><unknown xmlns="urn:x"/>'), '', 'unknown elements are passed over')
})

t.test('names of any kind are hrefs and text', async (t) => {
  const { dav, storage } = await openDav(t)
  const name = 'a&b<c>"d"\u0001 é%2f\u{1f991}'
  await store(storage, `/data/${name}`, 'x')
  const answer = await dav('PROPFIND', '/data/', at('1'))
  const href = `/data/${encodeURIComponent(name)}`
  t.match(responsesOf(answer).get(href)?.get(200), '<D:displayname>a&amp;b&lt;c&gt;&quot;d&quot;\ufffd é%2f\u{1f991}<')
  t.doesNotThrow(() => parseXml(Buffer.from(answer.text)))
})

t.test('rights and ACLs are told as far as the caller may know them', async (t) => {
  const { dav, storage } = await openDav(t, { acl: aclOf(ace('EVERYONE@', looking & ~right.readAcl)) })
  await store(storage, '/data/a', 'x')
  const body = propfindFor(
    'acl',
    'owner',
    'current-user-privilege-set',
    'current-user-principal',
    'supported-privilege-set',
  )
  for (const [path, depth] of [
    ['/data/a', '0'],
    ['/data/', '1'],
  ] as const) {
    const own = responsesOf(await dav('PROPFIND', path, { ...at(depth), body })).get('/data/a')
    t.match(own?.get(200), /<D:ace><D:principal><D:href>[^<]*alice%40desy.de<\/D:href><\/D:principal><D:grant>/)
    t.match(own?.get(200), '<D:privilege><D:write-content/></D:privilege>')
    t.match(own?.get(200), '<p:nfs4-ace>')
    const bob = responsesOf(await dav('PROPFIND', path, { ...at(depth), body, as: 'bob' })).get('/data/a')
    t.match(bob?.get(404), '<D:acl/>', 'READ_ACL is not for everybody')
    t.match(bob?.get(200), '<D:privilege><D:read/></D:privilege>')
    t.notMatch(bob?.get(200)?.replace(/<D:supported-privilege-set>.*/s, ''), 'write-content')
    t.match(bob?.get(200), /current-user-principal><D:href>[^<]*bob%40desy.de/)
  }
})

t.test('who may not look gets one answer, and closed attributes are not told', async (t) => {
  const { dav, storage } = await openDav(t, { acl: aclOf(ace('EVERYONE@', right.listDirectory | right.traverse, 2)) })
  await store(storage, '/data/a', 'x')
  const listed = responsesOf(await dav('PROPFIND', '/data/', { ...at('1'), as: 'bob' }))
  t.notMatch(listed.get('/data/a')?.get(200), /getetag|getcontentlength|getlastmodified/)
  t.match(listed.get('/data/a')?.get(200), '<D:displayname>a</D:displayname>')
  const denied = await dav('PROPFIND', '/data/a', { ...at('0'), as: 'bob' })
  t.equal(denied.status, 403)
  t.match(denied.text, '<D:need-privileges><D:resource><D:href>/data/a</D:href><D:privilege><D:read/>')
  const json = await dav('PROPFIND', '/data/a', { headers: { depth: '0', accept: 'application/json' }, as: 'bob' })
  t.equal(JSON.parse(json.text).code, 'denied', 'as a problem document for who prefers that')
})

t.test('hostile bodies are refused', async (t) => {
  const { dav } = await openDav(t)
  const bomb = `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(100)}"><!ENTITY b "&a;&a;&a;">]><propfind xmlns="DAV:">&b;</propfind>`
  const external = '<!DOCTYPE x SYSTEM "file:///etc/passwd"><propfind xmlns="DAV:"><allprop/></propfind>'
  const deep = `<propfind xmlns="DAV:">${'<a>'.repeat(100)}${'</a>'.repeat(100)}</propfind>`
  const wide = `<propfind xmlns="DAV:"><prop>${'<a/>'.repeat(20_000)}</prop></propfind>`
  const attributes = `<propfind xmlns="DAV:" ${Array.from({ length: 200 }, (_, i) => `a${i}=""`).join(' ')}/>`
  const many = `<propfind xmlns="DAV:"><prop>${Array.from({ length: 1500 }, (_, i) => `<a${i}/>`).join('')}</prop></propfind>`
  for (const [body, status] of [
    [bomb, 400],
    [external, 400],
    [deep, 413],
    [wide, 413],
    [attributes, 413],
    [many, 413],
    ['<foo>', 400],
    ['<propfind xmlns="DAV:" xmlns:x=""><allprop/></propfind>', 400],
    ['<propfind xmlns="DAV:"><allprop>&nbsp;</allprop></propfind>', 400],
    ['<propfind><allprop/></propfind>', 400],
    [Uint8Array.of(0x3c, 0xff, 0xfe), 400],
    ['<?xml version="1.0" encoding="iso-8859-1"?><propfind xmlns="DAV:"><allprop/></propfind>', 400],
    [`<propfind xmlns="DAV:">${' '.repeat(1024 * 1024)}</propfind>`, 413],
  ] as const) {
    t.equal((await dav('PROPFIND', '/data/', { ...at('0'), body })).status, status, String(body).slice(0, 60))
  }
  const gzip = { depth: '0', 'content-encoding': 'gzip' }
  t.equal((await dav('PROPFIND', '/data/', { headers: gzip, body: 'x' })).status, 415)
  const utf16 = Buffer.from(`\ufeff${propfindFor('resourcetype').replace('utf-8', 'utf-16')}`, 'utf16le')
  for (const body of [utf16, Buffer.from(utf16).swap16()]) {
    t.equal((await dav('PROPFIND', '/data/', { ...at('0'), body })).status, 207, 'UTF-16 is XML too')
  }
})

t.test('a short question has no endless answer', async (t) => {
  const { dav, storage } = await openDav(t)
  await store(storage, '/data/a', 'abc')
  const names = Array.from({ length: 999 }, (_, index) => `<x:p${index}/>`).join('')
  const find = (attributes: string) => `<propfind xmlns="DAV:" ${attributes}><prop>${names}</prop></propfind>`
  const patch = (attributes: string) =>
    `<propertyupdate xmlns="DAV:" ${attributes}><set><prop>${names}</prop></set></propertyupdate>`
  const long = 'u'.repeat(500_000)
  for (const [method, body] of [
    ['PROPFIND', find(`xmlns:x="${long}"`)],
    ['PROPFIND', find(`xmlns:x="urn:${'u'.repeat(900)}"`)],
    ['PROPPATCH', patch(`xmlns:x="${long}"`)],
    ['PROPPATCH', patch(`xmlns:x="urn:${'u'.repeat(900)}"`)],
    ['PROPPATCH', patch(`xmlns:x="urn:x" xml:lang="${long}"`)],
  ] as const) {
    t.equal((await dav(method, '/data/a', { ...at('0'), body })).status, 413, `${method} ${body.slice(0, 40)}`)
  }
  t.equal((await dav('PROPFIND', '/data/a', { ...at('0'), body: find('xmlns:x="urn:x"') })).status, 207)
})

t.test('a directory without an end takes no memory without an end', async (t) => {
  let pages = 0
  const endless = (storage: Storage) => {
    const list: Storage['list'] = async (...args) => {
      const listed = await storage.list(...args)
      const entries = Array.from({ length: 1000 }, (_, i) => ({ ...listed.entry, name: `entry-${i}` }))
      return {
        ...listed,
        async *pages() {
          for (; pages < 1000; pages++) yield entries
        },
      }
    }
    return instead(storage, { list })
  }
  const { port } = await openDav(t, { around: endless })
  const raw = rawConnection(t, port)
  raw.send('PROPFIND /data/ HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\nAuthorization: Bearer alice\r\n\r\n')
  t.match(await raw.until(/entry-9/), /^HTTP\/1.1 207 /)
  raw.socket.pause()
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.ok(pages < 500, `${pages} pages were made for a caller who does not read on`)
})
