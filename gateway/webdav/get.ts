/** GET and HEAD (RFC 9110, sections 9.3.1 and 9.3.2): files whole and in ranges, directories as listings. */

import type { Entry, Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { nameOf } from '../core/path.ts'
import type { Reading, ReadOptions } from '../core/storage.ts'
import { etagOf, parseConditions } from '../http/conditions.ts'
import { guardHeaders, kindOf } from '../http/content-type.ts'
import { lastModified } from '../http/dates.ts'
import { digestHeaders, parseWanted, type Wanted } from '../http/digests.ts'
import { asksForDownload, attachment } from '../http/disposition.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { parseRanges, rangeCounts, resolveRanges } from '../http/ranges.ts'
import { respond } from '../http/respond.ts'
import { type BytesReading, sendReading } from '../http/send.ts'
import { encodePath } from '../http/target.ts'
import { asksForVersions, sendVersions } from './browser/versions.ts'
import { isPage, sendListing } from './listing.ts'
import { Turns } from './turns.ts'

export const get: Method = {
  action: 'read',
  async run(x) {
    if (x.slash || x.path === '/') {
      if (versionOf(x) !== undefined) throw new StorageError('is-directory', 'versions of directories cannot be read')
      x.action = 'list'
      return sendListing(x)
    }
    if (asksForVersions(x)) return sendVersions(x)
    const reading = await x.door.storage.read(x.call, x.path, readOptions(x))
    if (reading.kind === 'bytes') await sendFile(x, reading)
    else await sendOther(x, reading)
  },
}

async function sendOther(x: Exchange, reading: Exclude<Reading, { kind: 'bytes' }>): Promise<void> {
  if (reading.kind === 'unmodified') {
    await respond(x, 304, validators(reading.entry))
  } else if (reading.kind === 'elsewhere') {
    // The URL opens the file to whoever has it: nobody keeps it, and no page that is reached by it is told.
    const guards = ['Cache-Control', 'no-store', 'Referrer-Policy', 'no-referrer']
    await respond(x, 307, ['Location', reading.url.href, ...guards])
  } else if (isPage(x)) {
    // To the host that was asked: sessions and links have their cookies there.
    const location = `${encodePath(x.path)}/${x.query === '' ? '' : `?${x.query}`}`
    await respond(x, 301, ['Location', location, 'Cache-Control', 'no-cache', 'Vary', 'Accept'])
  } else {
    x.action = 'list'
    await sendListing(x)
  }
}

async function sendFile(x: Exchange, reading: BytesReading): Promise<void> {
  const { entry } = reading
  const name = nameOf(x.path)
  const { type, active } = kindOf(name)
  const others = [...validators(entry), 'Accept-Ranges', 'bytes', ...guardHeaders, 'X-Request-Id', x.id]
  if (active || asksForDownload(x.query)) others.push('Content-Disposition', attachment(name))
  const wanted = parseWanted(x.request.headers)
  if (wanted) others.push(...(await digestsOf(x, reading, wanted)))
  await sendReading(x, reading, { type, others })
}

/** Each may read a whole file: they must not keep a mount from its other callers. */
const computing = new Turns({ running: 8, waiting: 1024 })

/**
 * Of the very version that is being sent. Who asks for the bytes is told what is kept, and can compute the rest itself;
 * HEAD with Want-Digest is how the grid asks for a checksum, which then is computed.
 */
async function digestsOf(x: Exchange, reading: BytesReading, wanted: Wanted): Promise<string[]> {
  const { storage } = x.door
  const keptOnly = x.request.method !== 'HEAD' || versionOf(x) !== undefined
  const look = () => storage.checksum(x.call, x.path, wanted.kinds, { keptOnly })
  try {
    const digests = keptOnly ? await look() : await computing.run(x.call.signal, look)
    const now = await storage.stat(x.call, x.path)
    return now.version === reading.entry.version ? digestHeaders(digests, wanted) : []
  } catch (error) {
    // A digest is a courtesy. One that cannot be had must not keep the bytes back.
    if (error instanceof StorageError) return []
    await reading.close({ bytes: 0, error })
    throw error
  }
}

function validators(entry: Entry): string[] {
  return [
    'ETag',
    etagOf(entry.version),
    'Last-Modified',
    lastModified(entry.modified),
    'Cache-Control',
    'private, no-cache',
  ]
}

function readOptions(x: Exchange): ReadOptions {
  const { headers, method = '' } = x.request
  const conditions = parseConditions(headers, method)
  const headOnly = method === 'HEAD'
  const version = versionOf(x)
  const range = headOnly || headers.range === undefined ? undefined : rangesOf(x, headers.range)
  return {
    ...(conditions && { conditions }),
    ...(headOnly && { headOnly }),
    ...(range && { ranges: range }),
    ...(mayRedirect(x) && { mayRedirect: true }),
    ...(version !== undefined && { version }),
  }
}

/** `?version=`: an earlier state that GET /.portolan/api/v1/versions named. */
function versionOf({ query }: Exchange): string | undefined {
  if (query === '') return undefined
  const [version, more] = new URLSearchParams(query).getAll('version')
  if (more !== undefined) throw new StorageError('invalid', 'the query names two versions')
  return version
}

/** Versions in If-Range and wishes in the query are ours: the storage would not understand them. */
function mayRedirect(x: Exchange): boolean {
  const { headers, method } = x.request
  return method === 'GET' && headers['if-range'] === undefined && x.query === '' && x.door.redirecting.follows(headers)
}

/** A refused range tells the size (RFC 9110, section 15.5.17), which only the entry knows. */
function rangesOf(x: Exchange, header: string): (entry: Entry) => readonly Range[] | undefined {
  const ifRange = x.request.headers['if-range']
  return (entry) => {
    if (!rangeCounts(typeof ifRange === 'string' ? ifRange : ifRange?.join(','), entry)) return undefined
    try {
      const specs = parseRanges(header)
      return specs && resolveRanges(specs, entry.size)
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'range') throw error
      const headers = ['Content-Range', `bytes */${entry.size}`, 'Accept-Ranges', 'bytes']
      throw new HttpError(416, 'range', error.message, { headers })
    }
  }
}
