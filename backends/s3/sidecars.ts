/** Sidecars in the store: read on every call, known again by their ETag, changed only over the state that was read. */

import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import type { Acl } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import { collect } from './body.ts'
import { isCode, type Store } from './client.ts'
import { changedAt, quoted } from './entries.ts'
import { unavailable } from './errors.ts'
import type { Keys } from './keys.ts'
import { decodeSidecar, encodeSidecar, maxSidecarBytes, type Sidecar } from './sidecar.ts'
import { wholeSeconds } from './times.ts'
import type { Condition, Trials } from './trials.ts'

/** A sidecar as it lies in the store. */
export interface Kept {
  readonly etag: string
  /** ns since 1970: when it was written, as `changedAt` tells it. */
  readonly changed: bigint
  /** `unreadable`: something is there that is not a sidecar of ours. */
  readonly content: Sidecar | 'unreadable'
}

/** Nobody may do anything. */
export const closed: Acl = { owner: undefined, group: undefined, aces: [], dialect: 'rfc8881' }

/** What is written to have the state of a look again. What could not be read goes on giving no rights. */
export function contentOf(kept: Kept | undefined): Sidecar | undefined {
  return kept?.content === 'unreadable' ? { acl: closed } : kept?.content
}

/** Bytes of sidecars that are remembered. */
const cacheBytes = 32 * 2 ** 20
/** Others who change the same sidecar at the same time and are not of our state store. */
const rivals = 5

export class Sidecars {
  readonly #store: Store
  readonly #keys: Keys
  readonly #trials: Trials
  readonly #cache = new LRUCache<string, Kept & { readonly size: number }>({
    maxSize: cacheBytes,
    sizeCalculation: ({ size }, key) => size * 2 + key.length + 200,
  })

  constructor(store: Store, keys: Keys, trials: Trials) {
    this.#store = store
    this.#keys = keys
    this.#trials = trials
  }

  /** As it is now; undefined where there is none. */
  async read(path: Path, signal: AbortSignal | undefined): Promise<Kept | undefined> {
    const key = this.#keys.sidecar(path)
    const known = this.#cache.get(key)
    try {
      const kept = await this.#store.request({ signal, path, again: true }, async (client, options) => {
        const IfNoneMatch = known && { IfNoneMatch: known.etag }
        const input = { Bucket: this.#store.bucket, Key: key, ...IfNoneMatch }
        const answer = await client.send(new GetObjectCommand(input), options)
        return keptOf(answer, options.abortSignal)
      })
      this.#cache.set(key, kept)
      return kept
    } catch (error) {
      if (known && isUnmodified(error)) return known
      this.#cache.delete(key)
      if (isCode(error, 'not-found')) return undefined
      if (isCode(error, 'denied')) return { etag: '', changed: 0n, content: 'unreadable' }
      throw error
    }
  }

  /** The one that a listing has just shown with this ETag. */
  async listed(path: Path, etag: string, signal: AbortSignal): Promise<Kept | undefined> {
    const known = this.#cache.get(this.#keys.sidecar(path))
    return known?.etag === etag ? known : this.read(path, signal)
  }

  /**
   * Replaces the one that was read, or makes one where none was; returns its ETag. Throws `precondition` where that is
   * not so any more.
   */
  async write(
    path: Path,
    content: Sidecar,
    before: Kept | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const key = this.#keys.sidecar(path)
    const bytes = encodeSidecar(content, randomUUID())
    const condition = await this.#trials.kept(conditionOf(before), signal)
    this.#cache.delete(key)
    const { ETag } = await this.#store.request({ signal, path }, (client, options) => {
      const input = { Bucket: this.#store.bucket, Key: key, Body: bytes, ContentType: 'application/json' }
      return client.send(new PutObjectCommand({ ...input, ...condition }), options)
    })
    return quoted(ETag)
  }

  /** Reads, changes and writes, again if another one was faster. The caller holds the lease of the path. */
  async update(path: Path, signal: AbortSignal | undefined, change: (content: Sidecar) => Sidecar): Promise<void> {
    for (let left = rivals; ; left--) {
      const before = await this.read(path, signal)
      if (before?.content === 'unreadable') {
        const reason = { rule: 'sidecar', text: 'what is kept for the object cannot be read', path }
        throw new StorageError('denied', 'not allowed', { path, reason })
      }
      try {
        const { moving: _, ...content } = before?.content ?? {}
        await this.write(path, change(content), before, signal)
        return
      } catch (error) {
        if (!isCode(error, 'precondition') || left === 0) throw error
      }
    }
  }

  /** Removes the one that this ETag names, if it is still there. */
  async takeBack(path: Path, etag: string): Promise<void> {
    if ((await this.read(path, undefined))?.etag === etag) await this.remove(path, undefined)
  }

  async remove(path: Path, signal: AbortSignal | undefined): Promise<void> {
    const key = this.#keys.sidecar(path)
    this.#cache.delete(key)
    await this.#store.request({ signal, path, again: true }, (client, options) =>
      client.send(new DeleteObjectCommand({ Bucket: this.#store.bucket, Key: key }), options),
    )
  }
}

interface Answer {
  readonly ETag?: string | undefined
  readonly LastModified?: Date | undefined
  readonly ContentLength?: number | undefined
  readonly Body?: unknown
}

async function keptOf(answer: Answer, signal: AbortSignal): Promise<Kept & { readonly size: number }> {
  const { ETag: etag, LastModified, ContentLength = 0 } = answer
  const body = answer.Body as Readable
  try {
    const about = {
      etag: quoted(etag),
      changed: changedAt({ etag: quoted(etag), modified: wholeSeconds(LastModified) }),
    }
    if (ContentLength > maxSidecarBytes) return { ...about, content: 'unreadable', size: 0 }
    const bytes = await collect(body, maxSidecarBytes, signal)
    if (bytes.length !== ContentLength || !etag) throw unavailable('the storage cut an object off')
    return { ...about, content: decodeSidecar(bytes) ?? 'unreadable', size: bytes.length }
  } finally {
    body.destroy()
  }
}

function conditionOf(before: Kept | undefined): Condition {
  return before ? { IfMatch: before.etag } : { IfNoneMatch: '*' }
}

function isUnmodified(error: unknown): boolean {
  const cause = error instanceof StorageError ? (error.cause as { readonly status?: unknown } | undefined) : undefined
  return cause?.status === 304
}
