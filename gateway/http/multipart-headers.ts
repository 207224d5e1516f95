/** The headers of a form's parts (RFC 7578), as browsers write them (HTML standard, "Multipart form data"). */

import { StorageError } from '../core/errors.ts'

/** What a part says of itself. */
export interface PartHead {
  readonly name: string
  /** As the sender has it, paths and all; absent for what is no file. */
  readonly filename: string | undefined
}

/** Bytes of a part's headers; what comes from more may have been cut. */
export const maxPartHeaders = 8192
/** Longest name of a field. */
const maxName = 128

/** The boundary of a form (RFC 2046, section 5.1.1). Throws `invalid` without one. */
export function boundaryOf(contentType: string): string {
  const [, quoted, plain] = /;[ \t]*boundary=(?:"([^"]*)"|([^\s;"]*))/i.exec(contentType) ?? []
  const boundary = quoted ?? plain ?? ''
  if (/^[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]$/.test(boundary)) return boundary
  throw new StorageError('invalid', 'the form has no boundary')
}

/** Throws `invalid` for a part that is not one of a form, or is another form, or is encoded. */
export function parsePartHead(headers: Readonly<Record<string, readonly string[]>>): PartHead {
  const lengths = Object.entries(headers).map(([name, values]) => name.length + values.join('').length)
  if (lengths.reduce((sum, each) => sum + each, 0) > maxPartHeaders / 2) throw unreadable('headers that are too long')
  const [disposition = '', second] = headers['content-disposition'] ?? []
  if (second !== undefined) throw unreadable('two names')
  const found = parametersOf(disposition)
  const [type = ''] = headers['content-type'] ?? []
  if (/^multipart\//i.test(type)) throw unreadable('a form in itself')
  const [encoding = 'binary'] = headers['content-transfer-encoding'] ?? []
  if (!/^(?:7bit|8bit|binary)$/i.test(encoding.trim())) throw unreadable('a transfer encoding')
  const name = found.get('name')
  if (name === undefined || name.length > maxName) throw unreadable('no name, or a long one')
  const filename = found.get('filename')
  // Taken for a field it would be lost without a word (RFC 7578, section 4.2, has no such names in forms).
  if (filename === undefined && found.has('filename*')) throw unreadable('a name written as headers of mail have it')
  return { name, filename }
}

/** Of a Content-Disposition. Browsers write `%22` for a quotation mark, curl may write `\"`; both leave backslashes alone. */
function parametersOf(disposition: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const kind = /^form-data[ \t]*/i.exec(disposition)?.[0]
  if (kind === undefined) throw unreadable('no name')
  let end = kind.length
  for (const match of disposition.slice(end).matchAll(parameter)) {
    const [whole, name = '', quoted, plain = ''] = match
    if (found.has(name.toLowerCase())) throw unreadable('one parameter twice')
    found.set(name.toLowerCase(), decoded((quoted ?? plain).replaceAll('\\"', '"')))
    end += whole.length
  }
  if (end !== disposition.length) throw unreadable('a name that cannot be read')
  return found
}

/** Sticky: what lies between two parameters is not passed over. */
const parameter = /;[ \t]*([A-Za-z*-]+)=(?:"(.*?)"(?=[ \t]*(?:;|$))|([^\s;"]+))[ \t]*/gy

/** Headers come as one character a byte. */
function decoded(bytes: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    throw unreadable('a name that is not UTF-8')
  }
}

function unreadable(what: string): StorageError {
  return new StorageError('invalid', `a part of the form has ${what}`)
}
