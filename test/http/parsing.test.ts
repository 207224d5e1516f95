import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { preferred, wantsHtml } from '../../gateway/http/accept.ts'
import { parseAuthorization, requireOneCredential } from '../../gateway/http/authenticate.ts'
import { parseConditions } from '../../gateway/http/conditions.ts'
import { kindOf } from '../../gateway/http/content-type.ts'
import { httpDate, isoDate, parseHttpDate } from '../../gateway/http/dates.ts'
import { digestHeaders, parseExpected, parseWanted } from '../../gateway/http/digests.ts'
import { asksForDownload, attachment } from '../../gateway/http/disposition.ts'
import { Hosts } from '../../gateway/http/hosts.ts'
import { parseQuery } from '../../gateway/http/query.ts'
import { parseRanges, rangeCounts, resolveRanges } from '../../gateway/http/ranges.ts'
import { redactTarget } from '../../gateway/http/redact.ts'
import { encodePath, parseTarget } from '../../gateway/http/target.ts'

function outcome<T>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    return error instanceof StorageError ? error.code : 'not a StorageError'
  }
}

t.test('a request-target is decoded once and nothing in it is resolved', async (t) => {
  const long = `/${'a'.repeat(200)}`
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a/b/', '/a/b +slash'],
    ['/a%20b%22%27%23%3f%25%2b%26%3b', '/a b"\'#?%+&;'],
    ['/%252e%252e', '/%2e%2e'],
    ['/a+b', '/a+b'],
    ['/%0a', '/\n'],
    ['/-x/.hidden', '/-x/.hidden'],
    ['/%F0%9F%9A%80%E2%80%AE', '/🚀\u202e'],
    ['/back%5Cslash', '/back\\slash'],
    ['/a?b=/../c', '/a ?b=/../c'],
    ['http://gw.desy.de/a?x', '/a ?x @gw.desy.de'],
    ['HTTPS://gw.desy.de:8443', '/ @gw.desy.de:8443'],
    ['/..', 'invalid'],
    ['/a/../b', 'invalid'],
    ['/a/%2e%2e/b', 'invalid'],
    ['/a/%2E./b', 'invalid'],
    ['/./a', 'invalid'],
    ['/%2e', 'invalid'],
    ['/a%2Fb', 'invalid'],
    ['/a%2fb', 'invalid'],
    ['/a%00b', 'invalid'],
    ['//a', 'invalid'],
    ['/a//b', 'invalid'],
    ['/a//', 'invalid'],
    ['/%c0%ae%c0%ae', 'invalid'],
    ['/%c0%af', 'invalid'],
    ['/%ff', 'invalid'],
    ['/%ed%a0%80', 'invalid'],
    ['/%f4%90%80%80', 'invalid'],
    ['/%e2%82', 'invalid'],
    ['/%', 'invalid'],
    ['/%4', 'invalid'],
    ['/%zz', 'invalid'],
    ['/a#b', 'invalid'],
    ['/a\u00e9', 'invalid'],
    ['/a\tb', 'invalid'],
    ['a', 'invalid'],
    ['', 'invalid'],
    ['ftp://gw/a', 'invalid'],
    ['http://user@gw/a', 'invalid'],
    ['http:///a', 'invalid'],
    [`/${'a'.repeat(255)}`, `/${'a'.repeat(255)}`],
    [`/${'a'.repeat(256)}`, 'name-too-long'],
    [`/${'%C3%A4'.repeat(128)}`, 'name-too-long'],
    [long.repeat(20) + long.slice(0, 76), long.repeat(20) + long.slice(0, 76)],
    [long.repeat(20) + long.slice(0, 77), 'name-too-long'],
    [`/${'%41'.repeat(9000)}`, 'name-too-long'],
  ]
  for (const [text, expected] of cases) {
    const got = outcome(() => {
      const target = parseTarget(text)
      if (target === '*') return '*'
      const { path, slash, query, authority } = target
      return `${path}${slash ? ' +slash' : ''}${query === '' ? '' : ` ?${query}`}${authority ? ` @${authority}` : ''}`
    })
    t.equal(got, expected, text.slice(0, 60))
  }
  t.equal(parseTarget('*'), '*')
})

t.test('what encodePath writes, parseTarget reads', async (t) => {
  for (const name of [' ', '"', "'", '#?%&+;', 'a\nb', '\u202eabc', '🚀', '-x', '.x', '()*!~', '\\', '\x7f']) {
    const target = parseTarget(encodePath(`/d/${name}`))
    t.equal(target !== '*' && target.path, `/d/${name}`)
    t.match(encodePath(name), /^[A-Za-z0-9%._~-]*$/)
  }
})

t.test('ranges are clipped, ignored or refused by RFC 9110', async (t) => {
  const ten = Array.from({ length: 10 }, (_, index) => `${index * 10}-${index * 10 + 9}`).join(',')
  const cases: ReadonlyArray<readonly [string, number, string]> = [
    ['bytes=0-0', 100, '0-1'],
    ['bytes=10-19', 100, '10-20'],
    ['bytes=90-', 100, '90-100'],
    ['bytes=-10', 100, '90-100'],
    ['bytes=-1000', 100, '0-100'],
    ['bytes=50-5000', 100, '50-100'],
    ['bytes=0-9999999999999999999999', 100, '0-100'],
    ['BYTES = 1-2', 100, '1-3'],
    ['bytes=0-1, 5-6 ,,-1', 100, '0-2 5-7 99-100'],
    ['bytes=5-6,0-1', 100, '5-7 0-2'],
    ['bytes=0-1,500-600', 100, '0-2'],
    [`bytes=${ten}`, 100, Array.from({ length: 10 }, (_, index) => `${index * 10}-${index * 10 + 10}`).join(' ')],
    ['bytes=100-', 100, 'range'],
    ['bytes=100-200,300-400', 100, 'range'],
    ['bytes=-0', 100, 'range'],
    ['bytes=0-', 0, 'range'],
    ['bytes=-5', 0, 'whole'],
    ['bytes=99999999999999999999-', 100, 'range'],
    [`bytes=${Array.from({ length: 10 }, () => '0-').join(',')}`, 100, 'range'],
    [`bytes=${Array.from({ length: 1025 }, (_, index) => `${index}-${index}`).join(',')}`, 5000, 'range'],
    ['bytes=5-1', 100, 'whole'],
    ['bytes=', 100, 'whole'],
    ['bytes=-', 100, 'whole'],
    ['bytes=a-b', 100, 'whole'],
    ['bytes=1-2;3', 100, 'whole'],
    ['bytes=0x1-2', 100, 'whole'],
    ['items=0-1', 100, 'whole'],
    ['nonsense', 100, 'whole'],
  ]
  for (const [header, size, expected] of cases) {
    const got = outcome(() => {
      const specs = parseRanges(header)
      const ranges = specs && resolveRanges(specs, size)
      return ranges ? ranges.map(({ start, end }) => `${start}-${end}`).join(' ') : 'whole'
    })
    t.equal(got, expected, `${header.slice(0, 60)} of ${size}`)
  }
  const most = Array.from({ length: 1024 }, (_, index) => `${index}-${index}`).join(',')
  t.equal(resolveRanges(parseRanges(`bytes=${most}`) ?? [], 5000)?.length, 1024)
})

t.test('If-Range needs the same strong tag or exactly the same second', async (t) => {
  const entry = { version: 'v1', modified: 1_700_000_000_500_000_000n }
  const cases: ReadonlyArray<readonly [string | undefined, boolean]> = [
    [undefined, true],
    ['"v1"', true],
    ['"v2"', false],
    ['W/"v1"', false],
    ['"v1", "v2"', false],
    ['"unclosed', false],
    ['*', false],
    [httpDate(1_700_000_000), true],
    [httpDate(1_700_000_001), false],
    [httpDate(1_699_999_999), false],
    ['yesterday', false],
  ]
  for (const [header, expected] of cases) {
    const full = { ...entry, name: '', type: 'file', size: 1, changed: 0n, id: '' } as const
    t.equal(rangeCounts(header, full), expected, String(header))
  }
})

t.test('conditions keep the precedence of RFC 9110, section 13.2.2', async (t) => {
  const date = 'Sun, 06 Nov 1994 08:49:37 GMT'
  const cases: ReadonlyArray<readonly [Record<string, string>, string, unknown]> = [
    [{}, 'GET', undefined],
    [{ 'if-match': '"a"' }, 'PUT', { ifMatch: ['a'] }],
    [{ 'if-match': '*' }, 'PUT', { ifMatch: '*' }],
    [{ 'if-match': 'W/"a", "b"' }, 'PUT', { ifMatch: ['b'] }],
    [{ 'if-match': 'W/"a"' }, 'PUT', { ifMatch: [] }],
    [{ 'if-none-match': 'W/"a","b,c" , ""' }, 'GET', { ifNoneMatch: ['a', 'b,c', ''] }],
    [{ 'if-none-match': '*' }, 'PUT', { ifNoneMatch: '*' }],
    [{ 'if-none-match': '"a"', 'if-modified-since': date }, 'GET', { ifNoneMatch: ['a'] }],
    [{ 'if-match': '"a"', 'if-unmodified-since': date }, 'GET', { ifMatch: ['a'] }],
    [{ 'if-modified-since': date }, 'GET', { ifModifiedSince: 784_111_777 }],
    [{ 'if-modified-since': date }, 'PUT', {}],
    [{ 'if-unmodified-since': date }, 'DELETE', { ifUnmodifiedSince: 784_111_777 }],
    [{ 'if-modified-since': 'tomorrow' }, 'GET', {}],
    [{ 'if-match': 'a' }, 'PUT', 'invalid'],
    [{ 'if-match': '"a" "b"' }, 'PUT', 'invalid'],
    [{ 'if-match': '"a' }, 'PUT', 'invalid'],
    [{ 'if-match': '' }, 'PUT', 'invalid'],
    [{ 'if-none-match': '*, "a"' }, 'PUT', 'invalid'],
    [{ 'if-none-match': 'w/"a"' }, 'GET', 'invalid'],
    [{ 'if-match': Array.from({ length: 300 }, () => '"a"').join() }, 'PUT', 'invalid'],
  ]
  for (const [headers, method, expected] of cases) {
    t.strictSame(
      outcome(() => parseConditions(headers, method)),
      expected,
      JSON.stringify(headers).slice(0, 80),
    )
  }
})

t.test('dates are read in all three forms, and only if they exist', async (t) => {
  const cases: ReadonlyArray<readonly [string, number | undefined]> = [
    ['Sun, 06 Nov 1994 08:49:37 GMT', 784_111_777],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 784_111_777],
    ['Sun Nov  6 08:49:37 1994', 784_111_777],
    ['Sun, 31 Feb 1994 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 24:49:37 GMT', undefined],
    ['Sun, 06 Now 1994 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 08:49:37 +0100', undefined],
    ['784111777', undefined],
    ['', undefined],
  ]
  for (const [text, expected] of cases) t.equal(parseHttpDate(text), expected, text)
  t.equal(httpDate(784_111_777), 'Sun, 06 Nov 1994 08:49:37 GMT')
  t.equal(isoDate(784_111_777_123_456_789n), '1994-11-06T08:49:37.123Z')
  t.equal(isoDate(2n ** 80n), '1970-01-01T00:00:00.000Z')
})

t.test('digests are told and read in the words of every generation', async (t) => {
  const md5 = Buffer.from('5d41402abc4b2a76b9719d911017c592', 'hex')
  const adler32 = Buffer.from('062c0215', 'hex')
  const sha = Buffer.from('LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=', 'base64')
  const told = (headers: Record<string, string>) => {
    const wanted = parseWanted(headers)
    return wanted ? digestHeaders({ md5, adler32, 'sha-256': sha }, wanted) : []
  }
  t.same(told({ 'want-digest': 'ADLER32' }), ['Digest', 'adler32=062c0215'])
  t.same(told({ 'want-digest': 'md5;q=0.5, adler32;q=1, foo' }), [
    'Digest',
    'md5=XUFAKrxLKna5cZ2REBfFkg==,adler32=062c0215',
  ])
  t.same(told({ 'want-digest': 'md5;q=0' }), [])
  t.same(told({ 'want-repr-digest': 'adler=5, md5=0' }), ['Repr-Digest', 'adler=:BiwCFQ==:'])
  t.same(told({ 'want-repr-digest': 'sha-256=10' }), ['Repr-Digest', `sha-256=:${sha.toString('base64')}:`])
  t.same(told({ 'want-digest': 'sha-512' }), [])

  const cases: ReadonlyArray<readonly [Record<string, string>, unknown]> = [
    [{}, undefined],
    [{ digest: 'adler32=62c0215' }, { adler32 }],
    [{ digest: 'MD5=XUFAKrxLKna5cZ2REBfFkg==, unixsum=30637' }, { md5 }],
    [{ 'repr-digest': `sha-256=:${sha.toString('base64')}:, adler=:BiwCFQ==:` }, { 'sha-256': sha, adler32 }],
    [{ 'content-digest': 'sha=:AAAA:' }, undefined],
    [{ 'content-md5': 'XUFAKrxLKna5cZ2REBfFkg==' }, { md5 }],
    [{ 'oc-checksum': 'SHA1:00 ADLER32:062c0215 MD5:5D41402ABC4B2A76B9719D911017C592' }, { adler32, md5 }],
    [{ digest: 'md5=XUFAKrxLKna5cZ2REBfFkg==', 'oc-checksum': `MD5:${'0'.repeat(32)}` }, 'invalid'],
    [{ digest: 'md5=short' }, 'invalid'],
    [{ digest: 'adler32=xyz' }, 'invalid'],
    [{ 'content-md5': '!' }, 'invalid'],
    [{ 'repr-digest': 'sha-256=abc' }, 'invalid'],
  ]
  for (const [headers, expected] of cases) {
    t.strictSame(
      outcome(() => parseExpected(headers)),
      expected,
      JSON.stringify(headers),
    )
  }
})

t.test('a credential follows its grammar', async (t) => {
  const basic = (text: string) => `Basic ${Buffer.from(text, 'latin1').toString('base64')}`
  const cases: ReadonlyArray<readonly [string | undefined, string]> = [
    [undefined, 'none'],
    ['Bearer abc.DEF-1_2~3+4/5==', 'bearer'],
    ['bearer  abc', 'bearer'],
    [basic('alice:a:b'), 'basic'],
    ['Bearer', 'invalid'],
    ['Bearer ', 'invalid'],
    ['Bearer =', 'invalid'],
    ['Bearer a=b', 'invalid'],
    ['Bearer a b', 'invalid'],
    ['Bearer a, Bearer b', 'invalid'],
    ['Bearer a\u00e9', 'invalid'],
    ['Basic !!!', 'invalid'],
    [basic(':secret'), 'invalid'],
    [basic('nocolon'), 'invalid'],
    [basic('ali\nce:secret'), 'invalid'],
    [basic('ali\xffce:secret'), 'invalid'],
    ['Negotiate abc', 'unauthenticated'],
    ['', 'unauthenticated'],
  ]
  for (const [header, expected] of cases) {
    t.equal(
      outcome(() => parseAuthorization(header).kind),
      expected,
      String(header),
    )
  }
  for (const query of ['authz=x', 'a=b&access_token=y', '%61uthz=x']) {
    t.equal(
      outcome(() => requireOneCredential(query)),
      'invalid',
      query,
    )
  }
  t.equal(
    outcome(() => requireOneCredential('download')),
    undefined,
  )
})

t.test('a logged target keeps no secret and no control character', async (t) => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['/a?authz=s3cr3t&x=1', '/a?authz=[secret]&x=1'],
    ['/a?ACCESS_TOKEN=s3cr3t', '/a?ACCESS_TOKEN=[secret]'],
    ['/a?%61ccess_token=s3cr3t', '/a?%61ccess_token=[secret]'],
    ['/a?X-Amz-Signature=s3cr3t&X-Amz-Credential=s3cr3t', '/a?X-Amz-Signature=[secret]&X-Amz-Credential=[secret]'],
    ['http://user:s3cr3t@gw/a', 'http://gw/a'],
    ['/a\r\nb', '/a\\x0d\\x0ab'],
    ['/plain?path=/b', '/plain?path=/b'],
    [`/.portolan/uploads/${'a'.repeat(32)}`, '/.portolan/uploads/aaaaaa[secret]'],
    [`/.portolan/api/v1/uploads/${'a-_9'.repeat(8)}?x=1`, '/.portolan/api/v1/uploads/a-_9a-[secret]?x=1'],
    ['/.portolan/uploads/lab/alice/', '/.portolan/uploads/lab/alice/'],
  ]
  for (const [target, expected] of cases) t.equal(redactTarget(target), expected)
  t.equal(redactTarget('/a'.repeat(5000)).length, 2048)
})

t.test('what browsers run is handed out as a download', async (t) => {
  for (const name of ['x.html', 'x.HTM', 'x.svg', 'x.xhtml', 'x.xml', 'x.js', 'x.mjs', 'x.css']) {
    t.equal(kindOf(name).active, true, name)
  }
  t.same(kindOf('x.txt'), { type: 'text/plain; charset=utf-8', active: false })
  for (const name of ['x', 'x.unknown', '.html5x', 'x.constructor', '__proto__', 'a.', 'x.valueOf']) {
    t.equal(kindOf(name).type, 'application/octet-stream', name)
  }
})

t.test('a file name in a header stays a file name', async (t) => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['a.txt', 'attachment; filename="a.txt"'],
    ['a"b\\c/d.txt', `attachment; filename="a_b_c_d.txt"; filename*=UTF-8''a%22b_c_d.txt`],
    ['a\r\nX: y', 'attachment; filename="a__X: y"'],
    ["naïve (1)'*.txt", `attachment; filename="na_ve (1)'*.txt"; filename*=UTF-8''na%C3%AFve%20%281%29%27%2A.txt`],
    ['100%.txt', `attachment; filename="100_.txt"; filename*=UTF-8''100%25.txt`],
  ]
  for (const [name, expected] of cases) t.equal(attachment(name), expected)
  t.ok(asksForDownload('download') && asksForDownload('x=1&disposition=attachment'))
  t.notOk(asksForDownload('') || asksForDownload('disposition=inline'))
})

t.test('only who names text/html is taken for a browser', async (t) => {
  t.equal(wantsHtml('text/html,application/xhtml+xml,*/*;q=0.8'), true)
  for (const accept of [
    undefined,
    '*/*',
    'application/json',
    'text/*',
    'text/html;q=0.5, application/json',
    'text/html;q=0',
  ]) {
    t.equal(wantsHtml(accept), false, String(accept))
  }
  t.equal(preferred('application/x-ndjson', ['application/json', 'application/x-ndjson']), 'application/x-ndjson')
  t.equal(preferred('image/png', ['application/json', 'text/html']), 'application/json')
})

t.test('a host is ours by its name, whatever the port', async (t) => {
  const hosts = new Hosts('https://GW.desy.de:8443', ['data.desy.de', '[2001:db8::1]'])
  const cases: ReadonlyArray<readonly [string | undefined, boolean, string]> = [
    ['gw.desy.de', false, 'ok'],
    ['GW.DESY.DE.:1', false, 'ok'],
    ['data.desy.de:80', false, 'ok'],
    ['[2001:db8::1]:80', false, 'ok'],
    ['evil.example', false, '421'],
    ['localhost', false, '421'],
    ['localhost:8080', true, 'ok'],
    ['[::1]', true, 'ok'],
    ['gw.desy.de.evil.example', false, '421'],
    [undefined, false, 'invalid'],
    ['', false, 'invalid'],
    ['gw.desy.de, evil', false, 'invalid'],
    ['a@gw.desy.de', false, 'invalid'],
    ['gw.desy.de:x', false, 'invalid'],
  ]
  for (const [host, loopback, expected] of cases) {
    const got = outcome(() => {
      try {
        hosts.check(host, { loopback })
        return 'ok'
      } catch (error) {
        if (error instanceof Error && 'status' in error) return String(error.status)
        throw error
      }
    })
    t.equal(got, expected, String(host))
  }
})

t.test('a query is read strictly', async (t) => {
  t.same(parseQuery('path=/a%20b+c&user=', ['path', 'user']), { path: '/a b c', user: '' })
  for (const query of ['path=a&path=b', 'other=1', 'path=%ff', '__proto__=1']) {
    t.equal(
      outcome(() => parseQuery(query, ['path'])),
      'invalid',
      query,
    )
  }
})
