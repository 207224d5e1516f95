/**
 * Tape, over the frontend's WLCG Tape REST API v1 (dCache User Guide, "Frontend", tape and bulk-requests).
 *
 * dCache knows no idempotency keys: a request sent twice is two. The gateway writes down that it is about to ask
 * before it asks, and dCache's id once it has it. Whatever dies in between leaves a request in dCache that nobody
 * knows; so when the same order comes `earlier`, dCache's own list is searched for a request of this user with
 * exactly these files, made since then and not known to the gateway as another's, and that one is taken over. Where it
 * cannot be found (the list shows it no more, or is closed to the user) a second one is made, which does no harm: one
 * recall serves both, and the pins of the first end with their lifetimes.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, type Path, parentOf, parsePath, rebase, root } from '../../gateway/core/path.ts'
import type { EarlierOrder, Locality, StageOrder, StageProgress, StageState, TapeFacet } from '../backend.ts'
import { isRecord, type Json } from './attributes.ts'
import { type Desk, refusalOf } from './desk.ts'
import type { DoorResponse } from './door.ts'
import { unavailable } from './errors.ts'
import { isReservedPath } from './names.ts'

/** Longest answer about one request: tens of thousands of files with long paths. */
const longestAnswer = 64 * 1024 * 1024
/** Requests of dCache's list that are looked into for one that may be ours. */
const mostCandidates = 20
/** Longest text of dCache's that is handed on. */
const longestText = 200
/** Milliseconds by which the clocks of gateway and dCache may differ. */
const clockSkew = 60_000

const states: Readonly<Record<string, StageState>> = {
  SUBMITTED: 'submitted',
  STARTED: 'started',
  CANCELLED: 'cancelled',
  FAILED: 'failed',
  COMPLETED: 'completed',
}

const localities: Readonly<Record<string, Locality>> = {
  DISK: 'disk',
  TAPE: 'tape',
  DISK_AND_TAPE: 'disk-and-tape',
  UNAVAILABLE: 'unavailable',
  LOST: 'lost',
  NONE: 'none',
}

interface Asked {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** After `/api/v1`. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly idempotent: boolean
}

/** To be offered where there is a frontend. */
export class DcacheTape implements TapeFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  isReserved(file: Path): boolean {
    return isReservedPath(this.#desk.inDcache(file))
  }

  async stage({ files, earlier }: StageOrder, call: Call): Promise<string> {
    const paths = files.map(({ path }) => path)
    const known = earlier && (await this.#find(paths, earlier, call))
    if (known !== undefined) return known
    const json = {
      files: files.map(({ path, lifetime }) => ({
        path: this.#desk.inDcache(path),
        ...(lifetime !== undefined && { diskLifetime: `PT${lifetime}S` }),
      })),
    }
    const response = await this.#ask({ method: 'POST', path: '/tape/stage', json, idempotent: false }, paths, call)
    if (response.status !== 201 && response.status !== 200) throw await refusalOf(response, root)
    const answer = await response.json()
    const id = isRecord(answer) ? answer.requestId : undefined
    if (!isId(id)) throw unavailable('the storage named no request')
    return id
  }

  async progress(id: string, call: Call): Promise<readonly StageProgress[]> {
    const { files } = await this.#status(id, call)
    return files.flatMap((file) => this.#progressOf(file) ?? [])
  }

  async cancel(id: string, files: readonly Path[] | undefined, call: Call): Promise<void> {
    const asked: Asked = files
      ? {
          method: 'POST',
          path: `/tape/stage/${idOf(id)}/cancel`,
          json: { paths: files.map((path) => this.#desk.inDcache(path)) },
          idempotent: true,
        }
      : { method: 'PATCH', path: `/bulk-requests/${idOf(id)}`, json: { action: 'cancel' }, idempotent: true }
    await this.#do(asked, files, call)
  }

  async release(id: string, files: readonly Path[], call: Call): Promise<void> {
    const json = { paths: files.map((path) => this.#desk.inDcache(path)) }
    const asked = { method: 'POST', path: `/tape/release/${idOf(id)}`, json, idempotent: true } as const
    try {
      await this.#do(asked, files, call)
    } catch (error) {
      // Some releases know the request no more than we need it to.
      if (!(error instanceof StorageError) || error.code !== 'not-found') throw error
    }
  }

  async locality(files: readonly Path[], call: Call): Promise<ReadonlyArray<Locality | StorageError>> {
    const known = new Map<Path, Locality | StorageError>()
    let left = [...new Set(files.filter((path) => !this.isReserved(path)))]
    // More paths than dCache takes at once are left unanswered, without a word.
    while (left.length > 0) {
      const answers = await this.#archiveInfo(left, call)
      for (const path of left) {
        const answer = answers.get(this.#desk.inDcache(path))
        if (answer !== undefined) known.set(path, answer)
      }
      const rest = left.filter((path) => !known.has(path))
      if (rest.length === left.length) throw unavailable('the storage did not tell where files are')
      left = rest
    }
    return files.map((path) => known.get(path) ?? missing(path))
  }

  /** Of dCache's paths. */
  async #archiveInfo(files: readonly Path[], call: Call): Promise<ReadonlyMap<string, Locality | StorageError>> {
    const json = { paths: files.map((path) => this.#desk.inDcache(path)) }
    const asked = { method: 'POST', path: '/tape/archiveinfo', json, idempotent: true } as const
    const response = await this.#ask(asked, files, call)
    if (response.status === 404) {
      response.discard()
      throw new StorageError('unsupported', 'the storage has no tape interface')
    }
    if (response.status !== 200) throw await refusalOf(response, root)
    const answer = await response.json(longestAnswer)
    if (!Array.isArray(answer)) throw unavailable('the storage answered with no list')
    return new Map(
      answer.flatMap((one: unknown): Array<[string, Locality | StorageError]> => {
        if (!isRecord(one) || typeof one.path !== 'string') return []
        const locality = typeof one.locality === 'string' ? localities[one.locality] : undefined
        return [[cleaned(one.path), locality ?? errorOf(one.error)]]
      }),
    )
  }

  /** The request that an earlier try with the same files has made. */
  async #find(files: readonly Path[], earlier: EarlierOrder, call: Call): Promise<string | undefined> {
    const [first] = files
    if (first === undefined) return undefined
    const wanted = new Set<string>(files.map((path) => this.#desk.inDcache(path)))
    try {
      for (const id of await this.#candidates(first, call)) {
        if (await earlier.isTaken(id)) continue
        const request = await this.#status(id, call).catch(unlessRefused)
        if (!request || request.created < earlier.at - clockSkew) continue
        const paths = request.files.map(({ path }) => (typeof path === 'string' ? cleaned(path) : ''))
        if (paths.length === wanted.size && paths.every((path) => wanted.has(path))) return id
      }
    } catch (error) {
      unlessRefused(error)
    }
    return undefined
  }

  /** The youngest requests that have this file. */
  async #candidates(file: Path, call: Call): Promise<readonly string[]> {
    const query = { path: this.#desk.inDcache(file) }
    const asked = { method: 'GET', path: '/bulk-requests', query, idempotent: true } as const
    const response = await this.#ask(asked, [file], call)
    if (response.status !== 200) throw await refusalOf(response, root)
    const list = await response.json(longestAnswer)
    if (!Array.isArray(list)) throw unavailable('the storage answered with no list')
    const ids = list.flatMap((request: unknown) => {
      if (!isRecord(request) || request.activity !== 'STAGE') return []
      const { requestId, requestUrl } = request
      const id = requestId ?? (typeof requestUrl === 'string' ? requestUrl.split('/').at(-1) : undefined)
      return isId(id) ? [id] : []
    })
    return ids.slice(-mostCandidates).reverse()
  }

  async #status(id: string, call: Call): Promise<{ readonly created: number; readonly files: readonly Json[] }> {
    const asked = { method: 'GET', path: `/tape/stage/${idOf(id)}`, idempotent: true } as const
    const response = await this.#ask(asked, undefined, call)
    if (response.status !== 200) throw await refusalOf(response, root)
    const answer = await response.json(longestAnswer)
    if (!isRecord(answer) || !Array.isArray(answer.files)) throw unavailable('the storage answered with no request')
    return { created: millisecondsOf(answer.createdAt) ?? 0, files: answer.files.filter(isRecord) }
  }

  /** Undefined for what is none of ours. */
  #progressOf({ path: given, state: word, onDisk, startedAt, finishedAt, error }: Json): StageProgress | undefined {
    const path = typeof given === 'string' ? this.#fromDcache(given) : undefined
    const state = typeof word === 'string' ? states[word] : onDisk === true ? 'completed' : 'submitted'
    if (!path || !state) return undefined
    const started = state === 'submitted' ? undefined : millisecondsOf(startedAt)
    const finished = millisecondsOf(finishedAt)
    return {
      path,
      state,
      ...(started !== undefined && { startedAt: started }),
      ...(finished !== undefined && { finishedAt: finished }),
      ...(typeof error === 'string' && error !== '' && { error: saidOf(error) }),
    }
  }

  #fromDcache(text: string): Path | undefined {
    try {
      const path = parsePath(cleaned(text))
      const top = this.#desk.options.root
      return isWithin(path, top) ? rebase(path, top, root) : undefined
    } catch {
      // No path that we would have asked for.
      return undefined
    }
  }

  /** For what is answered without content. */
  async #do(asked: Asked, files: readonly Path[] | undefined, call: Call): Promise<void> {
    const response = await this.#ask(asked, files, call)
    if (response.status < 200 || response.status > 299) throw await refusalOf(response, root)
    response.discard()
  }

  #ask({ json, ...asked }: Asked, files: readonly Path[] | undefined, call: Call): Promise<DoorResponse> {
    const { frontend, options } = this.#desk
    this.#desk.requireAlive(call)
    if (!frontend) throw new StorageError('unsupported', 'this storage has no REST frontend')
    return frontend.request({
      ...asked,
      headers: {
        Accept: 'application/json',
        'Suppress-WWW-Authenticate': 'true',
        ...(json !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      call,
      // A credential for all of the files, and for nothing above what they have in common.
      activities: ['DOWNLOAD', 'READ_METADATA'],
      object: files ? this.#desk.inDcache(commonOf(files)) : options.root,
      deadline: (options.deadline ?? usualDeadline) + (files?.length ?? 0) * msPerFile,
    })
  }
}

/** Milliseconds, and those that each file adds. */
const usualDeadline = 20_000
const msPerFile = 2

/** The deepest directory that holds all of the files; a file alone is its own. */
function commonOf(files: readonly Path[]): Path {
  let [common = root] = files
  for (const path of files) while (!isWithin(path, common)) common = parentOf(common)
  return common
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9A-Za-z._-]{1,128}$/.test(value) && !/^\.+$/.test(value)
}

/** An id of ours that became part of a path: it came from dCache and was checked then. */
function idOf(id: string): string {
  if (!isId(id)) throw new StorageError('not-found', 'no such request')
  return id
}

/** dCache writes some paths with more slashes than it was given. */
function cleaned(path: string): string {
  return `/${path.split('/').filter(Boolean).join('/')}`
}

/** The interface has seconds, dCache milliseconds; no file was staged in the year 5138 yet. */
function millisecondsOf(value: unknown): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) return undefined
  return Math.round(value < 1e11 ? value * 1000 : value)
}

/** dCache tells what became of a file by the number of a CacheException. */
const codes: Readonly<Record<string, 'not-found' | 'denied'>> = { 10001: 'not-found', 10018: 'denied' }

function errorOf(error: unknown): StorageError {
  const number =
    typeof error === 'string'
      ? /^(?:CacheException|[A-Za-z.]{1,80}Exception)?\(?rc=(\d{1,6})\b/.exec(error)?.[1]
      : undefined
  const code = codes[number ?? '']
  if (code === 'not-found') return new StorageError(code, 'no such file or directory')
  if (code === 'denied') return new StorageError(code, 'not allowed')
  return new StorageError('unavailable', 'the storage could not do it')
}

/** What dCache says of a file that failed, for people: it comes from outside, so it is cut and cleaned. */
function saidOf(error: string): string {
  const known = errorOf(error)
  if (known.code !== 'unavailable') return known.message
  const said = error
    .slice(0, longestText)
    .replace(/[^\u0020-\u007e]+/g, ' ')
    .trim()
  return said === '' ? known.message : said
}

function missing(path: Path): StorageError {
  return new StorageError('not-found', 'no such file or directory', { path })
}

/** What dCache does not show to this user, or has not got, is not found; anything else is thrown. */
function unlessRefused(error: unknown): undefined {
  const { code } = StorageError.from(error)
  if (code === 'denied' || code === 'not-found' || code === 'unsupported' || code === 'invalid') return undefined
  throw error
}
