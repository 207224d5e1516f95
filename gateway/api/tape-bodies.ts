/** What callers of the tape interface send and get (WLCG Tape REST API v1), read strictly. */

import type { Locality, StageState } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'
import type { StageWish, StagingFile, StagingProgress } from '../core/staging.ts'
import { HttpError } from '../http/errors.ts'
import { parseDuration } from './iso-duration.ts'

/** `files` of a stage request. Members that are not known are ignored, as the interface has it. */
export function readWishes(type: string | undefined, body: unknown): StageWish[] {
  const { files } = readObject(type, body)
  if (!Array.isArray(files) || files.length === 0) throw invalid('files is not a list of files')
  return files.map((file: unknown, index) => {
    const where = `files[${index}]`
    if (!isObject(file)) throw invalid(`${where} is not an object`)
    const path = readPath(file.path, `${where}.path`)
    const { diskLifetime } = file
    if (diskLifetime === undefined) return { path }
    if (typeof diskLifetime !== 'string') throw invalid(`${where}.diskLifetime is not a text`)
    return { path, lifetime: within(`${where}.diskLifetime`, () => parseDuration(diskLifetime)) }
  })
}

/** `paths` of the other requests. */
export function readPaths(type: string | undefined, body: unknown): Path[] {
  return readTexts(type, body).map((text, index) => readPath(text, `paths[${index}]`))
}

/** `paths` as they were sent, each with what it says or why that is no path. */
export function readAnyPaths(
  type: string | undefined,
  body: unknown,
): ReadonlyArray<{ readonly text: string; readonly path: Path | StorageError }> {
  return readTexts(type, body).map((text) => {
    try {
      return { text, path: parsePath(text) }
    } catch (error) {
      return { text, path: StorageError.from(error) }
    }
  })
}

/** A key of the caller's choice: a quoted string, or the bare word. */
export function readIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined
  const [, quoted, bare] =
    /^\s*(?:"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))\s*$/.exec(String(header)) ?? []
  const key = quoted ?? bare
  if (key === undefined) throw invalid('Idempotency-Key is a text of 1 to 255 printable ASCII characters')
  return key
}

const states: Readonly<Record<StageState, string>> = {
  submitted: 'SUBMITTED',
  started: 'STARTED',
  completed: 'COMPLETED',
  cancelled: 'CANCELLED',
  failed: 'FAILED',
}

const localities: Readonly<Record<Locality, string>> = {
  disk: 'DISK',
  tape: 'TAPE',
  'disk-and-tape': 'DISK_AND_TAPE',
  unavailable: 'UNAVAILABLE',
  lost: 'LOST',
  none: 'NONE',
}

/** Times are whole seconds since 1970. A request that has not started says when it was made. */
export function statusOf({ id, created, started, completed, files }: StagingProgress) {
  return {
    id,
    createdAt: seconds(created),
    startedAt: seconds(started ?? created),
    ...(completed !== undefined && { completedAt: seconds(completed) }),
    files: files.map(fileStatus),
  }
}

function fileStatus({ path, state, started, finished, error }: StagingFile) {
  return {
    path,
    state: states[state],
    ...(started !== undefined && { startedAt: seconds(started) }),
    ...(finished !== undefined && { finishedAt: seconds(finished) }),
    ...(error !== undefined && { error }),
  }
}

/** One line of the answer of `archiveinfo`. */
export function archiveInfoOf(path: string, answer: Locality | StorageError) {
  return answer instanceof StorageError ? { path, error: answer.message } : { path, locality: localities[answer] }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

function readTexts(type: string | undefined, body: unknown): string[] {
  const { paths } = readObject(type, body)
  if (!Array.isArray(paths) || paths.length === 0) throw invalid('paths is not a list of paths')
  return paths.map((path: unknown, index) => {
    if (typeof path !== 'string') throw invalid(`paths[${index}] is not a text`)
    return path
  })
}

function readPath(value: unknown, where: string): Path {
  if (typeof value !== 'string') throw invalid(`${where} is not a text`)
  return within(where, () => parsePath(value))
}

/** One member of many is wrong: which one it is belongs to the message. */
function within<T>(where: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new StorageError('invalid', `${where}: ${StorageError.from(cause).message}`, { cause })
  }
}

function readObject(type: string | undefined, body: unknown): Readonly<Record<string, unknown>> {
  if (type?.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    throw new HttpError(415, 'unsupported', 'this is sent as application/json')
  }
  if (!(body instanceof Uint8Array)) throw invalid('the body is missing')
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not JSON', { cause })
  }
  if (!isObject(value)) throw invalid('the body is not an object')
  return value
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(message: string): StorageError {
  return new StorageError('invalid', message)
}
