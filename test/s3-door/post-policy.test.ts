/** Policies of forms (Amazon S3 API Reference, "Creating a POST policy"). */

import t from 'tap'
import { S3Error } from '../../gateway/s3/error.ts'
import { checkPolicy, type PolicyBounds } from '../../gateway/s3/post-policy.ts'

const now = Date.UTC(2026, 10, 22, 12)
const expiration = '2026-11-22T13:00:00Z'
const forB = { bucket: 'b' }

const encode = (document: unknown) =>
  Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)).toString('base64')

function outcome(document: unknown, fields: Readonly<Record<string, string>>): PolicyBounds | string {
  const policy = encode(document)
  try {
    return checkPolicy(policy, new Map(Object.entries({ policy, 'x-amz-signature': '0', bucket: 'b', ...fields })), now)
  } catch (error) {
    return error instanceof S3Error ? `${error.status} ${error.s3Code}` : String(error)
  }
}

t.test('a form meets its policy where every condition holds and speaks of every field', async (t) => {
  const denied = '403 AccessDenied'
  const rows: readonly [
    conditions: readonly unknown[],
    fields: Readonly<Record<string, string>>,
    PolicyBounds | string,
  ][] = [
    [[{ key: 'k' }], { key: 'k' }, {}],
    [[{ bucket: 'b', key: 'k' }], { key: 'k' }, {}],
    [[{ bucket: 'c' }, { key: 'k' }], { key: 'k' }, denied],
    [[['eq', '$key', 'k']], { key: 'k' }, {}],
    [[['eq', '$key', 'k']], { key: 'kk' }, denied],
    [[['starts-with', '$key', 'up/']], { key: 'up/x' }, {}],
    [[['starts-with', '$key', 'up/']], { key: 'u' }, denied],
    [[['starts-with', '$key', '']], { key: 'anything' }, {}],
    [[{ bUcKeT: 'b' }, ['StArTs-WiTh', '$KeY', 'k'], { AcL: 'private' }], { key: 'k', acl: 'private' }, {}],
    [
      [{ key: 'k' }, ['starts-with', '$content-type', 'image/']],
      { key: 'k', 'content-type': 'image/png,image/gif' },
      {},
    ],
    [
      [{ key: 'k' }, ['starts-with', '$content-type', 'image/']],
      { key: 'k', 'content-type': 'image/png,text/html' },
      denied,
    ],
    [[{ key: 'k' }, ['starts-with', '$content-type', 'image/']], { key: 'k' }, denied],
    [[{ key: 'k' }, ['starts-with', '$x-amz-meta-a', '']], { key: 'k' }, {}],
    [[{ key: 'k' }], { key: 'k', 'x-amz-meta-a': '1' }, denied],
    [[{ key: 'k' }], { key: 'k', 'x-ignore-a': '1' }, {}],
    [[{ key: 'k' }, { 'x-amz-meta-a': '1' }], { key: 'k', 'x-amz-meta-a': '2' }, denied],
    [[{ key: 'k' }, { acl: 'private' }], { key: 'k' }, denied],
    [[], { key: 'k' }, denied],
    [[{ key: 'k' }, ['content-length-range', 1, 10]], { key: 'k' }, { least: 1, most: 10 }],
    [
      [{ key: 'k' }, ['content-length-range', '0', '10'], ['Content-Length-Range', 5, 20]],
      { key: 'k' },
      { least: 5, most: 10 },
    ],
  ]
  for (const [conditions, fields, expected] of rows) {
    t.same(outcome({ expiration, conditions: [forB, ...conditions] }, fields), expected, JSON.stringify(conditions))
  }
})

t.test('a policy that does not name the bucket is for none', async (t) => {
  const rows: readonly (readonly [conditions: readonly unknown[], PolicyBounds | string])[] = [
    [[{ key: 'k' }], '403 AccessDenied'],
    [[{ key: 'k' }, { bucket: 'b' }], {}],
    [[{ key: 'k' }, ['eq', '$bucket', 'b']], {}],
    [[{ key: 'k' }, { bucket: 'c' }], '403 AccessDenied'],
  ]
  for (const [conditions, expected] of rows) t.same(outcome({ expiration, conditions }, { key: 'k' }), expected)
})

t.test('a policy holds until it expires', async (t) => {
  const conditions = [forB, { key: 'k' }]
  for (const [at, expected] of [
    ['2026-11-22T12:00:00Z', {}],
    ['2026-11-22T12:00:00.001Z', {}],
    ['2026-11-22T11:59:59Z', '403 AccessDenied'],
    ['2007-12-01T12:00:00.000Z', '403 AccessDenied'],
  ] as const) {
    t.same(outcome({ expiration: at, conditions }, { key: 'k' }), expected, at)
  }
})

t.test('what is no policy is refused', async (t) => {
  const conditions = [{ key: 'k' }]
  const rows: readonly unknown[] = [
    '',
    'no JSON',
    'null',
    '[]',
    '"text"',
    '\xff\xfe',
    {},
    { expiration },
    { conditions },
    { expiration, conditions: {} },
    { expiration: 'soon', conditions },
    { expiration: '2026-11-22', conditions },
    { expiration: 1900000000, conditions },
    { expiration: '2026-13-45T00:00:00Z', conditions },
    { expiration, conditions, more: 1 },
    { expiration, conditions: ['eq'] },
    { expiration, conditions: [null] },
    { expiration, conditions: [['eq', '$key']] },
    { expiration, conditions: [['eq', '$key', 'k', 'k']] },
    { expiration, conditions: [['eq', 'key', 'k']] },
    { expiration, conditions: [['ends-with', '$key', 'k']] },
    { expiration, conditions: [['eq', '$key', { a: 1 }]] },
    { expiration, conditions: [{ key: 1 }] },
    { expiration, conditions: [['starts-with', '$bucket', '']] },
    { expiration, conditions: [['content-length-range', 0]] },
    { expiration, conditions: [['content-length-range', 10, 1]] },
    { expiration, conditions: [['content-length-range', -1, 1]] },
    { expiration, conditions: [['content-length-range', 0, 1, 2]] },
    { expiration, conditions: [['content-length-range', 'a', 'b']] },
  ]
  for (const document of rows) {
    t.equal(outcome(document, { key: 'k' }), '400 InvalidPolicyDocument', JSON.stringify(document))
  }
  t.throws(() => checkPolicy('%%%', new Map(), now), { message: /base64/ })
})
