/**
 * What @tus/server calls a data store: one for each request, in front of the uploads of Storage.
 *
 * The bodies do not go through the library: it is given a request without one, and `write` takes the real one from
 * the connection. So there is the same back pressure, watch over stalls and 100 Continue as with any other upload.
 */

import type { Readable } from 'node:stream'
import { DataStore, Upload } from '@tus/server'
import { OffsetError, type UploadState } from '../core/uploads.ts'
import { parseExpected } from '../http/digests.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { receiveWhole } from '../http/receive.ts'
import { writeOptionsOf } from '../http/writing.ts'
import { parseChecksum } from './checksum.ts'
import { largestUpload, ofTheWhole, ofThisContent } from './fields.ts'
import { finishUpload, submitLocks, type UploadsOptions } from './finishing.ts'
import { noteOf } from './note.ts'
import { takeBody } from './taking.ts'

/** The library tells when an upload expires as some time after this. */
const epoch = new Date(0).toISOString()

export class TusStore extends DataStore {
  /** What was last known of the upload. */
  state: UploadState | undefined
  /** Headers that tell of the file, once it is there. */
  told: readonly string[] = []
  /** The request made an upload of which its sender does not know yet. */
  created = false
  readonly #options: UploadsOptions
  readonly #x: Exchange
  /** HEAD: the library asks for the state, and that is all. */
  readonly #looks: boolean

  constructor(options: UploadsOptions, x: Exchange, looks: boolean) {
    super()
    this.#options = options
    this.#x = x
    this.#looks = looks
    this.extensions = [
      'creation',
      'creation-with-upload',
      'creation-defer-length',
      'expiration',
      'checksum',
      'termination',
    ]
  }

  /** For the file at the path of the exchange. */
  override async create(upload: Upload): Promise<Upload> {
    const x = this.#x
    const { headers } = x.request
    const conditions = await this.#options.conditions(x)
    const metadata = headers['upload-metadata']
    this.state = await x.door.storage.uploads.create(x.call, x.path, {
      ...writeOptionsOf(ofTheWhole(headers), conditions),
      ...(upload.size !== undefined && { size: upload.size }),
      note: noteOf(x, metadata === undefined ? undefined : String(metadata)),
    })
    this.created = true
    upload.id = this.state.id
    upload.creation_date = epoch
    return upload
  }

  override async getUpload(id: string): Promise<Upload> {
    const x = this.#x
    if (this.state?.id !== id) {
      this.state = await x.door.storage.uploads.state(x.call, id, { settled: true })
      await submitLocks(this.#options, x, this.state)
    }
    // To the client it is over when all bytes are here: then it must be so.
    if (this.#looks && this.state.offset === this.state.length) await this.#finishOrTell()
    const { offset, length } = this.state
    return new Upload({ id, offset, creation_date: epoch, ...(length !== undefined && { size: length }) })
  }

  override async declareUploadLength(id: string, length: number): Promise<void> {
    this.state = await this.#x.door.storage.uploads.announce(this.#x.call, id, length)
  }

  override async write(nothing: Readable, id: string, offset: number): Promise<number> {
    nothing.resume()
    const x = this.#x
    const { uploads } = x.door.storage
    if (this.state?.complete) {
      if (x.hasBody) await receiveWhole(x, 0)
      return offset
    }
    const digest = parseExpected(ofThisContent(x.request.headers))
    const check = parseChecksum(x.request.headers['upload-checksum'])
    const limit = (this.state?.length ?? largestUpload(x)) - offset
    try {
      const options = { whole: check !== undefined, ...(digest && { digest }) }
      const add = (body: Readable) => uploads.append(x.call, id, offset, body, options)
      this.state = await takeBody(x, limit, add, check)
      return this.state.offset
    } catch (error) {
      if (error instanceof OffsetError) throw new HttpError(409, 'precondition', 'the upload does not end there')
      throw error
    }
  }

  override async remove(id: string): Promise<void> {
    await this.#x.door.storage.uploads.remove(this.#x.call, id)
  }

  override getExpiration(): number {
    return (this.state?.expires ?? 0) * 1000
  }

  /** Bytes that were here may have been lost: then the client sends them again. */
  async #finishOrTell(): Promise<void> {
    try {
      await this.finish()
    } catch (error) {
      if (!(error instanceof OffsetError)) throw error
      this.state = error.state
    }
  }

  /** All bytes are here. Harmless twice. */
  async finish(): Promise<void> {
    if (!this.state) return
    const { headers } = await finishUpload(this.#x, this.state)
    // Location is where an upload is continued.
    this.told = headers.map((text, at) => (at % 2 === 0 && text === 'Location' ? 'Content-Location' : text))
  }
}
