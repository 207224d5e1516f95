/** PUT (RFC 9110, section 9.3.4): all or nothing, under the conditions given. */

import type { Digest, Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Conditions, WriteOptions, Writing, Written } from '../core/storage.ts'
import { etagOf, parseConditions } from '../http/conditions.ts'
import { lastModified } from '../http/dates.ts'
import { digestHeaders, parseExpected, parseWanted } from '../http/digests.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { receiveBody, sendContinue } from '../http/receive.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'
import { withIf } from './if-header.ts'

export const put: Method = {
  action: 'create',
  async run(x) {
    const options = writeOptions(x, await conditionsOf(x))
    const writing = await x.door.storage.write(x.call, x.path, options)
    let written: Written
    try {
      sendContinue(x)
      written = await receive(x, writing, options)
    } catch (error) {
      await writing.discard(error)
      throw error
    }
    await answer(x, written)
  },
}

async function receive(x: Exchange, writing: Writing, { size }: WriteOptions): Promise<Written> {
  await receiveBody(x, writing.body, Math.min(x.door.maxUpload, size ?? Number.POSITIVE_INFINITY))
  // What follows the announced bytes is no request: the sender and its Content-Length disagree.
  if (x.connection.broken) throw new StorageError('invalid', 'the body is not as long as announced')
  return writing.commit()
}

async function answer(x: Exchange, { entry, created, digests }: Written): Promise<void> {
  const wanted = parseWanted(x.request.headers)
  const headers = ['ETag', etagOf(entry.version), 'Last-Modified', lastModified(entry.modified)]
  if (wanted) headers.push(...digestHeaders(digests, wanted))
  if (x.request.headers['x-oc-mtime'] !== undefined) headers.push('X-OC-Mtime', 'accepted')
  if (created) headers.push('Location', `${x.door.publicUrl}${encodePath(x.path)}`)
  await respond(x, created ? 201 : 204, headers)
}

/**
 * davfs2 takes a lock before it makes a file, which makes an empty one, and then asks that there be none. For whoever
 * submits the lock's token the file is still to be made.
 */
async function conditionsOf(x: Exchange): Promise<Conditions | undefined> {
  const conditions = withIf(x, parseConditions(x.request.headers, 'PUT'))
  const { lockTokens = [] } = x.call
  if (conditions?.ifNoneMatch !== '*' || lockTokens.length === 0) return conditions
  const { storage } = x.door
  const held = await storage.locks.matching(x.call, x.path, lockTokens)
  const entry = held.size > 0 ? await unlessMissing(storage.stat(x.call, x.path)) : undefined
  return entry?.type === 'file' && entry.size === 0 ? { ifMatch: [entry.version] } : conditions
}

async function unlessMissing(asked: Promise<Entry>): Promise<Entry | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof StorageError && error.code === 'not-found') return undefined
    throw error
  }
}

function writeOptions(x: Exchange, conditions: Conditions | undefined): WriteOptions {
  const { headers } = x.request
  if (x.slash || x.path === '/')
    throw new StorageError('is-directory', 'a file is not written at a path with a final slash')
  // RFC 9110, section 14.5: a part must not be taken for the whole.
  if (headers['content-range'] !== undefined) throw new StorageError('invalid', 'partial PUT is not supported')
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw new HttpError(415, 'unsupported', 'bodies are stored as they are, without a content coding')
  }
  const size = announcedSize(x)
  if (size !== undefined && size > x.door.maxUpload)
    throw new StorageError('too-large', 'the upload is larger than accepted')
  const expected = parseExpected(headers)
  const digests = parseWanted(headers)?.kinds ?? []
  const all: readonly Digest[] = [...new Set([...digests, ...(Object.keys(expected ?? {}) as Digest[])])]
  const modified = modificationTime(headers['x-oc-mtime'])
  return {
    ...(size !== undefined && { size }),
    ...(conditions && { conditions }),
    ...(expected && { expected }),
    ...(all.length > 0 && { digests: all }),
    ...(modified !== undefined && { modified }),
  }
}

/** Content-Length; for a chunked body what Finder says of it. Throws 411 for a body that is not announced at all. */
function announcedSize({ request: { headers } }: Exchange): number | undefined {
  const length = headers['content-length']
  if (length === undefined && headers['transfer-encoding'] === undefined) {
    throw new HttpError(411, 'invalid', 'the length of the body is missing')
  }
  const text = length ?? headers['x-expected-entity-length']
  if (text === undefined) return undefined
  const size = typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(size)) throw new StorageError('invalid', 'the length of the body is not a number')
  if (!Number.isSafeInteger(size)) throw new StorageError('too-large', 'the upload is larger than accepted')
  return size
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
