/**
 * Files by a plain HTML form. Each is written as it arrives and is there when it is whole; one that is refused does
 * not keep the others out. Nothing is stored before the form has shown that it is ours.
 */

import type { Readable, Writable } from 'node:stream'
import { StorageError } from '../../core/errors.ts'
import type { Writing } from '../../core/storage.ts'
import { requireFormToken } from '../../http/csrf.ts'
import type { Exchange } from '../../http/exchange.ts'
import { type FilePart, type FormHandler, FormReader } from '../../http/multipart.ts'
import { receiveBody, sendContinue } from '../../http/receive.ts'
import { lengthOf } from '../../http/writing.ts'
import { outcomePage } from '../../web/form-pages.ts'
import {
  aboutPage,
  isForPeople,
  mediaTypeOf,
  requireDirectory,
  sendBack,
  sendJson,
  sendPage,
  whyWords,
} from './answering.ts'
import { cleanName, pathIn } from './names.ts'

/** Bytes of refused files that are read for the sake of the files behind them, and of a browser that reads no answer before its end. */
const patience = 64 * 1024 * 1024

export function isUpload(x: Exchange): boolean {
  return mediaTypeOf(x) === 'multipart/form-data'
}

/** Answers a form of files: back to the directory where all went well, else with what became of each. */
export async function takeUpload(x: Exchange): Promise<void> {
  requireDirectory(x)
  x.action = 'create'
  const length = x.request.headers['content-length']
  // What is known to be too much is not stored in part.
  if (length !== undefined) lengthOf(x, length)
  const upload = new FormUpload(x)
  const reader = new FormReader(x.request.headers['content-type'] ?? '', upload)
  sendContinue(x)
  try {
    await receiveBody(x, reader, x.door.maxUpload)
  } catch (thrown) {
    const error = StorageError.from(thrown)
    reader.destroy(error)
    await reader.settled()
    if (!isOfForm(error) || upload.isEmpty) throw thrown
    return answer(x, upload, error)
  }
  await answer(x, upload)
}

/** It is the form that ended too soon; whoever sent it is there, and has to know which files are stored all the same. */
function isOfForm({ code }: StorageError): boolean {
  return code === 'invalid' || code === 'too-large'
}

/** `ended`: why no more of the form was looked at. */
async function answer(x: Exchange, { stored, refused, isEmpty }: FormUpload, ended?: StorageError): Promise<void> {
  if (isEmpty) throw new StorageError('invalid', 'no file was sent')
  const [first] = refused
  const failure = stored.length > 0 ? ended : first?.error
  const status = failure ? x.statusOf(failure.code) : 200
  const refusals = refused.map(({ name, error }) => ({ name, code: error.code, why: whyWords(error) }))
  if (!isForPeople(x)) {
    const cut = ended && { ended: { code: ended.code, why: ended.message } }
    return sendJson(x, status, { stored, refused: refusals, ...cut })
  }
  if (!first && !ended) return sendBack(x, 'stored')
  const more = ended && `What came after that was not looked at: ${ended.message}.`
  const page = { ...aboutPage(x), done: stored, refused: refusals, verb: 'stored', ...(more && { more }) }
  await sendPage(x, status, outcomePage(page))
}

class FormUpload implements FormHandler {
  readonly stored: string[] = []
  readonly refused: { readonly name: string; readonly error: StorageError }[] = []
  readonly #x: Exchange
  #isOurs = false
  #replaces = false
  #dropped = 0

  constructor(x: Exchange) {
    this.#x = x
  }

  /** Nothing has become of any file. */
  get isEmpty(): boolean {
    return this.stored.length + this.refused.length === 0
  }

  field(name: string, value: string): void {
    if (name === 'csrf') {
      requireFormToken(this.#x, value)
      this.#isOurs = true
    } else if (name === 'replace') {
      this.#replaces = value === 'yes'
    }
  }

  async file({ filename, bytes }: FilePart): Promise<void> {
    // A form whose token does not come first is none of ours.
    if (!this.#isOurs) requireFormToken(this.#x, undefined)
    const name = cleanName(filename)
    // So browsers say that no file was chosen.
    if (filename === '') return this.#drop(bytes)
    try {
      await this.#store(name, bytes)
      this.stored.push(name)
    } catch (thrown) {
      const error = StorageError.from(thrown)
      // What the sender did, or a caller who may not be here any more, concerns the whole form.
      if (bytes.errored || error.code === 'cancelled' || error.code === 'unauthenticated') throw error
      this.refused.push({ name, error })
      await this.#drop(bytes)
    }
  }

  async #store(name: string, bytes: Readable): Promise<void> {
    const x = this.#x
    const path = pathIn(x.path, name)
    const options = this.#replaces ? {} : ({ conditions: { ifNoneMatch: '*' } } as const)
    const writing: Writing = await x.door.storage.write(x.call, path, options)
    try {
      await pour(bytes, writing.body)
      await writing.commit()
    } catch (error) {
      await writing.discard(error)
      throw error
    }
  }

  async #drop(bytes: Readable): Promise<void> {
    for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
      this.#dropped += chunk.length
      if (this.#dropped > patience) throw new StorageError('too-large', 'too much of the form was refused')
    }
  }
}

/** Resolves when `into` has all of it and is finished. The source is left as it is where that fails. */
async function pour(from: Readable, into: Writable): Promise<void> {
  // The form may have ended while the file was being opened; what is destroyed tells nobody a second time.
  if (from.destroyed) throw from.errored ?? new StorageError('cancelled', 'the form was given up')
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const finish = () => resolve()
  const fail = (error: unknown) => reject(error)
  const closed = () => reject(new StorageError('cancelled', 'the upload was given up'))
  from.on('error', fail)
  into.on('finish', finish).on('error', fail).on('close', closed)
  from.pipe(into)
  try {
    await promise
  } finally {
    from.unpipe(into)
    from.off('error', fail)
    // The other error listener stays: errors that come late have been told, and must not end the process.
    into.off('finish', finish).off('close', closed)
  }
}
