/** The credential's half of a decision: what the scopes of a token allow on a path (WLCG token profile, section 2.2.1). */

import type { Entry } from '../backends/backend.ts'
import { isWithin, type Path } from '../gateway/core/path.ts'
import { type Rights, right } from './acl.ts'
import type { Decision } from './authorizer.ts'
import { type Action, needs } from './needs.ts'
import type { Grant, GrantKind, Principal } from './principal.ts'

const yes: Decision = { allowed: true }

/** Actions on a file alone: a scope that ends in "/" never gives them on the path it names. */
const onFilesOnly: ReadonlySet<Action> = new Set<Action>(['read', 'create', 'replace', 'edit', 'move-in-file'])

/** Actions that take along what lies below. */
const takesAll: ReadonlySet<Action> = new Set<Action>(['remove', 'move-away'])

/**
 * The credential's half. Runs before any back end hears of the call. A path-bound credential may
 * stat and list the ancestors of its paths, seeing only the names that lead there (`visibleNames`), and
 * make the missing ones of a path it may create in. An empty list of grants allows nothing.
 */
export function permitsPath(principal: Principal, action: Action, path: Path): Decision {
  return permits(principal, action, path, undefined)
}

/**
 * `permitsPath` again, once the type of the object is known: a scope ending in "/" gives nothing on a
 * file of that name, and `create` moves files, not directories.
 */
export function permitsType(principal: Principal, action: Action, path: Path, type: Entry['type']): Decision {
  return permits(principal, action, path, type)
}

/** The first of the credential's own grants by which `permitsPath` allows the action, as "read:/data/d/". */
export function coveringGrant({ grants }: Principal, action: Action, path: Path): string | undefined {
  if (grants === 'unbounded') return undefined
  const found = grants.find((grant) => covers(grant, needs[action].grants, action, path, undefined))
  return found && `${found.kind}:${found.path}${found.directoryOnly && found.path !== '/' ? '/' : ''}`
}

/** The names below `directory` that lead to a grant, or `all` when the credential may list it in full. */
export function visibleNames({ grants, within }: Principal, directory: Path): ReadonlySet<string> | 'all' {
  const names = grants === 'unbounded' ? 'all' : namesIn(grants, directory)
  const others = within === undefined ? 'all' : namesIn(within, directory)
  if (names === 'all' || others === 'all') return names === 'all' ? others : names
  return names.intersection(others)
}

function namesIn(grants: readonly Grant[], directory: Path): ReadonlySet<string> | 'all' {
  const names = new Set<string>()
  const start = directory === '/' ? 1 : directory.length + 1
  for (const grant of grants) {
    if (isWithin(directory, grant.path)) {
      if (reaches(grant, directory) && needs.list.grants.includes(grant.kind)) return 'all'
    } else if (isWithin(grant.path, directory)) {
      const end = grant.path.indexOf('/', start)
      names.add(grant.path.slice(start, end < 0 ? undefined : end))
    }
  }
  return names
}

const look = right.readAttributes
const searchDirectory = right.traverse | look
const make = right.addFile | right.addSubdirectory | searchDirectory
const change =
  right.writeData |
  right.appendData |
  right.delete |
  right.deleteChild |
  right.writeAttributes |
  right.writeNamedAttributes

/** The most that a scope gives on an object below its path. No scope gives WRITE_ACL or WRITE_OWNER. */
const most: Readonly<Record<GrantKind, { readonly file: Rights; readonly directory: Rights }>> = {
  read: {
    file: right.readData | right.execute | look | right.readNamedAttributes,
    directory: right.listDirectory | searchDirectory | right.readNamedAttributes,
  },
  create: { file: look, directory: make },
  modify: { file: look | change, directory: make | change },
  stage: { file: look, directory: searchDirectory },
  poll: { file: look, directory: searchDirectory },
  look: { file: look, directory: searchDirectory },
  list: { file: look, directory: right.listDirectory | searchDirectory },
  download: { file: right.readData | right.execute | look | right.readNamedAttributes, directory: searchDirectory },
  upload: { file: look, directory: right.addFile | searchDirectory },
  overwrite: { file: look | right.writeData | right.appendData, directory: searchDirectory },
  delete: { file: look | right.delete, directory: searchDirectory | right.delete | right.deleteChild },
  manage: { file: look | right.delete, directory: make | right.delete | right.deleteChild },
  describe: {
    file: look | right.writeAttributes | right.writeNamedAttributes,
    directory: searchDirectory | right.writeAttributes | right.writeNamedAttributes,
  },
}

/** The upper bound that the credential puts on the rights on an object, as a mask; all bits when it is unbounded. */
export function boundOf({ grants, within }: Principal, path: Path, type: Entry['type']): Rights {
  const rights = grants === 'unbounded' ? -1 : mostOf(grants, path, type)
  return within === undefined ? rights : rights & mostOf(within, path, type)
}

function mostOf(grants: readonly Grant[], path: Path, type: Entry['type']): Rights {
  const kind = type === 'directory' ? 'directory' : 'file'
  let rights: Rights = 0
  for (const grant of grants) {
    if (isWithin(path, grant.path)) {
      const isOther = grant.directoryOnly ? path === grant.path && kind === 'file' : grant.exact && kind === 'directory'
      if (!isOther && reaches(grant, path)) rights |= most[grant.kind][kind]
    } else if (isWithin(grant.path, path)) {
      // A file has no way through it, and the bit for listing would be the one for reading.
      rights |= kind === 'directory' ? right.listDirectory | searchDirectory : look
    }
  }
  return rights
}

function permits(principal: Principal, action: Action, path: Path, type: Entry['type'] | undefined): Decision {
  const { grants, within } = principal
  if (grants === 'unbounded' && within === undefined) return yes
  const kinds: readonly GrantKind[] =
    action === 'move-away' && type === 'directory' ? needs['move-in-directory'].grants : needs[action].grants
  const isCovered = (grant: Grant) => covers(grant, kinds, action, path, type)
  const isOpen = grants === 'unbounded' || grants.some(isCovered)
  if (isOpen && (within === undefined || within.some(isCovered))) return yes
  const text =
    kinds.length === 0
      ? `no scope of a token allows ${action}`
      : `the credential holds no ${kinds.join(' or ')} scope for this path`
  return { allowed: false, reason: { rule: 'scope', text, path } }
}

/** Of what lies at or below the grant's path. */
function reaches({ path: top, exact, except }: Grant, path: Path): boolean {
  if (exact) return path === top
  return except === undefined || !except.some((place) => isWithin(path, place))
}

/** Whole names; P itself only as a directory if it ends in "/"; and the directories that lead to it. */
function covers(
  grant: Grant,
  kinds: readonly GrantKind[],
  action: Action,
  path: Path,
  type: Entry['type'] | undefined,
): boolean {
  if (isWithin(path, grant.path)) {
    if (!kinds.includes(grant.kind) || !reaches(grant, path)) return false
    if (grant.exact) return type !== 'directory' && action !== 'mkdir'
    if (takesAll.has(action) && grant.except?.some((place) => isWithin(place, path))) return false
    if (!grant.directoryOnly || path !== grant.path) return true
    return type === undefined ? !onFilesOnly.has(action) : type === 'directory'
  }
  if (!isWithin(grant.path, path)) return false
  if (action === 'stat' || action === 'list') return true
  // A macaroon reaches nothing above its path.
  return action === 'mkdir' && grant.kind !== 'manage' && kinds.includes(grant.kind)
}
