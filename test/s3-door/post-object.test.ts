/** Uploads by HTML forms (Amazon S3 API Reference, "POST Object"). */

import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { boundary, type FormSigning, formOf, type Part, signedFields } from './forms.ts'
import { type Answer, keyOf, openS3, principalOf, type S3World } from './world.ts'

interface Form {
  readonly bucket?: string
  readonly target?: string
  /** In front of the file. */
  readonly fields?: readonly Part[]
  readonly file?: Part | undefined
  readonly behind?: readonly Part[]
  /** Signs, with these conditions besides those of the signature's own fields. */
  readonly sign?: FormSigning
  readonly headers?: Readonly<Record<string, string>>
  readonly spoil?: (body: string) => string
}

/** Stands for the name of the file. */
const placeholder = ['$', '{filename}'].join('')

function post(world: S3World, form: Form): Promise<Answer> {
  const { bucket = 'data', fields = [], behind = [], sign, spoil } = form
  const file: readonly Part[] = 'file' in form ? (form.file ? [form.file] : []) : [['file', 'hello', 'a.txt']]
  const body = formOf([...(sign ? signedFields({ bucket, ...sign }) : []), ...fields, ...file, ...behind])
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, ...form.headers }
  return world.raw({ method: 'POST', target: form.target ?? `/${bucket}`, headers, body: spoil?.(body) ?? body })
}

const anything = [['starts-with', '$key', '']]
const read = (world: S3World, target: string) => world.raw({ target, as: 'alice' })

t.test('a signed form stores its file', async (t) => {
  const world = await openS3(t)
  const answer = await post(world, { fields: [['key', 'form/a.txt']], sign: { conditions: anything } })
  t.match(answer, { status: 204, text: '', headers: { etag: '"5d41402abc4b2a76b9719d911017c592"' } })
  t.equal(answer.headers.location, `http://127.0.0.1:${world.port}/data/form/a.txt`)
  t.match(await read(world, '/data/form/a.txt'), { status: 200, text: 'hello' })
  const entry = world.audit.records.find(({ action, outcome }) => action === 'create' && outcome === 'ok')
  t.match(entry, { user: 'alice@lab.example', door: 's3', path: '/data/form/a.txt' })
})

t.test('a form that ends within its file is answered at once, also while the file is being opened', async (t) => {
  for (const storage of ['memory', 'posix'] as const) {
    const world = await openS3(t, { storage })
    for (const kept of [0, 1, 4]) {
      const spoil = (body: string) => body.slice(0, body.indexOf('hello') + kept)
      const answer = await post(world, { fields: [['key', 'cut']], sign: { conditions: anything }, spoil })
      t.match(answer, { status: 400, code: 'MalformedPOSTRequest' }, `${storage}, ${kept} bytes of the file`)
    }
    t.equal((await read(world, '/data/cut')).status, 404)
  }
})

t.test('the name of the file may be part of the key', async (t) => {
  const world = await openS3(t)
  const conditions = [['starts-with', '$key', 'up/']]
  for (const [filename, stored] of [
    ['b.txt', 'b.txt'],
    ['C:\\\\dir\\\\c.txt', 'c.txt'],
    ['/home/me/d.txt', 'd.txt'],
    ['$&.txt', '$&.txt'],
  ] as const) {
    const answer = await post(world, {
      fields: [['key', `up/${placeholder}`]],
      file: ['file', 'x', filename],
      sign: { conditions },
    })
    t.equal(answer.status, 204, answer.text)
    t.equal((await read(world, `/data/up/${encodeURIComponent(stored)}`)).text, 'x', stored)
  }
  const outside = await post(world, { fields: [['key', placeholder]], sign: { conditions } })
  t.match(outside, { status: 403, code: 'AccessDenied' })
})

t.test('fields are kept as metadata', async (t) => {
  const world = await openS3(t)
  const tagging = '<Tagging><TagSet><Tag><Key>a b</Key><Value>1+2</Value></Tag></TagSet></Tagging>'
  const fields: readonly Part[] = [
    ['Key', 'described'],
    ['Content-Type', 'text/csv'],
    ['Cache-Control', 'no-store'],
    ['x-amz-meta-Who', 'Zoë'],
    ['x-ignore-this', 'x'],
    ['tagging', tagging],
  ]
  const covered = ['content-type', 'cache-control', 'x-amz-meta-who', 'tagging']
  const conditions = [...anything, ...covered.map((name) => ['starts-with', `$${name}`, ''])]
  const answer = await post(world, { fields, sign: { conditions } })
  t.equal(answer.status, 204, answer.text)
  const { headers } = await read(world, '/data/described')
  t.match(headers, { 'content-type': 'text/csv', 'cache-control': 'no-store', 'x-amz-tagging-count': '1' })
  t.equal(Buffer.from(String(headers['x-amz-meta-who']), 'latin1').toString(), 'Zoë')
  t.equal(headers['x-amz-meta-this'], undefined)
})

t.test('the answer is what the form asks for', async (t) => {
  const world = await openS3(t)
  const rows: readonly [fields: readonly Part[], status: number][] = [
    [[['success_action_status', '200']], 200],
    [[['success_action_status', '201']], 201],
    [[['success_action_status', '404']], 204],
    [[['success_action_redirect', 'https://pages.example/done?x=1']], 303],
    [[['redirect', 'http://pages.example/']], 303],
    [[['success_action_redirect', 'javascript:alert(1)']], 204],
    [[['success_action_redirect', 'no url']], 204],
  ]
  for (const [more, status] of rows) {
    const conditions = [...anything, ...more.map(([name, value]) => ({ [name]: value }))]
    const answer = await post(world, { fields: [['key', 'k&1'], ...more], sign: { conditions } })
    t.equal(answer.status, status, JSON.stringify(more))
    if (status === 201) {
      t.match(
        answer.text,
        /<PostResponse><Location>http:.*\/data\/k%261<\/Location><Bucket>data<\/Bucket><Key>k&amp;1</,
      )
    }
    if (more[0]?.[1].startsWith('https:')) {
      const etag = '%225d41402abc4b2a76b9719d911017c592%22'
      t.equal(answer.headers.location, `https://pages.example/done?x=1&bucket=data&key=k%261&etag=${etag}`)
    }
  }
})

t.test('the size of the file is bounded by the policy', async (t) => {
  const world = await openS3(t)
  const rows: readonly [range: readonly [number, number], size: number, status: number, code: string | undefined][] = [
    [[0, 5], 5, 204, undefined],
    [[5, 5], 5, 204, undefined],
    [[0, 4], 5, 400, 'EntityTooLarge'],
    [[6, 10], 5, 400, 'EntityTooSmall'],
    [[0, 1000], 3_000_000, 400, 'EntityTooLarge'],
  ]
  for (const [range, size, status, code] of rows) {
    const key = `sized-${range.join('-')}-${size}`
    const answer = await post(world, {
      fields: [['key', key]],
      file: ['file', 'x'.repeat(size), 'f'],
      sign: { conditions: [...anything, ['content-length-range', ...range]] },
    })
    t.match(answer, code === undefined ? { status } : { status, code }, key)
    t.equal((await read(world, `/data/${key}`)).status, status === 204 ? 200 : 404, key)
  }
})

t.test('a form stores nothing in another bucket than its policy names', async (t) => {
  const world = await openS3(t)
  const answer = await post(world, {
    ...{ bucket: 'open', fields: [['key', 'strayed']] },
    sign: { bucket: 'data', conditions: anything },
  })
  t.match(answer, { status: 403, code: 'AccessDenied' })
  t.equal((await read(world, '/open/strayed')).status, 404)
})

t.test('a name of metadata that cannot be sent again is refused', async (t) => {
  const world = await openS3(t)
  for (const name of ['x-amz-meta-a b', 'x-amz-meta-a:b', 'x-amz-meta-\u00e9', 'x-amz-meta-']) {
    const sign = { conditions: [...anything, ['starts-with', `$${name}`, '']] }
    const answer = await post(world, {
      fields: [
        ['key', 'named'],
        [name, '1'],
      ],
      sign,
    })
    t.match(answer, { status: 400, code: 'InvalidArgument' }, name)
    t.equal((await read(world, '/data/named')).status, 404)
  }
})

t.test('a form that is not signed as it should be stores nothing', async (t) => {
  const world = await openS3(t)
  const without = (name: string) => (fields: Part[]) => fields.filter(([field]) => field !== name)
  const changed = (name: string, change: (value: string) => string) => (fields: Part[]) =>
    fields.map(([field, value]): Part => [field, field === name ? change(value) : value])
  const rows: readonly [what: string, sign: NonNullable<Form['sign']>, status: number, code: string][] = [
    [
      'another signature',
      { spoil: changed('x-amz-signature', (text) => text.replace(/.$/, 'x')) },
      403,
      'SignatureDoesNotMatch',
    ],
    ['another policy', { spoil: changed('policy', (text) => `${text}AAAA`) }, 403, 'SignatureDoesNotMatch'],
    ['an unknown key', { spoil: changed('x-amz-credential', (text) => `X${text}`) }, 403, 'InvalidAccessKeyId'],
    [
      'another region',
      { spoil: changed('x-amz-credential', (text) => text.replace('us-east', 'eu-west')) },
      400,
      'InvalidArgument',
    ],
    ['another date', { spoil: changed('x-amz-date', () => '20200101T000000Z') }, 400, 'InvalidArgument'],
    ['another algorithm', { spoil: changed('x-amz-algorithm', () => 'AWS4-HMAC-SHA1') }, 400, 'InvalidArgument'],
    ['no signature', { spoil: without('x-amz-signature') }, 400, 'InvalidArgument'],
    ['no policy', { spoil: without('policy') }, 400, 'InvalidArgument'],
    ['the old way', { spoil: (fields) => [...fields, ['AWSAccessKeyId', 'AKIA']] }, 400, 'InvalidRequest'],
    ['one field twice', { spoil: (fields) => [...fields, ...fields.slice(0, 1)] }, 400, 'InvalidArgument'],
    ['an expired policy', { expiration: '2020-01-01T00:00:00Z' }, 403, 'AccessDenied'],
    ['a malformed policy', { expiration: 'soon' }, 400, 'InvalidPolicyDocument'],
    ['a field that it says nothing of', { spoil: (fields) => [...fields, ['x-amz-meta-a', '1']] }, 403, 'AccessDenied'],
    ['somebody who may not', { user: 'bob' }, 403, 'AccessDenied'],
  ]
  for (const [what, sign, status, code] of rows) {
    const answer = await post(world, { fields: [['key', 'unsigned']], sign: { conditions: anything, ...sign } })
    t.match(answer, { status, code }, what)
    t.equal((await read(world, '/data/unsigned')).status, 404)
  }
  const refusals = world.audit.records.filter(
    ({ action, outcome }) => action === 'authenticate' && outcome === 'refused',
  )
  t.ok(refusals.some(({ reason }) => reason?.rule === 'signature'))
})

t.test('a form that is none, or has no file or no key, is refused', async (t) => {
  const world = await openS3(t)
  const sign = { conditions: anything }
  const fields: readonly Part[] = [['key', 'none']]
  const rows: readonly [what: string, form: Form, status: number, code: string][] = [
    ['no form', { fields, sign, headers: { 'content-type': 'text/plain' } }, 412, 'PreconditionFailed'],
    ['no boundary', { fields, sign, headers: { 'content-type': 'multipart/form-data' } }, 400, 'MalformedPOSTRequest'],
    ['no file', { fields, sign, file: undefined }, 400, 'InvalidArgument'],
    ['no key', { sign }, 400, 'InvalidArgument'],
    ['an empty key', { fields: [['key', '']], sign }, 400, 'InvalidArgument'],
    ['the key behind the file', { sign, behind: fields }, 400, 'InvalidArgument'],
    ['the end cut off', { fields, sign, spoil: (body) => body.slice(0, -60) }, 400, 'MalformedPOSTRequest'],
    ['no form inside', { fields, sign, spoil: () => 'nonsense' }, 400, 'MalformedPOSTRequest'],
    ['dot segments', { fields: [['key', '../x']], sign }, 400, 'InvalidArgument'],
    [
      'a name of dots',
      { fields: [['key', `a/${placeholder}`]], file: ['file', 'x', '..'], sign },
      400,
      'InvalidArgument',
    ],
    ['a long key', { fields: [['key', 'k/'.repeat(513)]], sign }, 400, 'KeyTooLongError'],
    ['another bucket', { fields: [...fields, ['bucket', 'open']], sign }, 400, 'InvalidArgument'],
    ['a bucket that is none', { bucket: 'nothing', fields, sign }, 404, 'NoSuchBucket'],
    [
      'a long field',
      { fields: [...fields, ['x-ignore-a', 'x'.repeat(40_000)]], sign },
      400,
      'MaxMessageLengthExceeded',
    ],
    [
      'many long fields',
      { fields: [...fields, ...['a', 'b', 'c'].map((each): Part => [`x-ignore-${each}`, 'x'.repeat(30_000)])], sign },
      400,
      'MaxMessageLengthExceeded',
    ],
  ]
  for (const [what, form, status, code] of rows) {
    t.match(await post(world, form), { status, code }, what)
  }
  t.equal((await read(world, '/data/none')).status, 404)
})

t.test('what comes behind the file means nothing', async (t) => {
  const world = await openS3(t)
  const behind: readonly Part[] = [
    ['x-amz-meta-late', '1'],
    ['file', 'another', 'b.txt'],
  ]
  const answer = await post(world, { fields: [['key', 'first']], behind, sign: { conditions: anything } })
  t.equal(answer.status, 204, answer.text)
  const { text, headers } = await read(world, '/data/first')
  t.equal(text, 'hello')
  t.equal(headers['x-amz-meta-late'], undefined)
})

t.test('a file needs no name, and fields may have one', async (t) => {
  const world = await openS3(t)
  const bytes = '\x00\xff binary'
  const answer = await post(world, {
    fields: [['key', 'nameless', 'key']],
    file: ['file', bytes],
    sign: { conditions: anything },
  })
  t.equal(answer.status, 204, answer.text)
  t.equal((await read(world, '/data/nameless')).text, bytes)
})

t.test("a form finds its signer's own bucket", async (t) => {
  const world = await openS3(t)
  const answer = await post(world, { bucket: 'home', fields: [['key', 'mine']], sign: { conditions: anything } })
  t.equal(answer.status, 204, answer.text)
  t.equal((await read(world, '/home/mine')).text, 'hello')
})

t.test('a form without a signature is anonymous, and only from pages of its own site', async (t) => {
  const world = await openS3(t)
  const fields: readonly Part[] = [['key', 'anonymous']]
  t.match(await post(world, { fields }), { status: 403, code: 'AccessDenied' })
  t.match(await post(world, { bucket: 'open', fields }), { status: 403, code: 'AccessDenied' })
  const elsewhere = { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' }
  t.match(await post(world, { bucket: 'open', fields, headers: elsewhere }), { status: 403 })
  const signed = await post(world, { fields, headers: elsewhere, sign: { conditions: anything } })
  t.equal(signed.status, 204, 'a signed one may come from anywhere')
  const body = formOf([['key', 'x']])
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, ...elsewhere }
  const refused = () => world.audit.records.filter(({ reason }) => reason?.rule === 'cross-site').length
  for (const target of ['/open/k?uploads', '/open/k?restore', '/?x']) {
    const before = refused()
    await world.raw({ method: 'POST', target, headers, body })
    t.equal(refused(), before + 1, `a form where none is taken is no excuse: ${target}`)
  }
})

t.test('a key that is used from elsewhere than it may be is written down', async (t) => {
  const { accessKeyId, secret } = keyOf('alice')
  const addresses = { networks: [['192.0.2.0/24']], includes: () => false }
  const bound = { accessKeyId, secret: new Secret(secret), principal: principalOf('alice', { addresses }) }
  const world = await openS3(t, { key: async (id) => (id === accessKeyId ? bound : undefined) })
  const written = () => world.audit.records.filter(({ reason }) => reason?.rule === 'address')
  t.match(await read(world, '/data/x'), { status: 403, code: 'AccessDenied' })
  const refused = { user: 'alice@lab.example', action: 'authenticate', outcome: 'refused', door: 's3' }
  t.match(written(), [{ ...refused, path: '/data/x' }])
  t.match(await post(world, { fields: [['key', 'x']], sign: { conditions: anything } }), { status: 403 })
  t.match(written(), [refused, refused])
})

t.test('a form that ends in its file, or in the boundary behind it, stores nothing', async (t) => {
  const world = await openS3(t)
  for (const cut of [5, 10, 20, 24, 26, 28, 30]) {
    const answer = await post(world, {
      fields: [['key', 'cut']],
      sign: { conditions: anything },
      spoil: (body) => body.slice(0, -cut),
    })
    t.match({ status: answer.status, code: answer.code }, { status: 400, code: 'MalformedPOSTRequest' }, `${cut} bytes`)
    t.equal((await read(world, '/data/cut')).code, 'NoSuchKey')
  }
  t.notOk(world.lines.some((line) => 'text' in line && line.text === 'request failed'))
})
