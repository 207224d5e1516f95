/**
 * The mounts of the configuration, as back ends and a mount table. A reload keeps what has not
 * changed, so that only what was changed starts anew.
 */

import type { Backend } from '../../backends/backend.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import type { Config, MountConfig } from '../config.ts'

/** Makes a back end; mounts with the same `backend` section, grade and deadline share one. */
export type MakeBackend = (mount: MountConfig, config: Config) => Promise<Backend>

interface Made<T> {
  readonly key: string
  readonly value: T
}

export interface MountChange {
  readonly namespace: Namespace
  /** Back ends that no mount uses any more. To be closed when their last call has ended. */
  readonly retired: readonly Backend[]
  /** Back ends made for this change; to be closed if it is not taken over. */
  readonly fresh: readonly Backend[]
  /** Makes this the state that the next change starts from. */
  accept(): void
}

/** See the file's comment. */
export class Mounts {
  readonly #make: MakeBackend
  #backends: readonly Made<Backend>[] = []
  #mounts: readonly Made<Mount>[] = []

  constructor(make: MakeBackend) {
    this.#make = make
  }

  /** Builds what a configuration says. When a back end cannot be made, those made before it are closed and its error is thrown. */
  async change(config: Config): Promise<MountChange> {
    const fresh: Backend[] = []
    try {
      return await this.#build(config, fresh)
    } catch (error) {
      await closeAll(fresh)
      throw error
    }
  }

  /** Closes every back end. */
  async close(): Promise<void> {
    await closeAll(this.#backends.map(({ value }) => value))
  }

  async #build(config: Config, fresh: Backend[]): Promise<MountChange> {
    const backends: Made<Backend>[] = []
    const mounts: Made<Mount>[] = []
    for (const mount of config.mounts) {
      const key = keyOf(mount, config)
      let made = find(backends, key) ?? find(this.#backends, key)
      if (!made) {
        made = { key, value: await this.#make(mount, config) }
        fresh.push(made.value)
      }
      if (!backends.includes(made)) backends.push(made)
      mounts.push(this.#mount(mount, made))
    }
    const namespace = new Namespace(mounts.map(({ value }) => value))
    const retired = this.#backends.filter((made) => !backends.includes(made)).map(({ value }) => value)
    const accept = () => {
      this.#backends = backends
      this.#mounts = mounts
    }
    return { namespace, retired, fresh, accept }
  }

  /** A mount that has not changed stays the same object, with all that is counted for it. */
  #mount(mount: MountConfig, backend: Made<Backend>): Made<Mount> {
    const key = JSON.stringify([mount, backend.key])
    return find(this.#mounts, key) ?? { key, value: mountOf(mount, backend.value) }
  }
}

function find<T>(made: readonly Made<T>[], key: string): Made<T> | undefined {
  return made.find((candidate) => candidate.key === key)
}

function keyOf({ backend, enforce, deadline }: MountConfig, { minUid, issuers }: Config): string {
  // dCache is told apart whose tokens it takes by the issuers' own names.
  const known = backend.type === 'dcache' ? issuers.map(({ name, issuer }) => [name, issuer]) : []
  return JSON.stringify([backend, enforce, deadline, minUid, known])
}

function mountOf(mount: MountConfig, backend: Backend): Mount {
  const { path, base, enforce, readOnly, anonymous, createParents, recall, maxInFlight, deadline, note } = mount
  return {
    at: path,
    backend,
    base,
    enforce,
    readOnly,
    anonymous,
    createParents,
    recall,
    maxInFlight,
    deadline,
    ...(note !== undefined && { note }),
  }
}

/** Closes all of them, whatever becomes of one. */
export async function closeAll(backends: readonly Backend[]): Promise<void> {
  await Promise.allSettled(backends.map((backend) => backend.close()))
}
