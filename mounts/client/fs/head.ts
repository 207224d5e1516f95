/** The head of an HTTP answer (RFC 9112, sections 4 and 5), read more strictly than the RFC asks. */

import { StorageError } from '../../../gateway/core/errors.ts'

/** Bytes of status line and headers. */
export const maxHead = 16 * 1024

export interface Head {
  readonly status: number
  /** Names in lower case. Of several of one name the last, but for Set-Cookie, which are all in `cookies`. */
  readonly headers: Readonly<Record<string, string>>
  readonly cookies: readonly string[]
  /** Bytes of the body. */
  readonly length: number
  /** Whether another request may be sent on this connection. */
  readonly stays: boolean
}

const statusLine = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/

/** `text`: without the empty line at the end. Throws `unavailable` for whatever cannot be told from an attack. */
export function readHead(text: string): Head {
  const [first = '', ...lines] = text.split('\r\n')
  const status = Number(statusLine.exec(first)?.[1])
  if (Number.isNaN(status)) throw rubbish('no status line')
  const headers: Record<string, string> = Object.create(null)
  const cookies: string[] = []
  for (const line of lines) {
    const [, name, value = ''] = field.exec(line) ?? []
    if (name === undefined) throw rubbish('a broken header')
    const lower = name.toLowerCase()
    if (lower === 'content-length' && lower in headers) throw rubbish('two lengths')
    if (lower === 'set-cookie') cookies.push(value)
    headers[lower] = value
  }
  // One way to tell where an answer ends is one way less to disagree about it.
  if (headers['transfer-encoding'] !== undefined) throw rubbish('a body of unknown length')
  return {
    status,
    headers,
    cookies,
    length: lengthOf(status, headers),
    stays: !/\bclose\b/i.test(headers.connection ?? ''),
  }
}

function lengthOf(status: number, headers: Readonly<Record<string, string>>): number {
  const told = headers['content-length']
  if (told === undefined && (status === 204 || status === 304)) return 0
  if (told === undefined || !/^\d{1,15}$/.test(told)) throw rubbish('no length')
  const length = Number(told)
  if (status === 204 && length !== 0) throw rubbish('a body where there is none')
  return status === 304 ? 0 : length
}

/** What is thrown for an answer that is none of HTTP, or of another server. */
export function rubbish(what: string): StorageError {
  return new StorageError('unavailable', `the answer is not that of a Portolan gateway: ${what}`)
}
