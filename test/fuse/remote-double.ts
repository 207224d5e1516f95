/**
 * A gateway's file in memory, behind the contract of mounts/client/fs/remote.ts: answers come late and out of order, a
 * write is refused when told so. Handles of one `Bytes` see the same content.
 */

import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Attributes, RemoteFile } from '../../mounts/client/fs/remote.ts'

export interface Request {
  readonly what: 'read' | 'write' | 'truncate' | 'sync' | 'commit' | 'close'
  readonly offset: number
  readonly length: number
}

export class Bytes {
  content: Buffer
  version = 1
  modified = 1_000_000_000n
  /** All that was asked for, in order. */
  readonly requests: Request[] = []
  /** Milliseconds until an answer, of each request. */
  delay: () => number = () => 0
  /** What a write fails with. */
  refuse: ((offset: number, length: number) => StorageError | undefined) | undefined
  underWay = 0
  mostUnderWay = 0
  aborted = 0

  constructor(content: Buffer = Buffer.alloc(0)) {
    this.content = content
  }

  attributes(): Attributes {
    return {
      type: 'file',
      size: this.content.length,
      modified: this.modified,
      changed: this.modified,
      mine: true,
      version: `v${this.version}`,
      id: 'object',
    }
  }

  async take<T>(request: Request, signal: AbortSignal | undefined, act: () => T): Promise<T> {
    this.requests.push(request)
    this.underWay++
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
    try {
      const milliseconds = this.delay()
      if (milliseconds > 0) await pause(milliseconds, undefined, { ...(signal && { signal }) })
      else await turn()
    } catch {
      this.aborted++
      throw new StorageError('cancelled', 'aborted')
    } finally {
      this.underWay--
    }
    return act()
  }

  put(from: Uint8Array, offset: number): void {
    if (offset + from.length > this.content.length) this.resize(offset + from.length)
    this.content.set(from, offset)
    this.version++
  }

  resize(size: number): void {
    const longer = Buffer.alloc(size)
    this.content.copy(longer)
    this.content = longer
    this.version++
  }

  /** Opens it. A draft becomes the content at its commit. */
  open(kind: RemoteFile['kind'] = 'edit'): RemoteFile {
    const draft = new Bytes()
    const target = kind === 'draft' ? draft : this
    const unsupported = () => Promise.reject(new StorageError('unsupported', 'not by this double'))
    return {
      attributes: this.attributes(),
      kind,
      created: false,
      path: parsePath('/file'),
      read: (into, offset, signal) =>
        kind === 'draft'
          ? unsupported()
          : this.take({ what: 'read', offset, length: into.length }, signal, () => {
              const found = this.content.subarray(offset, offset + into.length)
              into.set(found)
              return found.length
            }),
      write: (from, offset, signal) =>
        this.take({ what: 'write', offset, length: from.length }, signal, () => {
          const error = this.refuse?.(offset, from.length)
          if (error) throw error
          if (kind === 'read') throw new StorageError('denied', 'not open for writing')
          if (kind === 'draft' && offset !== draft.content.length) throw new StorageError('unsupported', 'out of order')
          target.put(from, offset)
        }),
      truncate: (size, signal) =>
        this.take({ what: 'truncate', offset: size, length: 0 }, signal, () => target.resize(size)),
      sync: (signal) => this.take({ what: 'sync', offset: 0, length: 0 }, signal, () => undefined),
      commit: (signal) =>
        this.take({ what: 'commit', offset: 0, length: 0 }, signal, () => {
          if (kind !== 'draft') return undefined
          this.content = Buffer.from(draft.content)
          this.version++
          return this.attributes()
        }),
      stat: async () => this.attributes(),
      allocate: (start, end, how, signal) =>
        this.take({ what: 'truncate', offset: start, length: end - start }, signal, () => {
          if (how === 'extend' && end > this.content.length) this.resize(end)
          if (how === 'punch' || how === 'zero') this.content.fill(0, start, Math.min(end, this.content.length))
        }),
      seek: unsupported,
      copyFrom: unsupported,
      testLock: unsupported,
      lock: unsupported,
      unlock: unsupported,
      close: async () => {
        this.requests.push({ what: 'close', offset: 0, length: 0 })
      },
    }
  }
}
