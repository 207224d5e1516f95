/** 207 Multi-Status (RFC 4918, section 13), piece by piece and in bounded memory. */

import { STATUS_CODES } from 'node:http'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Exchange } from '../http/exchange.ts'
import { sendText } from '../http/send.ts'
import { encodePath } from '../http/target.ts'
import { declarations } from './names.ts'
import { conditionOf, xmlHead, xmlType } from './problem.ts'

const plain = /^[\w.~/-]*$/

/** The path in an href; directories end in a slash. */
export function hrefOf(path: string, isDirectory: boolean): string {
  const encoded = plain.test(path) ? path : encodePath(path)
  return isDirectory && !encoded.endsWith('/') ? `${encoded}/` : encoded
}

/** Sends responses as they come. `headers`: further ones; name, value, name, value. */
export function sendMultistatus(
  x: Exchange,
  responses: AsyncIterable<string> | Iterable<string>,
  headers: readonly string[] = [],
): Promise<void> {
  const all = ['Content-Type', xmlType, 'Cache-Control', 'no-cache', ...headers, 'X-Request-Id', x.id]
  return sendText(x, { status: 207, headers: all }, framed(responses))
}

async function* framed(responses: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  let head = `${xmlHead}<D:multistatus ${declarations}>\n`
  for await (const response of responses) {
    yield head + response
    head = ''
  }
  yield `${head}</D:multistatus>\n`
}

/** A status line as it stands in answers. */
export function statusElement(status: number): string {
  return `<D:status>HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}</D:status>`
}

/** Members that an operation failed for; those that it did not fail for are not named. */
export function sendFailures(
  x: Exchange,
  failed: ReadonlyArray<{ readonly path: Path; readonly error: unknown }>,
): Promise<void> {
  return sendMultistatus(
    x,
    failed.map(({ path, error }) => {
      const condition = conditionOf({ path, action: x.action }, error)
      const told = condition === '' ? '' : `<D:error>${condition}</D:error>`
      const status = statusElement(x.statusOf(StorageError.from(error).code))
      return `<D:response><D:href>${encodePath(path)}</D:href>${status}${told}</D:response>\n`
    }),
  )
}

/** Properties that share a status; '' for none. `properties`: elements. */
export function propstat(properties: string, status: number, condition = ''): string {
  if (properties === '') return ''
  const told = condition === '' ? '' : `<D:error>${condition}</D:error>`
  return `<D:propstat><D:prop>${properties}</D:prop>${statusElement(status)}${told}</D:propstat>`
}
