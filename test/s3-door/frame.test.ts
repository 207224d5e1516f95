/** What every request passes: where it is heard, what it names, how a refusal looks, what is written down. */

import { request as httpRequest } from 'node:http'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import { s3ErrorOf } from '../../gateway/s3/errors.ts'
import { placeOf } from '../../gateway/s3/keys.ts'
import { parseS3Target } from '../../gateway/s3/routing.ts'
import { sign } from './signing.ts'
import { keyOf, openS3, principalOf, type S3Process } from './world.ts'

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return error instanceof S3Error ? error.s3Code : String(error)
  }
}

/** Request targets, what stands in front of our domain, and the bucket and key they name; or the code of the refusal. */
const targets: ReadonlyArray<readonly [string, string, readonly [string?, string?] | string]> = [
  ['/', '', []],
  ['/?x-id=ListBuckets', '', []],
  ['/b', '', ['b']],
  ['/b/', '', ['b']],
  ['/b?list-type=2', '', ['b']],
  ['/b/k', '', ['b', 'k']],
  ['/b/k/', '', ['b', 'k/']],
  ['/b//k', '', ['b', '/k']],
  ['/b/../c', '', ['b', '../c']],
  ['/b/%2e%2e/c', '', ['b', '../c']],
  ['/b/a%2Fb', '', ['b', 'a/b']],
  ['/b/a+b%20c', '', ['b', 'a+b c']],
  ['/b/%C3%A9', '', ['b', 'é']],
  ['/b/\u00c3\u00a9', '', ['b', 'é']],
  ['/b/%F0%9F%A6%91', '', ['b', '🦑']],
  ['/b/%EF%BB%BFx', '', ['b', '\ufeffx']],
  ['/', 'b.c', ['b.c']],
  ['/k?uploads', 'b', ['b', 'k']],
  ['/c/k', 'b', ['b', 'c/k']],
  ['//k', 'b', ['b', '/k']],
  ['//', '', 'InvalidURI'],
  ['//b/k', '', 'InvalidURI'],
  ['*', '', 'InvalidURI'],
  ['http://x/b', '', 'InvalidURI'],
  ['/b/%ff', '', 'InvalidURI'],
  ['/b/%c0%ae', '', 'InvalidURI'],
  ['/b/%zz', '', 'InvalidURI'],
  ['/b/%2', '', 'InvalidURI'],
  ['/b/\u00ff', '', 'InvalidURI'],
  ['/b?prefix=%ff', '', 'InvalidURI'],
]

t.test('a request target names a bucket and a key, and nothing in it is resolved', async (t) => {
  for (const [url, label, expected] of targets) {
    if (typeof expected === 'string')
      t.equal(
        codeOf(() => parseS3Target(url, label)),
        expected,
        url,
      )
    else {
      const { bucket, key } = parseS3Target(url, label)
      t.same([bucket, key], [expected[0], expected[1]], `${url} ${label}`)
    }
  }
})

/** Keys and where they lead below /top, or the code of the refusal. */
const keys: ReadonlyArray<readonly [string, string | undefined, string?]> = [
  ['a', '/top/a'],
  ['a/b/', '/top/a/b'],
  [' a ', '/top/ a '],
  ['a\\b', '/top/a\\b'],
  ['...', '/top/...'],
  ['.a', '/top/.a'],
  ['k'.repeat(255), `/top/${'k'.repeat(255)}`],
  ['a/'.repeat(512), `/top/${'a/'.repeat(512)}`],
  ['k'.repeat(256), undefined, 'KeyTooLongError'],
  ['é'.repeat(128), undefined, 'KeyTooLongError'],
  ['a/'.repeat(512).concat('x'), undefined, 'KeyTooLongError'],
  ['', undefined, 'InvalidArgument'],
  ['/', undefined, 'InvalidArgument'],
  ['/a', undefined, 'InvalidArgument'],
  ['a//b', undefined, 'InvalidArgument'],
  ['a//', undefined, 'InvalidArgument'],
  ['.', undefined, 'InvalidArgument'],
  ['..', undefined, 'InvalidArgument'],
  ['a/..', undefined, 'InvalidArgument'],
  ['a/../', undefined, 'InvalidArgument'],
  ['a/./b', undefined, 'InvalidArgument'],
  ['a\0b', undefined, 'InvalidArgument'],
  ['\ud800', undefined, 'InvalidArgument'],
]

t.test('a key leads to one place below its bucket, or nowhere', async (t) => {
  const bucket = { path: '/top' as Path }
  for (const [key, path, code] of keys) {
    const name = JSON.stringify(key.slice(0, 20))
    if (path === undefined)
      t.equal(
        codeOf(() => placeOf(bucket, key)),
        code,
        name,
      )
    else {
      const place = placeOf(bucket, key)
      t.equal(place.path, path.endsWith('/') ? path.slice(0, -1) : path, name)
      t.equal(place.asDirectory, key.endsWith('/'), name)
    }
  }
  t.equal(placeOf({ path: '/' as Path }, 'a/b').path, '/a/b')
})

t.test('errors of the core become those of S3, by what the request is for', async (t) => {
  const rows = [
    ['not-found', { bucket: 'b', key: 'k' }, 'GET', 'NoSuchKey', 404],
    ['not-found', { bucket: 'b' }, 'GET', 'NoSuchBucket', 404],
    ['not-directory', { bucket: 'b', key: 'k' }, 'HEAD', 'NoSuchKey', 404],
    ['not-directory', { bucket: 'b', key: 'k' }, 'PUT', 'ObjectParentIsFile', 409],
    ['is-directory', { bucket: 'b', key: 'k' }, 'PUT', 'ExistingObjectIsDirectory', 409],
    ['is-directory', { bucket: 'b', key: 'k' }, 'GET', 'NoSuchKey', 404],
    ['denied', { bucket: 'b', key: 'k' }, 'GET', 'AccessDenied', 403],
    ['unauthenticated', {}, 'GET', 'AccessDenied', 403],
    ['quota', {}, 'PUT', 'QuotaExceeded', 403],
    ['no-space', {}, 'PUT', 'InsufficientStorage', 507],
    ['busy', {}, 'PUT', 'SlowDown', 503],
    ['locked', {}, 'PUT', 'OperationAborted', 409],
    ['nearline', {}, 'GET', 'InvalidObjectState', 403],
    ['internal', {}, 'GET', 'InternalError', 500],
  ] as const
  for (const [code, subject, method, expected, status] of rows) {
    const error = s3ErrorOf(new StorageError(code, 'the words of the core'), subject, method)
    t.same([error.s3Code, error.status], [expected, status], `${method} ${code}`)
  }
  const hidden = s3ErrorOf(new StorageError('denied', 'bob may not'), { bucket: 'b' })
  t.notMatch(hidden.message, /bob/)
  t.same(s3ErrorOf(new StorageError('busy', '', { retryAfter: 2.5 })).headers, ['Retry-After', '3'])
})

t.test('a refusal is a document with the ids of its headers; of HEAD it is a status alone', async (t) => {
  const world = await openS3(t)
  const { status, headers, text } = await world.raw({ target: '/open/no%20<ne>', as: 'alice' })
  t.equal(status, 404)
  t.equal(headers['content-type'], 'application/xml')
  const id = headers['x-amz-request-id']
  t.match(text, /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>NoSuchKey<\/Code><Message>[^<]+<\/Message>/)
  t.match(text, '<Key>no &lt;ne&gt;</Key><Resource>/open/no &lt;ne&gt;</Resource>')
  t.match(text, `<RequestId>${id}</RequestId><HostId>${headers['x-amz-id-2']}</HostId></Error>`)
  const head = await world.raw({ method: 'HEAD', target: '/open/none', as: 'alice' })
  t.same([head.status, head.text], [404, ''])
  t.equal((await world.raw({ target: '/none/x', as: 'alice' })).code, 'NoSuchBucket')
  t.equal((await world.raw({ method: 'PATCH', target: '/open/x', as: 'alice' })).code, 'MethodNotAllowed')
  t.equal((await world.raw({ method: 'POST', target: '/open/x', as: 'alice' })).headers.allow, 'GET, HEAD, PUT, DELETE')
  t.equal((await world.raw({ method: 'PUT', target: '/', as: 'alice' })).status, 405)
  t.equal((await world.raw({ target: '/open?list-type=3', as: 'alice' })).code, 'InvalidArgument')
  t.equal((await world.raw({ target: '/open/x?torrent', as: 'alice' })).code, 'NotImplemented')
  t.equal((await world.raw({ method: 'PUT', target: '/open?policy', body: '{}', as: 'alice' })).code, 'NotImplemented')
  t.equal((await world.raw({ method: 'POST', target: '/open', body: 'x', as: 'alice' })).status, 412)
})

interface Heard {
  readonly port: number
  readonly host: string
  readonly target: string
  readonly as?: 'alice'
}

async function ask({ port, host, target, as }: Heard): Promise<{ status: number; text: string }> {
  const headers = { host }
  const all = as ? sign({ method: 'GET', target, headers, key: keyOf(as) }).headers : headers
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const sent = httpRequest({ host: '127.0.0.1', port, path: target, agent: false, headers: all })
  sent.on('error', reject).on('response', (response) => {
    buffer(response).then((bytes) => resolve({ status: response.statusCode ?? 0, text: bytes.toString() }), reject)
  })
  sent.end()
  return promise
}

t.test('S3 is heard by its listener and by its host names, and nowhere else', async (t) => {
  const { port, httpPort }: S3Process = await openS3(t)
  const rows = [
    [port, 'localhost', '/', /ListAllMyBucketsResult/],
    [port, 's3.lab.example', '/', /ListAllMyBucketsResult/],
    [port, 's3.lab.example:9000', '/open', /<Name>open</],
    [port, 'open.s3.lab.example', '/', /<Name>open</],
    [port, 'OPEN.S3.LAB.EXAMPLE.', '/', /<Name>open</],
    [port, 'elsewhere.example', '/', /<Code>InvalidRequest</],
    [httpPort, 's3.lab.example', '/', /ListAllMyBucketsResult/],
    [httpPort, 'open.s3.lab.example', '/', /<Name>open</],
    [httpPort, 'localhost', '/', /^(?!.*ListAllMyBucketsResult)/s],
    [httpPort, 'xs3.lab.example', '/', /does not answer for this host/],
  ] as const
  for (const [at, host, target, expected] of rows) {
    t.match((await ask({ port: at, host, target, as: 'alice' })).text, expected, `${host}${target} at ${at === port}`)
  }
})

t.test('refused signatures are written down, with what they were for', async (t) => {
  const world = await openS3(t)
  const wrong = { ...keyOf('alice'), secret: 'guessed' }
  t.equal((await world.raw({ target: '/data/x', as: wrong })).code, 'SignatureDoesNotMatch')
  t.equal((await world.raw({ target: '/data/x', as: { accessKeyId: 'AKIANOBODY000000', secret: 'x' } })).status, 403)
  const told = world.audit.records.filter(({ action }) => action === 'authenticate')
  t.match(told, [
    { door: 's3', path: '/data/x', outcome: 'refused', code: 'unauthenticated' },
    { door: 's3', path: '/data/x', outcome: 'refused', code: 'unauthenticated' },
  ])
  t.notMatch(JSON.stringify(told), /guessed/)
})

t.test('a bucket that is expected to be somebody else’s is refused', async (t) => {
  const world = await openS3(t)
  const headers = (owner: string) => ({ 'x-amz-expected-bucket-owner': owner })
  t.equal((await world.raw({ target: '/open', headers: headers('111122223333'), as: 'alice' })).code, 'AccessDenied')
  t.equal((await world.raw({ target: '/open', headers: headers('000000000000'), as: 'alice' })).status, 200)
})

t.test('anonymous callers read where a mount admits them; pages of other sites change nothing for them', async (t) => {
  const world = await openS3(t)
  t.equal((await world.raw({ target: '/open' })).status, 200)
  t.equal((await world.raw({ target: '/data' })).code, 'AccessDenied')
  const headers = { origin: 'https://elsewhere.example' }
  t.equal((await world.raw({ method: 'PUT', target: '/open/x', headers, body: 'x' })).code, 'AccessDenied')
  t.equal((await world.raw({ method: 'PUT', target: '/open/x', headers, body: 'x', as: 'alice' })).status, 200)
})

t.test('a key that is bound to addresses is refused from others', async (t) => {
  const bound = { accessKeyId: 'AKIABOUND0000000', secret: 'secret-of-a-bound-key' }
  const addresses = { networks: [['10.0.0.0/8']], includes: () => false }
  const secret = new Secret(bound.secret)
  const world = await openS3(t, {
    key: async (accessKeyId) =>
      accessKeyId === bound.accessKeyId
        ? { accessKeyId, secret, principal: principalOf('alice', { addresses }) }
        : undefined,
  })
  t.equal((await world.raw({ target: '/open', as: bound })).code, 'AccessDenied')
  t.equal((await world.raw({ target: '/open', as: 'alice' })).status, 200)
})

t.test('a refusal leads the owner of the key to its explanation, and nobody else', async (t) => {
  const world = await openS3(t)
  await world.raw({ method: 'PUT', target: '/data/a%20b', as: 'alice', body: 'x' })
  const linkOf = ({ text }: { readonly text: string }) => /<ExplainUrl>([^<]+)<\/ExplainUrl>/.exec(text)?.[1]
  const rows = [
    ['GET', '/data/a%20b', 'read'],
    ['PUT', '/data/a%20b', 'create'],
    ['DELETE', '/data/a%20b', 'remove'],
    ['GET', '/data/a%20b?tagging', 'read-properties'],
    ['POST', '/data/a%20b?uploads', 'create'],
  ] as const
  for (const [method, target, action] of rows) {
    const answer = await world.raw({ method, target, as: 'bob' })
    t.match(answer, { status: 403, code: 'AccessDenied' }, `${method} ${target}`)
    const link = new URL((linkOf(answer) ?? '').replaceAll('&amp;', '&'))
    t.equal(link.pathname, '/.portolan/explain')
    t.same(
      [...link.searchParams],
      [
        ['path', '/data/a b'],
        ['action', action],
      ],
    )
  }
  t.equal(linkOf(await world.raw({ target: '/data/a%20b' })), undefined, 'of paths strangers learn nothing')
  t.equal(linkOf(await world.raw({ target: '/open/none', as: 'bob' })), undefined, 'nor is there a refusal to explain')
})
