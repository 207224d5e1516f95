/** Multipart uploads: at most two parts on their way, sizes that grow so that the largest object fits into its parts. */

import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import type { Path } from '../../gateway/core/path.ts'
import type { Range } from '../backend.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { quoted } from './entries.ts'
import { unavailable } from './errors.ts'
import { placeOf } from './journal.ts'
import type { Condition } from './trials.ts'

/** Most parts and largest object (Amazon S3 User Guide, "Multipart upload limits"). */
const mostParts = 10_000
export const largestObject = 5 * 2 ** 40
/** So many parts have the first part's size. */
const evenParts = 5000
const inFlight = 2
/** Slowest transfer to the store that is waited for, in bytes a millisecond. */
const slowest = 32

/**
 * Bytes of part `number`, from 1: `partSize`, and more from part 5,000 on where all 10,000 together would not hold what
 * was announced, or 5 TiB. So what is announced alone costs no memory.
 */
export function sizeOfPart(number: number, partSize: number, announced: number | undefined): number {
  const rest = mostParts - evenParts
  const steps = (rest * (rest + 1)) / 2
  const growth = Math.max(0, Math.ceil(((announced ?? largestObject) - partSize * mostParts) / steps))
  return partSize + Math.max(0, number - evenParts) * growth
}

/** Milliseconds beyond the deadline for sending bytes. */
export function timeFor(bytes: number): number {
  return Math.ceil(bytes / slowest)
}

/** One multipart upload. Its parts are seen by nobody; what a crash leaves of it is in the journal. */
export class Upload {
  readonly id: string
  readonly #desk: Desk
  readonly #path: Path
  readonly #signal: AbortSignal
  readonly #sums: Array<{ readonly etag: string; readonly md5: Buffer | undefined }> = []
  readonly #running = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined
  #count = 0

  private constructor(desk: Desk, path: Path, id: string, signal: AbortSignal) {
    this.#desk = desk
    this.#path = path
    this.id = id
    this.#signal = signal
  }

  /** Told to the journal before it holds a byte. One that was begun and not told, because of a crash, holds none. */
  static async start(desk: Desk, path: Path, signal: AbortSignal): Promise<Upload> {
    const object = { Bucket: desk.store.bucket, Key: desk.keys.object(path) }
    // Not ended by the caller's going: an upload that was begun must be known, to be aborted.
    const { UploadId: id } = await desk.store.request({ path }, (client, options) =>
      client.send(new CreateMultipartUploadCommand(object), options),
    )
    if (!id) throw unavailable('the storage began no upload')
    const upload = new Upload(desk, path, id, signal)
    try {
      await desk.services.journal.add(desk.journal, placeOf(path, id))
    } catch (error) {
      await upload.abort()
      throw error
    }
    return upload
  }

  get parts(): number {
    return this.#count
  }

  /** Sends a part. Resolves when the next may be filled; `done` is called when its bytes are needed no more. */
  add(bytes: Buffer, done: () => void): Promise<void> {
    const how = { signal: this.#signal, path: this.#path, again: true, more: timeFor(bytes.length), bytes: true }
    return this.#add(async (part) => {
      const { ETag } = await this.#desk.store.request(how, (client, options) =>
        client.send(new UploadPartCommand({ ...part, Body: bytes }), options),
      )
      done()
      return ETag
    })
  }

  /** Adds a part that the store takes from another object. */
  addCopy(source: { readonly CopySource: string; readonly CopySourceIfMatch: string }, range: Range): Promise<void> {
    const { start, end } = range
    const how = { signal: this.#signal, path: this.#path, again: true, more: timeFor(end - start) }
    return this.#add(async (part) => {
      const input = { ...part, ...source, CopySourceRange: `bytes=${start}-${end - 1}` }
      const { CopyPartResult } = await this.#desk.store.request(how, (client, options) =>
        client.send(new UploadPartCopyCommand(input), options),
      )
      return CopyPartResult?.ETag
    })
  }

  async #add(send: (part: Part) => Promise<string | undefined>): Promise<void> {
    this.#require()
    const PartNumber = ++this.#count
    const { store, keys } = this.#desk
    const part = { Bucket: store.bucket, Key: keys.object(this.#path), UploadId: this.id, PartNumber }
    // The same part again replaces the first, so that sending it can be repeated.
    const sending = send(part).then(
      (etag) => this.#note(PartNumber, etag),
      (error: unknown) => {
        this.#failure ??= { error }
      },
    )
    const running: Promise<void> = sending.then(() => {
      this.#running.delete(running)
    })
    this.#running.add(running)
    if (this.#running.size >= inFlight) await Promise.race(this.#running)
    this.#require()
  }

  /** All parts are with the store. */
  async settle(): Promise<void> {
    await Promise.all(this.#running)
    this.#require()
  }

  /** Makes the object visible, in one step. Returns the ETag it has then. */
  async complete(condition: Condition, call: { readonly signal: AbortSignal }): Promise<string> {
    const { store, keys } = this.#desk
    const input = {
      Bucket: store.bucket,
      Key: keys.object(this.#path),
      UploadId: this.id,
      MultipartUpload: { Parts: this.#sums.map(({ etag }, index) => ({ PartNumber: index + 1, ETag: etag })) },
      ...condition,
    }
    const how = { signal: call.signal, path: this.#path, more: 60_000 + this.#count * 50 }
    const { ETag } = await store.request(how, (client, options) =>
      client.send(new CompleteMultipartUploadCommand(input), options),
    )
    try {
      await this.forget()
    } catch (error) {
      // The sweep finds that there is no such upload.
      this.#desk.log('a completed upload stays in the journal', error)
    }
    return quoted(ETag) || etagOf(this.#sums.map(({ md5 }) => md5))
  }

  /** Takes the parts away; what cannot be done now is left to the sweep. */
  async abort(): Promise<void> {
    await Promise.all(this.#running)
    await abortUpload(this.#desk, this.#path, this.id)
    await this.forget()
  }

  async forget(): Promise<void> {
    await this.#desk.services.journal.remove(this.#desk.journal, placeOf(this.#path, this.id))
  }

  #require(): void {
    if (this.#failure) throw this.#failure.error
  }

  #note(number: number, etag: string | undefined): void {
    if (!etag) {
      this.#failure ??= { error: unavailable('the storage did not say which part it took') }
      return
    }
    const md5 = /^"?([0-9a-f]{32})"?$/.exec(etag)?.[1]
    this.#sums[number - 1] = { etag, md5: md5 === undefined ? undefined : Buffer.from(md5, 'hex') }
  }
}

interface Part {
  readonly Bucket: string
  readonly Key: string
  readonly UploadId: string
  readonly PartNumber: number
}

/** The ETag of an object of parts, for stores that do not tell it; empty where it cannot be told. */
function etagOf(sums: ReadonlyArray<Buffer | undefined>): string {
  const known = sums.filter((sum) => sum !== undefined)
  if (known.length < sums.length) return ''
  return `"${createHash('md5').update(Buffer.concat(known)).digest('hex')}-${sums.length}"`
}

/** Aborts an upload of our own; one that is gone is no error. */
export async function abortUpload(desk: Desk, path: Path, id: string): Promise<void> {
  const input = { Bucket: desk.store.bucket, Key: desk.keys.object(path), UploadId: id }
  try {
    await desk.store.request({ path, again: true }, (client, options) =>
      client.send(new AbortMultipartUploadCommand(input), options),
    )
  } catch (error) {
    if (!isCode(error, 'stale', 'not-found')) throw error
  }
}
