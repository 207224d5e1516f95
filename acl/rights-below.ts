/** What a caller may do with each entry of one directory; an ACL that many of them share is evaluated once. */

import type { Entry } from '../backends/backend.ts'
import { join, type Path } from '../gateway/core/path.ts'
import { type Acl, type Rights, right } from './acl.ts'
import { rightsOn } from './authorizer.ts'
import { isOwner } from './evaluate.ts'
import type { Principal } from './principal.ts'
import { boundOf } from './scopes.ts'

/** Answers remembered; a directory with more different ACLs costs more. */
const remembered = 1024

export class RightsBelow {
  readonly #principal: Principal
  /** The caller as the ACLs alone see it. */
  readonly #unbounded: Principal
  readonly #ancestors: readonly Entry[]
  readonly #directory: Path
  readonly #known = { directory: new Map<Acl, Rights>(), other: new Map<Acl, Rights>() }

  /** `ancestors`: everything down to the directory itself, which appears in the namespace at `directory`. */
  constructor(principal: Principal, ancestors: readonly Entry[], directory: Path) {
    this.#principal = principal
    this.#unbounded = principal.grants === 'unbounded' ? principal : { ...principal, grants: 'unbounded' }
    this.#ancestors = ancestors
    this.#directory = directory
  }

  /** Equals what `rightsOn` says of it. */
  of(entry: Entry): Rights {
    const { acl } = entry
    if (acl === undefined) return 0
    const rights = this.#byAcl(entry, acl)
    if (this.#principal.grants === 'unbounded') return rights
    const bound = boundOf(this.#principal, join(this.#directory, entry.name), entry.type)
    return rights & (bound | (isOwner(acl, this.#principal) ? right.readAcl : 0))
  }

  #byAcl(entry: Entry, acl: Acl): Rights {
    // There the mode bits have a say too, and they differ from object to object.
    if (acl.dialect === 'dcache') return this.#evaluate(entry)
    const known = entry.type === 'directory' ? this.#known.directory : this.#known.other
    let rights = known.get(acl)
    if (rights === undefined) {
      rights = this.#evaluate(entry)
      if (known.size >= remembered) known.clear()
      known.set(acl, rights)
    }
    return rights
  }

  #evaluate(entry: Entry): Rights {
    const trail = { ancestors: this.#ancestors, parentExists: true, entry }
    return rightsOn(this.#unbounded, trail, join(this.#directory, entry.name))
  }
}
