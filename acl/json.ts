/**
 * JSON objects as tokens, key sets and policies must carry them: valid UTF-8, one object, and no member name
 * twice, since two readers may choose differently between two values (RFC 8725, section 2.4 and 3.10).
 */

export type JsonObject = Readonly<Record<string, unknown>>

export type ParsedObject =
  | { readonly object: JsonObject; readonly problem?: undefined }
  | { readonly object?: undefined; readonly problem: string }

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Parses bytes that must be one JSON object; says what is wrong instead of throwing. The caller bounds the size. */
export function parseObject(bytes: Uint8Array): ParsedObject {
  let text: string
  let value: unknown
  try {
    text = utf8.decode(bytes)
    value = JSON.parse(text)
  } catch {
    // The parser's message would quote the input, which may be a credential.
    return { problem: 'is not JSON in UTF-8' }
  }
  if (!isObject(value)) return { problem: 'is not a JSON object' }
  if (repeatsMember(text)) return { problem: 'names a member twice' }
  return { object: value }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An own member, so that `constructor` and its kin are no claims. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** Whether any object in `text`, which must be valid JSON, has two members of one name (after unescaping). */
function repeatsMember(text: string): boolean {
  const open: Array<Set<string> | undefined> = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{') open.push(new Set())
    else if (char === '[') open.push(undefined)
    else if (char === '}' || char === ']') open.pop()
    else if (char === '"') {
      const end = endOfString(text, at)
      const names = open.at(-1)
      if (names !== undefined && isFollowedByColon(text, end)) {
        const name = String(JSON.parse(text.slice(at, end)))
        if (names.has(name)) return true
        names.add(name)
      }
      at = end - 1
    }
  }
  return false
}

/** Where the string that opens at `start` has ended. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\n' || text[at] === '\r') at++
  return text[at] === ':'
}
