/**
 * Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload): an ordinary PUT that says Upload-Complete is told
 * where to go on if it breaks, and may bring the file in parts. Section numbers move from draft to draft; names of
 * sections are cited instead.
 */

import type { IncomingHttpHeaders } from 'node:http'
import type { Digests } from '../../backends/backend.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import { OffsetError, type UploadState } from '../core/uploads.ts'
import { parseExpected } from '../http/digests.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { DataDoor, Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { lengthOf, requirePlain, writeOptionsOf } from '../http/writing.ts'
import {
  bareItems,
  booleanField,
  completed,
  contentLength,
  inconsistent,
  integerField,
  isSomebody,
  largestUpload,
  mediaType,
  mismatching,
  ofTheWhole,
  ofThisContent,
  uploadLimit,
  uploadUrl,
} from './fields.ts'
import { aim, finishUpload, forgetUpload, submitLocks, type UploadsOptions } from './finishing.ts'
import { noteOf } from './note.ts'
import { takeBody } from './taking.ts'

/** Media type of a part. */
export const partialUpload = 'application/partial-upload'

/** Drafts in which the fields mean what they mean here; without the header it is what the RFC will say. */
const versions: ReadonlySet<string | string[] | undefined> = new Set([undefined, '6', '7', '8'])

/** Failures that may pass: what has come is worth keeping. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'busy',
  'unavailable',
  'timeout',
  'cancelled',
  'locked',
  'quota',
  'no-space',
  'internal',
  // Of the credential and of what was looked at, not of the upload.
  'unauthenticated',
  'stale',
])

/** The methods on the namespace, PUT with resumption. */
export function resumable(data: DataDoor, options: UploadsOptions): DataDoor {
  const { PUT: put, OPTIONS: ask } = data.methods
  if (!put || !ask) throw new StorageError('internal', 'there is no PUT to resume')
  const methods: Readonly<Record<string, Method>> = {
    ...data.methods,
    PUT: { ...put, run: async (x) => (isResumable(x) ? startAt(options, x) : put.run(x)) },
    OPTIONS: {
      ...ask,
      async run(x) {
        // Section "Limits".
        if (x.door.storage.uploads.available) {
          x.response.setHeader('Accept-Patch', partialUpload)
          x.response.setHeader('Upload-Limit', uploadLimit(x))
        }
        await ask.run(x)
      },
    },
  }
  return { ...data, methods }
}

/** Whether it is to be resumed if it breaks. Throws `invalid` for a part that would otherwise be taken for the whole. */
function isResumable(x: Exchange): boolean {
  const headers = bareItems(x.request.headers)
  if (headers['upload-complete'] === undefined && headers['upload-incomplete'] === undefined) return false
  // What the drafts up to 02 say is the opposite, and about other requests than these.
  const complete = booleanField(headers, 'upload-complete') ?? !booleanField(headers, 'upload-incomplete')
  const known = headers['upload-complete'] !== undefined && versions.has(headers['upload-draft-interop-version'])
  const keeps = known && x.door.storage.uploads.available
  if (keeps && isSomebody(x)) return true
  if (complete) return false
  if (keeps) throw new StorageError('unauthenticated', 'uploads under way belong to somebody')
  throw anotherVersion()
}

function anotherVersion(): HttpError {
  return new HttpError(400, 'unsupported', 'uploads in parts are not taken in this version of resumable uploads')
}

async function startAt(options: UploadsOptions, x: Exchange): Promise<void> {
  if (x.slash || x.path === '/') {
    throw new StorageError('is-directory', 'a file is not written at a path with a final slash')
  }
  await start(options, x)
}

/** The same where there is no PUT that a whole file could be for. */
export async function startPosted(options: UploadsOptions, x: Exchange): Promise<void> {
  if (!isResumable(x)) throw anotherVersion()
  await start(options, x)
}

/** Section "Upload Creation", for the file at `x.path`. */
async function start(options: UploadsOptions, x: Exchange): Promise<void> {
  const headers = bareItems(x.request.headers)
  const { uploads } = x.door.storage
  aim(x, x.path)
  const complete = requireComplete(headers)
  x.response.setHeader('Upload-Limit', uploadLimit(x))
  const length = lengthFrom(x, headers, 0, complete)
  const state = await uploads.create(x.call, x.path, {
    ...writeOptionsOf(complete ? headers : ofTheWhole(headers), await options.conditions(x)),
    ...(length !== undefined && { size: length }),
    note: noteOf(x),
  })
  const told = ['Location', uploadUrl(x, state.id), 'Upload-Limit', uploadLimit(x, state)]
  if (x.request.httpVersionMinor > 0) x.response.writeInformation(104, told)
  let now: UploadState
  try {
    // Of a whole file it has been said already what it is.
    now = await receive(x, state, 0, { complete, length, digest: complete ? undefined : contentDigest(x) })
  } catch (error) {
    await giveUp(x, state, error)
    throw error
  }
  if (complete) return finish(x, now)
  await respond(x, 201, [...told, 'Upload-Offset', String(now.offset), 'Upload-Complete', '?0'])
}

/** Section "Upload Append". */
export async function append(options: UploadsOptions, x: Exchange, id: string): Promise<void> {
  const headers = bareItems(x.request.headers)
  if (mediaType(x) !== partialUpload) {
    const accepted = ['Accept-Patch', partialUpload]
    throw new HttpError(415, 'unsupported', `an upload is continued by ${partialUpload}`, { headers: accepted })
  }
  const offset = integerField(headers, 'upload-offset')
  if (offset === undefined) throw new StorageError('invalid', 'Upload-Offset is missing')
  const complete = requireComplete(headers)
  requirePlain(headers)
  const digest = contentDigest(x)
  const state = await x.door.storage.uploads.state(x.call, id, { settled: true })
  if (state.complete) throw x.hasBody ? inconsistent() : completed()
  if (offset !== state.offset) throw mismatching(state.offset, offset)
  x.response.setHeader('Upload-Limit', uploadLimit(x, state))
  const length = lengthFrom(x, headers, offset, complete)
  if (length !== undefined && length !== (state.length ?? length)) throw inconsistent()
  await submitLocks(options, x, state)
  const now = await receive(x, state, offset, { complete, length, digest })
  if (complete) return finish(x, now)
  await respond(x, 204, ['Upload-Offset', String(now.offset), 'Upload-Complete', '?0'])
}

/** Section "Offset Retrieval". Of a finished upload it also tells what the last answer told, which may have been lost. */
export async function describe(x: Exchange, id: string): Promise<void> {
  const state = await x.door.storage.uploads.state(x.call, id, { settled: true })
  aim(x, state.path)
  const { headers } = state.complete ? await finishUpload(x, state) : { headers: [] }
  const told = ['Upload-Offset', String(state.offset), 'Upload-Complete', state.complete ? '?1' : '?0']
  if (state.length !== undefined) told.push('Upload-Length', String(state.length))
  told.push('Upload-Limit', uploadLimit(x, state), 'Cache-Control', 'no-store')
  await respond(x, 204, [...headers, ...told])
}

/** Section "Upload Cancellation". */
export async function cancel(x: Exchange, id: string): Promise<void> {
  await x.door.storage.uploads.remove(x.call, id)
  await respond(x, 204, [])
}

interface Part {
  /** Nothing follows it. */
  readonly complete: boolean
  /** Of the whole, as far as this request tells. */
  readonly length: number | undefined
  /** Of its content. */
  readonly digest: Digests | undefined
}

async function receive(x: Exchange, state: UploadState, offset: number, part: Part): Promise<UploadState> {
  const { uploads } = x.door.storage
  const length = part.length ?? state.length
  const limit = (length ?? largestUpload(x)) - offset
  const announced = contentLength(x)
  if (announced !== undefined && announced > limit) throw length === undefined ? tooLarge(x) : inconsistent()
  // A credential for smaller files than it was begun with.
  if (length !== undefined && length > largestUpload(x)) throw tooLarge(x)
  const options = {
    ...(part.length !== undefined && { length: part.length }),
    ...(part.digest && { digest: part.digest }),
    progress: (now: number) => tellProgress(x, now),
  }
  try {
    const now = await takeBody(x, limit, (body) => uploads.append(x.call, state.id, offset, body, options))
    if (part.complete && length !== undefined && now.offset < length) throw inconsistent()
    return now
  } catch (error) {
    if (error instanceof OffsetError) throw mismatching(error.state.offset, offset)
    const { code } = StorageError.from(error)
    if (code !== 'too-large') throw error
    if (length === undefined) throw tooLarge(x)
    // Section "Upload Append": an upload that turns out longer than was told is not to be used again.
    await forgetUpload(x, state.id)
    throw inconsistent()
  }
}

/**
 * Section "Upload Append": what is here to stay, in an interim answer. To who does not read the answers while sending
 * nothing more is told than fits on the way.
 */
function tellProgress({ request, response }: Exchange, offset: number): void {
  if (request.httpVersionMinor === 0 || response.headersSent || response.destroyed || request.socket.writableLength > 0)
    return
  response.writeInformation(104, ['Upload-Offset', String(offset)])
}

/** Whatever is wrong with the file now is what PUT would have said, and told to be about the whole upload. */
async function finish(x: Exchange, state: UploadState): Promise<void> {
  try {
    const { status, headers } = await finishUpload(x, state)
    await respond(x, status, [...headers, 'Upload-Offset', String(state.offset), 'Upload-Complete', '?1'])
  } catch (error) {
    const isOver = !passing.has(StorageError.from(error).code)
    if (!x.response.headersSent) x.response.setHeader('Upload-Complete', isOver ? '?1' : '?0')
    if (isOver) await forgetUpload(x, state.id)
    throw error
  }
}

/** Whom the request itself was refused does not come back (section "Upload Creation", client behaviour). */
async function giveUp(x: Exchange, { id }: UploadState, error: unknown): Promise<void> {
  // To HTTP a body that ends early is malformed; to its sender it is the network that broke.
  const isBroken = x.connection.broken || passing.has(x.failureOf(error).code)
  if (!isBroken) await forgetUpload(x, id)
}

function requireComplete(headers: IncomingHttpHeaders): boolean {
  const complete = booleanField(headers, 'upload-complete')
  if (complete === undefined) throw new StorageError('invalid', 'Upload-Complete is missing')
  return complete
}

/** Section "Length": two ways to tell it, which must agree. Throws the problem for contradictions. */
function lengthFrom(x: Exchange, headers: IncomingHttpHeaders, offset: number, complete: boolean): number | undefined {
  const told = headers['upload-length']
  const length = told === undefined ? undefined : lengthOf(x, told)
  const announced = contentLength(x)
  if (announced === undefined) return length
  const end = offset + announced
  if (length !== undefined && (complete ? end !== length : end > length)) throw inconsistent()
  return complete ? end : length
}

function contentDigest({ request: { headers } }: Exchange): Digests | undefined {
  return parseExpected(ofThisContent(headers))
}

/** Section "Limits": it tells what the limit is. */
function tooLarge(x: Exchange): HttpError {
  const headers = ['Upload-Limit', uploadLimit(x)]
  return new HttpError(413, 'too-large', 'the upload is larger than accepted', { headers })
}
