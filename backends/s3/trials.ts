/**
 * Whether the store honours conditions on writing (Amazon S3 User Guide, "Conditional writes"): many S3 stores
 * overlook the headers, and some refuse them. It is tried once, with an object of our own, and remembered.
 */

import { randomUUID } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { isCode, type Store } from './client.ts'
import type { Keys } from './keys.ts'

/**
 * `absent`: If-None-Match of PutObject. `match`: If-Match of PutObject, which must let the right one through too (Ceph
 * 16 compares with the quotes and refuses all). `complete`: If-None-Match of CompleteMultipartUpload.
 */
export type Trial = 'absent' | 'match' | 'complete'

/** The condition of a PutObject. */
export interface Condition {
  readonly IfMatch?: string
  readonly IfNoneMatch?: string
}

export class Trials {
  readonly #store: Store
  readonly #keys: Keys
  readonly #known = new Map<Trial, Promise<boolean>>()

  constructor(store: Store, keys: Keys) {
    this.#store = store
    this.#keys = keys
  }

  /** Throws what a failing store throws; then it is tried again the next time. */
  async honoured(trial: Trial, signal: AbortSignal | undefined): Promise<boolean> {
    this.#store.check(signal)
    let known = this.#known.get(trial)
    if (!known) {
      // Not by the caller's signal: others wait for the same answer.
      known = this.#try(trial)
      this.#known.set(trial, known)
      known.catch(() => this.#known.delete(trial))
    }
    return known
  }

  /** As much of a condition as the store honours. */
  async kept({ IfMatch, IfNoneMatch }: Condition, signal: AbortSignal | undefined): Promise<Condition> {
    if (IfNoneMatch !== undefined && (await this.honoured('absent', signal))) return { IfNoneMatch }
    if (IfMatch !== undefined && (await this.honoured('match', signal))) return { IfMatch }
    return {}
  }

  async #try(trial: Trial): Promise<boolean> {
    const object = { Bucket: this.#store.bucket, Key: this.#keys.trial(randomUUID()) }
    try {
      const etag = await this.#put(object, {})
      if (trial === 'complete') return await this.#refusesToComplete(object)
      if (trial === 'absent') return await this.#refuses(() => this.#put(object, { IfNoneMatch: '*' }))
      const wrong = { IfMatch: '"00000000000000000000000000000000"' }
      if (!(await this.#refuses(() => this.#put(object, wrong)))) return false
      return !(await this.#refuses(() => this.#put(object, { IfMatch: etag })))
    } finally {
      await this.#store.request({ again: true }, (client, options) =>
        client.send(new DeleteObjectCommand(object), options),
      )
    }
  }

  async #refusesToComplete(object: Named): Promise<boolean> {
    const { UploadId } = await this.#store.request({}, (client, options) =>
      client.send(new CreateMultipartUploadCommand(object), options),
    )
    const upload = { ...object, UploadId }
    try {
      const { ETag } = await this.#store.request({ again: true }, (client, options) =>
        client.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: Buffer.from('x') }), options),
      )
      const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
      return await this.#refuses(() =>
        this.#store.request({}, (client, options) =>
          client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload, IfNoneMatch: '*' }), options),
        ),
      )
    } finally {
      await this.#abort(upload)
    }
  }

  async #abort(upload: Named & { readonly UploadId: string | undefined }): Promise<void> {
    try {
      await this.#store.request({ again: true }, (client, options) =>
        client.send(new AbortMultipartUploadCommand(upload), options),
      )
    } catch (error) {
      // Completed after all.
      if (!isCode(error, 'stale', 'not-found')) throw error
    }
  }

  /** For the right reason; a header that the store does not know at all is not honoured. */
  async #refuses(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act()
      return false
    } catch (error) {
      if (isCode(error, 'precondition')) return true
      if (isCode(error, 'unsupported', 'invalid')) return false
      throw error
    }
  }

  async #put(object: Named, condition: Condition): Promise<string> {
    const { ETag } = await this.#store.request({}, (client, options) =>
      client.send(new PutObjectCommand({ ...object, Body: Buffer.from('x'), ...condition }), options),
    )
    return ETag ?? ''
  }
}

interface Named {
  readonly Bucket: string
  readonly Key: string
}
