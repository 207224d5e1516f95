/** Two gateway processes, as far as the state store can tell: each its own Storage and connection, one storage below. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinNames } from 'node:path'
import type { Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import type { Backend, Draft, Pending, Trail } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { LockWish } from '../../gateway/core/lock-request.ts'
import type { LockView } from '../../gateway/core/locking.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { Storage, type WriteOptions } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { aclOf, allow, callBy, everything, mountOf, person, user } from './world.ts'

/** Everything to alice and bob. */
export const together = aclOf('alice', allow(user('alice'), everything), allow(user('bob'), everything))

/** One process. */
export class Process {
  readonly storage: Storage
  readonly state: State

  constructor(storage: Storage, state: State) {
    this.storage = storage
    this.state = state
  }

  lock(who: string, path: string, wish: Partial<LockWish> = {}, tokens: readonly string[] = []): Promise<LockView> {
    const whole: LockWish = { scope: 'exclusive', depth: 'infinity', ...wish }
    return this.storage.locks.lock(by(who, tokens), parsePath(path), whole).then(({ lock }) => lock)
  }

  async put(who: string, path: string, content: string, tokens: readonly string[] = [], options: WriteOptions = {}) {
    const writing = await this.storage.write(by(who, tokens), parsePath(path), options)
    writing.body.end(content)
    return writing.commit()
  }

  unlock(who: string, path: string, { token = '' }: LockView): Promise<void> {
    return this.storage.locks.unlock(by(who), parsePath(path), token)
  }
}

/** What is to happen around commits. */
export interface Held {
  /** Those that have been decided wait for it. */
  commit?: Promise<void>
  /** Called when one waits. */
  reached?: () => void
  /** Called between the decision and the act, in one go with both. */
  decided?: () => void
}

export interface LockedWorld {
  readonly one: Process
  readonly two: Process
  readonly memory: MemoryBackend
  /** Of the state store. */
  readonly directory: string
  readonly held: Held
  /** Milliseconds that the clock is ahead. */
  readonly clock: { ahead: number }
  /** Another process of the same gateway. */
  process(): Promise<Process>
}

/** One process of a gateway whose state is in `directory`. */
export async function openProcess(directory: string, namespace: Namespace, now: () => number): Promise<Process> {
  const state = await openState({ directory, now, timing: { renew: 200, life: 2000 } })
  const { locks, byteLocks } = state
  const storage = new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: directory, locks, byteLocks })
  return new Process(storage, state)
}

export function namespaceOf(backend: Backend): Namespace {
  const other = new MemoryBackend(together, { name: 'other' })
  return new Namespace([
    mountOf('/data', backend),
    mountOf('/again', backend),
    mountOf('/part', backend, { base: parsePath('/d') }),
    mountOf('/other', other),
    mountOf('/data/inner', other),
  ])
}

/** Mounts: /data, /again (the same storage once more), /part (a directory of it), /other. Two directories: d, e. */
export async function lockedWorld(t: Test): Promise<LockedWorld> {
  const directory = mkdtempSync(joinNames(tmpdir(), 'portolan-locks-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const memory = new MemoryBackend(together, { name: 'memory' })
  const held: Held = {}
  const clock = { ahead: 0 }
  const namespace = namespaceOf(holding(memory, held))
  const process = async () => {
    const opened = await openProcess(directory, namespace, () => Date.now() + clock.ahead)
    t.teardown(() => opened.state.close())
    return opened
  }
  const [one, two] = [await process(), await process()]
  for (const path of ['/data/d', '/data/d/sub', '/data/e']) await one.storage.mkdir(by('alice'), parsePath(path))
  await one.put('alice', '/data/d/f', 'old')
  return { one, two, memory, directory, held, clock, process }
}

export function by(who: string | Principal, lockTokens: readonly string[] = []): Call {
  const principal = typeof who === 'string' ? person(who) : who
  return { ...callBy(principal), lockTokens }
}

export const tokensOf = (...locks: readonly LockView[]): string[] => locks.flatMap(({ token }) => token ?? [])

/** A back end whose commits can be held between their decision and their act. */
export function holding(inner: MemoryBackend, held: Held): Backend {
  const create = async (file: Path, options: { readonly size?: number }, call: Call): Promise<Pending<Draft>> => {
    const pending = await inner.create(file, options, call)
    return {
      trail: pending.trail,
      release: () => pending.release(),
      proceed: async () => {
        const draft = await pending.proceed()
        return {
          body: draft.body,
          discard: () => draft.discard(),
          commit: async (commit) => {
            if (!held.commit) {
              const decide = (trail: Trail) => {
                commit.decide(trail)
                held.decided?.()
              }
              return draft.commit({ ...commit, decide })
            }
            commit.decide(await inner.walk(file, call))
            held.reached?.()
            await held.commit
            return draft.commit({ ...commit, decide: () => {} })
          },
        }
      },
    }
  }
  return new Proxy<Backend>(inner, {
    get(target, key) {
      if (key === 'create') return create
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
