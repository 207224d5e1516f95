/**
 * Who may do what: the restrictions of a login first, then ACLs, then, where they are silent, the mode bits
 * (the dCache Book, "ACLs in dCache"; user guide, Macaroons, "Caveats").
 */

import { bits, decideAcl } from './acl-text.ts'
import { Failure } from './failure.ts'
import { type DirectoryNode, type Node, namesOf, type Tree } from './tree.ts'

/** Activities of the user guide, Macaroons, section "activity". */
export const activities = [
  'LIST',
  'DOWNLOAD',
  'UPLOAD',
  'DELETE',
  'MANAGE',
  'READ_METADATA',
  'UPDATE_METADATA',
] as const
export type Activity = (typeof activities)[number]

/** A bound on a login. Paths are dCache's own, absolute. */
export interface Restriction {
  permits(activity: Activity, path: string): boolean
}

export interface Login {
  readonly kind: 'anonymous' | 'password' | 'token' | 'macaroon'
  /** Undefined for anonymous, whose uid no object has. */
  readonly name: string | undefined
  readonly uid: number | undefined
  /** The primary one first. */
  readonly gids: readonly number[]
  readonly home: string
  /** What the user calls "/". */
  readonly root: string
  readonly restrictions: readonly Restriction[]
  /** The token's storage scopes decide alone: the namespace is not asked (the dCache Book, gPlazma, "oidc"). */
  readonly exempt: boolean
  readonly isAdmin: boolean
  /** Largest upload in bytes. */
  readonly maxUpload: number
  /** Caveats that a macaroon asked for with this login inherits. */
  readonly caveats: readonly string[]
}

export const anonymousLogin: Login = {
  kind: 'anonymous',
  name: undefined,
  uid: undefined,
  gids: [],
  home: '/',
  root: '/',
  restrictions: [],
  exempt: false,
  isAdmin: false,
  maxUpload: Number.POSITIVE_INFINITY,
  caveats: [],
}

/** Whether `path` is `prefix` or below it, by whole names. */
export function isBelow(path: string, prefix: string): boolean {
  return prefix === '/' || path === prefix || path.startsWith(`${prefix}/`)
}

/** Only this subtree; the way to it may be looked at (user guide, Macaroons, "path"). */
export function pathRestriction(prefix: string): Restriction {
  return {
    permits: (activity, path) =>
      isBelow(path, prefix) || (isBelow(prefix, path) && (activity === 'LIST' || activity === 'READ_METADATA')),
  }
}

/** READ_METADATA is implied by every other activity; by an empty list it is not. */
export function activityRestriction(allowed: ReadonlySet<Activity>): Restriction {
  return { permits: (activity) => allowed.has(activity) || (activity === 'READ_METADATA' && allowed.size > 0) }
}

/** What is asked of an object, as bits of an ACL and as permission bits of a mode. */
const asks = {
  read: { mask: bits.r, mode: 4 },
  write: { mask: bits.w, mode: 2 },
  list: { mask: bits.l, mode: 4 },
  lookup: { mask: bits.x, mode: 1 },
  addFile: { mask: bits.f, mode: 3 },
  addDirectory: { mask: bits.s, mode: 3 },
  deleteChild: { mask: bits.D, mode: 3 },
} as const

export class Gate {
  readonly #tree: Tree
  readonly #hasAcls: boolean

  /** `hasAcls` is pnfsmanager.enable.acl. */
  constructor(tree: Tree, hasAcls: boolean) {
    this.#tree = tree
    this.#hasAcls = hasAcls
  }

  /** dCache's own path of what the user calls `path`. */
  resolve(login: Login, path: string): string {
    const names = namesOf(path)
    if (names.includes('..') || names.includes('.')) throw new Failure('bad-request', 'Path is not normalised')
    return `/${[...namesOf(login.root), ...names].join('/')}`
  }

  /** The bounds of the login only. */
  demand(login: Login, activity: Activity, path: string): void {
    if (!this.permits(login, activity, path)) throw new Failure('denied', `Restriction ${activity} denied`)
  }

  permits(login: Login, activity: Activity, path: string): boolean {
    return login.restrictions.every((restriction) => restriction.permits(activity, path))
  }

  /** The object, if there is one, after all the directories on the way could be looked up. */
  look(login: Login, path: string): Node | undefined {
    this.demand(login, 'READ_METADATA', path)
    return this.#walk(login, path)
  }

  /** As `look`, for an object that must be there. */
  get(login: Login, path: string): Node {
    const node = this.look(login, path)
    if (!node) throw new Failure('missing', 'No such file or directory')
    return node
  }

  /** The directory that `path` would be made in, and the name. A directory that is missing is a conflict. */
  parent(login: Login, path: string): { readonly parent: DirectoryNode; readonly name: string } {
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) throw new Failure('exists', 'the root exists')
    const parent = this.#walk(login, `/${names.join('/')}`)
    if (parent?.type !== 'directory') throw new Failure('conflict', 'Parent directory does not exist')
    this.require(login, 'lookup', parent)
    return { parent, name }
  }

  /** Throws `denied` unless the namespace allows it. */
  require(login: Login, ask: keyof typeof asks, node: Node): void {
    if (!this.#allows(login, asks[ask].mask, asks[ask].mode, node)) throw new Failure('denied', 'Permission denied')
  }

  requireDelete(login: Login, node: Node): void {
    const { parent } = node
    if (!parent) throw new Failure('forbidden', 'the root stays')
    // By an ACL either right will do; the mode of the object itself says nothing.
    if (this.#byAcl(login, bits.d, node) === true) return
    this.require(login, 'deleteChild', parent)
  }

  /** Attributes may be changed by the owner, or whom the ACL lets. */
  requireAttributes(login: Login, node: Node): void {
    const byAcl = this.#byAcl(login, bits.T, node)
    const isAllowed = byAcl ?? (login.uid === node.owner || this.#byMode(login, 2, node))
    if (!isAllowed && !this.#isFree(login)) throw new Failure('denied', 'Permission denied')
  }

  requireOwner(login: Login, node: Node): void {
    if (login.uid !== node.owner && !this.#isFree(login)) throw new Failure('denied', 'Permission denied')
  }

  #walk(login: Login, path: string): Node | undefined {
    let node: Node | undefined = this.#tree.root
    for (const name of namesOf(path)) {
      if (node?.type !== 'directory') return undefined
      this.require(login, 'lookup', node)
      node = node.children.get(name)
    }
    return node
  }

  #allows(login: Login, mask: number, mode: number, node: Node): boolean {
    if (this.#isFree(login)) return true
    return this.#byAcl(login, mask, node) ?? this.#byMode(login, mode, node)
  }

  #isFree(login: Login): boolean {
    return login.uid === 0 || login.exempt
  }

  #byAcl(login: Login, mask: number, node: Node): boolean | undefined {
    return this.#hasAcls && node.acl ? decideAcl(node.acl, login, node, mask) : undefined
  }

  #byMode(login: Login, wanted: number, node: Node): boolean {
    let shift = 0
    if (login.uid === node.owner) shift = 6
    else if (login.gids.includes(node.group)) shift = 3
    return ((node.mode >> shift) & wanted) === wanted
  }
}
