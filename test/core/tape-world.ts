/** Two mounts with tape and one without, a staging queue on disk, and a clock for robot and queue. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinNames } from 'node:path'
import type { Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import type { Backend, StageOrder, TapeFacet } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import type { MemoryTape } from '../../backends/memory/tape.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { LimitOptions } from '../../gateway/core/limits.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import { aclOf, allow, callBy, everything, mountOf, person, readAll } from './world.ts'

/** Milliseconds: a file waits this long for a drive, and this long for its bytes. */
export const queue = 10_000
export const delay = 60_000

/** What a test puts in the way of a tape library. */
export interface Trouble {
  /** Before the library hears of the order; throws. */
  before?: (order: StageOrder) => void | Promise<void>
  /** After it has taken the order, before the gateway hears so; throws. */
  after?: () => void | Promise<void>
  progress?: () => void
}

/** Each call to a tape facet: its name and how many files it was about. */
export type TapeCall = readonly [name: string, files: number]

export class TapeWorld {
  time = 1_000_000_000
  readonly calls: string[] = []
  readonly tapeCalls: TapeCall[] = []
  readonly orders: StageOrder[] = []
  readonly trouble: Trouble = {}
  readonly audit = new MemoryAudit()
  readonly memories: Readonly<Record<'/pnfs' | '/store' | '/disk', MemoryBackend>>
  readonly namespace: Namespace
  readonly directory: string
  readonly #enforcing: boolean
  #states: State[] = []

  constructor(t: Test, options: { readonly mount?: Partial<Mount>; readonly enforcing?: boolean } = {}) {
    this.directory = mkdtempSync(joinNames(tmpdir(), 'portolan-staging-'))
    this.#enforcing = options.enforcing ?? false
    const root = aclOf('keeper', allow('EVERYONE@', readAll))
    const tape = { now: () => this.time, queue, delay }
    this.memories = {
      '/pnfs': new MemoryBackend(root, { name: 'pnfs', tape }),
      '/store': new MemoryBackend(root, { name: 'store', tape }),
      '/disk': new MemoryBackend(root, { name: 'disk' }),
    }
    const mounts = Object.entries(this.memories).map(([at, memory]) =>
      mountOf(at, this.#watched(memory), options.mount),
    )
    this.namespace = new Namespace(mounts)
    t.teardown(async () => {
      for (const state of this.#states) await state.close()
      rmSync(this.directory, { recursive: true, force: true })
    })
  }

  /** A gateway process of its own, as far as the store can tell. */
  async open(namespace = this.namespace, limits: Partial<LimitOptions> = {}): Promise<Storage> {
    const state = await openState({ directory: joinNames(this.directory, 'state'), now: () => this.time })
    this.#states.push(state)
    return new Storage({ namespace, audit: this.audit, spillDirectory: this.directory, state, limits })
  }

  tape(mount: '/pnfs' | '/store' = '/pnfs'): MemoryTape {
    const { tape } = this.memories[mount]
    if (!tape) throw new Error('no tape')
    return tape
  }

  /** Files made by the keeper, on tape where there is one. */
  async fill(storage: Storage, ...paths: readonly string[]): Promise<void> {
    for (const text of paths) {
      const path = parsePath(text)
      const writing = await storage.write(callBy(person('keeper')), path)
      writing.body.end('0123456789')
      await writing.commit()
      this.toTape(text)
    }
  }

  toTape(text: string): void {
    for (const mount of ['/pnfs', '/store'] as const) {
      if (text.startsWith(`${mount}/`)) this.tape(mount).put(parsePath(text.slice(mount.length)), 'tape')
    }
  }

  /** From now on a look at a request finds its files on disk. */
  hurry(): void {
    this.trouble.progress = () => {
      this.time += queue + delay
    }
  }

  /** A directory that nobody but alice and the keeper may enter. */
  async closedDirectory(storage: Storage, text: string): Promise<void> {
    await storage.mkdir(callBy(person('keeper')), parsePath(text))
    const inner = parsePath(text.replace('/pnfs', ''))
    this.memories['/pnfs'].replaceAcl(inner, aclOf('keeper', allow({ user: 'alice@x' }, everything)))
  }

  /** Counts calls, and lets the test's trouble happen. */
  #watched(memory: MemoryBackend): Backend {
    const { tape } = memory
    const facet = tape && this.#watchedTape(tape)
    return new Proxy<Backend>(memory, {
      get: (target, key) => {
        if (key === 'tape') return facet
        if (key === 'enforces') return () => this.#enforcing && tape !== undefined
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          this.calls.push(String(key))
          return Reflect.apply(value, target, args)
        }
      },
    })
  }

  #watchedTape(tape: TapeFacet): TapeFacet {
    const note = (name: string, files: number) => void this.tapeCalls.push([name, files])
    return {
      stage: async (order: StageOrder, call: Call) => {
        note('stage', order.files.length)
        this.orders.push(order)
        await this.trouble.before?.(order)
        const id = await tape.stage(order, call)
        await this.trouble.after?.()
        return id
      },
      progress: async (id, call) => {
        note('progress', 1)
        this.trouble.progress?.()
        return tape.progress(id, call)
      },
      cancel: (id, files, call) => {
        note('cancel', files?.length ?? -1)
        return tape.cancel(id, files, call)
      },
      release: (id, files, call) => {
        note('release', files.length)
        return tape.release(id, files, call)
      },
      locality: (files, call) => {
        note('locality', files.length)
        return tape.locality(files, call)
      },
    }
  }
}

/** What a request says of its files: path and state, with the error behind it. */
export async function states(
  storage: Storage,
  principal: Principal | string,
  id: string,
): Promise<Record<string, string>> {
  const { files } = await storage.staging.progress(callBy(principal), id)
  return Object.fromEntries(files.map(({ path, state, error }) => [path, error ? `${state}: ${error}` : state]))
}

export const wishes = (...paths: readonly string[]) => paths.map((path) => ({ path: parsePath(path) }))
