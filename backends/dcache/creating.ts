/**
 * create: an upload under a hidden name, verified by its checksum, that takes the file's name at its commit.
 *
 * dCache shows a file under its name from the moment the upload begins and deletes what was there before (dCache User
 * Guide, "WebDAV"), so the name of the target is never uploaded to. What the commit does atomically is said in moving.ts.
 * A replaced file's mode and extended attributes are given to the new one; its owner is who uploaded, its ACL what the
 * directory hands down, as in every dCache. Times cannot be set: the entry that the commit returns tells the real one.
 */

import { Writable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CommitCondition, CommitOptions, CreateOptions, Draft, Entry, Pending } from '../backend.ts'
import { type Digesting, startDigest } from '../digesting.ts'
import { checksumsBy } from './checksums.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { digestOf, digestsOfJson, sameBytes } from './digest-header.ts'
import type { DoorResponse } from './door.ts'
import { abortOf, unavailable } from './errors.ts'
import { inheritFrom } from './keeping.ts'
import { lookAtHidden, walk } from './looking.ts'
import { replacedIn, takeName } from './moving.ts'
import { finishing, type Lasting } from './outlasting.ts'
import { giveRecord } from './records.ts'
import { lookAfterMove, requireFile, requirePlace, scopeAround, stale, underLease } from './requiring.ts'
import type { StagingArea } from './staging.ts'
import type { Transfer } from './transfer.ts'
import { openUpload, PoolUnreached } from './uploading.ts'

/** How often a commit looks again when somebody took the name in between. */
const rounds = 3

/** Backend.create. `proceed` asks the door, so that a refusal comes before the body. */
export async function create(
  desk: Desk,
  area: StagingArea,
  file: Path,
  { size }: CreateOptions,
  call: Call,
): Promise<Pending<Draft>> {
  const scope = scopeAround(desk, file, ['UPLOAD', 'DELETE', 'MANAGE', 'UPDATE_METADATA'])
  const trail = await walk(desk, file, scope, call)
  const proceed = async () => {
    desk.requireAlive(call)
    if (trail.entry) requireFile(trail, file)
    requirePlace(desk, trail, file)
    const staged = await stage({ desk, area, file, scope, call, size })
    const lasting = desk.credentials.outlast(call, finishing, scope.object)
    return new DcacheDraft({ desk, area, file, scope, call: lasting.call, size }, staged, lasting)
  }
  return { trail, proceed, release: async () => {} }
}

interface Target {
  readonly desk: Desk
  readonly area: StagingArea
  readonly file: Path
  readonly scope: Scope
  readonly call: Call
  readonly size: number | undefined
}

/** An upload under way. */
interface Staged {
  readonly path: Path
  /** None for an empty file that was taken at once. */
  readonly transfer: Transfer | undefined
}

/** Asks for a pool; once more, under another name, where the pool has died between the door's word and ours. */
async function stage(target: Target): Promise<Staged> {
  for (let left = 1; ; left--) {
    try {
      return await stageOnce(target)
    } catch (error) {
      if (!(error instanceof PoolUnreached)) throw error
      if (left === 0) throw unavailable('the storage cannot be reached', { cause: error })
    }
  }
}

async function stageOnce({ desk, area, file, scope, call, size }: Target): Promise<Staged> {
  const path = await area.reserve(file)
  try {
    const opened = await openUpload(desk.webdav, { path: desk.inDcache(path), call, ...scope, size })
    if (opened.kind === 'ready') return { path, transfer: opened.transfer }
    const { response } = opened
    if (size !== 0 || !isSuccess(response)) throw await refusalOf(response, file)
    response.discard()
    return { path, transfer: undefined }
  } catch (error) {
    await area.drop(path, scope, call)
    throw error
  }
}

class DcacheDraft implements Draft {
  readonly body: Writable
  readonly #target: Target
  readonly #staged: Staged
  readonly #lasting: Lasting
  readonly #sum: Digesting = startDigest('adler32')
  #adler32: Uint8Array | undefined
  #isVerified = false
  #bytes = 0
  #failure: unknown
  #state: 'open' | 'committed' | 'discarded' = 'open'

  /** `lasting`: the target's call, to be let go of at the end. */
  constructor(target: Target, staged: Staged, lasting: Lasting) {
    this.#target = target
    this.#staged = staged
    this.#lasting = lasting
    this.body = new Writable({
      highWaterMark: 256 * 1024,
      write: (chunk: Buffer, _encoding, done) => this.#write(chunk, done),
      final: (done) => void this.#finish().then(() => done(), done),
      destroy: (error, done) => {
        // What was given up before its end never becomes a file.
        if (!this.body.writableFinished) staged.transfer?.abort()
        done(error)
      },
    })
    // Whoever writes gets the error from the stream; commit tells it to those who do not listen.
    this.body.on('error', (error) => {
      this.#failure = error
    })
  }

  async commit(options: CommitOptions): Promise<Entry> {
    const { desk, area, file, call } = this.#target
    if (this.#state !== 'open') throw new StorageError('invalid', `the draft is ${this.#state} already`)
    if (this.#failure) throw StorageError.from(this.#failure)
    desk.requireAlive(call)
    if (!this.body.writableFinished) throw new StorageError('invalid', 'the body of the draft has not ended')
    await this.#verify()
    const entry = await underLease(desk, [file], () => this.#commit(options))
    this.#state = 'committed'
    this.#lasting.forget()
    await area.strike(this.#staged.path)
    return entry
  }

  async discard(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'discarded'
    this.body.destroy()
    this.#staged.transfer?.abort()
    await this.#target.area.drop(this.#staged.path, this.#target.scope, this.#target.call)
    this.#lasting.forget()
  }

  #write(chunk: Buffer, done: (error?: Error) => void): void {
    const { size, file } = this.#target
    this.#bytes += chunk.length
    if (size !== undefined && this.#bytes > size) {
      done(new StorageError('invalid', 'there are more bytes than announced', { path: file }))
    } else if (this.#staged.transfer) {
      this.#sum.update(chunk)
      this.#staged.transfer.write(chunk, done)
    } else {
      done(unavailable('the storage did not wait for the bytes'))
    }
  }

  async #finish(): Promise<void> {
    const { size, file, call } = this.#target
    const { transfer } = this.#staged
    if (call.signal.aborted) throw abortOf(call.signal)
    if (size !== undefined && this.#bytes < size) {
      transfer?.abort()
      throw new StorageError('invalid', 'there are fewer bytes than announced', { path: file })
    }
    this.#adler32 = this.#sum.digest()
    if (!transfer) return
    const response = await transfer.finish()
    if (!isSuccess(response)) throw await refusalOf(response, file)
    response.discard()
    this.#compare(digestOf(response.headers.digest, 'adler32'))
  }

  /** Throws unless what dCache holds is what was sent: by the checksum, or where it tells none by the size. */
  async #verify(): Promise<void> {
    const { desk, scope, call } = this.#target
    const seen = await lookAtHidden(desk, this.#staged.path, scope, call, { checksum: 'true' })
    if (!seen) throw stale(this.#target.file)
    if (seen.entry.size !== this.#bytes) {
      throw new StorageError('bad-checksum', 'the storage has another number of bytes', { path: this.#target.file })
    }
    if (this.#isVerified) return
    const told = seen.json
      ? digestsOfJson(seen.json.checksums)
      : await checksumsBy(desk, this.#staged.path, scope, call)
    this.#compare(told.adler32)
  }

  #compare(told: Uint8Array | undefined): void {
    if (!told || !this.#adler32) return
    if (!sameBytes(told, this.#adler32)) {
      throw new StorageError('bad-checksum', 'the storage has other bytes than were sent', { path: this.#target.file })
    }
    this.#isVerified = true
  }

  async #commit({ condition, decide, record }: CommitOptions): Promise<Entry> {
    const { desk, file, scope, call } = this.#target
    const { path } = this.#staged
    for (let left = rounds - 1; ; left--) {
      const trail = await walk(desk, file, scope, call)
      decide(trail)
      requirePlace(desk, trail, file)
      const replaced = replacedIn(trail, file)
      requireCondition(condition, replaced, file)
      const staged = await lookAtHidden(desk, path, scope, call)
      if (!staged) throw stale(file)
      if (replaced) await inheritFrom(desk, file, path, scope, call)
      if (record !== undefined && desk.frontend) {
        await giveRecord(desk, path, { version: staged.entry.version, record }, scope, call)
      }
      desk.requireAlive(call)
      try {
        await takeName(desk, path, file, { entry: staged.entry, replaced }, scope, call)
        return await lookAfterMove(desk, file, staged.entry, scope, call)
      } catch (error) {
        // Somebody from outside took the name since the look: the condition and the rights are asked again.
        if (replaced || StorageError.from(error).code !== 'exists' || left === 0) throw error
      }
    }
  }
}

/** Throws unless what has the name is as the committer wants it. */
export function requireCondition(condition: CommitCondition, entry: Entry | undefined, path: Path): void {
  if (condition === 'any') return
  if (condition === 'absent') {
    if (entry) throw new StorageError('exists', 'the file exists', { path })
  } else if (!entry || (condition !== 'present' && !condition.versions.includes(entry.version))) {
    throw new StorageError('precondition', 'the file is not the one that was seen', { path })
  }
}

function isSuccess({ status }: DoorResponse): boolean {
  return status >= 200 && status <= 299
}
