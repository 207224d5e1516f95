/**
 * Blocks of files on a disk of this machine, for random reads of the same files again and again. Two files of a bounded
 * size: the blocks, and an index of them. Nothing is synced: a block that does not have the checksum of its record, which
 * includes whose it is, is not served, so that after a crash no more is lost than a block.
 */

import { createHash } from 'node:crypto'
import { constants, type FileHandle, lstat, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { StorageError } from '../../../gateway/core/errors.ts'
import { lockNow } from '../../client/credentials/file-lock.ts'
import { DiskIndex, recordSize } from './disk-index.ts'
import type { BlockCache } from './file.ts'
import { blockSize } from './neighbours.ts'

export interface DiskCacheOptions {
  /** Made where it is missing. It must be the user's own and closed to others. */
  readonly directory: string
  /** Bytes that the cache takes at most. */
  readonly size: number
  /** One line, once: why it does not store anything any more. */
  readonly log: (line: string) => void
}

export interface DiskCache {
  /** That of one identity at one gateway: nobody is served what another one read. */
  of(identity: string): BlockCache
  /** Stores what is waiting, and gives the directory back. Never fails. */
  close(): Promise<void>
}

/** 128 GiB: what is known of each block is in memory. */
const mostSlots = 2 ** 21
const leastSlots = 16
/** Blocks that wait to be stored; more are not stored. */
const mostWaiting = 64

/**
 * Throws `invalid` for a size below a mebibyte and a directory that is not the user's own, `busy` where another process
 * works with it.
 */
export async function openDiskCache(options: DiskCacheOptions): Promise<DiskCache> {
  const slots = Math.min(mostSlots, Math.floor(options.size / (blockSize + recordSize)))
  if (!(slots >= leastSlots)) throw new StorageError('invalid', 'the cache is to have one mebibyte at least')
  await prepare(options.directory)
  const handles: FileHandle[] = []
  const openFile = async (name: string) => {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
    const handle = await open(join(options.directory, name), flags, 0o600)
    handles.push(handle)
    return handle
  }
  try {
    const index = await openFile('index')
    if (!(await lockNow(index))) throw new StorageError('busy', `another process uses the cache ${options.directory}`)
    const blocks = await openFile('blocks')
    await cut(blocks, slots * blockSize)
    await cut(index, slots * recordSize)
    const records = Buffer.alloc(slots * recordSize)
    const { bytesRead } = await index.read(records, 0, records.length, 0)
    return new Disk(new DiskIndex(slots, records.subarray(0, bytesRead)), { blocks, index }, options.log)
  } catch (error) {
    await Promise.all(handles.map((handle) => handle.close()))
    throw error
  }
}

async function prepare(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const found = await lstat(directory)
  const own = found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
  if (!own) {
    throw new StorageError(
      'invalid',
      `${directory} must be a directory of your own that is closed to others (chmod 0700)`,
    )
  }
}

async function cut(handle: FileHandle, size: number): Promise<void> {
  if ((await handle.stat()).size > size) await handle.truncate(size)
}

interface Waiting {
  readonly key: Buffer
  readonly bytes: Buffer
}

class Disk implements DiskCache {
  readonly #index: DiskIndex
  readonly #files: { readonly blocks: FileHandle; readonly index: FileHandle }
  readonly #log: (line: string) => void
  readonly #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #isOver = false

  constructor(
    index: DiskIndex,
    files: { readonly blocks: FileHandle; readonly index: FileHandle },
    log: (line: string) => void,
  ) {
    this.#index = index
    this.#files = files
    this.#log = log
  }

  of(identity: string): BlockCache {
    return {
      get: (version, block) => this.#get(keyOf(identity, version, block)),
      put: (version, block, bytes) => this.#put(keyOf(identity, version, block), bytes),
    }
  }

  async close(): Promise<void> {
    this.#isOver = true
    await this.#writing
    await Promise.all([this.#files.index.close(), this.#files.blocks.close()])
  }

  async #get(key: Buffer): Promise<Buffer | undefined> {
    const found = this.#isOver ? undefined : this.#index.find(key)
    if (!found || found.length > blockSize) return undefined
    const bytes = Buffer.allocUnsafeSlow(found.length)
    try {
      const { bytesRead } = await this.#files.blocks.read(bytes, 0, found.length, found.slot * blockSize)
      if (bytesRead === found.length && checksum(key, bytes) === found.checksum) return bytes
    } catch {
      // As good as lost; it is read from the gateway.
    }
    // It may be another one's by now.
    if (this.#index.find(key)?.slot === found.slot) this.#index.remove(found.slot)
    return undefined
  }

  #put(key: Buffer, bytes: Uint8Array): void {
    if (this.#isOver || bytes.length === 0 || bytes.length > blockSize) return
    if (this.#waiting.length >= mostWaiting) return
    this.#waiting.push({ key, bytes: Buffer.from(bytes) })
    this.#writing ??= this.#store().finally(() => {
      this.#writing = undefined
    })
  }

  async #store(): Promise<void> {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      const { key, bytes } = next
      if (this.#index.find(key)) continue
      const slot = this.#index.take()
      try {
        await this.#files.blocks.write(bytes, 0, bytes.length, slot * blockSize)
        const record = this.#index.put(slot, key, bytes.length, checksum(key, bytes))
        await this.#files.index.write(record, 0, record.length, slot * recordSize)
      } catch {
        this.#index.remove(slot)
        this.#waiting.length = 0
        if (!this.#isOver) this.#log('the disk cache cannot be written to; nothing more is stored there')
        this.#isOver = true
      }
    }
  }
}

function keyOf(identity: string, version: string, block: number): Buffer {
  return createHash('sha256').update(`${identity}\0${version}\0${block}`).digest()
}

function checksum(key: Buffer, bytes: Uint8Array): number {
  return crc32(bytes, crc32(key))
}
