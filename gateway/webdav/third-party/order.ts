/** What a COPY with another server asks for (WLCG HTTP-TPC): read from its headers, not yet allowed. */

import { type IncomingMessage, validateHeaderName, validateHeaderValue } from 'node:http'
import { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../core/errors.ts'

export interface Order {
  /** `pull`: we fetch `remote`; `push`: we send to it. */
  readonly direction: 'pull' | 'push'
  /** May hold a credential in its query: never to be shown but by host. */
  readonly remote: URL
  /** For the first server alone, by name as it is sent. */
  readonly headers: ReadonlyMap<string, Secret>
  /** Without equal checksums of both sides the copy is a failure. */
  readonly verify: boolean
  /** False: only if there is nothing at the target. */
  readonly overwrite: boolean
}

const prefix = 'transferheader'
const maxTransferHeaders = 32
const maxUrlLength = 8192
/** WLCG's names for WebDAV servers, and what is spoken to them. */
const schemes: Readonly<Record<string, string>> = {
  'http:': 'http:',
  'https:': 'https:',
  'dav:': 'http:',
  'davs:': 'https:',
}

/**
 * Connection by connection (RFC 9110, section 7.6.1), about the message's form, or about who is asking: these are ours
 * to say. What asks for a part or another coding of the file would make another file of it.
 */
const ours: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
  'content-length',
  'content-encoding',
  'content-range',
  'accept-encoding',
  'range',
  'if-range',
  'expect',
  'max-forwards',
  'via',
  'forwarded',
])

/** Throws `invalid` for headers that contradict each other, cannot be read, or say what is not theirs to say. */
export function parseOrder({ headers, rawHeaders }: Pick<IncomingMessage, 'headers' | 'rawHeaders'>): Order {
  const { source, destination, credential } = headers
  if ((source === undefined) === (destination === undefined)) throw invalid('expected either Source or Destination')
  // gfal2 sends it twice.
  const kinds = credential === undefined ? [] : String(credential).toLowerCase().split(',')
  if (kinds.some((kind) => kind.trim() !== 'none')) {
    throw invalid(
      'the only Credential understood is none: send the other server its own by TransferHeaderAuthorization',
    )
  }
  return {
    direction: source === undefined ? 'push' : 'pull',
    remote: parseRemote(String(source ?? destination)),
    headers: transferHeaders(rawHeaders),
    verify: oneOf(headers.requirechecksumverification, 'RequireChecksumVerification', { true: true, false: false }),
    overwrite: oneOf(headers.overwrite, 'Overwrite', { t: true, f: false }),
  }
}

/** Absent: the first. */
function oneOf(header: string | string[] | undefined, name: string, words: Readonly<Record<string, boolean>>): boolean {
  if (header === undefined) return true
  const word = String(header).trim().toLowerCase()
  const value = Object.hasOwn(words, word) ? words[word] : undefined
  if (value === undefined) throw invalid(`${name} is none of ${Object.keys(words).join(', ')}`)
  return value
}

function parseRemote(text: string): URL {
  const url = text.length > maxUrlLength ? null : URL.parse(text.trim())
  const protocol = url && schemes[url.protocol]
  if (!url || protocol === null || protocol === undefined)
    throw invalid('the other server is not named by an http or https URL')
  // URL does not let the scheme of dav: become http:, whose hosts are parsed otherwise.
  const plain = url.hostname === '' ? null : URL.parse(`${protocol}${url.href.slice(url.protocol.length)}`)
  if (!plain || plain.hostname === '') throw invalid('the URL of the other server has no host')
  if (plain.username !== '' || plain.password !== '') throw invalid('the URL of the other server holds a password')
  plain.hash = ''
  return plain
}

function transferHeaders(raw: readonly string[]): ReadonlyMap<string, Secret> {
  const found = new Map<string, Secret>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [given = '', value = ''] = [raw[at], raw[at + 1]]
    if (!given.toLowerCase().startsWith(prefix)) continue
    // Without a name there is nothing to send (as XRootD takes it).
    if (given.length === prefix.length) continue
    const name = spelled(given.slice(prefix.length))
    const lower = name.toLowerCase()
    if (ours.has(lower) || lower.startsWith('x-forwarded-')) throw invalid(`TransferHeader: ${name} cannot be set`)
    if (found.has(name)) throw invalid(`TransferHeader: ${name} is there twice`)
    if (found.size === maxTransferHeaders) throw invalid('too many TransferHeader fields')
    requireSendable(name, value)
    found.set(name, new Secret(value))
  }
  return found
}

/** Some servers compare names with their case, and some clients send all names in lower case. */
function spelled(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())
}

function requireSendable(name: string, value: string): void {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  } catch {
    // What Node says of it repeats the value.
    throw invalid('a TransferHeader cannot be sent')
  }
}

function invalid(message: string): StorageError {
  return new StorageError('invalid', message)
}
