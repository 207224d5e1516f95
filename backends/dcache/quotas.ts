/** usage: the caller's quota, or the space reservation that the mount names (dCache User Guide, "Frontend"). */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Pending, QuotaFacet, Usage } from '../backend.ts'
import { isRecord, type Json } from './attributes.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { walk } from './looking.ts'
import { requireEntry } from './requiring.ts'

const unknown: Usage = { used: 0, available: undefined, limit: undefined }

export class DcacheQuotas implements QuotaFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /**
   * The tightest of: the space reservation that the options name, the quota of the user, the quota of the primary
   * group. Where dCache counts nothing, 0 used and no limit.
   */
  async usage(path: Path, call: Call): Promise<Pending<Usage>> {
    const scope: Scope = { activities: ['READ_METADATA'], object: this.#desk.inDcache(path) }
    const trail = await walk(this.#desk, path, scope, call)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      requireEntry(trail, path)
      const all = await Promise.all([
        this.#space(scope, call),
        this.#quota('user', scope, call),
        this.#quota('group', scope, call),
      ])
      const told = all.filter((usage) => usage !== undefined)
      return told.reduce((least, usage) => (leftOf(usage) < leftOf(least) ? usage : least), told[0] ?? unknown)
    }
    return { trail, proceed, release: async () => {} }
  }

  async #space(scope: Scope, call: Call): Promise<Usage | undefined> {
    const { spaceToken } = this.#desk.options
    if (spaceToken === undefined) return undefined
    const tokens = await this.#list('/space/tokens', {}, scope, call)
    const token = tokens.find(({ description }) => description === spaceToken)
    const limit = token && bytes(token.sizeInBytes)
    if (!token || limit === undefined) return undefined
    const used = (bytes(token.usedSizeInBytes) ?? 0) + (bytes(token.allocatedSpaceInBytes) ?? 0)
    return usageOf(used, limit)
  }

  /** The caller's own where dCache knows him; the one of his ids where the service asks for him. */
  async #quota(type: 'user' | 'group', scope: Scope, call: Call): Promise<Usage | undefined> {
    const { posix } = call.principal
    const asService = this.#desk.needsAcls(call)
    const id = type === 'user' ? posix?.uid : posix?.gid
    if (asService && id === undefined) return undefined
    const resource = asService ? `/quota/${type}/${id}` : `/quota/${type}`
    const quotas = await this.#list(resource, asService ? {} : { user: 'true' }, scope, call)
    const own = quotas.find((quota) => id === undefined || quota.id === id) ?? (asService ? undefined : quotas[0])
    return own && usageOfQuota(own)
  }

  /** A list of objects, also where there is but one; empty where dCache does not count or does not tell. */
  async #list(
    path: string,
    query: Readonly<Record<string, string>>,
    scope: Scope,
    call: Call,
  ): Promise<readonly Json[]> {
    const response = await this.#desk.rest({ method: 'GET', path, query, idempotent: true }, scope, call)
    if ([403, 404, 501, 503].includes(response.status)) {
      response.discard()
      return []
    }
    if (response.status !== 200) throw await refusalOf(response, scope.object)
    const json = await response.json()
    const list = Array.isArray(json) ? json : [json]
    if (!list.every(isRecord)) throw unavailable('the storage answered with no list')
    return list
  }
}

/** Over the retention policies that have a limit; over all of them where none has. */
function usageOfQuota(quota: Json): Usage {
  const policies = ['custodial', 'output', 'replica'].map((policy) => ({
    used: bytes(quota[policy]) ?? 0,
    limit: bytes(quota[`${policy}Limit`]),
  }))
  const limited = policies.filter(({ limit }) => limit !== undefined)
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
  if (limited.length === 0) return usageOf(sum(policies.map(({ used }) => used)), undefined)
  return usageOf(sum(limited.map(({ used }) => used)), sum(limited.map(({ limit = 0 }) => limit)))
}

function usageOf(used: number, limit: number | undefined): Usage {
  return { used, limit, available: limit === undefined ? undefined : Math.max(0, limit - used) }
}

function leftOf({ available }: Usage): number {
  return available ?? Number.POSITIVE_INFINITY
}

function bytes(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}
