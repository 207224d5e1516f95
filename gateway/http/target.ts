/** From the request-target of the request line (RFC 9112, section 3.2) to a Path. */

import { StorageError } from '../core/errors.ts'
import { maxPathBytes, type Path, parsePath } from '../core/path.ts'

export interface Target {
  readonly path: Path
  /** The path ended in a slash: the caller means a directory. */
  readonly slash: boolean
  /** After the first `?`, as sent; '' without one. */
  readonly query: string
  /** Of a target in absolute form: it wins over Host and must be checked like it. */
  readonly authority: string | undefined
}

const slash = 47
const percent = 37
const hash = 35

/**
 * Percent-decodes once and never resolves anything: dot segments (encoded or not), empty names,
 * encoded slashes and NULs, and octets that are not UTF-8 are `invalid`; more than 4,096 bytes or a
 * name of more than 255 are `name-too-long`. `*` stands for the server as a whole.
 */
export function parseTarget(text: string): Target | '*' {
  if (text === '*') return '*'
  if (text.charCodeAt(0) === slash) return parseOriginForm(text, undefined)
  const authority = /^https?:\/\/([^/?#@\\]+)(?=[/?]|$)/i.exec(text)
  if (!authority?.[1]) throw new StorageError('invalid', 'the request-target is not a path')
  const rest = text.slice(authority[0].length)
  return parseOriginForm(rest.startsWith('/') ? rest : `/${rest}`, authority[1])
}

function parseOriginForm(text: string, authority: string | undefined): Target {
  const cut = text.indexOf('?')
  const encoded = cut < 0 ? text : text.slice(0, cut)
  // Three characters can stand for one byte; one more may be the final slash.
  if (encoded.length > maxPathBytes * 3 + 1) {
    throw new StorageError('name-too-long', `the path is longer than ${maxPathBytes} bytes`)
  }
  const decoded = decode(encoded)
  const query = cut < 0 ? '' : text.slice(cut + 1)
  const ended = decoded.length > 1 && decoded.charCodeAt(decoded.length - 1) === slash
  return { path: parsePath(decoded), slash: ended, query, authority }
}

/** Decodes one path whose slashes are separators. Throws `invalid`. */
function decode(encoded: string): string {
  let escapes = false
  for (let at = 0; at < encoded.length; at++) {
    const code = encoded.charCodeAt(at)
    if (code === percent) escapes = true
    else if (code <= 32 || code >= 127 || code === hash) {
      throw new StorageError('invalid', 'the path holds a character that must be percent-encoded')
    }
  }
  if (!escapes) return encoded
  // Decoded, these two would be a separator that the sender did not mean, and an end of string to a kernel.
  if (/%(?:2f|00)/i.test(encoded)) throw new StorageError('invalid', 'the path holds an encoded slash or NUL')
  try {
    // Refuses malformed escapes, overlong forms, surrogates and whatever else is not UTF-8 (ECMA-262, Decode).
    return decodeURIComponent(encoded)
  } catch (cause) {
    throw new StorageError('invalid', 'the path is not percent-encoded UTF-8', { cause })
  }
}

/** The percent-encoded form of a path or name, safe in a header, an attribute and a link. */
export function encodePath(path: string): string {
  return path
    .split('/')
    .map((name) => encodeURIComponent(name).replace(/[!'()*]/g, escapeCharacter))
    .join('/')
}

function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}
