import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parseIf, tokensOf } from '../../gateway/webdav/if-header.ts'

const token = '<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2>'
const bare = token.slice(1, -1)

t.test('the examples of RFC 4918, section 10.4, are read as they are meant', async (t) => {
  const rows: ReadonlyArray<readonly [string, unknown]> = [
    [`(${token})`, [{ tag: undefined, conditions: [{ not: false, token: bare }] }]],
    [
      `(${token} ["I am an ETag"])`.replaceAll(' am an ', '-am-an-'),
      [
        {
          tag: undefined,
          conditions: [
            { not: false, token: bare },
            { not: false, etag: '"I-am-an-ETag"' },
          ],
        },
      ],
    ],
    [
      '(["a"]) (["b"])',
      [
        { tag: undefined, conditions: [{ not: false, etag: '"a"' }] },
        { tag: undefined, conditions: [{ not: false, etag: '"b"' }] },
      ],
    ],
    [
      `(Not ${token} <urn:uuid:58f202ac>)`,
      [
        {
          tag: undefined,
          conditions: [
            { not: true, token: bare },
            { not: false, token: 'urn:uuid:58f202ac' },
          ],
        },
      ],
    ],
    [
      `(${token})\t(Not <DAV:no-lock>)`,
      [
        { tag: undefined, conditions: [{ not: false, token: bare }] },
        { tag: undefined, conditions: [{ not: true, token: 'DAV:no-lock' }] },
      ],
    ],
    [
      `</resource1> (${token} [W/"A"]) (["strong"])`,
      [
        {
          tag: '/resource1',
          conditions: [
            { not: false, token: bare },
            { not: false, etag: 'W/"A"' },
          ],
        },
        { tag: '/resource1', conditions: [{ not: false, etag: '"strong"' }] },
      ],
    ],
    [
      '<http://a/x> (["1"]) <http://a/y>(not["2"])',
      [
        { tag: 'http://a/x', conditions: [{ not: false, etag: '"1"' }] },
        { tag: 'http://a/y', conditions: [{ not: true, etag: '"2"' }] },
      ],
    ],
  ]
  for (const [text, expected] of rows) t.same(parseIf(text), expected, text)
})

t.test('every state token is submitted, wherever it stands', async (t) => {
  const lists = parseIf('(<a:1> Not <b:2>) (["x"] <a:1>) (Not <DAV:no-lock>)')
  t.same(tokensOf(lists), ['a:1', 'b:2', 'DAV:no-lock'])
})

t.test('what the grammar does not hold is refused', async (t) => {
  const rows = [
    '',
    ' ',
    '()',
    '(',
    ')',
    '(<>)',
    '(<a b>)',
    '(<a>',
    '(a)',
    '(["a)',
    '([a])',
    '(["a" ])',
    '([])',
    '(Not)',
    '(Not Not <a>)',
    '<a>',
    '<a> <b> (<c>)',
    '(<a>) <b> (<c>)',
    '(<a>), (<b>)',
    '(<a>)x',
    '<a>(<b>) y',
    '(<\u00e4>)',
    '(<a>)\n(<b>)',
  ]
  for (const text of rows) t.throws(() => parseIf(text), { code: 'invalid' }, JSON.stringify(text))
  t.throws(() => parseIf('(<a>)'.repeat(257)), { code: 'too-large' })
  t.equal(parseIf('(<a>)'.repeat(256)).length, 256)
})

t.test('random headers are read or refused, in time, and never fail in another way', async (t) => {
  let seed = 4918
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const parts = [
    '(',
    ')',
    '<',
    '>',
    '[',
    ']',
    '"',
    'Not',
    'not',
    ' ',
    '\t',
    'W/',
    'a:b',
    '/p',
    'http://h/p',
    ',',
    '\u00e9',
    '"e"',
    '["e"]',
    '<a:b>',
    '(<a:b>)',
    '%',
    '\\',
  ]
  let read = 0
  for (let round = 0; round < 20_000; round++) {
    let text = ''
    for (let left = random(round % 2 ? 4 : 12) + 1; left > 0; left--) text += parts[random(parts.length)] ?? ''
    try {
      const lists = parseIf(text)
      read++
      if (lists.some(({ conditions }) => conditions.length === 0)) t.fail(`an empty list: ${JSON.stringify(text)}`)
      const again = lists.map(({ tag, conditions }) => {
        const told = conditions.map(
          ({ not, token, etag }) => `${not ? 'Not ' : ''}${token ? `<${token}>` : `[${etag}]`}`,
        )
        return `${tag === undefined ? '' : `<${tag}> `}(${told.join(' ')})`
      })
      if (JSON.stringify(parseIf(again.join(' '))) !== JSON.stringify(lists)) t.fail(JSON.stringify(text))
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'invalid') t.fail(`${JSON.stringify(text)}: ${error}`)
    }
  }
  t.ok(read > 100, `${read} of 20,000 were read`)
  const before = performance.now()
  for (const text of [
    '('.repeat(60_000),
    '<'.repeat(60_000),
    `(${' '.repeat(60_000)}`,
    '(["'.repeat(20_000),
    'Not '.repeat(15_000),
  ]) {
    t.throws(() => parseIf(text), { code: 'invalid' })
  }
  t.ok(performance.now() - before < 1000, 'in a moment')
})
