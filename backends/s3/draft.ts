/** Drafts: a small body waits in memory for one PutObject, a larger one goes to the store part by part. */

import { Writable } from 'node:stream'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Draft, Entry } from '../backend.ts'
import { commit } from './committing.ts'
import type { Desk } from './desk.ts'
import { quoted } from './entries.ts'
import { Filling } from './filling.ts'
import type { Seen } from './looking.ts'
import { largestObject, sizeOfPart, timeFor, Upload } from './parts.ts'
import { unhurried } from './requiring.ts'
import type { Condition } from './trials.ts'

/** Memory: the part being filled and two on their way, 48 MiB with the default part size. */
export class S3Draft implements Draft {
  readonly body: Writable
  readonly #desk: Desk
  readonly #path: Path
  readonly #seen: Seen
  readonly #call: Call
  readonly #announced: number | undefined
  readonly #given = new AbortController()
  readonly #filling = new Filling()
  #upload: Upload | undefined
  #size = 0
  #state: 'open' | 'committing' | 'committed' | 'discarded' = 'open'
  /** The chunk being taken. */
  #taking: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(desk: Desk, path: Path, seen: Seen, announced: number | undefined, call: Call) {
    this.#desk = desk
    this.#path = path
    this.#seen = seen
    this.#announced = announced
    this.#call = call
    this.body = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#while(this.#take(chunk), done),
      final: (done) => this.#while(this.#end(), done),
    })
    // Whoever writes gets the error from the stream; commit tells it to those who do not listen.
    this.body.on('error', (error) => {
      this.#failure = error
    })
  }

  async commit(options: CommitOptions): Promise<Entry> {
    if (this.#state !== 'open') throw new StorageError('invalid', `the draft is ${this.#state} already`)
    if (this.#failure) throw StorageError.from(this.#failure)
    this.#desk.check(this.#call)
    if (!this.body.writableFinished) throw new StorageError('invalid', 'the body of the draft has not ended')
    this.#state = 'committing'
    try {
      // From here on the caller's going changes nothing, so that the outcome is known.
      const call = unhurried(this.#call)
      const publish = (condition: Condition) => this.#publish(condition, call)
      const entry = await commit(this.#desk, this.#path, this.#seen, publish, { ...options, call })
      this.#state = 'committed'
      this.#filling.end()
      return entry
    } catch (error) {
      this.#state = 'open'
      throw error
    }
  }

  async discard(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'discarded'
    this.body.destroy()
    this.#given.abort(new StorageError('cancelled', 'the upload was given up'))
    await this.#taking
    this.#filling.end()
    try {
      await this.#upload?.abort()
    } catch (error) {
      this.#desk.log('an upload could not be aborted and is left to the sweep', error)
    }
  }

  #while(work: Promise<void>, done: (error?: Error) => void): void {
    this.#taking = work.then(
      () => done(),
      (error: unknown) => done(StorageError.from(error)),
    )
  }

  async #take(chunk: Buffer): Promise<void> {
    this.#desk.check(this.#call)
    this.#size += chunk.length
    if (this.#size > largestObject) throw new StorageError('too-large', 'an object of this storage is 5 TiB at most')
    for (let rest = chunk; rest.length > 0; ) {
      const limit = sizeOfPart((this.#upload?.parts ?? 0) + 1, this.#desk.partSize, this.#announced)
      const taken = this.#filling.add(rest, limit)
      rest = rest.subarray(taken)
      if (this.#filling.length === limit) await this.#sendPart()
    }
  }

  async #end(): Promise<void> {
    if (!this.#upload) return
    if (this.#filling.length > 0) await this.#sendPart()
    await this.#upload.settle()
  }

  async #sendPart(): Promise<void> {
    const signal = AbortSignal.any([this.#call.signal, this.#given.signal])
    this.#upload ??= await Upload.start(this.#desk, this.#path, signal)
    const { bytes, recycle } = this.#filling.take()
    await this.#upload.add(bytes, recycle)
  }

  async #publish(condition: Condition, { signal }: Call): Promise<string> {
    const { store, keys, trials } = this.#desk
    if (this.#upload) {
      // A store may keep the one condition here and misread the other, as it does for PutObject.
      const isHonoured = (await trials.honoured('complete', signal)) && (await trials.kept(condition, signal))
      return this.#upload.complete(isHonoured || {}, { signal })
    }
    const Body = this.#filling.bytes
    const kept = await trials.kept(condition, signal)
    const input = { Bucket: store.bucket, Key: keys.object(this.#path), Body, ...kept }
    const how = { signal, path: this.#path, more: timeFor(Body.length), bytes: true }
    const { ETag } = await store.request(how, (client, options) => client.send(new PutObjectCommand(input), options))
    return quoted(ETag)
  }
}
