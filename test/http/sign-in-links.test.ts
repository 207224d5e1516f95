import t from 'tap'
import { returnPath } from '../../gateway/http/sign-in-links.ts'

t.test('one comes back to a path of ours, and nowhere else', async (t) => {
  const cases: ReadonlyArray<readonly [string | undefined, string]> = [
    ['/', '/'],
    ['/data/a%20b/?sort=size&order=down', '/data/a%20b/?sort=size&order=down'],
    ['/data/./x/../y', '/data/y'],
    ['/a?next=//evil.example', '/a?next=//evil.example'],
    ['/a#fragment', '/a'],
    [undefined, '/'],
    ['', '/'],
    ['data', '/'],
    ['//evil.example', '/'],
    ['///evil.example', '/'],
    ['/\\evil.example', '/'],
    ['\\\\evil.example', '/'],
    ['/a\\b', '/'],
    ['/\t/evil.example', '/'],
    ['/\n/evil.example', '/'],
    ['/a\r\nSet-Cookie: x=y', '/'],
    ['\u0000/a', '/'],
    [' //evil.example', '/'],
    ['https://evil.example/', '/'],
    ['javascript:alert(1)', '/'],
    ['/..//evil.example', '/'],
    ['/.//evil.example', '/'],
    ['/a/..//evil.example', '/'],
    ['/%2e%2e//evil.example', '/'],
    ['/a/%2E%2e//evil.example', '/'],
    ['/%2f/evil.example', '/%2f/evil.example'],
    ['/\u2028/x', '/'],
    ['/é', '/'],
    [`/${'a'.repeat(5000)}`, '/'],
  ]
  for (const [asked, expected] of cases) {
    const found = returnPath(asked)
    t.equal(found, expected, encodeURIComponent(asked ?? 'nothing'))
    t.equal(new URL(found, 'https://gw.example.org').host, 'gw.example.org')
  }
})
