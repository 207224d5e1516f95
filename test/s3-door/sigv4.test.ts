import fc from 'fast-check'
import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { authenticate, type KeyLookup } from '../../gateway/s3/authentication.ts'
import {
  canonicalHeaders,
  canonicalQuery,
  canonicalRequest,
  canonicalUri,
  HeadFields,
  parseS3Query,
  splitTarget,
} from '../../gateway/s3/canonical.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import {
  amzDate,
  deriveSigningKey,
  emptyHash,
  parseAmzDate,
  parseCredential,
  signatureOf,
  stringToSign,
} from '../../gateway/s3/sigv4.ts'

/** Keys, times and signatures of the examples in the Amazon S3 API Reference, "Authenticating Requests". */
const secret = new Secret('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')
const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
const date = '20130524T000000Z'
const now = Date.UTC(2013, 4, 24)
const host = ['Host', 'examplebucket.s3.amazonaws.com']
const scope = { accessKeyId, day: '20130524', region: 'us-east-1', service: 's3' }
const alice = { ...anonymous, id: 's3:AKIA', user: 'alice@desy.de' }
const key: KeyLookup = async (id, token) =>
  id === accessKeyId && token === undefined ? { secret, principal: alice } : undefined
const options = { key, region: 'eu-desy-1', isPrivate: false, now }

const authorization = (signedHeaders: string, signature: string) =>
  `AWS4-HMAC-SHA256 Credential=${accessKeyId}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`

interface Sent {
  readonly method?: string
  readonly url?: string
  readonly headers?: readonly string[]
}

/** Signs as a client does that follows the rules, so that what else is wrong can be told. */
function signed({ method = 'GET', url = '/b/k', headers = [] }: Sent, how: { at?: number; region?: string } = {}) {
  const when = amzDate(how.at ?? now)
  const own = { ...scope, day: when.slice(0, 8), region: how.region ?? scope.region }
  const rawHeaders = [...host, 'x-amz-date', when, 'x-amz-content-sha256', emptyHash, ...headers]
  const names = [...new Set(rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()))].sort()
  const { path, query } = splitTarget(url)
  const request = canonicalRequest({
    method,
    uri: canonicalUri(path) ?? '',
    query: canonicalQuery(query, 'space') ?? '',
    headers: canonicalHeaders(new HeadFields(rawHeaders), names),
    signedHeaders: names.join(';'),
    payloadHash: emptyHash,
  })
  const text = stringToSign(request, when, `${own.day}/${own.region}/s3/aws4_request`)
  const signature = signatureOf(deriveSigningKey(secret, own), text)
  const credential = `${accessKeyId}/${own.day}/${own.region}/s3/aws4_request`
  const value = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return { method, url, rawHeaders: [...rawHeaders, 'Authorization', value] }
}

async function refused(t: Tap, request: Parameters<typeof authenticate>[0], code: string, status: number, more = {}) {
  const error = await authenticate(request, { ...options, ...more }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof S3Error)) {
    t.fail(`no S3Error but ${String(error)}`, { request })
    return undefined
  }
  t.same([error.s3Code, error.status], [code, status], JSON.stringify(request.rawHeaders).slice(0, 300))
  return error
}

type Tap = Pick<typeof t, 'same' | 'fail'>

t.test('the signing key is that of the documentation', async (t) => {
  t.equal(
    deriveSigningKey(secret, scope).toString('hex'),
    'dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378',
  )
})

const amz = ['x-amz-date', date, 'x-amz-content-sha256', emptyHash]
const examples: readonly [what: string, sent: Sent, signedHeaders: string, signature: string][] = [
  [
    'a range of an object',
    { url: '/test.txt', headers: ['Range', 'bytes=0-9', ...amz] },
    'host;range;x-amz-content-sha256;x-amz-date',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'an upload with a character to be encoded',
    {
      method: 'PUT',
      url: '/test$file.text',
      headers: [
        'Date',
        'Fri, 24 May 2013 00:00:00 GMT',
        'x-amz-date',
        date,
        'x-amz-storage-class',
        'REDUCED_REDUNDANCY',
        'x-amz-content-sha256',
        '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      ],
    },
    'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  [
    'a parameter without a value',
    { url: '/?lifecycle', headers: amz },
    'host;x-amz-content-sha256;x-amz-date',
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    'two parameters',
    { url: '/?max-keys=2&prefix=J', headers: amz },
    'host;x-amz-content-sha256;x-amz-date',
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
]
for (const [what, { method = 'GET', url = '/', headers = [] }, signedHeaders, signature] of examples) {
  t.test(`the documented signature is accepted, and no other: ${what}`, async (t) => {
    const rawHeaders = [...host, ...headers, 'Authorization', authorization(signedHeaders, signature)]
    const found = await authenticate({ method, url, rawHeaders }, options)
    t.match(found, { principal: alice, signed: true, accessKeyId })
    const wrong = [...host, ...headers, 'Authorization', authorization(signedHeaders, signature.replace(/.$/, 'x'))]
    const error = await refused(t, { method, url, rawHeaders: wrong }, 'SignatureDoesNotMatch', 403)
    t.match(error?.elements, { AWSAccessKeyId: accessKeyId, SignatureProvided: /x$/ })
    await refused(t, { method: 'DELETE', url, rawHeaders }, 'SignatureDoesNotMatch', 403)
    await refused(t, { method, url: `${url}x`, rawHeaders }, 'SignatureDoesNotMatch', 403)
  })
}

t.test('paths are signed as AWS writes them, whatever came over the wire', async (t) => {
  const rows: readonly [sent: string, canonical: string | undefined][] = [
    ['/b/a%20b/%C3%A9%2B~%281%29%2A%21%27.txt', '/b/a%20b/%C3%A9%2B~%281%29%2A%21%27.txt'],
    ["/b/a%20b/%c3%a9+~(1)*!'.txt", '/b/a%20b/%C3%A9%2B~%281%29%2A%21%27.txt'],
    ['/b//a/./../c/', '/b//a/./../c/'],
    ['/b/%2e%2e/%2Fx', '/b/..//x'],
    ['/b/%zz', undefined],
    ['/b/%', undefined],
    ['/b/%4', undefined],
  ]
  for (const [sent, canonical] of rows) t.equal(canonicalUri(sent), canonical, sent)
  t.same(splitTarget('http://host:80/b/k?x=1?2'), { path: '/b/k', query: 'x=1?2' })
  t.same(splitTarget('https://host?x'), { path: '/', query: 'x' })
})

t.test('queries are signed sorted, with both sides encoded', async (t) => {
  const rows: readonly [sent: string, canonical: string | undefined][] = [
    ['delimiter=/&max-keys=1000&prefix=', 'delimiter=%2F&max-keys=1000&prefix='],
    ['uploads', 'uploads='],
    ['b=2&a=1&a=0&A=3', 'A=3&a=0&a=1&b=2'],
    ['a=b=c', 'a=b%3Dc'],
    ['&&x&', 'x='],
    ['prefix=%e4%20*', 'prefix=%E4%20%2A'],
    ['x=%', undefined],
  ]
  for (const [sent, canonical] of rows) t.equal(canonicalQuery(sent, 'literal'), canonical, sent)
  t.equal(canonicalQuery('a=1+2', 'literal'), 'a=1%2B2')
  t.equal(canonicalQuery('a=1+2', 'space'), 'a=1%202')
  t.equal(parseS3Query('a=%ff', 'space'), undefined)
  t.equal(parseS3Query('a=%C3%A9&a=2', 'space')?.get('a'), 'é')
})

t.test('header fields are signed as they came, joined and without needless spaces', async (t) => {
  const fields = new HeadFields(['X-Amz-Meta-A', ' a   b ', 'x-amz-meta-a', 'c', 'X-Latin', '\xa0\xe9\xa0'])
  t.equal(canonicalHeaders(fields, ['x-latin', 'x-amz-meta-a']), 'x-amz-meta-a:a b,c\nx-latin:\xa0\xe9\xa0\n')
  // What a proxy takes for itself.
  t.equal(canonicalHeaders(fields, ['expect']), 'expect:100-continue\n')
})

t.test('a bare plus in a query is what its sender signed', async (t) => {
  const found = await authenticate(signed({ url: '/b?prefix=a+b' }), options)
  t.equal(found.query.get('prefix'), 'a b')
  const plus = await authenticate(signed({ url: '/b?prefix=a%2Bb' }), options)
  t.equal(plus.query.get('prefix'), 'a+b')
})

t.test('names of keys may hold slashes', async (t) => {
  t.same(parseCredential('a/b/c/20130524/us-east-1/s3/aws4_request'), { ...scope, accessKeyId: 'a/b/c' })
  for (const bad of [
    'a/20130524/us-east-1/s3/aws4',
    '/20130524/us-east-1/s3/aws4_request',
    'a/2013/r/s3/aws4_request',
  ]) {
    t.equal(parseCredential(bad), undefined, bad)
  }
})

t.test('times have one form', async (t) => {
  t.equal(parseAmzDate('20130524T000000Z'), now)
  for (const bad of [
    '20130230T000000Z',
    '20131324T000000Z',
    '20130024T000000Z',
    '20130500T000000Z',
    '20130532T000000Z',
    '20130524T006000Z',
    '20130524T240000Z',
    '2013-05-24T00:00:00Z',
    '',
  ]) {
    t.equal(parseAmzDate(bad), undefined, bad)
  }
})

t.test('the clock may be wrong by a quarter of an hour', async (t) => {
  for (const off of [-900_000, 0, 900_000]) {
    t.ok((await authenticate(signed({}, { at: now + off }), options)).signed, String(off))
  }
  for (const off of [-901_000, 901_000, 86_400_000]) {
    const error = await refused(t, signed({}, { at: now + off }), 'RequestTimeTooSkewed', 403)
    t.match(error?.elements, { MaxAllowedSkewMilliseconds: '900000', ServerTime: '2013-05-24T00:00:00.000Z' })
  }
})

t.test('the region is ours or the one that clients take by themselves', async (t) => {
  t.ok((await authenticate(signed({}, { region: 'eu-desy-1' }), options)).signed)
  const error = await refused(t, signed({}, { region: 'eu-west-1' }), 'AuthorizationHeaderMalformed', 400)
  t.equal(error?.elements.Region, 'eu-desy-1')
})

t.test('what S3 gives a meaning to must be signed', async (t) => {
  const request = signed({})
  const rawHeaders = [...request.rawHeaders, 'X-Amz-Acl', 'public-read', 'x-amz-meta-a', '1']
  const error = await refused(t, { ...request, rawHeaders }, 'AccessDenied', 403)
  t.equal(error?.elements.HeadersNotSigned, 'x-amz-acl, x-amz-meta-a')
  const unbound = request.rawHeaders.map((each) => each.replace('host;', ''))
  t.equal(
    (await refused(t, { ...request, rawHeaders: unbound }, 'AccessDenied', 403))?.elements.HeadersNotSigned,
    'host',
  )
})

t.test('a header that changed on the way, or a second one, breaks the signature', async (t) => {
  const request = signed({ headers: ['x-amz-meta-a', '1', 'x-amz-meta-a', '2'] })
  t.equal((await authenticate(request, options)).header('x-amz-meta-a'), '1,2')
  for (const more of [
    ['x-amz-meta-a', '3'],
    ['Host', 'other'],
  ]) {
    await refused(t, { ...request, rawHeaders: [...request.rawHeaders, ...more] }, 'SignatureDoesNotMatch', 403)
  }
})

t.test('bad authorization is refused in the words of S3', async (t) => {
  const good = signed({})
  const header = good.rawHeaders.at(-1) ?? ''
  const rows: readonly [value: string, code: string, status: number][] = [
    ['', 'AccessDenied', 403],
    ['AWS AKIA:signature', 'InvalidRequest', 400],
    ['Bearer token', 'InvalidArgument', 400],
    ['AWS4-ECDSA-P256-SHA256 Credential=x', 'NotImplemented', 501],
    ['AWS4-HMAC-SHA256', 'AuthorizationHeaderMalformed', 400],
    ['AWS4-HMAC-SHA256 nonsense', 'AuthorizationHeaderMalformed', 400],
    [header.replace(/, Signature.*/, ''), 'AuthorizationHeaderMalformed', 400],
    [header.replace(/SignedHeaders=[^,]*/, 'SignedHeaders='), 'AuthorizationHeaderMalformed', 400],
    [header.replace('host', 'host;host'), 'AuthorizationHeaderMalformed', 400],
    [header.replace('host', 'Host'), 'AuthorizationHeaderMalformed', 400],
    [header.replace('/s3/', '/sts/'), 'AuthorizationHeaderMalformed', 400],
    [header.replace('/20130524/', '/20130525/'), 'AuthorizationHeaderMalformed', 400],
    [header.replace('aws4_request', 'aws4'), 'AuthorizationHeaderMalformed', 400],
    [`${header},${header}`, 'AuthorizationHeaderMalformed', 400],
    [header.replace(accessKeyId, 'AKIANOBODY'), 'InvalidAccessKeyId', 403],
    [header.replace(/Signature=.*/, 'Signature=00'), 'SignatureDoesNotMatch', 403],
  ]
  for (const [value, code, status] of rows) {
    await refused(t, { ...good, rawHeaders: [...good.rawHeaders.slice(0, -1), value] }, code, status)
  }
  const without = (name: string) =>
    good.rawHeaders.flatMap((each, at, all) => (at % 2 || each === name ? [] : [each, all[at + 1] ?? '']))
  await refused(t, { ...good, rawHeaders: without('x-amz-date') }, 'AccessDenied', 403)
  const unhashed = without('x-amz-content-sha256')
  await refused(t, { ...good, rawHeaders: unhashed }, 'InvalidRequest', 400)
  await refused(t, { ...good, url: '/b/%zz' }, 'InvalidURI', 400)
  await refused(t, { ...good, url: '/b?x=%ff' }, 'InvalidURI', 400)
})

t.test('a kind of body that nobody knows is refused', async (t) => {
  for (const [value, code, status] of [
    ['', 'InvalidArgument', 400],
    ['nonsense', 'InvalidArgument', 400],
    ['STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD', 'NotImplemented', 501],
    ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'InvalidArgument', 400],
  ] as const) {
    const rawHeaders = [...host, 'x-amz-content-sha256', value]
    await refused(t, { method: 'PUT', url: '/b/k', rawHeaders }, code, status)
  }
})

t.test('what is not signed is anonymous', async (t) => {
  const found = await authenticate({ method: 'GET', url: '/b/k?prefix=a+b', rawHeaders: host }, options)
  t.match(found, { principal: anonymous, signed: false, accessKeyId: undefined, payload: { kind: 'plain' } })
  t.equal(found.query.get('prefix'), 'a b')
})

t.test('what the look-up of a key says is told in the words of S3', async (t) => {
  const rows: readonly [rule: string, code: string, status: number][] = [
    ['key-expired', 'ExpiredToken', 400],
    ['token-malformed', 'InvalidToken', 400],
    ['key-disabled', 'InvalidAccessKeyId', 403],
    ['banned', 'InvalidAccessKeyId', 403],
  ]
  for (const [rule, code, status] of rows) {
    const failing: KeyLookup = async () => {
      throw new StorageError('unauthenticated', 'no', { reason: { rule, text: 'no' } })
    }
    const error = await refused(t, signed({}), code, status, { key: failing })
    t.equal(error && StorageError.reasonOf(error)?.rule, rule)
  }
  const down: KeyLookup = async () => {
    throw new StorageError('unavailable', 'the state store does not answer')
  }
  await t.rejects(authenticate(signed({}), { ...options, key: down }), { code: 'unavailable' })
})

t.test('session tokens go with their keys, over private connections', async (t) => {
  let shown: string | undefined
  const session: KeyLookup = async (_, token) => {
    shown = token
    return { secret, principal: alice }
  }
  const request = signed({ headers: ['x-amz-security-token', 'FwoG+/=='] })
  await refused(t, request, 'AccessDenied', 403, { key: session })
  t.equal(shown, undefined)
  t.ok((await authenticate(request, { ...options, key: session, isPrivate: true })).signed)
  t.equal(shown, 'FwoG+/==')
  const rawHeaders = request.rawHeaders.map((each) => each.replace(/Signature=..../, 'Signature=0000'))
  const error = await refused(t, { ...request, rawHeaders }, 'SignatureDoesNotMatch', 403, {
    key: session,
    isPrivate: true,
  })
  t.notMatch(JSON.stringify(error?.elements), /FwoG/)
  const hex = Buffer.from('FwoG')
    .toString('hex')
    .replace(/..(?!$)/g, '$& ')
  t.notOk(JSON.stringify(error?.elements).includes(hex), 'nor in its bytes')
})

t.test('of what somebody on the way has added, no credential is told', async (t) => {
  const secrets = ['cookie', 'authorization', 'proxy-authorization', 'x-amz-security-token']
  const names = ['host', 'x-amz-content-sha256', 'x-amz-date', ...secrets].join(';')
  const rawHeaders = [...host, 'x-amz-date', date, 'x-amz-content-sha256', emptyHash]
  for (const name of secrets.slice(0, 3)) rawHeaders.push(name, `${name} geheim`)
  rawHeaders[rawHeaders.indexOf('authorization') + 1] = `${authorization(names, '00')},geheim=`
  const url = '/b/k?x-amz-security-token=geheim'
  const error = await refused(t, { method: 'GET', url, rawHeaders }, 'SignatureDoesNotMatch', 403)
  t.match(error?.elements.CanonicalRequest, /^cookie:\[secret\]$/m)
  t.notMatch(error?.elements.CanonicalRequest, /geheim/)
})

t.test('a key that was made anew under its old name has its own signatures', async (t) => {
  const request = signed({})
  t.ok((await authenticate(request, options)).signed)
  const other: KeyLookup = async () => ({ secret: new Secret('another secret of the same name'), principal: alice })
  await refused(t, request, 'SignatureDoesNotMatch', 403, { key: other })
  t.ok((await authenticate(request, options)).signed)
})

t.test('whatever is done to the head of a request, it is refused in the words of S3', async (t) => {
  const good = signed({ url: '/b/k?prefix=a', headers: ['x-amz-meta-a', '1'] })
  const spoil = (text: string, at: number, removed: number, inserted: string) =>
    text.slice(0, at % (text.length + 1)) + inserted + text.slice((at % (text.length + 1)) + removed)
  const property = fc.asyncProperty(
    fc.nat(good.rawHeaders.length),
    fc.nat(),
    fc.nat(20),
    fc.string({ unit: 'binary-ascii', maxLength: 12 }),
    async (which, at, removed, inserted) => {
      const rawHeaders = good.rawHeaders.map((each, index) =>
        index === which ? spoil(each, at, removed, inserted) : each,
      )
      const url = which === good.rawHeaders.length ? spoil(good.url, at, removed, inserted) : good.url
      const outcome = await authenticate({ ...good, url, rawHeaders }, options).catch((error: unknown) => error)
      if (outcome instanceof S3Error) return outcome.status < 500 || outcome.s3Code === 'NotImplemented'
      // What was not changed in substance, or is not signed at all any more.
      return !(outcome instanceof Error)
    },
  )
  await t.resolves(fc.assert(property, { numRuns: 1000 }))
})
