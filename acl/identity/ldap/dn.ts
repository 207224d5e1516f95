/** Distinguished names as text (RFC 4514): enough to compare two of them, and to read the name of an entry. */

export interface NameValue {
  /** Lower case. */
  readonly type: string
  readonly value: string
}

/** Longest DN that is looked at, in characters. */
const maxLength = 8192

/** The relative names from the entry upwards, each with one value or more; undefined for what is no DN. */
export function parseDn(text: string): readonly (readonly NameValue[])[] | undefined {
  if (text.length > maxLength) return undefined
  if (text.trim() === '') return []
  const names: NameValue[][] = []
  for (const part of splitAt(text, ',')) {
    const values: NameValue[] = []
    for (const piece of splitAt(part, '+')) {
      const equals = piece.indexOf('=')
      const type = piece.slice(0, equals).trim().toLowerCase()
      const value = unescaped(piece.slice(equals + 1))
      if (equals < 1 || !/^([a-z][a-z0-9-]*|\d+(\.\d+)*)$/.test(type) || value === undefined) return undefined
      values.push({ type, value })
    }
    names.push(values)
  }
  return names
}

/** One text for all ways to write a DN of attributes that ignore case, as those of entries do nearly always. */
export function normalDn(text: string): string | undefined {
  return parseDn(text)
    ?.map((values) =>
      values
        .map(({ type, value }) => `${type}=${JSON.stringify(value.toLowerCase().trim().replace(/ +/g, ' '))}`)
        .toSorted()
        .join('+'),
    )
    .join(',')
}

/** The value of this attribute in the entry's own name, or undefined. */
export function nameIn(dn: string, attribute: string): string | undefined {
  return parseDn(dn)?.[0]?.find(({ type }) => type === attribute.toLowerCase())?.value
}

/** Whether this is a DN that names an entry. */
export function isDn(text: string): boolean {
  return (parseDn(text)?.length ?? 0) > 0
}

const special = /[\\"]/

/** Splits where the separator is neither escaped nor inside quotes, which LDAPv2 servers still write. */
function splitAt(text: string, separator: ',' | '+'): readonly string[] {
  // As nearly all are; a group has a hundred thousand of them.
  if (!special.test(text)) return text.split(separator === ',' ? /[,;]/ : '+')
  const parts: string[] = []
  let [start, quoted] = [0, false]
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '\\') at++
    else if (character === '"') quoted = !quoted
    else if (!quoted && (character === separator || (separator === ',' && character === ';'))) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}

/** RFC 4514, section 3: `\2C` is one byte, `\,` the character; spaces around a value are not part of it. */
function unescaped(given: string): string | undefined {
  const text = trimmed(given)
  const quoted = /^"(.*)"$/s.exec(text)?.[1]
  const rest = quoted ?? text
  if (!special.test(text) || (quoted === undefined && rest.startsWith('#'))) return rest
  const bytes: Buffer[] = []
  for (let at = 0; at < rest.length; ) {
    const hex = /^\\([0-9a-fA-F]{2})/.exec(rest.slice(at, at + 3))?.[1]
    if (hex !== undefined) {
      bytes.push(Buffer.from(hex, 'hex'))
      at += 3
    } else if (rest[at] === '\\') {
      const character = rest[at + 1]
      if (character === undefined) return undefined
      bytes.push(Buffer.from(character))
      at += 2
    } else {
      const plain = /^[^\\]+/.exec(rest.slice(at))?.[0] ?? ''
      bytes.push(Buffer.from(plain))
      at += plain.length
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(bytes))
  } catch {
    // Bytes that are no text name nothing that we could compare.
    return undefined
  }
}

/** Without spaces at the ends, but for an escaped one. */
function trimmed(text: string): string {
  const left = text.trimStart()
  const right = left.trimEnd()
  let slashes = 0
  while (right.at(-1 - slashes) === '\\') slashes++
  return slashes % 2 === 1 && right.length < left.length ? `${right} ` : right
}
