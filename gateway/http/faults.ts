/** Requests that are no sound HTTP/1.1, whatever they are for. */

import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'

const maxHeaders = 256

/** Throws what is wrong with a request before anybody looks at what it asks for. */
export function requireSound({ request, awaitsContinue }: Exchange): void {
  if (request.rawHeaders.length > maxHeaders * 2) throw new HttpError(431, 'too-large', 'too many header fields')
  if (request.httpVersionMajor !== 1) throw new HttpError(505, 'unsupported', 'HTTP/1.1 is spoken here')
  // RFC 9112, section 6.3: without chunked as the only coding nobody can tell where the body ends.
  const coding = request.headers['transfer-encoding']
  if (coding !== undefined && request.httpVersionMinor === 0) {
    // RFC 9112, section 6.1: proxies of that age see another end of the body.
    throw new StorageError('invalid', 'HTTP/1.0 knows no transfer codings')
  }
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') {
    throw new StorageError('invalid', 'the only transfer coding understood is chunked')
  }
  // RFC 9110, section 10.1.1: an expectation that cannot be met.
  if (awaitsContinue && request.headers.expect?.toLowerCase() !== '100-continue') {
    throw new HttpError(417, 'unsupported', 'the only expectation understood is 100-continue')
  }
}
