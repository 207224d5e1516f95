/**
 * The canonical form of a request (AWS Signature Version 4, "Create a canonical request", as Amazon S3 has it: paths are
 * neither normalised nor encoded twice). Everything is taken from what came over the wire, never from a parsed URL.
 */

/** One parameter of a query, decoded: one character for each octet. */
interface Parameter {
  readonly name: string
  readonly value: string
}

/** What a bare `+` in a query stands for: clients disagree, and only the signature tells. */
export type Plus = 'literal' | 'space'

const unreserved = /^[A-Za-z0-9\-._~]*$/
const unreservedPath = /^[A-Za-z0-9\-._~/]*$/
const slash = 47

/** The table of "UriEncode": every octet but the unreserved ones as `%XX`. */
const escapes: readonly string[] = Array.from({ length: 256 }, (_, octet) => {
  const character = String.fromCharCode(octet)
  return unreserved.test(character) ? character : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
})

/** The path and the query of a request-target (RFC 9112, section 3.2), as sent; `query` without its `?`. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const absolute = /^https?:\/\/[^/?#]*/i.exec(target)
  const origin = absolute ? target.slice(absolute[0].length) : target
  const cut = origin.indexOf('?')
  const path = cut < 0 ? origin : origin.slice(0, cut)
  return { path: path === '' ? '/' : path, query: cut < 0 ? '' : origin.slice(cut + 1) }
}

/** Of the path of a request-target, as sent. Undefined where an escape is malformed. */
export function canonicalUri(path: string): string | undefined {
  if (unreservedPath.test(path)) return path
  const octets = decodeOctets(path)
  return octets === undefined ? undefined : encode(octets, slash)
}

/** The query as sender and receiver write it down to sign it. Names in `without`, in lower case, are left out. */
export function canonicalQuery(query: string, plus: Plus, without?: string): string | undefined {
  const parameters = parseParameters(query, plus)
  if (!parameters) return undefined
  return parameters
    .filter(({ name }) => without === undefined || name.toLowerCase() !== without)
    .map(({ name, value }) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => (a === b ? order(x, y) : order(a, b)))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** By name; the first of several values counts. Undefined where an escape is malformed or does not stand for UTF-8. */
export function parseS3Query(query: string, plus: Plus): ReadonlyMap<string, string> | undefined {
  const parameters = parseParameters(query, plus)
  if (!parameters) return undefined
  const found = new Map<string, string>()
  for (const { name, value } of parameters) {
    const key = utf8(name)
    const text = utf8(value)
    if (key === undefined || text === undefined) return undefined
    if (!found.has(key)) found.set(key, text)
  }
  return found
}

/** The fields of a request's head. Names in lower case; values trimmed, those of one name joined by a comma, as they came. */
export class HeadFields {
  readonly #fields = new Map<string, string>()

  /** `raw`: name, value, name, value, one character for each octet. */
  constructor(raw: readonly string[]) {
    for (let at = 0; at + 1 < raw.length; at += 2) {
      const name = (raw[at] ?? '').toLowerCase()
      const value = trimmed(raw[at + 1] ?? '')
      const before = this.#fields.get(name)
      this.#fields.set(name, before === undefined ? value : `${before},${value}`)
    }
  }

  get(name: string): string | undefined {
    return this.#fields.get(name)
  }

  names(): Iterable<string> {
    return this.#fields.keys()
  }
}

/** `name:value\n` for each of `names`, which are in lower case. */
export function canonicalHeaders(fields: HeadFields, names: readonly string[]): string {
  let text = ''
  for (const name of names.toSorted(order)) {
    const value = fields.get(name) ?? restored(name)
    text += `${name}:${value.includes('  ') ? value.replace(/ {2,}/g, ' ') : value}\n`
  }
  return text
}

export interface CanonicalParts {
  readonly method: string
  readonly uri: string
  readonly query: string
  /** As `canonicalHeaders` gives them. */
  readonly headers: string
  /** As sent: separated by semicolons. */
  readonly signedHeaders: string
  readonly payloadHash: string
}

/** One character for each octet. */
export function canonicalRequest(parts: CanonicalParts): string {
  const { method, uri, query, headers, signedHeaders, payloadHash } = parts
  return `${method}\n${uri}\n${query}\n${headers}\n${signedHeaders}\n${payloadHash}`
}

/** Proxies take this one for themselves; what it said is known. */
function restored(name: string): string {
  return name === 'expect' ? '100-continue' : ''
}

function parseParameters(query: string, plus: Plus): readonly Parameter[] | undefined {
  const found: Parameter[] = []
  if (query === '') return found
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const text = plus === 'space' ? part.replaceAll('+', ' ') : part
    const name = decodeOctets(equals < 0 ? text : text.slice(0, equals))
    const value = equals < 0 ? '' : decodeOctets(text.slice(equals + 1))
    if (name === undefined || value === undefined) return undefined
    found.push({ name, value })
  }
  return found
}

/** One character for each octet; undefined for a malformed escape. */
function decodeOctets(text: string): string | undefined {
  if (!text.includes('%')) return text
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

/** `octets`: one character each. `spared`: an octet that stays as it is. */
function encode(octets: string, spared?: number): string {
  if (unreserved.test(octets)) return octets
  let text = ''
  for (let at = 0; at < octets.length; at++) {
    const octet = octets.charCodeAt(at) & 255
    text += octet === spared ? octets[at] : escapes[octet]
  }
  return text
}

function utf8(octets: string): string | undefined {
  // Without anything above ASCII there is nothing to decode.
  if (!/[^\0-\x7f]/.test(octets)) return octets
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(octets, 'latin1'))
  } catch {
    return undefined
  }
}

/** `String.trim` would take octets of UTF-8 for spaces. */
function trimmed(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isBlank(value.charCodeAt(start))) start++
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--
  return value.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

/** By code units, which are octets here. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
