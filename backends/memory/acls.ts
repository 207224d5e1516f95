/** ACL and mode of new and changed objects of the memory back end. */

import { type Acl, right } from '../../acl/acl.ts'
import { aclOfNew } from '../../acl/inherit.ts'
import { modeOf, withMode } from '../../acl/mode.ts'
import type { Principal } from '../../acl/principal.ts'

/** ACL and mode of an object. The low nine bits of the mode are what the ACL amounts to. */
export interface Permissions {
  /** Undefined: it could not be read. */
  readonly acl: Acl | undefined
  readonly mode: number
}

const setGroupId = 0o2000

/**
 * What a new object gets: the parent's heritable entries, the caller as owner, and as group that of a
 * set-group-id directory, else the caller's own. `mode`: of what inherits nothing.
 */
export function permissionsOfNew(
  kind: 'file' | 'directory',
  parent: Permissions,
  principal: Principal,
  mode = kind === 'file' ? 0o600 : 0o700,
): Permissions {
  if (!parent.acl) return { acl: undefined, mode: 0 }
  const defaultMode = mode & 0o777
  const group = (parent.mode & setGroupId) !== 0 ? parent.acl.group : ownGroup(principal)
  const acl = aclOfNew(parent.acl, { kind, owner: principal.user, group, defaultMode })
  return permissionsWithAcl({ acl, mode: kind === 'directory' ? parent.mode & setGroupId : 0 }, acl)
}

const seen = right.readData | right.execute | right.readAttributes | right.readAcl | right.synchronize

/** Whoever sees a link may read it; what it leads to is judged on its own, and the directory says who removes it. */
export const permissionsOfLink: Permissions = {
  acl: {
    owner: undefined,
    group: undefined,
    aces: [{ type: 'allow', flags: 0, mask: seen, who: 'EVERYONE@' }],
    dialect: 'rfc8881',
  },
  mode: 0o777,
}

/** After the list has changed. The three high bits stay. */
export function permissionsWithAcl({ mode }: Permissions, acl: Acl): Permissions {
  return { acl, mode: (mode & 0o7000) | modeOf(acl.aces) }
}

/** After chmod. The three high bits mean something on directories only; a file never gets a set-user-id bit here. */
export function permissionsWithMode({ acl }: Permissions, mode: number, kind: 'file' | 'directory'): Permissions {
  return { acl: acl && withMode(acl, mode, kind), mode: mode & (kind === 'directory' ? 0o7777 : 0o777) }
}

function ownGroup({ posix, groups }: Principal): string | undefined {
  const [first] = groups
  return posix ? String(posix.gid) : first
}
