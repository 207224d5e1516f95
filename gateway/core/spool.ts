/**
 * Bytes of uploads on their way to back ends that keep no drafts: files of the gateway's own, which nobody else can
 * look at. Their names tell nothing and are known to the state store alone.
 */

import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { FileStream, LastingDraft, Range } from '../../backends/backend.ts'
import { type ErrorCode, StorageError } from './errors.ts'

/** Bytes that are read at once. */
const pieceSize = 256 * 1024
/** ms. */
const orphanAge = 3_600_000
/** Names looked up at once. */
const page = 200

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_RDONLY, O_DIRECTORY } = constants

/** What a spool keeps can be anything but committed. */
export type SpooledDraft = Omit<LastingDraft, 'commit' | 'copyFrom'>

/** Takes an open file until it is closed, alone or together with others who share it. Throws EAGAIN where others have it. */
export type Claim = (fd: number, shared?: boolean) => void

export class Spool {
  readonly #directory: string
  readonly #claim: Claim

  /**
   * The directory is made when it is first used. Without `claim` a process that was stopped for so long that others
   * take it for dead may write to a file that another one has gone on with.
   */
  constructor(directory: string, claim: Claim = () => {}) {
    this.#directory = directory
    this.#claim = claim
  }

  /** A name for a file to be made. */
  name(): string {
    return `${prefix}${randomBytes(16).toString('hex')}`
  }

  async make(name: string): Promise<SpooledDraft> {
    return translated(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 })
      const file = await open(this.#at(name), O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600)
      try {
        this.#claim(file.fd)
        const directory = await open(this.#directory, O_RDONLY | O_DIRECTORY)
        await directory.sync().finally(() => directory.close())
      } catch (error) {
        await file.close()
        throw error
      }
      return this.#draft(name, file, 0)
    })
  }

  /** Throws `not-found`, and `busy` while others have it open and do not share it. */
  async open(name: string, { shared = false }: { readonly shared?: boolean } = {}): Promise<SpooledDraft> {
    return translated(async () => {
      const file = await open(this.#at(name), O_NOFOLLOW | O_RDWR)
      try {
        this.#claim(file.fd, shared)
        return this.#draft(name, file, (await file.stat()).size)
      } catch (error) {
        await file.close()
        throw error
      }
    })
  }

  /** One that is not there is fine. */
  async remove(name: string): Promise<void> {
    try {
      await translated(() => unlink(this.#at(name)))
    } catch (error) {
      if (StorageError.from(error).code !== 'not-found') throw error
    }
  }

  /** Removes what nobody knows. Returns how many. */
  async sweep(known: (names: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number> {
    const names = await readdir(this.#directory).catch((): string[] => [])
    const ours = names.filter((name) => name.startsWith(prefix))
    let removed = 0
    for (let at = 0; at < ours.length; at += page) {
      const some = ours.slice(at, at + page)
      const kept = await known(some)
      for (const name of some) {
        if (kept.has(name) || !(await this.#isOld(name))) continue
        await this.remove(name)
        removed++
      }
    }
    return removed
  }

  async #isOld(name: string): Promise<boolean> {
    const found = await stat(this.#at(name)).catch(() => undefined)
    return found !== undefined && found.mtimeMs < Date.now() - orphanAge
  }

  #at(name: string): string {
    if (!/^upload-[0-9a-f]{32}$/.test(name)) throw new StorageError('internal', 'not a name of the spool')
    return join(this.#directory, name)
  }

  #draft(name: string, file: FileHandle, size: number): SpooledDraft {
    const reach = new Reach(file)
    const close = () => reach.close()
    return {
      id: name,
      size,
      writeFrom: (offset) => writerOf(reach, offset),
      sync: () => reach.use((open) => open.datasync()),
      stream: (range) => streamOf(reach, range),
      close,
      discard: async () => {
        await close()
        await this.remove(name)
      },
    }
  }
}

const prefix = 'upload-'

/** A file that is closed when nothing works on it any more: its descriptor may be another file's then. */
class Reach {
  readonly #file: FileHandle
  readonly #works = new Set<Promise<unknown>>()
  #closed: Promise<void> | undefined

  constructor(file: FileHandle) {
    this.#file = file
  }

  async use<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    if (this.#closed) throw new StorageError('stale', 'the draft is closed')
    const running = translated(() => work(this.#file))
    this.#works.add(running)
    try {
      return await running
    } finally {
      this.#works.delete(running)
    }
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#works).then(() => this.#file.close())
    return this.#closed
  }
}

function writerOf(file: Reach, offset: number): Writable {
  let position = offset
  const write = async (chunk: Buffer) => {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await file.use((open) => open.write(chunk, done, chunk.length - done, position))
      if (bytesWritten === 0) throw new StorageError('no-space', 'nothing was written')
      done += bytesWritten
      position += bytesWritten
    }
  }
  const writer = new Writable({
    highWaterMark: pieceSize,
    write: (chunk: Buffer, _encoding, done) => {
      write(chunk).then(() => done(), done)
    },
  })
  // Whoever writes gets the error from the stream.
  return writer.on('error', () => {})
}

function streamOf(file: Reach, range: Range): FileStream {
  return Readable.from(pieces(file, range), { objectMode: false, highWaterMark: 1 })
}

async function* pieces(file: Reach, { start, end }: Range): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceSize, end - at))
    const { bytesRead } = await file.use((open) => open.read(piece, 0, piece.length, at))
    if (bytesRead === 0) throw new StorageError('stale', 'bytes of the draft are missing')
    at += bytesRead
    yield piece.subarray(0, bytesRead)
  }
}

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not-found',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EAGAIN: 'busy',
  EMFILE: 'busy',
  ENFILE: 'busy',
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    throw new StorageError(codes[code] ?? 'unavailable', 'the spool cannot be used', { cause })
  }
}
