/** The query of a request, read strictly: what is unknown, twice or not UTF-8 is refused, not guessed at. */

import { StorageError } from '../core/errors.ts'

/**
 * The named parameters of `query` (without its `?`). Throws `invalid` for any other parameter, for one
 * that comes twice, and for escapes that are not UTF-8.
 */
export function parseQuery<Name extends string>(
  query: string,
  names: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  const found: Partial<Record<Name, string>> = {}
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const key = decode(equals < 0 ? part : part.slice(0, equals))
    const name = names.find((each) => each === key)
    if (name === undefined || found[name] !== undefined) {
      throw new StorageError('invalid', 'the query has an unknown parameter, or one twice')
    }
    found[name] = equals < 0 ? '' : decode(part.slice(equals + 1))
  }
  return found
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new StorageError('invalid', 'the query is not percent-encoded UTF-8', { cause })
  }
}
