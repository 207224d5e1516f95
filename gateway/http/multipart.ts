/** Forms with files (RFC 7578), part after part and no faster than each is taken: nothing is kept but what is on its way. */

import { type Readable, Writable } from 'node:stream'
import { Dicer } from '@fastify/busboy'
import { StorageError } from '../core/errors.ts'
import { boundaryOf, maxPartHeaders, parsePartHead } from './multipart-headers.ts'

export interface FilePart {
  readonly field: string
  /** As the sender has it, paths and all; empty without one. */
  readonly filename: string
  /** To be read to its end, or drained, and not to be destroyed. It fails where the form ends in its middle. */
  readonly bytes: Readable
}

export interface FormOptions {
  /** Bytes of a value that is no file. */
  readonly maxValue?: number
  /** Which parts are files: those that have a file's name if absent. */
  readonly isFile?: (field: string, filename: string | undefined) => boolean
}

/** Called one after the other, in the order of the form. What they throw ends the form. */
export interface FormHandler {
  field(name: string, value: string): void
  file(part: FilePart): Promise<void>
}

/** Parts of one form. */
const maxParts = 1000
/** Bytes of a value, where nothing else is said. */
const usualValue = 4096
/** Bytes in a row that belong to no part: before the first and after the last, and headers without an end. */
const maxOutside = 256 * 1024
/** Bytes of a file that may wait to be taken. */
const ahead = 256 * 1024

/** The body of a form is written to it; it has finished when all parts have been dealt with. */
export class FormReader extends Writable {
  readonly #handler: FormHandler
  readonly #options: Required<FormOptions>
  readonly #parser: Dicer
  #parts = 0
  /** The last part that began has not told its headers yet. */
  #isNameless = false
  #outside = 0
  /** Parts that have begun and are not dealt with. */
  #pending = 0
  #work: Promise<void> = Promise.resolve()
  #current: Readable | undefined
  #wake: (() => void) | undefined
  #ended = false

  /** Throws `invalid` where the header names no boundary. */
  constructor(contentType: string, handler: FormHandler, options: FormOptions = {}) {
    super({ highWaterMark: ahead })
    this.#handler = handler
    this.#options = { maxValue: usualValue, isFile: (_, filename) => filename !== undefined, ...options }
    const config = {
      boundary: boundaryOf(contentType),
      maxHeaderSize: maxPartHeaders,
      maxHeaderPairs: 32,
      partHwm: ahead,
    }
    this.#parser = new Dicer(config)
    this.#parser.on('part', (part) => this.#begin(part))
    this.#parser.on('error', (cause) => this.destroy(malformed(cause)))
    this.#parser.on('finish', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  /** Resolves when nothing is under way any more. Once the reader was destroyed, what was being taken fails. */
  async settled(): Promise<void> {
    await this.#work
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#feed(chunk).then(() => done(), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#finish().then(() => done(), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#current?.destroy(error ?? new StorageError('cancelled', 'the form was given up'))
    this.#wake?.()
    done(error)
  }

  /** Small parts go into the parser whole: the next bytes come when no more than one is waiting. */
  async #feed(chunk: Buffer): Promise<void> {
    const parts = this.#parts
    const wasOutside = this.#isOutside
    // What follows the last boundary means nothing (RFC 2046, section 5.1.1).
    if (this.#parser.writable) {
      await new Promise<void>((resolve) => {
        this.#parser.write(chunk, () => resolve())
      })
    }
    this.#outside = wasOutside && this.#isOutside && parts === this.#parts ? this.#outside + chunk.length : 0
    if (this.#outside > maxOutside) throw new StorageError('too-large', 'the form has too much that is no part of it')
    while (this.#pending > 1 && !this.destroyed) await this.#change()
  }

  /** What comes now belongs to no part that has a name. */
  get #isOutside(): boolean {
    return this.#parts === 0 || this.#isNameless || this.#ended
  }

  async #finish(): Promise<void> {
    if (this.#parser.writable) this.#parser.end()
    while ((!this.#ended || this.#pending > 0) && !this.destroyed) await this.#change()
    if (this.#isNameless) throw malformed(undefined)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #begin(part: Readable): void {
    // The parser tells of a form that ended early by an event of the part, which then is not destroyed.
    part.on('error', (cause) => this.destroy(malformed(cause)))
    this.#parts++
    if (this.#isNameless) this.destroy(malformed(undefined))
    if (this.#parts > maxParts) this.destroy(new StorageError('too-large', 'the form has too many parts'))
    this.#isNameless = true
    part.once('header', (headers: Readonly<Record<string, readonly string[]>>) => {
      this.#isNameless = false
      this.#queue(() => this.#take(part, headers))
    })
  }

  async #take(part: Readable, headers: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const { name, filename } = parsePartHead(headers)
    const { isFile, maxValue } = this.#options
    this.#current = part
    try {
      if (isFile(name, filename)) await this.#handler.file({ field: name, filename: filename ?? '', bytes: part })
      else this.#handler.field(name, await wholeOf(part, maxValue))
    } finally {
      this.#current = undefined
    }
  }

  #queue(deal: () => Promise<void>): void {
    this.#pending++
    this.#work = this.#work.then(async () => {
      try {
        if (!this.destroyed) await deal()
      } catch (error) {
        this.destroy(StorageError.from(error))
      } finally {
        this.#pending--
        this.#wake?.()
      }
    })
  }
}

async function wholeOf(part: Readable, maxValue: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of part.iterator({ destroyOnReturn: false })) {
    length += chunk.length
    if (length > maxValue) throw new StorageError('too-large', 'a field of the form is too long')
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    throw new StorageError('invalid', 'a field of the form is not UTF-8', { cause })
  }
}

function malformed(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  return new StorageError('invalid', 'the form ended early or is malformed', { cause })
}
