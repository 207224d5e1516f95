import fc from 'fast-check'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, join, nameOf, namesOf, parentOf, parsePath, rebase, root } from '../../gateway/core/path.ts'

const code = (text: string): string => {
  try {
    return parsePath(text)
  } catch (error) {
    return StorageError.from(error).code
  }
}

t.test('what is a path and what is not', async (t) => {
  const long = 'x'.repeat(255)
  const cases: ReadonlyArray<readonly [text: string, answer: string]> = [
    ['/', '/'],
    ['/a', '/a'],
    ['/a/', '/a'],
    ['/a b/"\'#?%&+;\n\u202e\u{1f600}/-x/.y', '/a b/"\'#?%&+;\n\u202e\u{1f600}/-x/.y'],
    ['', 'invalid'],
    ['a', 'invalid'],
    ['//', 'invalid'],
    ['/a//b', 'invalid'],
    ['/a/../b', 'invalid'],
    ['/a/.', 'invalid'],
    ['/..', 'invalid'],
    ['/a\0', 'invalid'],
    ['/\ud800', 'invalid'],
    [`/${long}`, `/${long}`],
    [`/${long}x`, 'name-too-long'],
    [`/${'é'.repeat(128)}`, 'name-too-long'],
    [`/${'a/'.repeat(2047)}a`, `/${'a/'.repeat(2047)}a`],
    [`/${'a/'.repeat(2048)}a`, 'name-too-long'],
    ['/...', '/...'],
  ]
  for (const [text, answer] of cases) t.equal(code(text), answer, JSON.stringify(text.slice(0, 40)))
})

t.test('paths are compared by whole names', async (t) => {
  const cases = [
    ['/foo/a', '/foo', true],
    ['/foo', '/foo', true],
    ['/foobar', '/foo', false],
    ['/fo', '/foo', false],
    ['/foo', '/', true],
    ['/', '/', true],
    ['/', '/foo', false],
  ] as const
  for (const [path, top, within] of cases) t.equal(isWithin(parsePath(path), parsePath(top)), within, `${path} ${top}`)
})

t.test('taking apart and putting together are inverse', async (t) => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((text) => !/[/\0]|^\.{1,2}$/.test(text))
  fc.assert(
    fc.property(fc.array(name, { maxLength: 6 }), fc.array(name, { maxLength: 3 }), (names, top) => {
      const path = parsePath(`/${names.join('/')}`)
      const above = parsePath(`/${top.join('/')}`)
      t.same(namesOf(path), names)
      if (names.length > 0) t.equal(join(parentOf(path), nameOf(path)), path)
      const moved = rebase(path, root, above)
      t.equal(isWithin(moved, above), true)
      t.equal(rebase(moved, above, root), path)
    }),
    { numRuns: 200 },
  )
  t.equal(parentOf(root), root)
  t.equal(nameOf(root), '')
})
