/** The path of a storage scope (WLCG profile, section 2.2.1.1): decoded once by component, refused when in doubt. */

import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import type { Grant } from '../principal.ts'
import { refuse } from './refusal.ts'

/**
 * `text` is absolute with percent-encoded components and relative to `basePath`, below which the
 * result lies always. A final slash names a directory only. Throws `unauthenticated` (token-scope) for
 * dot segments, empty components, encoded slashes, backslashes, NUL, bad escapes and bad UTF-8: a token
 * that plays such games is not trusted in its other parts either.
 */
export function scopePath(text: string, basePath: Path): Pick<Grant, 'path' | 'directoryOnly'> {
  if (!text.startsWith('/')) throw refuse('token-scope', 'the path of a scope is not absolute')
  const directoryOnly = text.endsWith('/')
  const inner = directoryOnly ? text.slice(1, -1) : text.slice(1)
  if (inner === '' && text.length > 1) throw refuse('token-scope', 'the path of a scope holds an empty name')
  const names = inner === '' ? [] : inner.split('/').map(decodeName)
  try {
    const below = parsePath(`/${names.join('/')}`)
    const whole = below === root ? basePath : parsePath(`${basePath === root ? '' : basePath}${below}`)
    return { path: whole, directoryOnly }
  } catch (error) {
    throw refuse('token-scope', 'the path of a scope is too long or not normal', error)
  }
}

function decodeName(encoded: string): string {
  if (encoded === '') throw refuse('token-scope', 'the path of a scope holds an empty name')
  let name: string
  try {
    // Refuses incomplete escapes, overlong and otherwise invalid UTF-8.
    name = decodeURIComponent(encoded)
  } catch (error) {
    throw refuse('token-scope', 'the path of a scope holds a bad percent escape', error)
  }
  if (name === '.' || name === '..') throw refuse('token-scope', 'the path of a scope holds a dot segment')
  if (/[/\\\0]/.test(name)) throw refuse('token-scope', 'the path of a scope holds an encoded slash, backslash or NUL')
  if (/%(?:25|2e|2f|5c|00)/i.test(name)) throw refuse('token-scope', 'the path of a scope is encoded twice')
  return name
}
