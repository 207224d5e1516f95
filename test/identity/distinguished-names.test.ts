import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { canonicalName } from '../../acl/identity/distinguished-names.ts'

const alice = 'DC=org/DC=example/O=Grid/CN=Alice%20Smith'

t.test('one name, however it is written', async (t) => {
  const same = [
    'CN=Alice Smith,O=Grid,DC=example,DC=org',
    'cn=Alice Smith, o=Grid , dc=example,dc=org',
    'commonName=Alice\\20Smith,organizationName=Grid,0.9.2342.19200300.100.1.25=example,DC=org',
    '2.5.4.3=Alice Smith,2.5.4.10=Grid,DC=example,DC=org',
    '/DC=org/DC=example/O=Grid/CN=Alice Smith',
    '/dc=org/dc=example/o=Grid/cn=Alice Smith',
    'DC=org\nDC=example\nO=Grid\nCN=Alice Smith',
  ]
  for (const text of same) t.equal(canonicalName(text), alice, text)
})

t.test('names that only look alike are others', async (t) => {
  const others = [
    'CN=alice smith,O=Grid,DC=example,DC=org',
    'DC=org,DC=example,O=Grid,CN=Alice Smith',
    'CN=Alice  Smith,O=Grid,DC=example,DC=org',
    'CN=Alice Smith\\ ,O=Grid,DC=example,DC=org',
    'CN=Alice Smith\\,O\\=Grid,DC=example,DC=org',
    'CN=Grid/CN\\=Alice Smith,O=Grid,DC=example,DC=org',
    '/DC=org/DC=example/O=Grid/CN=Alice Smith/CN=proxy',
    '/DC=org/DC=example/O=Grid/CN=Alice Smith/CN=1234567',
    'CN=Alice Smith+O=Grid,DC=example,DC=org',
  ]
  const seen = new Set<string | undefined>([alice])
  for (const text of others) {
    const name = canonicalName(text)
    t.not(name, undefined, text)
    t.notOk(seen.has(name), text)
    seen.add(name)
  }
})

t.test('what a certificate hides in one value does not become two', async (t) => {
  const one = canonicalName('O=Grid\nCN=x/CN\\=Bob')
  t.not(one, canonicalName('/O=Grid/CN=x/CN=Bob'))
  t.equal(one, 'O=Grid/CN=x%2FCN%3DBob')
  t.equal(canonicalName('/O=Grid/CN=host/gw.example.org'), 'O=Grid/CN=host%2Fgw.example.org')
  t.equal(canonicalName('CN=host/gw.example.org,O=Grid'), 'O=Grid/CN=host%2Fgw.example.org')
})

t.test('a part of several attributes is the same in any order', async (t) => {
  t.equal(canonicalName('CN=a+UID=b,O=c'), canonicalName('UID=b+CN=a,O=c'))
  t.equal(canonicalName('O=c\nUID=b + CN=a'), canonicalName('CN=a+UID=b,O=c'))
})

t.test('what is no name is none', async (t) => {
  const bad = [
    '',
    '/',
    'Alice',
    'CN=',
    'CN=a,',
    ',CN=a',
    'CN=a,,O=b',
    'CN=a+',
    'CN=a"b',
    'CN=a<b',
    'CN=a;O=b',
    'CN=#04024869',
    'CN=a\\',
    'CN=a\\zz',
    'CN=\\ff',
    'XYZ=a',
    '=a',
    'CN=a\0',
    'CN=\ud800',
    '/XYZ=a/CN=b',
    'CN=a/O=b\n',
    `CN=${'a'.repeat(5000)}`,
  ]
  for (const text of bad) t.equal(canonicalName(text), undefined, JSON.stringify(text.slice(0, 40)))
})

t.test('long rubbish takes no long time', async (t) => {
  for (const text of [
    `CN=${' '.repeat(4000)}x`,
    `CN=${'\\ '.repeat(2000)}`,
    `/CN=${'/a='.repeat(1300)}`,
    '+'.repeat(4096),
  ]) {
    const start = performance.now()
    canonicalName(text)
    t.ok(performance.now() - start < 500, text.slice(0, 10))
  }
})

t.test('as Node.js tells it of a certificate that OpenSSL has made', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-dn-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const subject = '/DC=org/DC=example/O=Müller, Söhne + Co/UID=u1/CN=Robot - data mover/emailAddress=a@example.org'
  const common = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-utf8',
    '-days',
    '1',
  ]
  execFileSync('openssl', [...common, '-subj', subject.replace('+', '\\+'), '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  })
  const told = new X509Certificate(readFileSync(cert)).subject
  t.equal(canonicalName(told), canonicalName(subject), told)
  const rfc = execFileSync('openssl', ['x509', '-in', cert, '-noout', '-subject', '-nameopt', 'RFC2253,-esc_msb,utf8'])
  const text = rfc
    .toString()
    .replace(/^subject=\s*/, '')
    .trimEnd()
  t.equal(canonicalName(text), canonicalName(subject), text)
})
