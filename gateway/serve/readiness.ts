/** Whether the mounts answer, for the `ready` check of load balancers. */

import { anonymous } from '../../acl/principal.ts'
import type { Mount } from '../../mounts/namespace.ts'
import type { Call } from '../core/call.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'

export interface MountState {
  readonly mount: string
  readonly state: 'reachable' | 'unreachable'
}

export interface ReadinessOptions {
  /** Milliseconds after which a mount that does not answer counts as unreachable; 2,000 by default. */
  readonly patience?: number
  /** Milliseconds for which an answer is good, so that asking often costs the back ends nothing; 5,000 by default. */
  readonly lifetime?: number
}

/** Looks at the top of each back end as the gateway itself. One look at a time for each, so a hung mount holds one call. */
export class Readiness {
  readonly #mounts: () => readonly Mount[]
  readonly #options: Required<ReadinessOptions>
  readonly #looks = new WeakMap<Mount, { readonly state: Promise<boolean>; readonly until: number }>()
  readonly #running = new WeakMap<Mount, Promise<boolean>>()

  constructor(mounts: () => readonly Mount[], options: ReadinessOptions = {}) {
    this.#mounts = mounts
    this.#options = { patience: 2000, lifetime: 5000, ...options }
  }

  /** In the order of the configuration. Never takes much longer than `patience` and never rejects. */
  states(): Promise<readonly MountState[]> {
    return Promise.all(
      this.#mounts().map(async (mount) => ({
        mount: mount.at,
        state: (await this.#isReachable(mount)) ? ('reachable' as const) : ('unreachable' as const),
      })),
    )
  }

  /** Whether sending callers here makes sense: some mount answers. One that hangs is no reason to lose the others. */
  async isReady(): Promise<boolean> {
    const states = await this.states()
    return states.some(({ state }) => state === 'reachable')
  }

  #isReachable(mount: Mount): Promise<boolean> {
    const known = this.#looks.get(mount)
    if (known && performance.now() < known.until) return known.state
    const running = this.#running.get(mount) ?? this.#start(mount)
    const { promise: late, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => resolve(false), this.#options.patience)
    const state = Promise.race([running, late]).finally(() => clearTimeout(timer))
    this.#looks.set(mount, { state, until: performance.now() + this.#options.lifetime })
    return state
  }

  /** A look that hangs stays the one look at its mount until it ends. */
  #start(mount: Mount): Promise<boolean> {
    const look = lookAt(mount).finally(() => this.#running.delete(mount))
    this.#running.set(mount, look)
    return look
  }
}

/** What a caller may not see is an answer as well: somebody looked. */
async function lookAt(mount: Mount): Promise<boolean> {
  const signal = AbortSignal.timeout(mount.deadline)
  const call: Call = { id: 'readiness', principal: anonymous, protocol: 'internal', from: '', signal }
  try {
    const { entry } = await mount.backend.walk(mount.base, call)
    return entry !== undefined || mount.base === root
  } catch (error) {
    return answers.has(StorageError.from(error).code)
  }
}

const answers: ReadonlySet<string> = new Set(['denied', 'unauthenticated', 'not-owner'])
