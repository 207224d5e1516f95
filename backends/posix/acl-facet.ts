/** Setting ACLs and attributes, and asking the kernel what a caller may do. */

import type { Acl, Rights } from '../../acl/acl.ts'
import { right } from '../../acl/acl.ts'
import { encodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { type ObjectKind, storable } from '../../acl/dialects.ts'
import { withMode } from '../../acl/mode.ts'
import { acesFromPosix, acesFromPosixDefault, posixFromAces, rightsOfPermission } from '../../acl/posix.ts'
import { numericId } from '../../acl/who.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { AclFacet, Changes, Entry, Pending, RightsFacet } from '../backend.ts'
import type { SetArgs } from './changing.ts'
import { bare, type Caller, type Desk, lookInto, type ObjectSight, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import { underLease } from './leasing.ts'
import type { Access } from './looking.ts'
import { bytesOf, formOf } from './new-objects.ts'
import { requireEntry } from './requiring.ts'

/** What the operation `set` is told besides which object it is about. */
type Setting = Omit<SetArgs, 'object' | 'name'>

export class FileAcls implements AclFacet {
  /** Where the kernel decides and ACLs come by path. */
  readonly get?: NonNullable<AclFacet['get']>
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
    if (desk.shownAcls) this.get = (path, call) => this.#get(path, call)
  }

  async set(path: Path, acl: Acl, options: { readonly ifChanged?: bigint }, call: Call): Promise<Pending<Entry>> {
    const caller = this.#desk.caller(call)
    const sight = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const entry = requireEntry(sight.trail, path)
      const { ifChanged } = options
      if (ifChanged !== undefined && ifChanged !== entry.changed) {
        throw new StorageError('precondition', 'the object has changed', { path })
      }
      return this.#apply(sight, path, { ...this.#settingOf(acl, entry, sight), unchanged: entry.changed }, caller)
    }
    return pendingOf(sight.trail, proceed, sight.object)
  }

  async #get(path: Path, call: Call): Promise<Pending<Entry>> {
    const caller = this.#desk.caller(call)
    const seen = await this.#desk.glance(caller)(path, caller.signal)
    const proceed = async () => {
      requireEntry(seen, path)
      const entry = await this.#desk.fetchAcl(seen, path, caller)
      if (entry) return entry
      throw new StorageError('stale', 'the path leads to another object by now', { path })
    }
    return pendingOf(bare(seen), proceed)
  }

  async setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    const caller = this.#desk.caller(call)
    const sight = await lookInto(this.#desk, path, caller, changes.ofLink !== true)
    const proceed = async () => {
      const entry = requireEntry(sight.trail, path)
      const { modified, accessed } = changes
      const times: Setting = {
        ...(modified !== undefined && { modified }),
        ...(accessed !== undefined && { accessed }),
      }
      const aboutRights = changes.mode !== undefined || changes.owner !== undefined || changes.group !== undefined
      if (!aboutRights) return this.#apply(sight, path, times, caller)
      const rights = this.#rightsOf(changes, entry, sight)
      return this.#apply(sight, path, { ...times, ...rights, unchanged: entry.changed }, caller)
    }
    return pendingOf(sight.trail, proceed, sight.object)
  }

  #apply(sight: ObjectSight, path: Path, setting: Setting, caller: Caller): Promise<Entry> {
    const { object, trail } = sight
    if (!object) throw new StorageError('denied', 'this belongs to another file system', { path })
    const { pathWriter } = this.#desk
    const { acl, ...others } = setting
    if (pathWriter && acl?.list) return pathWriter.set(sight, { path, acl: acl.list, others }, caller)
    if (setting.unchanged === undefined) return this.#set(object, trail.entry, setting, caller)
    // A commit that replaces the file meanwhile would bring the old ACL back.
    return underLease(this.#desk, trail, () => this.#set(object, trail.entry, setting, caller))
  }

  async #set(object: Handle, entry: Entry | undefined, setting: Setting, caller: Caller): Promise<Entry> {
    const { name = '', acl } = entry ?? {}
    const changed = await this.#desk.run('set', { object: object.ref, name, ...setting }, caller)
    return this.#desk.entry(changed.entry, changed, acl)
  }

  /** How a list is stored: as it is, or as a POSIX ACL that says exactly the same. */
  #settingOf(acl: Acl, entry: Entry, { looked }: ObjectSight): Setting {
    const { native } = this.#desk.setup
    // Whoever sets a list says nothing of owner and group.
    const whole: Acl = { ...acl, owner: entry.acl?.owner, group: entry.acl?.group }
    if (this.#desk.shownAcls) {
      throw new StorageError('unsupported', 'ACLs can be set here only with the library of the file system', {
        reason: { rule: 'acl-by-path', text: 'by path it would be the gateway that sets the ACL and not the caller' },
      })
    }
    const form = formOf(this.#desk.setup, looked.nfs4)
    if (form === 'list') return { acl: bytesOf(storable({ ...whole, dialect: 'gpfs' }, kindOf(entry)), false, form) }
    if (form === 'nfs4' || !native) return { acl: bytesOf(whole, false, form) }
    return { posixAcl: exactPosix(acl, kindOf(entry)) }
  }

  #rightsOf(changes: Changes, entry: Entry, sight: ObjectSight): Setting {
    const { native, acl: sources } = this.#desk.setup
    const form = formOf(this.#desk.setup, sight.looked.nfs4)
    if (native || (form === 'stored' && !sources.includes('xattr'))) return numbersOf(changes)
    if (!entry.acl) throw new StorageError('denied', 'the ACL of the object cannot be read')
    const { owner = entry.acl.owner, group = entry.acl.group, mode } = changes
    const named: Acl = { ...entry.acl, owner, group }
    if (form !== 'stored' && (changes.owner !== undefined || changes.group !== undefined)) {
      throw new StorageError('unsupported', 'files of this mount belong to the account of the gateway')
    }
    const acl = mode === undefined ? named : withMode(named, mode & 0o777, kindOf(entry))
    const setting: Setting = { acl: bytesOf(acl, false, form) }
    // The nine low bits are the ACL's; the gateway's own access to the file stays what it is.
    const special = mode !== undefined && entry.type === 'directory' ? { special: mode & 0o7000 } : {}
    return { ...setting, ...special }
  }
}

/** Where the kernel decides, it is asked. */
export class KernelRights implements RightsFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async effective(path: Path, call: Call): Promise<Rights> {
    const access = await this.#desk.run('access', { path }, this.#desk.caller(call))
    if (!access) throw new StorageError('not-found', 'no such file or directory', { path })
    return rightsOfAccess(access)
  }
}

function kindOf({ type }: Entry): ObjectKind {
  return type === 'directory' ? 'directory' : 'file'
}

/** Throws `unsupported` unless the POSIX ACL read back is the list that was given. */
function exactPosix(acl: Acl, kind: ObjectKind): NonNullable<Setting['posixAcl']> {
  const { access, default: standard } = posixFromAces(acl.aces, kind)
  const back = [...acesFromPosix(access, kind), ...(standard ? acesFromPosixDefault(standard) : [])]
  if (JSON.stringify(back) !== JSON.stringify(acl.aces)) {
    throw new StorageError('unsupported', 'the file system keeps POSIX ACLs, which cannot say this')
  }
  return { access: encodePosixAcl(access), ...(standard && { standard: encodePosixAcl(standard) }) }
}

function numbersOf({ mode, owner, group }: Changes): Setting {
  return {
    ...(mode !== undefined && { mode: mode & 0o7777 }),
    ...(owner !== undefined && { uid: idOf(owner) }),
    ...(group !== undefined && { gid: idOf(group) }),
  }
}

function idOf(name: string): number {
  const id = numericId(name)
  if (id === undefined) throw new StorageError('invalid', 'owner and group are numbers here')
  return id
}

/** What the kernel's answers for reading, writing and executing amount to. */
function rightsOfAccess({ object, parent, isDirectory, isOwner, sticky }: Access): Rights {
  const everybody = right.readAttributes | right.readAcl | right.synchronize
  const owners = isOwner ? right.writeAttributes | right.writeAcl : 0
  const named =
    ((object & 4) !== 0 ? right.readNamedAttributes : 0) | ((object & 2) !== 0 ? right.writeNamedAttributes : 0)
  const removes = (parent & 3) === 3 && !sticky ? right.delete : 0
  return rightsOfPermission(object, isDirectory ? 'directory' : 'file') | everybody | owners | named | removes
}
