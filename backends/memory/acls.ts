/** ACL and mode of new and changed objects of the memory back end. */

import { type Ace, type Acl, aceFlag, right } from '../../acl/acl.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Node } from './tree.ts'

/** What a new object gets from its parent: inherited entries, the caller as owner, the parent's group. */
export function aclForNew(
  type: 'file' | 'directory',
  parent: Node,
  principal: Principal,
): { readonly acl: Acl | undefined; readonly mode: number } {
  if (!parent.acl) return { acl: undefined, mode: 0 }
  const acl: Acl = {
    owner: principal.user,
    group: parent.acl.group,
    aces: inherit(parent.acl, type),
    dialect: 'rfc8881',
  }
  return { acl, mode: modeFor(acl) }
}

export function aclWithMode(acl: Acl, _mode: number, _directory: boolean): Acl {
  return acl
}

export function modeFor(acl: Acl): number {
  return acl.aces.some(({ mask }) => mask & right.readData) ? 0o770 : 0
}

function inherit(parent: Acl, type: 'file' | 'directory'): Ace[] {
  const { fileInherit: f, directoryInherit: d, noPropagateInherit: n, inheritOnly: i } = aceFlag
  return parent.aces.flatMap((ace) => {
    const clear = ace.flags & ~(f | d | n | i)
    if (type === 'file') return ace.flags & f ? [{ ...ace, flags: clear, mask: ace.mask & ~right.deleteChild }] : []
    if (ace.flags & n) return ace.flags & d ? [{ ...ace, flags: clear }] : []
    if (ace.flags & d) return [{ ...ace, flags: clear | (ace.flags & (f | d)) }]
    return ace.flags & f ? [{ ...ace, flags: clear | f | i }] : []
  })
}
