/** Gateway processes that share a state store and a storage, and uploads through them. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { claim } from '../../backends/posix/leaving.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { LimitOptions } from '../../gateway/core/limits.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import type { AppendOptions, NewUpload, UploadState } from '../../gateway/core/uploads.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State, UploadBounds } from '../../gateway/state/state.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { together } from './locked-world.ts'
import { callBy, mountOf } from './world.ts'

type Who = string | Principal

export class UploadProcess {
  readonly storage: Storage
  readonly state: State
  readonly audit: MemoryAudit

  constructor(storage: Storage, state: State, audit: MemoryAudit) {
    this.storage = storage
    this.state = state
    this.audit = audit
  }

  create(who: Who, path: string, options: NewUpload = {}): Promise<UploadState> {
    return this.storage.uploads.create(callBy(who), parsePath(path), options)
  }

  append(who: Who, id: string, offset: number, content: string | Readable, options: AppendOptions = {}) {
    const body = typeof content === 'string' ? Readable.from([Buffer.from(content)]) : content
    return this.storage.uploads.append(callBy(who), id, offset, body, options)
  }

  finish(who: Who, id: string) {
    return this.storage.uploads.finish(callBy(who), id)
  }

  async get(path: string): Promise<string> {
    const reading = await this.storage.read(callBy('alice'), parsePath(path))
    if (reading.kind !== 'bytes') throw new Error(reading.kind)
    const content = Buffer.concat(await reading.stream({ start: 0, end: reading.entry.size }).toArray()).toString()
    await reading.close()
    return content
  }

  async put(who: Who, path: string, content: string): Promise<void> {
    const writing = await this.storage.write(callBy(who), parsePath(path))
    writing.body.end(content)
    await writing.commit()
  }
}

export interface UploadWorld {
  readonly memory: MemoryBackend
  readonly directory: string
  readonly spool: string
  /** Milliseconds that the clock is ahead. */
  readonly clock: { ahead: number }
  process(): Promise<UploadProcess>
}

export interface WorldOptions {
  readonly bounds?: Partial<UploadBounds>
  readonly limits?: Partial<LimitOptions>
  /** What is mounted at /data instead of a back end in memory. */
  readonly backend?: (memory: MemoryBackend) => Backend
}

/** Mounts: /data, /spooled (one that keeps no drafts), /readonly. */
export async function makeUploadWorld(t: Test, options: WorldOptions = {}): Promise<UploadWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-uploads-'))
  const clock = { ahead: 0 }
  const memory = new MemoryBackend(together, { name: 'memory' })
  const spooled = withoutDrafts(new MemoryBackend(together, { name: 'spooled' }))
  const namespace = new Namespace([
    mountOf('/data', options.backend?.(memory) ?? memory),
    mountOf('/spooled', spooled),
    mountOf('/readonly', new MemoryBackend(together, { name: 'readonly' }), { readOnly: true }),
  ])
  const spool = join(directory, 'spool')
  const opened: State[] = []
  t.teardown(async () => {
    for (const state of opened) await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const process = async () => {
    const now = () => Date.now() + clock.ahead
    const state = await openState({ directory, now, timing: { renew: 200, life: 2000 } })
    opened.push(state)
    const audit = new MemoryAudit()
    const bounds = { uploads: 100, bytes: 1e6, spool: 1e6, ...options.bounds }
    const uploads = { state, spoolDirectory: spool, claim, lifetime: 3600, bounds }
    const { limits = {} } = options
    const storage = new Storage({ namespace, audit, spillDirectory: directory, limits, locks: state.locks, uploads })
    return new UploadProcess(storage, state, audit)
  }
  return { memory, directory, spool, clock, process }
}

/** The same back end as one of those that cannot leave a draft. */
export function withoutDrafts(backend: Backend): Backend {
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'resuming') return undefined
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A body that goes on until it is told to end; `taken` resolves when all that was given has been read. */
export class Tap {
  readonly #wanted: Array<() => void> = []
  readonly body = new Readable({
    highWaterMark: 1,
    read: () => {
      for (const resolve of this.#wanted.splice(0)) resolve()
    },
  })

  /** Resolves when the reader wants more than this. */
  give(content: string): Promise<void> {
    const wanted = new Promise<void>((resolve) => this.#wanted.push(resolve))
    this.body.push(content)
    return wanted
  }

  end(): void {
    this.body.push(null)
  }
}
