import fc from 'fast-check'
import t from 'tap'
import { scopePath } from '../../acl/identity/scope-path.ts'
import { isWithin, parsePath, root } from '../../gateway/core/path.ts'
import { refusal } from './setting.ts'

const base = parsePath('/vo')

t.test('scope paths are decoded once and moved below the base', async (t) => {
  const cases: ReadonlyArray<readonly [string, string, boolean]> = [
    ['/', '/vo', true],
    ['/foo', '/vo/foo', false],
    ['/foo/', '/vo/foo', true],
    ['/a%20b', '/vo/a b', false],
    ['/%C3%A4', '/vo/ä', false],
    ['/%e2%82%ac/x', '/vo/€/x', false],
    ['/*', '/vo/*', false],
    ['/...', '/vo/...', false],
    ['/.hidden', '/vo/.hidden', false],
    ['/100%25', '/vo/100%', false],
    ['/a:b', '/vo/a:b', false],
    ['/a?b#c', '/vo/a?b#c', false],
  ]
  for (const [text, path, directoryOnly] of cases) t.same(scopePath(text, base), { path, directoryOnly }, text)
  t.same(scopePath('/a', root), { path: '/a', directoryOnly: false })
  t.same(scopePath('/', root), { path: '/', directoryOnly: true })
})

t.test('scope paths that could mean two things are refused', async (t) => {
  const bad = [
    '',
    'foo',
    '//',
    '//foo',
    '/foo//bar',
    '/foo//',
    '/.',
    '/..',
    '/foo/..',
    '/foo/../bar',
    '/foo/./bar',
    '/%2e',
    '/%2E%2e/x',
    '/.%2e',
    '/foo%2Fbar',
    '/foo%2fbar',
    '/foo%5cbar',
    '/foo\\bar',
    '/foo%00',
    '/foo\0',
    '/%252e%252e',
    '/%252Fetc',
    '/%c0%ae%c0%ae',
    '/%ff',
    '/%ed%a0%80',
    '/%',
    '/%2',
    '/%zz',
    `/${'x'.repeat(256)}`,
    `/${'x/'.repeat(3000)}`,
  ]
  for (const text of bad) {
    try {
      t.fail(`${text} gave ${scopePath(text, base).path}`)
    } catch (error) {
      t.equal(refusal(error), 'unauthenticated token-scope', JSON.stringify(text.slice(0, 30)))
    }
  }
})

t.test('whatever a scope says, it stays below the base', async (t) => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2f',
    '%5c',
    '%00',
    '%25',
    'a',
    'vo',
    '\\',
    'ä',
    '%c3%a4',
    '%c0',
  )
  const details = fc.check(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        const { path } = scopePath(`/${pieces.join('')}`, base)
        return isWithin(path, base) && parsePath(path) === path
      } catch (error) {
        return refusal(error) === 'unauthenticated token-scope'
      }
    }),
    { numRuns: 5000 },
  )
  t.notOk(details.failed, fc.defaultReportMessage(details) ?? 'holds')
})
