/** One object of which there are handles: what they share. */

import type { Attributes, RemoteFile } from '../../client/fs/remote.ts'
import { Extents, type Tell, type Writer } from './extents.ts'
import type { Memory } from './memory.ts'
import { Neighbours } from './neighbours.ts'
import { Segments } from './segments.ts'

/** What the files of a store have in common. */
export interface Surroundings {
  readonly memory: Memory
  /** Longest request in bytes. */
  readonly largest: { readonly read: number; readonly write: number }
  readonly cache: BlockCache | undefined
  /** Something is being collected that must not lie about for long. */
  readonly opened: () => void
}

/** Blocks of files on a disk of this machine, by the version that they belong to. */
export interface BlockCache {
  /** Undefined where it has not got it. `block` counts blocks of `blockSize`. Never fails. */
  get(version: string, block: number): Promise<Buffer | undefined>
  /** Remembers, when there is time for it; the bytes are copied. */
  put(version: string, block: number, bytes: Uint8Array): void
}

/** A handle, as its file sees it. */
export interface Opener extends Writer {
  /** Something that was written here, by this handle or another one, did not reach the gateway. */
  failed(error: unknown): void
}

/** Blocks under way to the gateway at once, of one file. */
const parallelWrites = 8

export class File {
  readonly surroundings: Surroundings
  readonly segments: Segments
  readonly extents: Extents
  readonly neighbours = new Neighbours()
  readonly handles = new Set<Opener>()
  /** Of the bytes, while all that is read is known to belong to it: what a cache may be asked for. */
  cacheable: string | undefined
  #version = ''
  #size: number
  /** Count what changes the size here: an answer of the gateway that was asked for before is older. */
  #writes = 0
  #resizes = 0

  constructor(surroundings: Surroundings, remote: RemoteFile) {
    this.surroundings = surroundings
    this.#size = firstSize(remote)
    this.segments = new Segments(surroundings.memory.read)
    this.extents = new Extents({
      pool: surroundings.memory.written,
      largest: surroundings.largest.write,
      parallel: remote.kind === 'draft' ? 1 : parallelWrites,
      opened: surroundings.opened,
      telling: (writer) => this.#telling(writer),
      written: (error) => {
        this.#writes++
        if (error !== undefined) for (const handle of this.handles) handle.failed(error)
      },
    })
  }

  /** Bytes, with those that were not written out yet. */
  get size(): number {
    return this.#size
  }

  /** A handle was opened. */
  joined(remote: RemoteFile, handle: Opener): void {
    const { attributes } = remote
    const alone = this.handles.size === 0
    this.handles.add(handle)
    const version = attributes.version === '' ? '' : `${attributes.id}\n${attributes.version}`
    if (version === '' || version !== this.#version) this.segments.drop()
    const still = alone || (this.cacheable === version && version === this.#version)
    this.cacheable = still && version !== '' && remote.kind === 'read' && rested(attributes) ? version : undefined
    this.#version = version
    const size = firstSize(remote)
    this.#size = alone && !this.extents.pending ? size : Math.max(this.#size, size)
  }

  /** Bytes up to `end` were taken. */
  grew(end: number): void {
    this.#writes++
    this.cacheable = undefined
    this.#size = Math.max(this.#size, end)
  }

  resized(size: number): void {
    this.#resizes++
    this.segments.drop(Math.min(size, this.#size))
    this.#size = size
    this.cacheable = undefined
  }

  /** By somebody else. */
  changed(): void {
    this.segments.drop()
    this.cacheable = undefined
  }

  looking(): (seen: Attributes) => Attributes {
    const [writes, resizes] = [this.#writes, this.#resizes]
    const pending = this.extents.pending
    return (seen) => {
      // Where attributes are closed the open file alone knows its size.
      if (seen.version === '' || resizes !== this.#resizes) return { ...seen, size: this.#size }
      if (pending || writes !== this.#writes) return { ...seen, size: Math.max(this.#size, seen.size) }
      this.#size = seen.size
      return seen
    }
  }

  /** Nothing else is pending: what is taken from now on is not in the answer. */
  #telling({ telling }: Writer): Tell | undefined {
    const tell = telling?.()
    const [writes, resizes] = [this.#writes, this.#resizes]
    return (
      tell &&
      ((seen) => {
        // Where attributes are closed the open file alone knows its size.
        if (seen.version === '' || writes !== this.#writes || resizes !== this.#resizes) return
        this.#size = seen.size
        tell(seen)
      })
    )
  }
}

function firstSize({ kind, attributes }: RemoteFile): number {
  return kind === 'draft' ? 0 : attributes.size
}

/**
 * Whether the version has been the same for so long that bytes read now are surely those of the version: a clock may be
 * coarse, and that of the storage another one.
 */
function rested({ modified }: Attributes): boolean {
  return BigInt(Date.now()) * 1_000_000n - modified > 60_000_000_000n
}
