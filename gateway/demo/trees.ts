/**
 * The demo's two trees. Their ACLs are written the way the back ends find them: in an extended attribute of our own
 * for /data-dust; for /asap3 by mmputacl, or as POSIX ACLs that the kernel knows where the kernel decides.
 */

import { execFileSync } from 'node:child_process'
import { chownSync, closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Acl } from '../../acl/acl.ts'
import { formatGpfsText } from '../../acl/codec/gpfs-text.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { encodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import { aclOfNew } from '../../acl/inherit.ts'
import type { PosixAcl } from '../../acl/posix.ts'
import { fchmod, fsetxattr } from '../../backends/posix/native/sys.ts'
import { domain, groups, service, type UserName, users } from './people.ts'

export interface Trees {
  readonly dataDust: string
  readonly asap3: string
}

const everything = 'rwaDdxtTnNcCoy'
const look = 'rxtncy'
const beamtime = 'petra3/p09/2026/11016023'

/**
 * Makes what is missing below `directory`. `asRoot`: files get their owners; `native`: /asap3 is for the kernel to guard,
 * otherwise its lists go to the commands in `scale`.
 */
export function makeTrees(
  directory: string,
  { asRoot, native, scale }: { asRoot: boolean; native: boolean; scale: string },
): Trees {
  const trees = {
    dataDust: join(directory, 'data-dust'),
    asap3: join(directory, 'asap3'),
  }
  if (!existsSync(trees.dataDust)) makeDataDust(new Guarded(trees.dataDust, asRoot))
  if (!existsSync(trees.asap3)) {
    if (native) makeNativeAsap3(trees.asap3)
    else makeAsap3(trees.asap3, scale, asRoot)
  }
  return trees
}

/** A tree whose NFSv4 ACLs Portolan itself keeps and enforces. */
class Guarded {
  readonly #top: string
  readonly #asRoot: boolean
  readonly #acls = new Map<string, Acl>()

  constructor(top: string, asRoot: boolean) {
    this.#top = top
    this.#asRoot = asRoot
  }

  /** `entries` as in nfs4_getfacl, one a line; without them the directory inherits. */
  directory(path: string, owner: UserName, entries?: readonly string[]): void {
    mkdirSync(join(this.#top, path))
    const acl: Acl = entries
      ? {
          owner: named(owner),
          group: named('photon'),
          aces: parseNfs4Text(entries.join('\n'), 'directory'),
          dialect: 'rfc8881',
        }
      : this.#inherited(path, owner, 'directory')
    this.#acls.set(path, acl)
    this.#protect(path, acl, 'directory')
  }

  file(path: string, owner: UserName, content: string): void {
    writeFileSync(join(this.#top, path), content, { flag: 'wx', mode: 0o600 })
    this.#protect(path, this.#inherited(path, owner, 'file'), 'file')
  }

  #inherited(path: string, owner: UserName, kind: 'file' | 'directory'): Acl {
    const parent = this.#acls.get(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
    if (!parent) throw new Error(`${path} has no parent in this tree`)
    return aclOfNew(parent, {
      kind,
      owner: named(owner),
      group: named('photon'),
      defaultMode: kind === 'file' ? 0o600 : 0o700,
    })
  }

  #protect(path: string, acl: Acl, kind: 'file' | 'directory'): void {
    const full = join(this.#top, path)
    const fd = openSync(full, 'r')
    fsetxattr(fd, 'user.portolan.acl', encodeStoredAcl(acl), 0)
    fchmod(fd, kind === 'file' ? 0o600 : 0o700)
    closeSync(fd)
    if (this.#asRoot) chownSync(full, service.uid, service.gid)
  }
}

function named(name: string): string {
  return `${name}@${domain}`
}

const openToAll = [`A::OWNER@:${everything}`, `A::EVERYONE@:${look}`]

function makeDataDust(tree: Guarded): void {
  tree.directory('', 'admin', openToAll)
  tree.directory('user', 'admin', openToAll)
  for (const name of ['alice', 'bob', 'carol'] as const) {
    tree.directory(`user/${name}`, name, [`A:fd:OWNER@:${everything}`])
    tree.file(`user/${name}/hello.txt`, name, `This is ${name}'s own space.\n`)
  }
  tree.directory('group', 'admin', openToAll)
  tree.directory('group/p01', 'admin', [`A:fd:OWNER@:${everything}`, `A:fdg:${named('p01')}:${everything}`])
  tree.file('group/p01/readme.txt', 'alice', 'alice and carol share this directory by an inherited ACL.\n')
}

/** Everybody is told by name. OWNER@ is the gateway, whose the files are and which must reach them. */
const openByName = [`A::OWNER@:${everything}`, `A::${named('admin')}:${everything}`, `A::EVERYONE@:${look}`]
const roomByName = (flags: string) => [
  `D:${flags}:${named('bob')}:${everything}`,
  `A:${flags}:${named('alice')}:${everything}`,
  `A:${flags}g:${named('photon')}:${look}`,
  `A:${flags}:OWNER@:${everything}`,
]

function putAcl(scale: string, full: string, kind: 'directory' | 'file', aces: readonly string[]): void {
  const list = parseNfs4Text(aces.join('\n'), kind)
  const text = formatGpfsText({ owner: undefined, group: undefined, aces: list, dialect: 'gpfs' }, { domain })
  execFileSync(join(scale, 'mmputacl'), [full], { input: text, stdio: ['pipe', 'ignore', 'inherit'] })
}

function makeAsap3(top: string, scale: string, asRoot: boolean): void {
  const make = (path: string, aces: readonly string[], content?: string) => {
    const full = join(top, path)
    if (content === undefined) mkdirSync(full, { mode: 0o700 })
    else writeFileSync(full, content, { mode: 0o600 })
    putAcl(scale, full, content === undefined ? 'directory' : 'file', aces)
    if (asRoot) chownSync(full, service.uid, service.gid)
  }
  make('', openByName)
  let path = ''
  for (const name of beamtime.split('/').slice(0, -1)) {
    path = path ? `${path}/${name}` : name
    make(path, openByName)
  }
  make(beamtime, roomByName('fd'))
  make(`${beamtime}/raw`, roomByName('fd'))
  make(`${beamtime}/raw/run0001.txt`, roomByName(''), measured)
}

const measured = 'Measured by alice; the photon group may read it, bob may not.\n'

/**
 * The same for the kernel: bob is named with no rights, which comes before his group's. The gateway's account is named
 * so that it can show the ACLs; on a real file system its commands run with more rights than it has. The commands
 * here know the mode bits alone.
 */
function makeNativeAsap3(top: string): void {
  const open: PosixAcl = { owner: 7, users: [], group: 5, groups: [], other: 5 }
  const closed = (execute: 0 | 1): PosixAcl => ({
    owner: 6 + execute,
    users: [
      { id: users.bob.uid, permission: 0 },
      { id: service.uid, permission: 4 + execute },
    ],
    group: 4 + execute,
    groups: [],
    mask: 4 + execute,
    other: 0,
  })
  const make = (path: string, owner: { uid: number; gid: number }, acl: PosixAcl, heritable?: PosixAcl) => {
    const full = join(top, path)
    mkdirSync(full, { mode: 0o755 })
    own(full, owner, acl, heritable)
  }
  const root = { uid: 0, gid: 0 }
  const alice = { uid: users.alice.uid, gid: groups.photon }
  make('', root, open)
  let path = ''
  for (const name of beamtime.split('/').slice(0, -1)) {
    path = path ? `${path}/${name}` : name
    make(path, root, open)
  }
  make(beamtime, alice, closed(1), closed(1))
  make(`${beamtime}/raw`, alice, closed(1), closed(1))
  const file = join(top, beamtime, 'raw/run0001.txt')
  const fd = openSync(file, 'wx', 0o640)
  writeSync(fd, measured)
  closeSync(fd)
  own(file, alice, closed(0))
}

function own(full: string, owner: { uid: number; gid: number }, acl: PosixAcl, heritable?: PosixAcl): void {
  chownSync(full, owner.uid, owner.gid)
  const fd = openSync(full, 'r')
  fsetxattr(fd, 'system.posix_acl_access', encodePosixAcl(acl), 0)
  if (heritable) fsetxattr(fd, 'system.posix_acl_default', encodePosixAcl(heritable), 0)
  closeSync(fd)
}
