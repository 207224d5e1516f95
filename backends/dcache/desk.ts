/** What the verbs share: the doors, the credential's side of a call, and asking the frontend. */

import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { BackendServices } from '../backend.ts'
import { isRecord, type Json } from './attributes.ts'
import type { Activity, Credentials } from './credentials.ts'
import type { DoorResponse, HttpDoor, Method } from './door.ts'
import { errorOfPool, errorOfStatus, requireAlive, unavailable } from './errors.ts'
import type { Memory } from './memory.ts'
import { pathInDcache } from './names.ts'
import type { DcacheOptions } from './options.ts'

/** Longest answer of the frontend that is read. */
const longestJson = 16 * 1024 * 1024

export interface DeskParts {
  readonly name: string
  readonly options: DcacheOptions
  readonly services: BackendServices
  readonly credentials: Credentials
  /** The gateway's own login, for what concerns no caller; undefined where it has none. */
  readonly ownLogin: () => Promise<Secret | undefined>
  readonly webdav: HttpDoor
  readonly frontend: HttpDoor | undefined
  /** What callers were told a moment ago, where events vouch for it. */
  readonly memory?: Memory | undefined
}

/** What an operation may do with its credential, and down from where. One pair for all requests of an operation. */
export interface Scope {
  readonly activities: readonly Activity[]
  /** In dCache's terms. */
  readonly object: Path
}

export interface RestRequest {
  readonly method: Method
  /** After `/api/v1`, not encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly json?: unknown
  /** May be sent twice. */
  readonly idempotent: boolean
}

export class Desk {
  readonly name: string
  readonly options: DcacheOptions
  readonly services: BackendServices
  readonly credentials: Credentials
  /** The gateway's own login, for what concerns no caller; undefined where it has none. */
  readonly ownLogin: () => Promise<Secret | undefined>
  readonly webdav: HttpDoor
  readonly frontend: HttpDoor | undefined
  readonly memory: Memory | undefined
  #isClosed = false

  constructor(parts: DeskParts) {
    this.name = parts.name
    this.options = parts.options
    this.services = parts.services
    this.credentials = parts.credentials
    this.ownLogin = parts.ownLogin
    this.webdav = parts.webdav
    this.frontend = parts.frontend
    this.memory = parts.memory
  }

  /** `path` of the back end in dCache's terms. */
  inDcache(path: Path): Path {
    return pathInDcache(path, this.options.root)
  }

  /** Throws `unavailable` after the close and the call's own reason when its caller has gone. */
  requireAlive(call: Call): void {
    if (this.#isClosed) throw new StorageError('unavailable', 'the back end is closed')
    requireAlive(call)
  }

  /** Whether ACLs are to be told to Storage, which decides for this caller. */
  needsAcls(call: Call): boolean {
    return !this.credentials.enforces(call.principal)
  }

  /** Asks the frontend. Any status is an answer. */
  rest({ method, path, query, json, idempotent }: RestRequest, scope: Scope, call: Call): Promise<DoorResponse> {
    if (!this.frontend) throw new StorageError('unsupported', 'this storage has no REST frontend')
    return this.frontend.request({
      method,
      path,
      ...(query && { query }),
      headers: {
        Accept: 'application/json',
        'Suppress-WWW-Authenticate': 'true',
        ...(json !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      call,
      ...scope,
      idempotent,
    })
  }

  /** The JSON object of an answer with success; throws what the status says otherwise. */
  async told(response: DoorResponse, path: Path): Promise<Json> {
    if (response.status !== 200) throw await refusalOf(response, path)
    const json = await response.json(longestJson)
    if (!isRecord(json)) throw unavailable('the storage answered with no object')
    return json
  }

  /** Changes an object by an action of the frontend (dCache User Guide, "Frontend", namespace). */
  async change(path: Path, json: Json, scope: Scope, call: Call, idempotent = true): Promise<void> {
    const request = { method: 'POST', path: `/namespace${this.inDcache(path)}`, json, idempotent } as const
    const response = await this.rest(request, scope, call)
    if (response.status !== 201 && response.status !== 200) throw await refusalOf(response, path)
    response.discard()
  }

  log(message: string, cause?: unknown): void {
    this.options.log?.(`${this.name}: ${message}`, cause)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // Its channel is given back by way of the frontend.
    await this.memory?.close()
    await Promise.all([this.webdav.close(), this.frontend?.close(), this.credentials.close()])
  }
}

/** Longest description of an error that is read. */
const longestError = 8 * 1024

/** The error of an answer. What the frontend says of a refusal goes into its reason. */
export async function refusalOf(response: DoorResponse, path: Path): Promise<StorageError> {
  const { answered, headers, status } = response
  if (response.from === 'pool') {
    response.discard()
    return errorOfPool(answered, path)
  }
  if ((status !== 403 && status !== 401) || !headers['content-type']?.startsWith('application/json')) {
    response.discard()
    return errorOfStatus(answered, path)
  }
  try {
    const json = await response.json(longestError)
    const first: unknown = isRecord(json) && Array.isArray(json.errors) ? json.errors[0] : undefined
    const text = isRecord(first) && typeof first.message === 'string' ? first.message : answered.text
    return errorOfStatus({ ...answered, text }, path)
  } catch {
    // It says no in any case; only its words are lost.
    return errorOfStatus(answered, path)
  }
}
