/**
 * The bytes of open files between the kernel and the gateway: read ahead, written behind, in bounded memory. What the file
 * system works with; files.ts makes it.
 */

import type { Attributes, RemoteFile } from '../../client/fs/remote.ts'

/** All open files of one identity. */
export interface FileStore {
  /**
   * A handle of an object. `key` is the same for all handles of one object and of nothing else: they see each other's
   * writes. The handle owns `remote` from now on and closes it.
   */
  open(key: number | string, remote: RemoteFile, options?: HandleOptions): FileData
  /**
   * The bytes are others by somebody else's doing, so what was read ahead is forgotten; without a key that of all files.
   * What was not written out yet stays.
   */
  changed(key?: number | string): void
  /** Was made this long by path (setattr without a handle); `settle` comes before such a change. */
  resized(key: number | string, size: number): void
  /**
   * Writes out what all handles of an object still keep, so that what follows (utimens, truncation by path) comes after
   * it. Errors are not told here: they stay for the handle's next write, flush or sync.
   */
  settle(key: number | string, signal?: AbortSignal): Promise<void>
  /** The same; whoever has written the last of it is told by `telling` what the object is like then, if that can be told. */
  settleTelling(key: number | string, signal?: AbortSignal): Promise<void>
  /**
   * To be called before the gateway is asked for an object's attributes; its answer is put through what is returned,
   * which gives it the size that it has with what was not written out yet, or was while the answer was on its way.
   */
  looking(key: number | string): (seen: Attributes) => Attributes
  /** Writes out everything, closes all files; drafts that nobody has closed leave no trace. Never fails. */
  close(): Promise<void>
}

export interface HandleOptions {
  /** Bytes that had been taken could not be written: what the kernel remembers of the object is wrong. */
  readonly lost?: (error: unknown) => void
  /**
   * Called before the last bytes go to the gateway at `flush` or `settleTelling`. What it gives is called with the object's
   * attributes as they are with these bytes, unless more was written meanwhile.
   */
  readonly telling?: () => (seen: Attributes) => void
  /** A draft has become the file; what it throws is thrown to whoever has closed or synced it. */
  readonly completed?: (signal: AbortSignal | undefined) => Promise<void>
  /** The handle ends with such an error that nobody has asked for. */
  readonly untold?: (error: unknown) => void
}

/** One handle. Failures are StorageErrors. */
export interface FileData {
  readonly remote: RemoteFile
  /** Bytes, with those that were not written out yet. */
  readonly size: number
  /** A whole new file that is not complete: nobody else sees it. */
  readonly isDraft: boolean
  /**
   * Chunks that together are `size` bytes, fewer only at the end of the file. They may be used until the event loop turns
   * (the answer is written before anything else is awaited than this promise); their memory is used again then.
   */
  read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]>
  /**
   * Takes all of `data`, which may be kept; returns before the gateway has it. Throws what an earlier write of this
   * handle failed with, once. Of a draft bytes come in order; `unsupported` otherwise. `done` is called when nobody looks
   * at `data` any more, unless something fails.
   */
  write(data: Uint8Array, offset: number, signal?: AbortSignal, done?: () => void): Promise<void>
  /**
   * The gateway has everything; throws the first error that was not told yet. `last`: of a draft, whether the process
   * closes the file that opened it: then the draft becomes the file. Otherwise that happens at `release`.
   */
  flush(last: boolean, signal?: AbortSignal): Promise<void>
  /** `flush`, and all is durable; a draft becomes the file. */
  sync(signal?: AbortSignal): Promise<void>
  truncate(size: number, signal?: AbortSignal): Promise<void>
  allocate(start: number, end: number, how: 'extend' | 'keep' | 'punch' | 'zero', signal?: AbortSignal): Promise<void>
  seek(offset: number, what: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined>
  /** Inside the gateway: how many bytes were copied. */
  copyFrom(source: FileData, start: number, length: number, offset: number, signal?: AbortSignal): Promise<number>
  /** Of a draft: it has lost its name, and is not completed any more. */
  discard(): void
  /** Writes out what is left, and closes. Never fails: what could not be written is told to `lost`. */
  release(): Promise<void>
}
