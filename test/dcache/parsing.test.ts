/** What comes from a door is hostile until it is parsed. */

import t from 'tap'
import { formatDcacheText, parseDcacheEntry, parseDcacheJson, parseDcacheText } from '../../acl/codec/dcache-text.ts'
import { childOf, entryOf } from '../../backends/dcache/attributes.ts'
import { Breaker } from '../../backends/dcache/breaker.ts'
import { digestsOf, digestsOfJson } from '../../backends/dcache/digest-header.ts'
import { errorOfStatus } from '../../backends/dcache/errors.ts'
import { decodePath, encodePath, isReservedPath } from '../../backends/dcache/names.ts'
import { childName, entryOfFound, type Found, PropfindReader } from '../../backends/dcache/propfind.ts'
import { SeenNames } from '../../backends/dcache/seen-names.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { hostileNames } from '../backends/conformance/area.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'none'
  } catch (error) {
    return error instanceof StorageError ? error.code : `${error}`
  }
}

t.test('ACL text is read and written back', async (t) => {
  const text = 'USER:1000:+lfsx:fd\nGROUP:2000:-fs\nOWNER@:+lfsnNxdDtTcCo:fdo\nEVERYONE@:+lx\n'
  const aces = parseDcacheText(`DIR\n${text}`)
  t.equal(formatDcacheText(aces, 'directory'), text)
  t.same(aces[0]?.who, { user: '1000' })
  t.same(aces[1], { type: 'deny', flags: 0x40, mask: 6, who: { group: '2000' } })
  t.same(parseDcacheEntry('EVERYONE@:+r'), { type: 'allow', flags: 0, mask: 1, who: 'EVERYONE@' })
})

t.test('an ACL that is not understood is no ACL', async (t) => {
  const bad = [
    '',
    'USER:+r',
    'USER:alice:+r',
    'USER:-1:+r',
    'GROUP:01:+r',
    'NOBODY@:+r',
    'OWNER@:r',
    'OWNER@:+Z',
    'OWNER@:+',
  ]
  for (const text of [...bad.filter((one) => one !== 'OWNER@:+'), 'OWNER@:+r:z', 'OWNER@:+r:f:FFFF', 'OWNER@']) {
    t.equal(
      codeOf(() => parseDcacheEntry(text)),
      'invalid',
      text,
    )
  }
  t.equal(
    codeOf(() => parseDcacheText('OWNER@:+r\n'.repeat(2000))),
    'invalid',
  )
  for (const value of [{}, 7, { list: 'x' }, { list: [7] }, [null], { list: [{ type: 'AUDIT' }] }]) {
    t.equal(
      codeOf(() => parseDcacheJson(value)),
      'invalid',
      JSON.stringify(value),
    )
  }
  const entry = { type: 'ACCESS_ALLOWED_ACE_TYPE', flags: 0, accessMsk: 1, who: 'USER', whoID: 1000 }
  t.equal(
    codeOf(() => parseDcacheJson({ list: [{ ...entry, addressMsk: '0000' }] })),
    'invalid',
  )
  t.equal(
    codeOf(() => parseDcacheJson({ list: [{ ...entry, accessMsk: 2 ** 33 }] })),
    'invalid',
  )
})

t.test('an ACL as the frontend gives it', async (t) => {
  const list = [
    { type: 'ACCESS_ALLOWED_ACE_TYPE', flags: 3, accessMsk: 33, who: 'USER', whoID: 1000, addressMsk: 'F'.repeat(32) },
    { type: 'ACCESS_DENIED_ACE_TYPE', flags: 0, accessMsk: 2, who: 'OWNER_GROUP', whoID: -1 },
  ]
  t.same(parseDcacheJson({ rsType: 'DIR', list }), [
    { type: 'allow', flags: 3, mask: 33, who: { user: '1000' } },
    { type: 'deny', flags: 0, mask: 2, who: 'GROUP@' },
  ])
  t.same(parseDcacheJson(['EVERYONE@:+r']), parseDcacheJson('EVERYONE@:+r'))
})

t.test('an object whose ACL is not understood shows none', async (t) => {
  const json = { pnfsId: '0000AB', fileType: 'REGULAR', size: 5, mtime: 1000, owner: 7, group: 8, mode: 0o100640 }
  const entry = entryOf('f', json, { acls: true })
  t.same(entry.acl, { owner: '7', group: '8', aces: [], dialect: 'dcache' })
  t.equal(entry.mode, 0o640)
  t.equal(entry.modified, 1_000_000_000n)
  t.equal(entryOf('f', { ...json, acl: 'nonsense' }, { acls: true }).acl, undefined)
  t.equal(entryOf('f', { ...json, owner: 'root' }, { acls: true }).acl, undefined)
  t.equal(entryOf('f', json, { acls: false }).acl, undefined)
  for (const bad of [{}, { ...json, pnfsId: '../..' }, { ...json, fileType: 7 }]) {
    t.equal(
      codeOf(() => entryOf('f', bad, { acls: true })),
      'unavailable',
    )
  }
  for (const fileName of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256), '\ud800', 7]) {
    t.equal(childOf({ ...json, fileName }, { acls: false }), undefined, `${fileName}`)
  }
  t.equal(entryOf('f', { ...json, size: -1, mtime: 1.5, mode: 'x' }, { acls: false }).size, 0)
})

const base = new URL('http://door:2880/data/dir')

function read(xml: string, pieces = xml.length): Found[] {
  const reader = new PropfindReader(base, '/')
  const bytes = Buffer.from(xml)
  const found: Found[] = []
  for (let at = 0; at < bytes.length; at += pieces) found.push(...reader.write(bytes.subarray(at, at + pieces)))
  return [...found, ...reader.end()]
}

function response(href: string, props: string, status = 'HTTP/1.1 200 OK'): string {
  return `<d:response><d:href>${href}</d:href><d:propstat><d:prop>${props}</d:prop><d:status>${status}</d:status></d:propstat></d:response>`
}

function multistatus(...responses: string[]): string {
  return `<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">${responses.join('')}</d:multistatus>`
}

t.test('a PROPFIND is read in pieces of any size', async (t) => {
  const xml = multistatus(
    response('/data/dir/', '<d:resourcetype><d:collection/></d:resourcetype>'),
    response(
      'http://other-name:2880/data/dir/a%20%C3%A9',
      '<d:getcontentlength>12</d:getcontentlength><d:getetag>"0000C9B4E3768770452E8B1B8E0232584872_12345"</d:getetag>' +
        '<d:getlastmodified>Thu, 01 Jan 1970 00:00:01 GMT</d:getlastmodified><d:resourcetype/>',
    ),
  )
  for (const pieces of [1, 2, 7, 64, xml.length]) {
    const [directory, file] = read(xml, pieces)
    t.equal(directory?.isDirectory, true)
    t.equal(file && childName(file, parsePath('/data/dir')), 'a \u00e9')
    t.same(file && entryOfFound(file, 'a'), {
      name: 'a',
      type: 'file',
      size: 12,
      modified: 1_000_000_000n,
      changed: 1_000_000_000n,
      version: '0000C9B4E3768770452E8B1B8E0232584872-c',
      id: '0000C9B4E3768770452E8B1B8E0232584872',
    })
  }
})

t.test('only children of what was asked count, and only properties with 200', async (t) => {
  const directory = parsePath('/data/dir')
  const hrefs = [
    '/data/dir/a/b',
    '/data',
    '/data/dir',
    '/etc/passwd',
    '../x',
    '/data/dir/a%2Fb',
    '/data/dir/%00',
    '/data/dir/%ff',
  ]
  for (const href of [...hrefs, '/data/dir/..%2f..%2fetc', 'javascript:alert(1)', '//evil/data', '', '/data/dir//a']) {
    const names = read(multistatus(response(href, ''))).map((found) => childName(found, directory))
    t.same(
      names.filter((name) => name !== undefined),
      [],
      href,
    )
  }
  const [found] = read(
    multistatus(response('/data/dir/a', '<d:getcontentlength>9</d:getcontentlength>', 'HTTP/1.1 404 Not Found')),
  )
  t.equal(found && entryOfFound(found, 'a').size, 0)
})

t.test('hostile XML is refused', async (t) => {
  const documents = [
    '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
    '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    '<html><body>not closed',
    'no XML at all',
    '<x>&undefined;</x>',
    '<x:unbound/>',
    `<a>${'<b>'.repeat(100)}${'</b>'.repeat(100)}</a>`,
    multistatus(response('/data/dir/a', `<d:getetag>${'x'.repeat(100_000)}</d:getetag>`)),
    multistatus(response('/data/dir/a', `<d:x y="${'x'.repeat(1_000_000)}"/>`)),
    multistatus(response('/data/dir/a', '<d:x/>'.repeat(200_000))),
    `<d:multistatus xmlns:d="DAV:"><d:response>`,
  ]
  for (const xml of documents)
    t.equal(
      codeOf(() => read(xml, 4096)),
      'unavailable',
      xml.slice(0, 60),
    )
  t.equal(
    codeOf(() => new PropfindReader(base, '/').write(Buffer.of(0x3c, 0xff, 0xfe))),
    'unavailable',
  )
})

t.test('a large listing needs no more memory than its longest response', async (t) => {
  const reader = new PropfindReader(base, '/')
  let count = 0
  reader.write(Buffer.from('<d:multistatus xmlns:d="DAV:">'))
  const piece = Buffer.from(Array.from({ length: 500 }, (_, index) => response(`/data/dir/${index}`, '')).join(''))
  for (let round = 0; round < 20; round++) count += reader.write(piece).length
  t.equal(count, 10_000)
})

t.test('names become URLs and back', async (t) => {
  for (const name of hostileNames) {
    const path = parsePath(`/data/${name}`)
    t.equal(decodePath(encodePath(path)), path, name)
    const url = new URL('http://door/')
    url.pathname = encodePath(path)
    t.equal(decodePath(url.pathname), path, `${name} in a URL`)
  }
  for (const path of ['/a/.(fset)(x)(pin)(1)', '/.webdav/x', '/.well-known', '/a/.portolan-upload-1', '/.(id)(x)/b']) {
    t.ok(isReservedPath(parsePath(path)), path)
  }
  for (const path of ['/a/.webdav', '/a.(b)', '/remote.php', '/a/.portolan'])
    t.notOk(isReservedPath(parsePath(path)), path)
})

t.test('digests are read where they make sense', async (t) => {
  const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')
  const both = digestsOf('adler32=91e01de, MD5=JfnnlDI7RTiF9RgfG2JNCw==, sha=x, crc=1')
  t.equal(hex(both.adler32), '091e01de')
  t.equal(hex(both.md5), '25f9e794323b453885f5181f1b624d0b')
  t.same(digestsOf('adler32=xyz,md5=short,=,adler32'), {})
  t.same(digestsOf(undefined), {})
  const list = [{ type: 'ADLER32', value: '091e01de' }, { type: 'MD5_TYPE', value: '00' }, 7, { type: 'X', value: 1 }]
  t.same(Object.keys(digestsOfJson(list)), ['adler32'])
  t.same(digestsOfJson('x'), {})
})

t.test('a status is one error, and words from outside are cleaned', async (t) => {
  const rows = [
    [400, 'invalid'],
    [401, 'denied'],
    [403, 'denied'],
    [404, 'not-found'],
    [409, 'no-parent'],
    [412, 'precondition'],
    [429, 'busy'],
    [500, 'unavailable'],
    [503, 'unavailable'],
    [507, 'no-space'],
    [302, 'unavailable'],
    [200, 'unavailable'],
    [0, 'unavailable'],
  ] as const
  for (const [status, code] of rows) t.equal(errorOfStatus({ status }).code, code, `${status}`)
  t.equal(errorOfStatus({ status: 503, retryAfter: '17' }).retryAfter, 17)
  t.equal(errorOfStatus({ status: 503, retryAfter: 'soon' }).retryAfter, 5)
  const text = StorageError.reasonOf(errorOfStatus({ status: 403, text: `\u001b[31m${'no '.repeat(200)}` }))?.text ?? ''
  t.match(text, /^dCache answered 403: \[31mno no/)
  t.ok(text.length < 250)
})

t.test('a breaker opens after failures in a row, lets one probe through, and closes', async (t) => {
  let now = 1000
  const breaker = new Breaker({ failures: 3, pause: 5000, now: () => now })
  const fail = () => breaker.enter()('failed')
  fail()
  fail()
  breaker.enter()('answered')
  fail()
  fail()
  breaker.enter()('gave up')
  t.notOk(breaker.isOpen, 'an answer in between counts, a caller who went does not')
  fail()
  t.ok(breaker.isOpen)
  t.throws(() => breaker.enter(), { code: 'unavailable', retryAfter: 5 })
  now += 5001
  const probe = breaker.enter()
  t.throws(() => breaker.enter(), { code: 'unavailable' }, 'one at a time')
  probe('failed')
  t.throws(() => breaker.enter(), { code: 'unavailable', retryAfter: 10 }, 'longer than before')
  now += 10_001
  breaker.enter()('gave up')
  breaker.enter()('answered')
  t.notOk(breaker.isOpen)
  breaker.enter()('answered')
})

t.test('names that were seen are known again', async (t) => {
  const seen = new SeenNames()
  for (let index = 0; index < 50_000; index++) t.ok(seen.add(`entry-${index}`) || t.fail(`${index}`))
  t.equal(seen.size, 50_000)
  for (let index = 0; index < 50_000; index += 7) if (seen.add(`entry-${index}`)) t.fail(`${index}`)
  t.ok(seen.add(''))
  t.notOk(seen.add(''))
})
