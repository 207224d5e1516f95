/** The S3 door: from a request to its operation, and its answer when something is wrong. */

import type { S3Keys } from '../../acl/identity/identity.ts'
import type { StorageError } from '../core/errors.ts'
import { type Path, root } from '../core/path.ts'
import type { StorageOperations } from '../core/storage.ts'
import { requireSameOrigin } from '../http/csrf.ts'
import type { Exchange } from '../http/exchange.ts'
import { Domains } from '../http/hosts.ts'
import type { Entrance, S3Front } from '../http/options.ts'
import { type Authenticated, authenticate } from './authentication.ts'
import { Buckets, noSuchBucket } from './buckets.ts'
import { allowOrigin, preflight } from './cors.ts'
import { refusalOf, type Subject, sendS3Error } from './errors.ts'
import { keyDesk } from './key-lookup.ts'
import { placeOf, requireKey } from './keys.ts'
import { bucketOperation, isCreation, objectOperation, serviceOperation } from './operations.ts'
import { requireExpectedOwner } from './owner.ts'
import { bodyOf } from './payload.ts'
import { type FormDesk, isForm, postObject } from './post-object.ts'
import { parseS3Target, type S3Target } from './routing.ts'
import type { S3Request, S3Settings } from './s3-request.ts'
import { createBucket } from './service.ts'
import type { Sts } from './sts.ts'

export interface S3DoorOptions {
  readonly region: string
  /** Base domains: path style on them, buckets below them. */
  readonly hosts: readonly string[]
  readonly buckets: Readonly<Record<string, string>>
  readonly root?: Path
  /** Origins of pages that browsers let read answers. */
  readonly origins?: readonly string[]
  /** NFSv4 domain of local accounts. */
  readonly domain: string
  readonly storage: StorageOperations
  /** Signs continuation tokens: the same in all processes. */
  readonly tokenKey: Uint8Array
  /** Whom requests are signed by. */
  readonly keys: Pick<S3Keys, 'key' | 'noteUse'>
  /** Answers requests to the token service; without it S3 has no such action. */
  readonly sts?: Sts
  /** Told of each answered request. */
  readonly observe?: (answered: { readonly operation: string; readonly status: number }) => void
}

export function createS3Door(options: S3DoorOptions): S3Front {
  return new S3Door(options)
}

/** What is known of a request so far. */
interface Progress {
  operation: string
  subject: Subject
}

class S3Door implements S3Front {
  readonly hosts: readonly string[]
  readonly refusal = refusalOf
  readonly #options: S3DoorOptions
  readonly #domains: Domains
  readonly #settings: S3Settings

  constructor(options: S3DoorOptions) {
    const { region, tokenKey, origins = [], hosts, domain, storage } = options
    this.hosts = hosts
    this.#options = options
    this.#domains = new Domains(hosts)
    const buckets = new Buckets({ buckets: options.buckets, root: options.root, domain, storage })
    this.#settings = { region, tokenKey, origins, buckets, bucket: (call, name) => buckets.find(call, name) }
  }

  async serve(x: Exchange, entrance: Entrance): Promise<StorageError | undefined> {
    const progress: Progress = { operation: 'unknown', subject: {} }
    x.response.setHeader('x-amz-request-id', x.id)
    x.response.setHeader('x-amz-id-2', x.id)
    try {
      entrance.check(x)
      allowOrigin(x, this.#settings)
      return await this.#answer(x, entrance, progress)
    } catch (error) {
      return await sendS3Error(x, error, progress.subject, progress.operation)
    } finally {
      const status = x.response.headersSent ? x.response.statusCode : 499
      this.#options.observe?.({ operation: progress.operation, status })
    }
  }

  async #answer(x: Exchange, entrance: Entrance, progress: Progress): Promise<StorageError | undefined> {
    const { method = '', url = '', headers } = x.request
    const target = parseS3Target(url, this.#domains.labelOf(headers.host) ?? '')
    progress.subject = { bucket: target.bucket, key: target.key }
    x.path = this.#placeOf(target)
    if (method === 'OPTIONS') {
      progress.operation = 'Preflight'
      await preflight(x, this.#settings)
      return undefined
    }
    const { sts } = this.#options
    if (sts && isForSts(x, target)) {
      progress.operation = 'STS'
      return sts(x, this.#settings, entrance)
    }
    const isUpload = isForm(x) && target.bucket !== undefined && target.key === undefined
    const known = await this.#authenticate(x, entrance, isUpload)
    const call = entrance.admit(x, known.principal)
    const { signed, query } = known
    const body = bodyOf(x, known)
    const settings = this.#settings
    const header = (name: string) => known.header(name)
    const headerNames = () => known.headerNames()
    const request = { x, call, settings, method, query, signed, body, header, headerNames }
    if (isUpload) {
      progress.operation = 'PostObject'
      const bucket = target.bucket ?? ''
      await postObject(request, bucket, this.#deskFor(request, bucket, entrance))
      return undefined
    }
    await this.#run(request, target, progress)
    return undefined
  }

  /** Where the request leads whoever sent it, as far as that is known: for what is written down of refused signatures. */
  #placeOf({ bucket, key }: S3Target): Path {
    const path = bucket === undefined ? undefined : this.#settings.buckets.fixedPlaceOf(bucket)
    if (path === undefined || key === undefined) return path ?? root
    try {
      return placeOf({ path }, key).path
    } catch {
      // What is wrong with the key is told to whoever is known.
      return path
    }
  }

  /** A form tells in itself who its sender is. */
  #deskFor(request: S3Request, name: string, entrance: Entrance): FormDesk {
    const { key, noteUse } = keyDesk(this.#options.keys)
    const { x, settings } = request
    return {
      key,
      begin: async (principal) => {
        await noteUse()
        const call = entrance.admit(x, principal)
        const bucket = await settings.bucket(call, name)
        if (!bucket) throw noSuchBucket(name)
        x.path = bucket.path
        return { ...request, call, bucket }
      },
      refused: (error) => entrance.refused(x, error),
    }
  }

  async #authenticate(x: Exchange, entrance: Entrance, isUpload: boolean): Promise<Authenticated> {
    try {
      const { key, noteUse } = keyDesk(this.#options.keys)
      const { region } = this.#options
      const known = await authenticate(x.request, { region, key, isPrivate: x.isPrivate })
      await noteUse()
      // Forms bring their signature inside; all other requests without one are only as good as where they come from.
      if (!known.signed && !isUpload) requireSameOrigin(x)
      return known
    } catch (error) {
      entrance.refused(x, x.failureOf(error))
      throw error
    }
  }

  async #run(request: S3Request, { bucket: name, key }: S3Target, progress: Progress): Promise<void> {
    const { x, call, settings, method } = request
    requireExpectedOwner(request)
    if (name === undefined) {
      const [operation, run] = serviceOperation(method)
      progress.operation = operation
      return run(request)
    }
    if (key === undefined && method === 'PUT' && isCreation(request.query)) {
      progress.operation = 'CreateBucket'
      return createBucket(request, name)
    }
    // What is wrong with a key is wrong wherever it leads.
    if (key !== undefined) requireKey(key)
    const bucket = await settings.bucket(call, name)
    if (!bucket) throw noSuchBucket(name)
    x.path = bucket.path
    if (key === undefined) {
      const [operation, run] = bucketOperation(method, request)
      progress.operation = operation
      return run({ ...request, bucket })
    }
    const place = placeOf(bucket, key)
    x.path = place.path
    const [operation, run] = objectOperation(method, request)
    progress.operation = operation
    return run({ ...request, bucket, ...place })
  }
}

/** `POST /` with a form, or `GET /` with its fields in the query: S3 has no action by that name. */
function isForSts({ request: { method, headers } }: Exchange, { bucket, query }: S3Target): boolean {
  if (bucket !== undefined) return false
  if (method === 'GET') return query.has('Action')
  return method === 'POST' && /^application\/x-www-form-urlencoded(?:;|$)/i.test(headers['content-type'] ?? '')
}
