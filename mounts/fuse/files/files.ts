/** Makes the store of open files that data.ts promises. */

import type { Attributes, RemoteFile } from '../../client/fs/remote.ts'
import type { FileStore, HandleOptions } from './data.ts'
import { type BlockCache, File, type Surroundings } from './file.ts'
import { Handle } from './handle.ts'
import { createMemory, type Memory } from './memory.ts'

export interface FileStoreOptions {
  /** Longest read and write of one request in bytes, as the gateway says. */
  readonly largest: { readonly read: number; readonly write: number }
  /** That of the whole mount; one of its own unless told. */
  readonly memory?: Memory
  readonly cache?: BlockCache
}

/** What was written is sent after so many milliseconds, also when nobody asks for it. */
const patience = 300

export function createFileStore(options: FileStoreOptions): FileStore {
  return new Files(options)
}

class Files implements FileStore {
  readonly #surroundings: Surroundings
  readonly #files = new Map<number | string, File>()
  /** Whole new files are nobody else's until they are complete. */
  readonly #drafts = new Map<number | string, Set<File>>()
  readonly #handles = new Set<Handle>()
  readonly #unsubscribe: () => void
  #timer: NodeJS.Timeout | undefined

  constructor({ memory = createMemory(), largest, cache }: FileStoreOptions) {
    this.#unsubscribe = memory.written.onShort(() => this.#sealAll(true))
    this.#surroundings = { memory, largest, cache, opened: () => this.#sealSoon() }
  }

  open(key: number | string, remote: RemoteFile, options: HandleOptions = {}): Handle {
    const file = this.#fileOf(key, remote)
    const handle: Handle = new Handle(file, remote, options, () => {
      this.#handles.delete(handle)
      file.handles.delete(handle)
      if (file.handles.size === 0) this.#forget(key, file)
    })
    file.joined(remote, handle)
    this.#handles.add(handle)
    return handle
  }

  changed(key?: number | string): void {
    if (key !== undefined) this.#files.get(key)?.changed()
    else for (const file of this.#files.values()) file.changed()
  }

  resized(key: number | string, size: number): void {
    this.#files.get(key)?.resized(size)
  }

  async settle(key: number | string, signal?: AbortSignal): Promise<void> {
    await Promise.all(this.#all(key).map((file) => file.extents.settle(signal)))
  }

  async settleTelling(key: number | string, signal?: AbortSignal): Promise<void> {
    await Promise.all(this.#all(key).map((file) => file.extents.settleTelling(signal)))
  }

  looking(key: number | string): (seen: Attributes) => Attributes {
    const draft = [...(this.#drafts.get(key) ?? [])].at(-1)
    if (draft) return (seen) => ({ ...seen, size: draft.size })
    return this.#files.get(key)?.looking() ?? ((seen) => seen)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#handles].map((handle) => handle.abandon()))
    clearTimeout(this.#timer)
    this.#unsubscribe()
  }

  #fileOf(key: number | string, remote: RemoteFile): File {
    if (remote.kind === 'draft') {
      const file = new File(this.#surroundings, remote)
      const drafts = this.#drafts.get(key) ?? new Set()
      this.#drafts.set(key, drafts.add(file))
      return file
    }
    const file = this.#files.get(key) ?? new File(this.#surroundings, remote)
    this.#files.set(key, file)
    return file
  }

  #all(key: number | string): File[] {
    const file = this.#files.get(key)
    return [...(file ? [file] : []), ...(this.#drafts.get(key) ?? [])]
  }

  #forget(key: number | string, file: File): void {
    file.segments.drop()
    if (this.#files.get(key) === file) this.#files.delete(key)
    const drafts = this.#drafts.get(key)
    drafts?.delete(file)
    if (drafts?.size === 0) this.#drafts.delete(key)
  }

  #sealSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#sealAll(false)
    }, patience)
  }

  /** Nobody sees a draft before it is complete: it waits, and what is collected may still be written over. */
  #sealAll(withDrafts: boolean): void {
    for (const file of this.#files.values()) file.extents.seal()
    if (!withDrafts) return
    for (const drafts of this.#drafts.values()) for (const { extents } of drafts) extents.seal()
  }
}
