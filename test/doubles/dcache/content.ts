/** Bytes of files: in memory, made up on reading, or in a temporary file. */

import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream, rmSync, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { adler32, adler32Joined } from './adler32.ts'

/** Kinds of the user guide, WebDAV, "Checksums", by their names in RFC 3230 and RFC 5843. */
export const checksumKinds = ['adler32', 'md5', 'sha', 'sha-256', 'sha-512'] as const
export type ChecksumKind = (typeof checksumKinds)[number]

export interface Content {
  readonly size: number
  /** Bytes from `start` to `end`, exclusive. */
  read(start: number, end: number): Readable
  /** Where it can be told without reading all of it. */
  readonly adler32?: number
  dispose(): void
}

export function bytesContent(bytes: Uint8Array): Content {
  const all = Buffer.from(bytes)
  return {
    size: all.length,
    read: (start, end) => Readable.from(end > start ? [all.subarray(start, end)] : [], { objectMode: false }),
    dispose() {},
  }
}

const blockSize = 65536
const block = Buffer.alloc(
  blockSize,
  Uint8Array.from({ length: 251 }, (_, i) => i),
)

/** A file of any size that costs nothing: one block of 64 KiB again and again. */
export function generatedContent(size: number): Content {
  return {
    size,
    read: (start, end) => Readable.from(repeated(start, end), { objectMode: false, highWaterMark: blockSize }),
    adler32: repeatedAdler32(size),
    dispose() {},
  }
}

function* repeated(start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end; ) {
    const offset = at % blockSize
    const piece = block.subarray(offset, Math.min(blockSize, offset + end - at))
    yield piece
    at += piece.length
  }
}

function repeatedAdler32(size: number): number {
  const rest = size % blockSize
  let sum = 1
  let part = { sum: adler32(block), length: blockSize }
  for (let blocks = Math.floor(size / blockSize); blocks > 0; blocks = Math.floor(blocks / 2)) {
    if (blocks % 2 === 1) sum = adler32Joined(sum, part.sum, part.length)
    part = { sum: adler32Joined(part.sum, part.sum, part.length), length: part.length * 2 }
  }
  return adler32(block.subarray(0, rest), sum)
}

/** Summing while bytes pass by. */
export class Checksummer {
  readonly #hashes: ReadonlyMap<ChecksumKind, Hash>
  readonly #adler: boolean
  #sum = 1

  constructor(kinds: Iterable<ChecksumKind>) {
    const wanted = new Set(kinds)
    this.#adler = wanted.delete('adler32')
    this.#hashes = new Map([...wanted].map((kind) => [kind, createHash(hashNames[kind])]))
  }

  add(bytes: Uint8Array): void {
    if (this.#adler) this.#sum = adler32(bytes, this.#sum)
    for (const hash of this.#hashes.values()) hash.update(bytes)
  }

  /** Raw digests by kind. */
  finish(): Map<ChecksumKind, Buffer> {
    const digests = new Map([...this.#hashes].map(([kind, hash]) => [kind, hash.digest()] as const))
    return this.#adler ? new Map([['adler32', adlerBytes(this.#sum)], ...digests]) : digests
  }
}

const hashNames: Readonly<Record<ChecksumKind, string>> = {
  adler32: '',
  md5: 'md5',
  sha: 'sha1',
  'sha-256': 'sha256',
  'sha-512': 'sha512',
}

/** Digests of these kinds, reading the content only for what it cannot tell. */
export async function digestsOf(content: Content, kinds: Iterable<ChecksumKind>): Promise<Map<ChecksumKind, Buffer>> {
  const wanted = new Set(kinds)
  const known = new Map<ChecksumKind, Buffer>()
  if (content.adler32 !== undefined && wanted.delete('adler32')) known.set('adler32', adlerBytes(content.adler32))
  if (wanted.size === 0) return known
  const sums = new Checksummer(wanted)
  for await (const chunk of content.read(0, content.size)) sums.add(chunk as Buffer)
  return new Map([...known, ...sums.finish()])
}

function adlerBytes(sum: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(sum)
  return bytes
}

/** Where an upload goes: memory up to `memory` bytes, then a file below `directory`, above `forget` nowhere. */
export interface Keeping {
  readonly directory: () => string
  readonly memory: number
  readonly forget: number
}

let uploads = 0

/** Takes the bytes of one upload. */
export class Receiver {
  readonly #keeping: Keeping
  #chunks: Buffer[] = []
  #file: WriteStream | undefined
  #size = 0

  constructor(keeping: Keeping) {
    this.#keeping = keeping
  }

  get size(): number {
    return this.#size
  }

  async write(bytes: Buffer): Promise<void> {
    this.#size += bytes.length
    if (this.#size > this.#keeping.forget) return this.discard()
    if (!this.#file) {
      this.#chunks.push(bytes)
      if (this.#size <= this.#keeping.memory) return
      this.#file = createWriteStream(join(this.#keeping.directory(), `upload-${uploads++}`))
      const held = this.#chunks
      this.#chunks = []
      for (const chunk of held) await this.#append(this.#file, chunk)
      return
    }
    await this.#append(this.#file, bytes)
  }

  async finish(): Promise<Content> {
    if (this.#size > this.#keeping.forget) return generatedContent(this.#size)
    const file = this.#file
    if (!file) return bytesContent(Buffer.concat(this.#chunks))
    file.end()
    await once(file, 'close')
    const path = String(file.path)
    return {
      size: this.#size,
      read: (start, end) => (end > start ? createReadStream(path, { start, end: end - 1 }) : Readable.from([])),
      dispose: () => rmSync(path, { force: true }),
    }
  }

  async discard(): Promise<void> {
    this.#chunks = []
    const file = this.#file
    this.#file = undefined
    if (!file) return
    file.destroy()
    if (!file.closed) await once(file, 'close')
    rmSync(String(file.path), { force: true })
  }

  async #append(file: WriteStream, bytes: Buffer): Promise<void> {
    if (!file.write(bytes)) await once(file, 'drain')
  }
}
