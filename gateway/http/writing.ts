/** What the headers of an upload say, and what is answered once its file is there: the same for PUT and what resumes. */

import type { IncomingHttpHeaders } from 'node:http'
import type { Digest } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Conditions, WriteOptions, Written } from '../core/storage.ts'
import { etagOf } from './conditions.ts'
import { lastModified } from './dates.ts'
import { digestHeaders, parseExpected, parseWanted, type Wanted } from './digests.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { encodePath } from './target.ts'

/** Throws `invalid` for a part of a file, and 415 for bodies that would have to be decoded first. */
export function requirePlain(headers: IncomingHttpHeaders): void {
  // RFC 9110, section 14.5: a part must not be taken for the whole.
  if (headers['content-range'] !== undefined) throw new StorageError('invalid', 'partial PUT is not supported')
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw new HttpError(415, 'unsupported', 'bodies are stored as they are, without a content coding')
  }
}

/** Everything but the length. Throws as `requirePlain`, and `invalid`. */
export function writeOptionsOf(headers: IncomingHttpHeaders, conditions: Conditions | undefined): WriteOptions {
  requirePlain(headers)
  const expected = parseExpected(headers)
  const digests = parseWanted(headers)?.kinds ?? []
  const all: readonly Digest[] = [...new Set([...digests, ...(Object.keys(expected ?? {}) as Digest[])])]
  const modified = modificationTime(headers['x-oc-mtime'])
  return {
    ...(conditions && { conditions }),
    ...(expected && { expected }),
    ...(all.length > 0 && { digests: all }),
    ...(modified !== undefined && { modified }),
  }
}

/** Bytes, from a header. Throws `invalid`, and `too-large` past what the door accepts. */
export function lengthOf({ door }: Exchange, text: string | string[]): number {
  const size = typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(size)) throw new StorageError('invalid', 'the length of the body is not a number')
  if (!Number.isSafeInteger(size) || size > door.maxUpload) {
    throw new StorageError('too-large', 'the upload is larger than accepted')
  }
  return size
}

/** What the first request of an upload wants to be told at its end. */
export interface Telling {
  readonly wanted: Wanted | undefined
  /** It sent X-OC-Mtime. */
  readonly timed: boolean
}

export function tellingOf(headers: IncomingHttpHeaders): Telling {
  return { wanted: parseWanted(headers), timed: headers['x-oc-mtime'] !== undefined }
}

/** The status and the headers that tell of the new file at `path`; name, value, name, value. */
export function writtenAnswer(
  { door }: Pick<Exchange, 'door'>,
  path: Path,
  { entry, created, digests }: Written,
  { wanted, timed }: Telling,
): { readonly status: 201 | 204; readonly headers: string[] } {
  const headers = ['ETag', etagOf(entry.version), 'Last-Modified', lastModified(entry.modified)]
  if (wanted) headers.push(...digestHeaders(digests, wanted))
  if (timed) headers.push('X-OC-Mtime', 'accepted')
  if (created) headers.push('Location', `${door.publicUrl}${encodePath(path)}`)
  return { status: created ? 201 : 204, headers }
}

/** Nanoseconds since 1970 beyond this do not fit into the 64 bits that storage has for them. */
const latest = 9_223_372_035

/** X-OC-Mtime: seconds since 1970, as ownCloud's and rclone's clients send it. */
function modificationTime(header: string | string[] | undefined): bigint | undefined {
  if (header === undefined) return undefined
  const match = typeof header === 'string' ? /^(\d{1,11})(?:\.(\d{1,9})\d*)?$/.exec(header.trim()) : null
  if (!match?.[1] || Number(match[1]) > latest)
    throw new StorageError('invalid', 'X-OC-Mtime is not a number of seconds')
  return BigInt(match[1]) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))
}
