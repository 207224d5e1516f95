/** Bytes used by users and groups, and their limits (user guide, Frontend, "quota"). */

import type { Login } from './access.ts'
import { Failure } from './failure.ts'
import type { QuotaOptions } from './options.ts'
import type { Tree } from './tree.ts'

export interface Usage {
  readonly custodial: number
  readonly replica: number
}

export class Quotas {
  readonly #tree: Tree
  readonly #limits: readonly QuotaOptions[]

  constructor(tree: Tree, limits: readonly QuotaOptions[]) {
    this.#tree = tree
    this.#limits = limits
  }

  get limits(): readonly QuotaOptions[] {
    return this.#limits
  }

  usage({ type, id }: Pick<QuotaOptions, 'type' | 'id'>): Usage {
    let custodial = 0
    let replica = 0
    for (const node of this.#tree.all()) {
      if (node.type !== 'file' || (type === 'user' ? node.owner : node.group) !== id) continue
      if (node.retention === 'CUSTODIAL') custodial += node.content?.size ?? 0
      else replica += node.content?.size ?? 0
    }
    return { custodial, replica }
  }

  /** New files count against the limit for REPLICA. Only what is over already is refused, as sizes come late. */
  demand(login: Login, size: number): void {
    for (const limit of this.#limits) {
      const isOurs = limit.type === 'user' ? limit.id === login.uid : limit.id === login.gids[0]
      if (isOurs && limit.replicaLimit !== undefined && this.usage(limit).replica + size > limit.replicaLimit) {
        throw new Failure('no-space', 'Quota exceeded')
      }
    }
  }
}
