/**
 * Names of certificates in one form, however they are written: as LDAP does (RFC 4514: "CN=Alice,O=Grid,C=DE"), with
 * slashes from the top down, as grid software does ("/C=DE/O=Grid/CN=Alice"), or a line for each part, as X509Certificate
 * of Node.js tells them. Pure.
 *
 * Values are compared letter by letter: two names that differ in case are two, which no authority should give out.
 */

const longest = 4096

/** Short names of attributes by all that they go by (RFC 4519, RFC 4524, RFC 2985; OpenSSL's objects.txt). */
const names: Readonly<Record<string, readonly string[]>> = {
  CN: ['2.5.4.3', 'commonname'],
  SN: ['2.5.4.4', 'surname'],
  SERIALNUMBER: ['2.5.4.5'],
  C: ['2.5.4.6', 'countryname'],
  L: ['2.5.4.7', 'localityname'],
  ST: ['2.5.4.8', 'stateorprovincename', 's', 'sp'],
  STREET: ['2.5.4.9', 'streetaddress'],
  O: ['2.5.4.10', 'organizationname'],
  OU: ['2.5.4.11', 'organizationalunitname'],
  TITLE: ['2.5.4.12'],
  GN: ['2.5.4.42', 'givenname', 'g'],
  INITIALS: ['2.5.4.43'],
  DNQUALIFIER: ['2.5.4.46', 'dnqualifier'],
  PSEUDONYM: ['2.5.4.65'],
  ORGANIZATIONIDENTIFIER: ['2.5.4.97'],
  UID: ['0.9.2342.19200300.100.1.1', 'userid'],
  DC: ['0.9.2342.19200300.100.1.25', 'domaincomponent'],
  EMAILADDRESS: ['1.2.840.113549.1.9.1', 'email', 'e'],
}
const shortNames = new Map(
  Object.entries(names).flatMap(([short, others]) =>
    [short.toLowerCase(), ...others].map((name) => [name, short] as const),
  ),
)

/** From the top down, such as `C=DE/O=Grid/CN=Alice`, percent-encoded in its values; undefined for what is no such name. */
export function canonicalName(text: string): string | undefined {
  if (text === '' || text.length > longest || /[\p{Cs}\0]/u.test(text)) return undefined
  const parts = text.startsWith('/') ? slashed(text) : text.includes('\n') ? text.split('\n').map(one) : commas(text)
  return parts === undefined || parts.some((part) => part === undefined) ? undefined : parts.join('/')
}

/** X509_NAME_oneline of OpenSSL: a slash is a border only where a known attribute follows, so that `CN=host/gw` is one. */
function slashed(text: string): readonly (string | undefined)[] {
  const starts = [...text.matchAll(/\/([A-Za-z]+|\d+(?:\.\d+)+)=/g)].filter(
    ([, type = '']) => typeOf(type) !== undefined,
  )
  if (starts[0]?.index !== 0) return [undefined]
  return starts.map((start, index) => {
    const [whole, type = ''] = start
    return written(type, text.slice(start.index + whole.length, starts[index + 1]?.index))
  })
}

/** RFC 4514, section 2.1: the last part comes first. */
function commas(text: string): readonly (string | undefined)[] | undefined {
  return splitAt(text, ',')?.map(one).toReversed()
}

/** A part of several attributes is the same in any order of them. */
function one(part: string): string | undefined {
  const pairs = splitAt(part, '+')?.map((pair) => {
    const at = pair.indexOf('=')
    const value = at < 0 ? undefined : unescaped(pair.slice(at + 1).replace(/^ +/, ''))
    return value === undefined ? undefined : written(pair.slice(0, at).trim(), value)
  })
  return pairs === undefined || pairs.some((pair) => pair === undefined) ? undefined : pairs.toSorted().join('+')
}

function written(type: string, value: string): string | undefined {
  const name = typeOf(type)
  return name === undefined || value === '' ? undefined : `${name}=${encodeURIComponent(value)}`
}

function typeOf(type: string): string | undefined {
  return shortNames.get(type.toLowerCase()) ?? (/^\d+(?:\.\d+)+$/.test(type) ? type : undefined)
}

/** At each such character that is not escaped. */
function splitAt(text: string, border: ',' | '+'): readonly string[] | undefined {
  const parts = text.match(border === ',' ? /(?:\\.|[^\\,])+/gs : /(?:\\.|[^\\+])+/gs)
  return parts?.join(border) === text ? parts : undefined
}

/** The value of an attribute (RFC 4514, section 2.4); undefined for what has to be escaped and is not, and for hexadecimal BER. */
function unescaped(text: string): string | undefined {
  const value = text.replace(/^((?:\\.|[^\\])*?) +$/s, '$1')
  if (value.startsWith('#')) return undefined
  const pieces = value.match(/\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\]|[^"+,;<>\\]/gu)
  if (pieces?.join('') !== value) return undefined
  const bytes = pieces.map((piece) => {
    if (/^\\[0-9A-Fa-f]{2}$/.test(piece)) return Buffer.from(piece.slice(1), 'hex')
    return Buffer.from(piece.length > 1 && piece.startsWith('\\') ? piece.slice(1) : piece)
  })
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(bytes))
  } catch {
    // Escaped bytes that are no text.
    return undefined
  }
}
