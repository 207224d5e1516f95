/** Drafts that are left and gone on with: they outlive their calls, and go with the back end. */

import { randomUUID } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  BeginOptions,
  CommitOptions,
  Entry,
  FileStream,
  LastingDraft,
  LeftDraft,
  Pending,
  Range,
  ResumingFacet,
} from '../backend.ts'
import { needPlace } from './changes.ts'
import type { Host } from './files.ts'
import { needFile, type Spot, type Tree } from './tree.ts'

/** What the back end lends. */
export interface ResumingHost {
  readonly tree: Tree
  readonly host: Host
  pending<T>(file: Path, call: Call, act: (spot: Spot) => T | Promise<T>): Pending<T>
  commit(spot: Spot, made: Pick<Left, 'bytes' | 'id'>, options: CommitOptions, call: Call): Entry
}

interface Left {
  readonly id: string
  bytes: Buffer
  open: boolean
}

export class MemoryResuming implements ResumingFacet {
  readonly #host: ResumingHost
  readonly #left = new Map<string, Left>()

  constructor(host: ResumingHost) {
    this.#host = host
  }

  /** Drafts that are there, for tests. */
  get places(): readonly string[] {
    return [...this.#left.keys()]
  }

  async begin(file: Path, { size, keep }: BeginOptions, call: Call): Promise<Pending<LastingDraft>> {
    return this.#host.pending(file, call, async (spot) => {
      this.#requirePlace(spot)
      this.#host.host.makeRoom(size ?? 0)
      const place = randomUUID()
      await keep(place)
      const left: Left = { id: this.#host.tree.nextId(), bytes: Buffer.alloc(0), open: true }
      this.#left.set(place, left)
      return this.#draft(place, left, spot, call)
    })
  }

  async resume(file: Path, { place, id }: LeftDraft, call: Call): Promise<Pending<LastingDraft>> {
    return this.#host.pending(file, call, (spot) => {
      this.#requirePlace(spot)
      const left = this.#left.get(place)
      if (left?.id !== id) throw new StorageError('not-found', 'the draft is gone', { path: file })
      if (left.open) throw new StorageError('busy', 'the draft is open', { path: file, retryAfter: 1 })
      left.open = true
      return this.#draft(place, left, spot, call)
    })
  }

  async drop(place: string): Promise<void> {
    this.#left.delete(place)
  }

  #requirePlace(spot: Spot): void {
    needPlace(this.#host.tree, spot)
    if (spot.node) needFile(spot)
  }

  #draft(place: string, left: Left, spot: Spot, call: Call): LastingDraft {
    const { host } = this.#host
    const requireOpen = () => {
      host.check(call)
      if (!left.open || this.#left.get(place) !== left) throw new StorageError('stale', 'the draft is closed')
    }
    const close = async () => {
      left.open = false
    }
    return {
      id: left.id,
      size: left.bytes.length,
      writeFrom: (offset) => writerOf(left, offset, host, requireOpen),
      sync: async () => requireOpen(),
      stream: (range) => streamOf(left, range, requireOpen),
      commit: async (size, options) => {
        requireOpen()
        if (left.bytes.length < size) throw new StorageError('stale', 'bytes of the draft are missing')
        const made = { bytes: Buffer.from(left.bytes.subarray(0, size)), id: left.id }
        const entry = this.#host.commit(spot, made, options, call)
        this.#left.delete(place)
        return entry
      },
      close,
      discard: async () => {
        await close()
        this.#left.delete(place)
      },
    }
  }
}

function writerOf(left: Left, offset: number, host: Host, requireOpen: () => void): Writable {
  let position = offset
  const writer = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      try {
        requireOpen()
        const end = Math.max(left.bytes.length, position + chunk.length)
        host.makeRoom(end)
        const bytes = Buffer.alloc(end)
        left.bytes.copy(bytes)
        chunk.copy(bytes, position)
        left.bytes = bytes
        position += chunk.length
        done()
      } catch (error) {
        done(StorageError.from(error))
      }
    },
  })
  // Whoever writes gets the error from the stream.
  return writer.on('error', () => {})
}

function streamOf(left: Left, { start, end }: Range, requireOpen: () => void): FileStream {
  requireOpen()
  return Readable.from(start < end ? [Buffer.from(left.bytes.subarray(start, end))] : [], { objectMode: false })
}
