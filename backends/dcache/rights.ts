/**
 * What a caller may do, where dCache decides: there is no question for it, but dCache tells who it takes the caller for
 * (dCache User Guide, "Frontend", user) and the list, owner and mode of the object, and its rules are known (dCache Book, "ACLs").
 */

import type { Rights } from '../../acl/acl.ts'
import { rightsOn } from '../../acl/authorizer.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Call } from '../../gateway/core/call.ts'
import { nameOf, type Path } from '../../gateway/core/path.ts'
import type { RightsFacet } from '../backend.ts'
import { entryOf } from './attributes.ts'
import type { Desk, Scope } from './desk.ts'
import { lookAt } from './looking.ts'

export class DcacheRights implements RightsFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /** `unknown` also for tokens with storage scopes: for them dCache asks no list. */
  async effective(path: Path, call: Call): Promise<Rights | 'unknown'> {
    if (call.principal.grants !== 'unbounded') return 'unknown'
    const scope: Scope = { activities: ['READ_METADATA'], object: this.#desk.inDcache(path) }
    const [principal, seen] = await Promise.all([
      this.#asDcacheKnows(scope, call),
      lookAt(this.#desk, path, scope, call, { optional: 'true' }),
    ])
    if (!principal || !seen?.json) return 'unknown'
    const entry = entryOf(nameOf(path), seen.json, { acls: true })
    // It was shown, so the way to it is open.
    return entry.acl ? rightsOn(principal, { ancestors: [], parentExists: true, entry }, path) : 'unknown'
  }

  /** The caller with the numbers that dCache maps the credential to. */
  async #asDcacheKnows(scope: Scope, call: Call): Promise<Principal | undefined> {
    const response = await this.#desk.rest({ method: 'GET', path: '/user', idempotent: true }, scope, call)
    const { status, uid, gids } = await this.#desk.told(response, scope.object)
    if (status !== 'AUTHENTICATED' || !isId(uid) || !Array.isArray(gids)) return undefined
    const [gid, ...others] = gids.filter(isId)
    return gid === undefined ? undefined : { ...call.principal, posix: { uid, gid, gids: others } }
  }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
