/** Directory trees to serve: with NFSv4 ACLs in our own attribute (`gateway` grade) or with owners and modes (`native`). */

import { chmodSync, chownSync, closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Acl } from '../../acl/acl.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import { aclOfNew } from '../../acl/inherit.ts'
import { fsetxattr } from '../../backends/posix/native/sys.ts'
import { asRoot, groups, named, service, type UserName, users } from './people.ts'

/** All rights, and those of a reader, in the letters of nfs4_acl(5). */
export const everything = 'rwaDdxtTnNcCoy'
export const look = 'rxtncy'
/** Everybody may look, the owner may do all; nothing is inherited. */
export const openToAll: readonly string[] = [`A::OWNER@:${everything}`, `A::EVERYONE@:${look}`]
/** The owner alone, also of everything below. */
export const ownerOnly: readonly string[] = [`A:fd:OWNER@:${everything}`]

/** A tree whose ACLs the gateway enforces. Paths are relative to its top, '' is the top itself. */
export class Guarded {
  readonly top: string
  readonly #acls = new Map<string, Acl>()

  constructor(top: string) {
    this.top = top
    mkdirSync(top, { recursive: true })
  }

  /** `entries` as in nfs4_getfacl, one each; without them the directory inherits. */
  directory(path: string, owner: UserName, entries?: readonly string[]): void {
    if (path !== '') mkdirSync(join(this.top, path))
    const acl = entries ? aclOf(owner, entries, 'directory') : this.#inherited(path, owner, 'directory')
    this.#acls.set(path, acl)
    this.#protect(path, acl, 0o700)
  }

  file(path: string, owner: UserName, content: string | Buffer, entries?: readonly string[]): void {
    const fd = openSync(join(this.top, path), 'wx', 0o600)
    if (typeof content === 'string') writeSync(fd, content)
    else writeSync(fd, content)
    closeSync(fd)
    const acl = entries ? aclOf(owner, entries, 'file') : this.#inherited(path, owner, 'file')
    this.#protect(path, acl, 0o600)
  }

  #inherited(path: string, owner: UserName, kind: 'file' | 'directory'): Acl {
    const parent = this.#acls.get(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
    if (!parent) throw new Error(`${path} has no parent in this tree`)
    const defaultMode = kind === 'file' ? 0o600 : 0o700
    return aclOfNew(parent, { kind, owner: named(owner), group: named('photon'), defaultMode })
  }

  #protect(path: string, acl: Acl, mode: number): void {
    const full = join(this.top, path)
    const fd = openSync(full, 'r')
    fsetxattr(fd, 'user.portolan.acl', encodeStoredAcl(acl), 0)
    closeSync(fd)
    chmodSync(full, mode)
    if (asRoot) chownSync(full, service.uid, service.gid)
  }
}

function aclOf(owner: UserName, entries: readonly string[], kind: 'file' | 'directory'): Acl {
  const aces = parseNfs4Text(entries.join('\n'), kind)
  return { owner: named(owner), group: named('photon'), aces, dialect: 'rfc8881' }
}

/** A tree that the kernel guards. Needs root. */
export class Owned {
  readonly top: string

  constructor(top: string) {
    this.top = top
    mkdirSync(top, { recursive: true })
    chmodSync(top, 0o755)
  }

  directory(path: string, owner: UserName, mode: number, group?: keyof typeof groups): void {
    const full = join(this.top, path)
    mkdirSync(full)
    this.#own(full, owner, mode, group)
  }

  file(path: string, owner: UserName, content: string, mode: number): void {
    const full = join(this.top, path)
    const fd = openSync(full, 'wx', 0o600)
    writeSync(fd, content)
    closeSync(fd)
    this.#own(full, owner, mode)
  }

  #own(full: string, owner: UserName, mode: number, group?: keyof typeof groups): void {
    const { uid, gid } = users[owner]
    chownSync(full, uid, group ? groups[group].gid : gid)
    chmodSync(full, mode)
  }
}

/** `/lab` of docs/semantics.md: own rooms for alice and bob, one shared by inheritance, one to drop things into. */
export function makeLab(top: string): Guarded {
  const tree = new Guarded(top)
  tree.directory('', 'admin', openToAll)
  tree.directory('alice', 'alice', ownerOnly)
  tree.directory('bob', 'bob', ownerOnly)
  tree.directory('p01', 'admin', [`A:fd:OWNER@:${everything}`, `A:fdg:${named('p01')}:${everything}`])
  tree.directory('box', 'alice', [`A::OWNER@:${everything}`, `A::${named('bob')}:wx`])
  return tree
}

/** `/lab/archive` of docs/semantics.md. */
export function makeArchive(top: string): Guarded {
  const tree = new Guarded(top)
  tree.directory('', 'admin', [`A:fd:OWNER@:${everything}`, `A:fd:EVERYONE@:${look}`])
  tree.file('old.txt', 'alice', 'kept')
  return tree
}

/** `/open` of docs/semantics.md. */
export function makeOpen(top: string): Guarded {
  const tree = new Guarded(top)
  tree.directory('', 'admin', [`A:fd:OWNER@:${everything}`, `A:fd:EVERYONE@:${look}`])
  tree.file('readme.txt', 'admin', 'welcome')
  return tree
}
