/** Files open for reading and drafts of the memory back end. */

import { Readable, Writable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Draft, Entry, OpenFile, Range } from '../backend.ts'
import { entryOf, type Node } from './tree.ts'

const chunkBytes = 64 * 1024

/** What an open file asks of its back end. */
export interface Host {
  /** Throws `cancelled` when the caller has gone and `unavailable` when the back end is closed. */
  check(call: Call): void
  /** Throws `quota` when so many more bytes would not fit. */
  makeRoom(bytes: number): void
  tick(): bigint
}

/** Reads see the node's bytes as they are at that moment; a replaced file stays what it was. */
export function openNode(
  name: string,
  node: Node,
  inlineUpTo: number,
  host: Host,
  call: Call,
): OpenFile & Required<Pick<OpenFile, 'stat'>> {
  const { bytes } = node
  return {
    entry: entryOf(name, node),
    ...(bytes.length <= inlineUpTo ? { content: new Uint8Array(bytes) } : {}),
    stream: (range) => Readable.from(chunks(node, range, host, call), { objectMode: false }),
    read: async (into, offset) => {
      host.check(call)
      return offset < node.bytes.length ? node.bytes.copy(into, 0, offset) : 0
    },
    stat: async () => {
      host.check(call)
      return entryOf(name, node)
    },
    close: async () => {},
  }
}

async function* chunks(node: Node, { start, end }: Range, host: Host, call: Call): AsyncGenerator<Buffer> {
  for (let at = start; at < end; at += chunkBytes) {
    host.check(call)
    const stop = Math.min(at + chunkBytes, end)
    // The reader was promised these bytes; fewer of them would look like the end of the file.
    if (stop > node.bytes.length) throw new StorageError('stale', 'the file became shorter while it was read')
    yield Buffer.from(node.bytes.subarray(at, stop))
  }
}

/** Collects the body; `place` puts the bytes into the tree, or throws. */
export class MemoryDraft implements Draft {
  readonly body: Writable
  readonly #parts: Buffer[] = []
  readonly #host: Host
  readonly #call: Call
  readonly #place: (bytes: Buffer, options: CommitOptions) => Entry
  #state: 'open' | 'committed' | 'discarded' = 'open'
  #failure: unknown

  constructor(host: Host, call: Call, place: (bytes: Buffer, options: CommitOptions) => Entry) {
    this.#host = host
    this.#call = call
    this.#place = place
    let size = 0
    this.body = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        try {
          host.check(call)
          size += chunk.length
          host.makeRoom(size)
          // A copy: the sender may use its buffer again.
          this.#parts.push(Buffer.from(chunk))
          done()
        } catch (error) {
          done(StorageError.from(error))
        }
      },
    })
    // Whoever writes gets the error from the stream; commit tells it to those who do not listen.
    this.body.on('error', (error) => {
      this.#failure = error
    })
  }

  async commit(options: CommitOptions): Promise<Entry> {
    if (this.#state !== 'open') throw new StorageError('invalid', `the draft is ${this.#state} already`)
    if (this.#failure) throw StorageError.from(this.#failure)
    this.#host.check(this.#call)
    if (!this.body.writableFinished) throw new StorageError('invalid', 'the body of the draft has not ended')
    const entry = this.#place(Buffer.concat(this.#parts), options)
    this.#state = 'committed'
    return entry
  }

  async discard(): Promise<void> {
    if (this.#state === 'committed') return
    this.#state = 'discarded'
    this.#parts.length = 0
    this.body.destroy()
  }
}
