/** Which account a Kerberos principal stands for (krb5.conf, auth_to_local), and the expressions of its rules. */

import fc from 'fast-check'
import t from 'tap'
import { compileExpression } from '../../acl/identity/kerberos/expression.ts'
import { LocalNames, parseKerberosName, parseLocalRule } from '../../acl/identity/kerberos/local-names.ts'
import { StorageError } from '../../gateway/core/errors.ts'

const realm = 'DESY.DE'

const rules = [
  'RULE:[2:$1](johndoe)s/^.*$/guest/',
  'RULE:[2:$1;$2](^.*;admin$)s/;admin$//',
  'RULE:[1:$1@$0](.*@WIN\\.DESY\\.DE)s/@.*//',
  'DEFAULT',
]

function mapped(names: LocalNames, text: string): string {
  const principal = parseKerberosName(text)
  if (principal === undefined) return 'no name'
  try {
    return names.accountOf(principal).account
  } catch (error) {
    return StorageError.reasonOf(StorageError.from(error))?.rule ?? 'unknown'
  }
}

t.test('rules say whom a principal stands for', async (t) => {
  const names = new LocalNames({ realm, realms: ['WIN.DESY.DE', 'CERN.CH'], names: [], rules })
  const vectors = {
    'alice@DESY.DE': 'alice',
    'alice/admin@DESY.DE': 'alice',
    'johndoe/x@DESY.DE': 'guest',
    'alice@WIN.DESY.DE': 'alice',
    'alice@CERN.CH': 'mapping-none',
    'bob/root@DESY.DE': 'mapping-none',
    'HTTP/gw.desy.de@DESY.DE': 'mapping-none',
  }
  for (const [principal, account] of Object.entries(vectors)) t.equal(mapped(names, principal), account, principal)
})

t.test('principals of other realms are let in only where their realm is listed', async (t) => {
  const names = new LocalNames({ realm, realms: [], names: [], rules })
  t.equal(mapped(names, 'alice@WIN.DESY.DE'), 'kerberos-realm')
  t.equal(mapped(names, 'alice@desy.de'), 'kerberos-realm', 'realms have capital letters for something')
  const named = [{ principal: 'alice@CERN.CH', account: 'alice' }]
  const listed = new LocalNames({ realm, realms: ['CERN.CH'], names: named, rules })
  t.equal(mapped(listed, 'alice@CERN.CH'), 'alice')
  t.equal(mapped(new LocalNames({ realm, realms: [], names: named, rules }), 'alice@CERN.CH'), 'kerberos-realm')
})

t.test('the table of names goes before the rules', async (t) => {
  const names = new LocalNames({ realm, realms: [], names: [{ principal: 'carol@DESY.DE', account: 'c2' }], rules })
  t.equal(mapped(names, 'carol@DESY.DE'), 'c2')
  t.equal(mapped(names, 'dave@DESY.DE'), 'dave')
})

t.test('no rule makes anybody root, nor what is no account', async (t) => {
  const wide = ['RULE:[2:$2](root)', 'RULE:[1:$1]']
  const names = new LocalNames({
    realm,
    realms: [],
    names: [{ principal: 'eve@DESY.DE', account: 'root' }],
    rules: wide,
  })
  for (const principal of [
    'bob/root@DESY.DE',
    'eve@DESY.DE',
    'nobody@DESY.DE',
    'Bob@DESY.DE',
    '0@DESY.DE',
    'a$@DESY.DE',
  ]) {
    t.equal(mapped(names, principal), 'mapping-none', principal)
  }
})

t.test('the first rule that is about a principal counts, also when it makes no account of him', async (t) => {
  const names = new LocalNames({ realm, realms: [], names: [], rules: ['RULE:[1:$1](al.*)s/al/AL/', 'DEFAULT'] })
  t.equal(mapped(names, 'alice@DESY.DE'), 'mapping-none')
  t.equal(mapped(names, 'bob@DESY.DE'), 'bob')
})

t.test('replacements are plain text, once or everywhere', async (t) => {
  const name = parseKerberosName('a.b.c@DESY.DE')
  const apply = (line: string) => name && parseLocalRule(line, realm)(name)
  t.equal(apply('RULE:[1:$1]s/\\./_/'), 'a_b.c')
  t.equal(apply('RULE:[1:$1]s/\\./_/g'), 'a_b_c')
  t.equal(apply('RULE:[1:$1]s/\\./_/gs/_b/$1/'), 'a$1_c')
  t.equal(apply('RULE:s/b/x/'), 'a.x.c', 'without a selection it is the name without its realm')
  t.equal(apply('RULE:[1:$0]'), realm)
  t.equal(apply('RULE:[2:$1]'), undefined)
})

t.test('lines that are no rules are told', async (t) => {
  const bad = [
    'default',
    'RULE:[1:$2]',
    'RULE:[1:$x]',
    'RULE:[1:$1](a',
    'RULE:[1:$1](a)s/a/b',
    'RULE:[1:$1](a)s,a,b,',
    'RULE:[1:$1]([)',
    'RULE:[1:$1](a)s/(/b/',
    'RULE:[x:$1]',
    '',
  ]
  for (const line of bad) t.throws(() => parseLocalRule(line, realm), { code: 'invalid' }, line)
})

t.test('names that Kerberos would have to escape are nobody', async (t) => {
  const bad = [
    'alice',
    'alice@',
    '@DESY.DE',
    'a\\/b@DESY.DE',
    'a@b@DESY.DE',
    '/a@DESY.DE',
    'a//b@DESY.DE',
    'a b@DESY.DE',
    'ä@DESY.DE',
    'a@DE SY',
    `${'a'.repeat(300)}@DESY.DE`,
  ]
  for (const text of bad) t.equal(parseKerberosName(text), undefined, text.slice(0, 40))
  t.match(parseKerberosName('HTTP/gw.desy.de@DESY.DE'), { components: ['HTTP', 'gw.desy.de'], realm })
})

t.test('expressions match as those of POSIX', async (t) => {
  const whole: ReadonlyArray<readonly [string, string, boolean]> = [
    ['a|ab', 'ab', true],
    ['(a|b)*c', 'ababc', true],
    ['(a|b)*c', 'abd', false],
    ['a{2,3}', 'aa', true],
    ['a{2,3}', 'aaaa', false],
    ['a{2}', 'aa', true],
    ['a{2,}', 'aaaaa', true],
    ['[a-c]+x?', 'abcx', true],
    ['[^a-c]', 'b', false],
    ['[]a]+', ']a', true],
    ['[a-]+', 'a-', true],
    ['[[:digit:][:upper:]]+', '7A', true],
    ['\\.', '.', true],
    ['\\.', 'a', false],
    ['^a$', 'a', true],
    ['', '', true],
    ['()', '', true],
    ['(a*)*', 'aaa', true],
    ['a^b', 'ab', false],
  ]
  for (const [source, text, expected] of whole) {
    t.equal(compileExpression(source).matchesWhole(text), expected, `${source} on ${text}`)
  }
  t.equal(compileExpression('a|ab').replace('xabx', '-', false), 'x-x', 'the longest match')
  t.equal(compileExpression('b*').replace('abc', '-', true), '-a-c-', 'as sed does it')
  t.equal(compileExpression('^').replace('ab', '-', true), '-ab')
})

t.test('an expression of somebody who means ill costs no more than another', async (t) => {
  const started = performance.now()
  t.equal(compileExpression('((a+)+)+b').matchesWhole('a'.repeat(1000)), false)
  t.equal(compileExpression('(.*.*.*.*.*.*)x').matchesWhole('a'.repeat(1000)), false)
  t.ok(performance.now() - started < 1000)
  for (const source of [
    '(a{64}){64}',
    'a{100}',
    'a'.repeat(300),
    '('.repeat(40),
    '*',
    'a{3,2}',
    '[b-a]',
    '\\w',
    'a)',
  ]) {
    t.throws(() => compileExpression(source), { code: 'invalid' }, source.slice(0, 20))
  }
})

t.test('of any text and any simple expression they say what JavaScript says', async () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]')
  const piece = fc.tuple(atom, fc.constantFrom('', '*', '+', '?', '{1,2}')).map(([each, times]) => each + times)
  const source = fc.array(fc.oneof(piece, fc.constant('|')), { maxLength: 6 }).map((parts) => parts.join(''))
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 })
  fc.assert(
    fc.property(source, text, (given, word) => {
      return compileExpression(given).matchesWhole(word) === new RegExp(`^(?:${given})$`).test(word)
    }),
    { numRuns: 500 },
  )
})
