/**
 * Finds an object's ACL in the order configured. What cannot be read or understood is no ACL, which is
 * a refusal; only the plain absence of one lets the next source speak.
 */

import { hash } from 'node:crypto'
import type { Ace, Acl } from '../../acl/acl.ts'
import { right } from '../../acl/acl.ts'
import { decodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { decodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { decodeStoredAcl } from '../../acl/codec/stored.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { aclFromMode, modeOf } from '../../acl/mode.ts'
import { acesFromPosix, acesFromPosixDefault } from '../../acl/posix.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Told } from './interning.ts'
import * as sys from './native/sys.ts'
import type { AclSource, PosixSetup } from './options.ts'

/** One ACL as read; the same object for all that have the same. */
export interface ReadAcl extends Told {
  readonly acl: Acl
  /** The nine low mode bits it amounts to, where the bits of the object itself mean nothing. */
  readonly mode: number | undefined
  /** The same in every thread for what was read the same, and only for that. */
  readonly print: string
}

/** What is known of a file system. */
interface FileSystemKind {
  /** As statfs tells it. */
  readonly type: number
  /** Mode bits are all there is to see and all that counts. */
  readonly honestMode: boolean
  /** Undefined until an object was asked. */
  nfs4: boolean | undefined
}

/**
 * ACLs by descriptor, from a library of the file system. Called on an I/O thread that acts as the caller, so that the
 * file system decides; descriptors may be of O_PATH. Throws StorageError.
 */
export interface ThreadAclSource {
  /** Undefined where there is no such ACL, so that the next source may speak. */
  read(fd: number): Acl | undefined
  write(fd: number, acl: Acl): void
}

const nfs4Name = 'system.nfs4_acl'
const accessName = 'system.posix_acl_access'
const defaultName = 'system.posix_acl_default'
const maxContents = 8192

/** Reads ACLs for one I/O thread. */
export class AclReader {
  /** Name of our own attribute. */
  readonly ownName: string
  /** The library's, where there is one. */
  readonly library: ThreadAclSource | undefined
  readonly #sources: readonly AclSource[]
  readonly #kinds = new Map<number, FileSystemKind>()
  /** Device of the first object that was asked for: the top of the tree. */
  #own: number | undefined
  /** By content, so that a million files of one ACL share one. */
  readonly #contents = new Map<string, ReadAcl>()
  #trouble: string[] = []

  constructor(setup: PosixSetup, library?: ThreadAclSource) {
    this.library = library
    this.ownName = `${setup.xattrNamespace}.portolan.acl`
    // Where the kernel decides, what only we would understand must not look like a rule.
    this.#sources = setup.native ? setup.acl.filter((source) => source !== 'xattr') : setup.acl
  }

  /** What went wrong since the last call. */
  takeTrouble(): readonly string[] | undefined {
    if (this.#trouble.length === 0) return undefined
    const trouble = this.#trouble
    this.#trouble = []
    return trouble
  }

  /** Whether objects beside this one keep NFSv4 ACLs of the file system's own, and we use them. */
  hasNfs4(fd: number, dev: number): boolean {
    if (this.library) return true
    if (!this.#sources.includes('nfs4')) return false
    const kind = this.#kind(fd, dev)
    if (kind.nfs4 === undefined) this.#nfs4(fd, kind)
    return kind.nfs4 === true
  }

  /** Whether the names of attributes tell that an object beside this one has no ACL but its mode. */
  tellsByNames(fd: number, dev: number): boolean {
    return !this.library && !this.#sources.includes('path') && !this.hasNfs4(fd, dev)
  }

  /** `names`: of all attributes, each with a NUL behind it. */
  isAmong(names: string): boolean {
    return (
      names.includes(`${this.ownName}\0`) || names.includes(`${accessName}\0`) || names.includes(`${defaultName}\0`)
    )
  }

  /** What `read` tells of an object that has none of the attributes that hold ACLs; `fd` is of one beside it. */
  ofMode(fd: number, stat: sys.Stat): ReadAcl | undefined {
    if ((stat.mode & sys.S_IFMT) === sys.S_IFLNK) return this.#ofLink(stat)
    if (this.#sources.includes('posix') && this.#kind(fd, stat.dev).honestMode) {
      return this.#ofPosix(stat, undefined, undefined)
    }
    if (this.#sources.length > 0) this.#trouble.push('acl-absent')
    return undefined
  }

  usesOwn(): boolean {
    return this.#sources.includes('xattr')
  }

  /** The ACL of an open object, O_PATH included; undefined means no. */
  read(fd: number, stat: sys.Stat): ReadAcl | undefined {
    if ((stat.mode & sys.S_IFMT) === sys.S_IFLNK) return this.#ofLink(stat)
    for (const source of this.#order) {
      try {
        const found = this.#from(source, fd, stat)
        if (found) return found
      } catch (error) {
        this.#trouble.push(troubleWith(source, error))
        return undefined
      }
    }
    // Where nothing is to be read nothing is missing.
    if (this.#order.length > 0) this.#trouble.push('acl-absent')
    return undefined
  }

  get #order(): ReadonlyArray<AclSource | 'library'> {
    return this.library ? ['library', ...this.#sources] : this.#sources
  }

  #from(source: AclSource | 'library', fd: number, stat: sys.Stat): ReadAcl | undefined {
    if (source === 'library') return this.#fromLibrary(fd, stat)
    // Who owns it, and that nobody holds a right: the rest is put in on the main thread.
    if (source === 'path') return this.#same('o', empty, stat, () => aclOf(stat, [], 'rfc8881'), false)
    const kind = this.#kind(fd, stat.dev)
    if (source === 'nfs4') {
      const bytes = kind.nfs4 === false ? undefined : this.#nfs4(fd, kind)
      return bytes && this.#same('n', bytes, stat, () => aclOf(stat, decodeNfs4Acl(bytes), 'rfc8881'), false)
    }
    if (source === 'xattr') {
      const bytes = attribute(fd, this.ownName)
      return bytes && this.#same('x', bytes, undefined, () => decodeStoredAcl(bytes), true)
    }
    return kind.honestMode ? this.#posix(fd, stat) : undefined
  }

  #fromLibrary(fd: number, stat: sys.Stat): ReadAcl | undefined {
    const acl = this.library?.read(fd)
    if (!acl) return undefined
    const { owner = String(stat.uid), group = String(stat.gid) } = acl
    const content = Buffer.from(JSON.stringify(acl))
    return this.#same('m', content, stat, () => ({ ...acl, owner, group }), false)
  }

  #nfs4(fd: number, kind: FileSystemKind): Buffer | undefined {
    try {
      const bytes = sys.fgetxattr(fd, nfs4Name)
      kind.nfs4 = true
      return bytes
    } catch (error) {
      if (!isMissing(error)) throw error
      kind.nfs4 = false
      return undefined
    }
  }

  #posix(fd: number, stat: sys.Stat): ReadAcl {
    const isDirectory = (stat.mode & sys.S_IFMT) === sys.S_IFDIR
    return this.#ofPosix(stat, attribute(fd, accessName), isDirectory ? attribute(fd, defaultName) : undefined)
  }

  #ofPosix(stat: sys.Stat, access: Buffer | undefined, below: Buffer | undefined): ReadAcl {
    const kind: ObjectKind = (stat.mode & sys.S_IFMT) === sys.S_IFDIR ? 'directory' : 'file'
    const content = Buffer.concat([access ?? empty, Buffer.of(0), below ?? empty])
    return this.#same(`p${stat.mode & 0o777}${kind}`, content, stat, () => posixAcl(stat, kind, access, below), false)
  }

  /** Whoever sees a link may read it; what it leads to is judged on its own, and the directory says who removes it. */
  #ofLink(stat: sys.Stat): ReadAcl {
    const seen = right.readData | right.execute | right.readAttributes | right.readAcl | right.synchronize
    const aces: Ace[] = [{ type: 'allow', flags: 0, mask: seen, who: 'EVERYONE@' }]
    return this.#same('l', empty, stat, () => aclOf(stat, aces, 'rfc8881'), false)
  }

  #same(key: string, bytes: Uint8Array, ids: sys.Stat | undefined, make: () => Acl, ownMode: boolean): ReadAcl {
    const owner = ids ? `${ids.uid}:${ids.gid}` : ''
    const content = `${key}/${owner}/${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')}`
    const known = this.#contents.get(content)
    if (known) return known
    const acl = make()
    const print = hash('sha256', content, 'base64')
    const read: ReadAcl = { number: 0, acl, mode: ownMode ? modeOf(acl.aces) : undefined, print }
    this.#contents.set(content, read)
    if (this.#contents.size > maxContents) this.#contents.delete(this.#contents.keys().next().value ?? '')
    return read
  }

  #kind(fd: number, dev: number): FileSystemKind {
    const known = this.#kinds.get(dev)
    // The tree's own file system stays. Others come and go, and their device numbers are used again.
    if (known && dev === this.#own) return known
    const { type } = sys.fstatfs(fd)
    if (known?.type === type) return known
    const hidden = type === sys.fileSystemTypes.nfs || type === sys.fileSystemTypes.gpfs
    const kind: FileSystemKind = { type, honestMode: !hidden, nfs4: undefined }
    this.#own ??= dev
    if (this.#kinds.size > 256) this.#kinds.clear()
    this.#kinds.set(dev, kind)
    return kind
  }
}

const empty = Buffer.alloc(0)

function attribute(fd: number, name: string): Buffer | undefined {
  try {
    return sys.fgetxattr(fd, name)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return sys.isErrno(error, 'ENOTSUP')
}

function posixAcl(stat: sys.Stat, kind: ObjectKind, access: Buffer | undefined, below: Buffer | undefined): Acl {
  const plain = aclFromMode(stat.mode & 0o777, kind, { owner: String(stat.uid), group: String(stat.gid) })
  const aces = access ? acesFromPosix(decodePosixAcl(access), kind) : plain.aces
  return { ...plain, aces: below ? [...aces, ...acesFromPosixDefault(decodePosixAcl(below))] : aces }
}

function aclOf(stat: sys.Stat, aces: readonly Ace[], dialect: Acl['dialect']): Acl {
  return { owner: String(stat.uid), group: String(stat.gid), aces, dialect }
}

function troubleWith(source: AclSource | 'library', error: unknown): string {
  if (error instanceof StorageError) return `acl-malformed-${source}`
  return `acl-unreadable-${source}`
}
