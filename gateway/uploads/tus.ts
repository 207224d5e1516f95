/**
 * tus 1.0 (https://tus.io/protocols/resumable-upload), by @tus/server. The library sees requests whose caller is known, with the
 * fields of the protocol and no others; what it answers is taken apart, and its words are not passed on.
 */

import { type Locker, Server } from '@tus/server'
import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { requirePlain } from '../http/writing.ts'
import { checksumAlgorithms, parseChecksum } from './checksum.ts'
import { integerField, largestUpload, mediaType, uploadLimit, uploadsPrefix, uploadUrl } from './fields.ts'
import { aim, forgetUpload, type UploadsOptions } from './finishing.ts'
import { readNote } from './note.ts'
import { partialUpload } from './resumable.ts'
import { parseMetadata, targetOf } from './target.ts'
import { TusStore } from './tus-store.ts'

const version = '1.0.0'
/** Media type of a part. */
export const offsetStream = 'application/offset+octet-stream'

export type TusMethod = 'OPTIONS' | 'POST' | 'HEAD' | 'PATCH' | 'DELETE'

/** What of a request the library is shown, and what of its answer is passed on. */
const shown = ['tus-resumable', 'upload-offset', 'upload-length', 'upload-defer-length', 'content-length'] as const
const passed = [
  'Location',
  'Upload-Offset',
  'Upload-Length',
  'Upload-Defer-Length',
  'Upload-Expires',
  'Tus-Version',
  'Tus-Extension',
  'Tus-Max-Size',
] as const

/** Storage keeps appends apart, over all processes. */
const noLocker: Locker = { newLock: () => ({ lock: async () => {}, unlock: async () => {} }) }

/** Answers one request; `id` names the upload, except for OPTIONS and for POST, which makes one. */
export async function serveTus(options: UploadsOptions, x: Exchange, method: TusMethod, id = ''): Promise<void> {
  const { headers } = x.request
  if (method !== 'OPTIONS') {
    x.response.setHeader('Tus-Resumable', version)
    requireVersion(x)
    requireReadable(x, method)
  }
  if (method === 'POST') aim(x, targetOf(x, parseMetadata(headers['upload-metadata'])))
  const store = new TusStore(options, x, method === 'HEAD')
  let answer: Response
  try {
    answer = await ask(x, store, method, id)
  } catch (error) {
    // Nobody knows where an upload is that was not made in full: the answer would have told.
    if (store.created && store.state) await forgetUpload(x, store.state.id)
    throw method === 'HEAD' ? patient(error) : error
  }
  const told: string[] = passed.flatMap((name) => {
    const value = answer.headers.get(name)
    return value === null ? [] : [name, value]
  })
  if (method === 'OPTIONS') told.push(...offers(x))
  const metadata = method === 'HEAD' && store.state ? readNote(store.state).metadata : undefined
  if (metadata !== undefined) told.push('Upload-Metadata', metadata)
  await respond(x, answer.status, [...told, ...store.told, 'Cache-Control', 'no-store'])
}

/** Throws what the store threw, or what the library's refusal means. */
async function ask(x: Exchange, store: TusStore, method: TusMethod, id: string): Promise<Response> {
  let thrown: unknown
  const server = new Server({
    path: uploadsPrefix,
    datastore: store,
    locker: noLocker,
    maxSize: largestUpload(x),
    allowedOrigins: [],
    getFileIdFromRequest: () => id,
    // Storage names it.
    namingFunction: () => 'new',
    generateUrl: (_request, { id: made }) => uploadUrl(x, made),
    onUploadFinish: async () => {
      await store.finish()
      return {}
    },
    onResponseError: (_request, error) => {
      thrown = error
      return undefined
    },
  })
  const fields = shown.flatMap((name): [string, string][] => {
    const value = x.request.headers[name]
    return typeof value === 'string' ? [[name, value]] : []
  })
  if (mediaType(x) === offsetStream) fields.push(['content-type', offsetStream])
  const answer = await server.handleWeb(new Request(`http://localhost${uploadsPrefix}`, { method, headers: fields }))
  if (thrown instanceof Error) throw thrown
  if (answer.status >= 400) throw refusal(answer.status)
  return answer
}

/** The section on Tus-Resumable: nothing else of the request is looked at. */
function requireVersion({ request }: Exchange): void {
  if (request.headers['tus-resumable'] === version) return
  const headers = ['Tus-Version', version]
  throw new HttpError(412, 'precondition', `tus ${version} is spoken here`, { headers })
}

/** Everything that the library reads more generously than the protocol writes it. */
function requireReadable(x: Exchange, method: TusMethod): void {
  const { headers } = x.request
  integerField(headers, 'upload-length')
  const offset = integerField(headers, 'upload-offset')
  const deferred = headers['upload-defer-length']
  if (deferred !== undefined && deferred !== '1') throw new StorageError('invalid', 'Upload-Defer-Length is 1')
  if (headers['upload-concat'] !== undefined) {
    throw new HttpError(400, 'unsupported', 'uploads are not put together here: send one after the other')
  }
  parseChecksum(headers['upload-checksum'])
  if (method !== 'PATCH') return
  requirePlain(headers)
  if (mediaType(x) !== offsetStream) throw new HttpError(415, 'unsupported', `tus sends ${offsetStream}`)
  if (offset === undefined) throw new StorageError('invalid', 'Upload-Offset is missing')
}

/** Beside what tus offers: also the draft is spoken here. */
function offers(x: Exchange): string[] {
  return ['Tus-Checksum-Algorithm', checksumAlgorithms, 'Accept-Patch', partialUpload, 'Upload-Limit', uploadLimit(x)]
}

/** What passes by itself. Clients take other refusals of HEAD as the end of the upload, and begin a new one. */
function patient(error: unknown): unknown {
  const { code, message, retryAfter = 1 } = StorageError.from(error)
  if (code !== 'busy' && code !== 'unavailable' && code !== 'timeout') return error
  return new HttpError(423, code, message, { retryAfter, cause: error })
}

function refusal(status: number): StorageError {
  switch (status) {
    case 404:
      return new StorageError('not-found', 'there is no such upload')
    case 409:
      return new HttpError(409, 'precondition', 'the upload does not end at this offset')
    case 410:
      return new HttpError(410, 'not-found', 'the upload has expired')
    case 413:
      return new StorageError('too-large', 'the upload is larger than accepted')
    case 400:
    case 403:
      return new StorageError('invalid', 'the request does not follow tus')
    default:
      return new StorageError('internal', 'the tus library failed', { cause: status })
  }
}
