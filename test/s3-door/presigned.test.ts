/** URLs that are signed, as clients and the Amazon S3 API Reference ("Authenticating Requests: Using Query Parameters") write them. */

import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { authenticate, type KeyLookup } from '../../gateway/s3/authentication.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import { presign, type SigningKey } from './signing.ts'
import { keyOf, openS3 } from './world.ts'

const example: SigningKey = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
}
const alice = { ...anonymous, id: 's3:AKIA', user: 'alice@desy.de' }
const key: KeyLookup = async (id) =>
  id === example.accessKeyId ? { secret: new Secret(example.secret), principal: alice } : undefined
const now = Date.UTC(2013, 4, 24)
const options = { key, region: 'us-east-1', isPrivate: false, now }
const host = 'examplebucket.s3.amazonaws.com'
const documented =
  '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
  '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
  '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'

async function errorOf(url: string, rawHeaders: readonly string[] = ['Host', host], more = {}) {
  try {
    await authenticate({ method: 'GET', url, rawHeaders: [...rawHeaders] }, { ...options, ...more })
  } catch (error) {
    if (error instanceof S3Error) return error
    throw error
  }
  return undefined
}

t.test('the documented URL is accepted, and no other', async (t) => {
  const request = { method: 'GET', url: documented, rawHeaders: ['Host', host] }
  t.match(await authenticate(request, options), { principal: alice, signed: true, payload: { sha256: undefined } })
  t.equal(presign({ path: '/test.txt', host, key: example, at: now, expires: 86400 }), documented)
  for (const url of [documented.replace('test.txt', 'text.txt'), documented.replace(/4$/, '5'), `${documented}&x=1`]) {
    t.equal((await errorOf(url))?.s3Code, 'SignatureDoesNotMatch', url)
  }
  t.equal((await errorOf(documented, ['Host', 'other']))?.s3Code, 'SignatureDoesNotMatch')
})

t.test('a URL is good from when it was signed until it expires', async (t) => {
  for (const at of [now - 900_000, now, now + 86_400_000]) {
    t.ok(
      (await authenticate({ method: 'GET', url: documented, rawHeaders: ['Host', host] }, { ...options, now: at }))
        .signed,
    )
  }
  const late = await errorOf(documented, undefined, { now: now + 86_401_000 })
  t.match(late, { s3Code: 'AccessDenied', status: 403, message: 'Request has expired' })
  t.same(late?.elements, {
    'X-Amz-Expires': '86400',
    Expires: '2013-05-25T00:00:00.000Z',
    ServerTime: '2013-05-25T00:00:01.000Z',
  })
  const early = await errorOf(documented, undefined, { now: now - 901_000 })
  t.match(early, { s3Code: 'AccessDenied', message: /not yet valid/ })
})

t.test('what is wrong with the parameters is told', async (t) => {
  const rows: readonly [what: string, url: string][] = [
    ['no algorithm', documented.replace('X-Amz-Algorithm=AWS4-HMAC-SHA256&', '')],
    ['another algorithm', documented.replace('HMAC-SHA256', 'HMAC-SHA1')],
    ['no credential', documented.replace(/X-Amz-Credential=[^&]*&/, '')],
    ['a bad credential', documented.replace('%2Faws4_request', '')],
    ['another service', documented.replace('%2Fs3%2F', '%2Fsts%2F')],
    ['another region', documented.replace('us-east-1', 'eu-west-1')],
    ['no date', documented.replace(/X-Amz-Date=[^&]*&/, '')],
    ['a bad date', documented.replace('20130524T000000Z', '2013-05-24')],
    ['another date', documented.replace('20130524T000000Z', '20130525T000000Z')],
    ['no expiry', documented.replace(/X-Amz-Expires=[^&]*&/, '')],
    ['no number', documented.replace('=86400', '=soon')],
    ['negative', documented.replace('=86400', '=-1')],
    ['more than a week', documented.replace('=86400', '=604801')],
    ['no signed headers', documented.replace('SignedHeaders=host', 'SignedHeaders=')],
    ['bad signed headers', documented.replace('SignedHeaders=host', 'SignedHeaders=host%3Bhost')],
    ['no signature', documented.replace(/&X-Amz-Signature=.*/, '')],
    ['one in two ways of writing', `${documented}&x-amz-date=20130524T000000Z`],
  ]
  for (const [what, url] of rows) {
    t.match(await errorOf(url), { s3Code: 'AuthorizationQueryParametersError', status: 400 }, what)
  }
})

t.test('a URL and a header do not both sign, and the old way of signing is refused', async (t) => {
  const both = await errorOf(documented, ['Host', host, 'Authorization', 'AWS4-HMAC-SHA256 Credential=x'])
  t.match(both, { s3Code: 'InvalidArgument', status: 400, message: /Only one auth mechanism/ })
  const old = await errorOf('/test.txt?AWSAccessKeyId=AKIA&Signature=abc%3D&Expires=1900000000')
  t.match(old, { s3Code: 'InvalidRequest', status: 400, message: /AWS4-HMAC-SHA256/ })
  t.equal(await errorOf('/b?Signature=x'), undefined)
})

t.test('headers must be signed, or be brought by the URL', async (t) => {
  const extra = await errorOf(documented, ['Host', host, 'x-amz-meta-a', '1'])
  t.match(extra, { s3Code: 'AccessDenied', elements: { HeadersNotSigned: 'x-amz-meta-a' } })
  const query = { 'x-amz-meta-a': '1', 'x-id': 'PutObject', 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' }
  const url = presign({ path: '/test.txt', host, key: example, at: now, query, headers: { 'x-amz-meta-b': '2' } })
  const rawHeaders = ['Host', host, 'x-amz-meta-b', '2']
  const found = await authenticate({ method: 'GET', url, rawHeaders }, options)
  t.equal(found.header('x-amz-meta-a'), '1')
  t.same([...found.headerNames()].toSorted(), ['host', 'x-amz-meta-a', 'x-amz-meta-b'])
  t.equal((await errorOf(url, ['Host', host, 'x-amz-meta-b', '3']))?.s3Code, 'SignatureDoesNotMatch')
  const anonymousUrl = { method: 'GET', url: '/test.txt?x-amz-meta-a=1', rawHeaders }
  t.equal((await authenticate(anonymousUrl, options)).header('x-amz-meta-a'), undefined)
})

t.test('a plus in what the URL brings means what it was signed to mean', async (t) => {
  const url = presign({ path: '/test.txt', host, key: example, at: now, query: { 'x-amz-meta-a': '1%202' } })
  const sent = url.replace('1%202', '1+2')
  const found = await authenticate({ method: 'GET', url: sent, rawHeaders: ['Host', host] }, options)
  t.equal(found.query.get('x-amz-meta-a'), '1 2')
  t.equal(found.header('x-amz-meta-a'), '1 2')
})

t.test('a name that the URL brings is one that can be sent as a header', async (t) => {
  const world = await openS3(t)
  const at = { host: `127.0.0.1:${world.port}`, path: '/data/named', key: keyOf('alice'), method: 'PUT' }
  for (const name of ['x-amz-meta-a%20b', 'x-amz-meta-%0D%0Ax', 'x-amz-meta-', `x-amz-meta-${'n'.repeat(513)}`]) {
    const put = await world.raw({ method: 'PUT', target: presign({ ...at, query: { [name]: '1' } }), body: 'x' })
    t.match(put, { status: 400, code: 'InvalidArgument' }, name)
  }
  t.equal((await world.raw({ target: '/data/named', as: 'alice' })).status, 404)
})

t.test('a session token is part of what is signed', async (t) => {
  const session = { ...example, sessionToken: 'a+b/c==' }
  const url = presign({ path: '/test.txt', host, key: session, at: now })
  let shown: string | undefined
  const lookup: KeyLookup = async (_, token) => {
    shown = token
    return { secret: new Secret(example.secret), principal: alice }
  }
  t.equal((await errorOf(url, undefined, { key: lookup }))?.s3Code, 'AccessDenied')
  t.equal(await errorOf(url, undefined, { key: lookup, isPrivate: true }), undefined)
  t.equal(shown, 'a+b/c==')
  const cut = await errorOf(url.replace(/&X-Amz-Security-Token=[^&]*/, ''), undefined, { key: lookup, isPrivate: true })
  t.equal(cut?.s3Code, 'SignatureDoesNotMatch')
  const wrong = await errorOf(url.replace('test', 'text'), undefined, { key: lookup, isPrivate: true })
  t.notMatch(JSON.stringify(wrong?.elements), /a%2Bb/)
})

t.test('signed URLs read and write through the door', async (t) => {
  const world = await openS3(t)
  const at = { host: `127.0.0.1:${world.port}`, path: '/data/signed%20url.txt', key: keyOf('alice') }
  const put = presign({ ...at, method: 'PUT', headers: { 'content-type': 'text/plain' } })
  t.equal(
    (await world.raw({ method: 'PUT', target: put, headers: { 'content-type': 'text/html' }, body: 'x' })).status,
    403,
  )
  const stored = await world.raw({
    method: 'PUT',
    target: put,
    headers: { 'content-type': 'text/plain' },
    body: 'hello',
  })
  t.equal(stored.status, 200, stored.text)
  const read = await world.raw({ target: presign({ ...at, query: { 'response-content-type': 'text%2Fcsv' } }) })
  t.match(read, { status: 200, text: 'hello', headers: { 'content-type': 'text/csv' } })
  const expired = await world.raw({ target: presign({ ...at, at: Date.now() - 10_000, expires: 5 }) })
  t.match(expired, { status: 403, code: 'AccessDenied' })
  t.match(expired.text, /<Message>Request has expired<\/Message>/)
  t.match(await world.raw({ target: presign({ ...at, key: keyOf('bob') }) }), { status: 403, code: 'AccessDenied' })
  t.equal((await world.raw({ target: '/data/signed%20url.txt' })).status, 403)
})
