/**
 * A gateway's namespace in memory, behind the contract of mounts/client/fs/remote.ts: what tests of the file system mount
 * when the gateway itself is not what they are about. Objects keep their id over renames; a removed file lives on in what
 * has it open, as POSIX storage does.
 */

import { setImmediate as turn } from 'node:timers/promises'
import type { Acl } from '../../acl/acl.ts'
import { aclFromMode } from '../../acl/mode.ts'
import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import { isWithin, nameOf, namesOf, type Path, parentOf, parsePath } from '../../gateway/core/path.ts'
import type {
  Attributes,
  Change,
  Changes,
  HeldRights,
  ListedEntry,
  LockOwner,
  LockRange,
  ObjectType,
  OpenOptions,
  RemoteFile,
  RemoteFs,
  Space,
} from '../../mounts/client/fs/remote.ts'

const everything = 0x1f01ff

export class MemoryObject {
  readonly id: string
  readonly type: ObjectType
  readonly names = new Map<string, MemoryObject>()
  readonly xattrs = new Map<string, Uint8Array>()
  readonly checksums = new Map<string, string>()
  locks: (LockRange & LockOwner)[] = []
  content: Buffer = Buffer.alloc(0)
  target = ''
  links = 1
  mode = 0o644
  mine = true
  owner = 'alice@desy.de'
  group = 'users@desy.de'
  locality: string | undefined
  rights: HeldRights['rights'] = everything
  acl: Acl | undefined
  version = 1
  modified = 1_700_000_000_000_000_000n
  accessed = 1_700_000_000_000_000_000n

  constructor(id: string, type: ObjectType) {
    this.id = id
    this.type = type
  }
}

export class MemoryRemote implements RemoteFs {
  readonly user = 'alice@desy.de'
  readonly largest = { read: 4 * 1024 * 1024, write: 1024 * 1024 }
  live = true
  /** How often each operation was asked for. */
  readonly calls = new Map<string, number>()
  readonly root: MemoryObject
  /** May hold an operation up, or throw. */
  before: ((operation: string, path: Path) => Promise<void> | void) | undefined
  /** May hold the answer to a write up. */
  after: ((path: Path) => Promise<void> | void) | undefined
  /** Whether it tells attributes along with writes, and what it makes of them. */
  tells: boolean | ((seen: Attributes) => Attributes) = true
  space_: Space = { used: 4096, available: 8192, limit: 12_288 }
  page = 1000
  closed = false
  readonly #listeners: ((change: Change) => void)[] = []
  #next = 1

  constructor() {
    this.root = this.make('directory')
    this.root.mode = 0o755
  }

  make(type: ObjectType): MemoryObject {
    const object = new MemoryObject(`mem:${this.#next++}`, type)
    if (type === 'directory') object.mode = 0o755
    return object
  }

  /** Makes what is missing, without telling anybody. */
  put(path: string, content: string | Buffer | 'directory' = ''): MemoryObject {
    const names = namesOf(parsePath(path))
    let at = this.root
    for (const [index, name] of names.entries()) {
      const isLast = index === names.length - 1
      const object = at.names.get(name) ?? this.make(isLast && content !== 'directory' ? 'file' : 'directory')
      at.names.set(name, object)
      at = object
    }
    if (content !== 'directory') {
      at.content = Buffer.from(content)
      at.version++
    }
    return at
  }

  /** As if by another door. */
  tell(path: string, kind: Change['kind']): void {
    for (const listener of this.#listeners) listener({ path: parsePath(path), kind })
  }

  count(operation: string): number {
    return this.calls.get(operation) ?? 0
  }

  find(path: string): MemoryObject {
    return this.#find(parsePath(path))
  }

  async stat(path: Path): Promise<Attributes> {
    await this.#begin('stat', path)
    return attributesOf(this.#find(path))
  }

  async *list(path: Path): AsyncGenerator<readonly ListedEntry[]> {
    const names = [...this.#directory(path).names]
    for (let at = 0; at === 0 || at < names.length; at += this.page) {
      await this.#begin('list', path)
      yield names.slice(at, at + this.page).map(([name, object]) => ({ name, attributes: attributesOf(object) }))
    }
  }

  async open(path: Path, { write, truncate, create }: OpenOptions): Promise<RemoteFile> {
    await this.#begin('open', path)
    const parent = this.#directory(parentOf(path))
    let object = parent.names.get(nameOf(path))
    if (object && create?.exclusive) throw fault('exists')
    const created = object === undefined
    if (!object) {
      if (!create) throw fault('not-found')
      object = this.make('file')
      object.mode = create.mode
      parent.names.set(nameOf(path), object)
      this.tell(path, 'entry')
    }
    if (object.type === 'directory') throw fault('is-directory')
    if (object.locality === 'tape' && !truncate) throw fault('nearline')
    if (truncate) this.#write(object, Buffer.alloc(0), path)
    return this.#file(object, path, { created, isWritable: write === true })
  }

  async mkdir(path: Path, mode: number): Promise<Attributes> {
    await this.#begin('mkdir', path)
    const object = this.make('directory')
    object.mode = mode
    return this.#add(path, object)
  }

  async remove(path: Path, type: 'file' | 'directory'): Promise<void> {
    await this.#begin('remove', path)
    const object = this.#find(path)
    if (type === 'directory' && object.type !== 'directory') throw fault('not-directory')
    if (type === 'file' && object.type === 'directory') throw fault('is-directory')
    if (object.names.size > 0) throw fault('not-empty')
    this.#directory(parentOf(path)).names.delete(nameOf(path))
    object.links--
    this.tell(path, 'entry')
  }

  async rename(from: Path, to: Path, how: 'replace' | 'absent' | 'exchange'): Promise<Attributes> {
    await this.#begin('rename', from)
    const object = this.#find(from)
    const [source, target] = [this.#directory(parentOf(from)), this.#directory(parentOf(to))]
    const replaced = target.names.get(nameOf(to))
    if (how === 'absent' && replaced) throw fault('exists')
    if (how === 'exchange' && !replaced) throw fault('not-found')
    if (object.type === 'directory' && isWithin(to, from)) throw fault('invalid')
    if (how !== 'exchange' && replaced && replaced.names.size > 0) throw fault('not-empty')
    source.names.delete(nameOf(from))
    target.names.set(nameOf(to), object)
    if (how === 'exchange' && replaced) source.names.set(nameOf(from), replaced)
    else if (replaced) replaced.links--
    this.tell(from, 'tree')
    this.tell(to, 'tree')
    return attributesOf(object)
  }

  async symlink(path: Path, target: string): Promise<Attributes> {
    await this.#begin('symlink', path)
    const object = this.make('symlink')
    object.target = target
    return this.#add(path, object)
  }

  async link(from: Path, to: Path): Promise<Attributes> {
    await this.#begin('link', from)
    const object = this.#find(from)
    object.links++
    return this.#add(to, object)
  }

  async change(path: Path, changes: Changes): Promise<Attributes> {
    await this.#begin('change', path)
    const object = this.#find(path)
    if (changes.mode !== undefined) object.mode = changes.mode
    if (changes.owner !== undefined) object.owner = changes.owner
    if (changes.group !== undefined) object.group = changes.group
    if (changes.size !== undefined) this.#write(object, resized(object.content, changes.size), path)
    if (changes.modified !== undefined) object.modified = timeOf(changes.modified)
    if (changes.accessed !== undefined) object.accessed = timeOf(changes.accessed)
    this.tell(path, 'attributes')
    return attributesOf(object)
  }

  async rights(path: Path): Promise<HeldRights> {
    await this.#begin('rights', path)
    return { rights: this.#find(path).rights, actions: ['read', 'list'] }
  }

  async space(path: Path): Promise<Space> {
    await this.#begin('space', path)
    return this.space_
  }

  async listXattrs(path: Path): Promise<readonly string[]> {
    await this.#begin('listXattrs', path)
    return [...this.#find(path).xattrs.keys()]
  }

  async getXattr(path: Path, name: string): Promise<Uint8Array | undefined> {
    await this.#begin('getXattr', path)
    return this.#find(path).xattrs.get(name)
  }

  async setXattr(
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: 'any' | 'absent' | 'present',
  ): Promise<void> {
    await this.#begin('setXattr', path)
    const { xattrs } = this.#find(path)
    if (condition === 'absent' && xattrs.has(name)) throw fault('exists')
    if (condition === 'present' && !xattrs.has(name)) throw fault('not-found')
    if (value === undefined) xattrs.delete(name)
    else xattrs.set(name, Buffer.from(value))
  }

  async getAcl(path: Path): Promise<Acl> {
    await this.#begin('getAcl', path)
    const object = this.#find(path)
    const kind = object.type === 'directory' ? 'directory' : 'file'
    return object.acl ?? aclFromMode(object.mode, kind, { owner: object.owner, group: object.group })
  }

  async setAcl(path: Path, acl: Acl): Promise<void> {
    await this.#begin('setAcl', path)
    this.#find(path).acl = acl
  }

  async checksums(path: Path): Promise<ReadonlyMap<string, string>> {
    await this.#begin('checksums', path)
    return this.#find(path).checksums
  }

  async explain(path: Path): Promise<string> {
    await this.#begin('explain', path)
    return `you may read ${path}\n`
  }

  async stage(path: Path): Promise<void> {
    await this.#begin('stage', path)
  }

  watch(changed: (change: Change) => void): void {
    this.#listeners.push(changed)
  }

  async close(): Promise<void> {
    this.closed = true
  }

  async #begin(operation: string, path: Path): Promise<void> {
    this.calls.set(operation, this.count(operation) + 1)
    await turn()
    await this.before?.(operation, path)
  }

  #find(path: Path): MemoryObject {
    let at: MemoryObject | undefined = this.root
    for (const name of namesOf(path)) {
      if (at.type !== 'directory') throw fault('not-directory')
      at = at.names.get(name)
      if (!at) throw fault('not-found')
    }
    return at
  }

  #directory(path: Path): MemoryObject {
    const object = this.#find(path)
    if (object.type !== 'directory') throw fault('not-directory')
    return object
  }

  #add(path: Path, object: MemoryObject): Attributes {
    const parent = this.#directory(parentOf(path))
    if (parent.names.has(nameOf(path))) throw fault('exists')
    parent.names.set(nameOf(path), object)
    this.tell(path, 'entry')
    return attributesOf(object)
  }

  #write(object: MemoryObject, content: Buffer, path: Path): void {
    object.content = content
    object.version++
    object.modified = timeOf('now')
    this.tell(path, 'content')
  }

  #file(
    object: MemoryObject,
    at: Path,
    { created, isWritable }: { created: boolean; isWritable: boolean },
  ): RemoteFile {
    const begin = (operation: string) => this.#begin(operation, file.path)
    const put = (content: Buffer) => {
      if (!isWritable) throw fault('denied')
      this.#write(object, content, file.path)
    }
    const file: RemoteFile = {
      attributes: attributesOf(object),
      kind: isWritable ? 'edit' : 'read',
      created,
      path: at,
      async read(into, offset) {
        await begin('read')
        const part = object.content.subarray(offset, offset + into.length)
        into.set(part)
        return part.length
      },
      write: async (from, offset, _signal, told) => {
        const copy = Buffer.from(from)
        await begin('write')
        const content = resized(object.content, Math.max(object.content.length, offset + copy.length))
        copy.copy(content, offset)
        put(content)
        const seen = attributesOf(object)
        await this.after?.(file.path)
        if (!told || this.tells === false) return
        this.calls.set('told', this.count('told') + 1)
        told(this.tells === true ? seen : this.tells(seen))
      },
      async truncate(size) {
        await begin('truncate')
        put(resized(object.content, size))
      },
      sync: () => begin('sync'),
      async commit() {
        await begin('commit')
        return undefined
      },
      async stat() {
        await begin('fstat')
        return attributesOf(object)
      },
      async allocate(start, end, how) {
        await begin('allocate')
        if (how === 'extend' && end > object.content.length) put(resized(object.content, end))
        if (how === 'punch' || how === 'zero') put(Buffer.from(object.content).fill(0, start, end))
      },
      async seek(offset, what) {
        await begin('seek')
        if (offset >= object.content.length) return undefined
        return what === 'data' ? offset : object.content.length
      },
      async copyFrom(_source, start, length, offset) {
        await begin('copyFrom')
        const part = object.content.subarray(start, start + length)
        const content = resized(object.content, Math.max(object.content.length, offset + part.length))
        part.copy(content, offset)
        put(content)
        return part.length
      },
      async testLock(range, owner) {
        await begin('testLock')
        return inTheWay(object, range, owner)
      },
      async lock(range, owner) {
        await begin('lock')
        if (inTheWay(object, range, owner)) throw fault('busy')
        object.locks.push({ ...range, ...owner })
      },
      async unlock(_range, owner) {
        await begin('unlock')
        object.locks = object.locks.filter((lock) => lock.owner !== owner.owner || lock.kind !== owner.kind)
      },
      close: () => begin('close'),
    }
    return file
  }
}

function inTheWay(object: MemoryObject, range: LockRange, { owner, kind }: LockOwner) {
  return object.locks.find((lock) => {
    if (lock.kind !== kind || lock.owner === owner) return false
    if (lock.type === 'shared' && range.type === 'shared') return false
    return lock.start < (range.end ?? Number.POSITIVE_INFINITY) && range.start < (lock.end ?? Number.POSITIVE_INFINITY)
  })
}

function attributesOf(object: MemoryObject): Attributes {
  const { id, type, mode, mine, owner, group, links, modified, accessed, version, locality, target } = object
  return {
    type,
    id,
    mode,
    mine,
    owner,
    group,
    links,
    size: object.content.length,
    modified,
    changed: modified,
    accessed,
    version: `v${version}`,
    ...(type === 'symlink' && { target }),
    ...(locality !== undefined && { locality }),
  }
}

function resized(content: Buffer, size: number): Buffer {
  const result = Buffer.alloc(size)
  content.copy(result)
  return result
}

function timeOf(time: bigint | 'now'): bigint {
  return time === 'now' ? BigInt(Date.now()) * 1_000_000n : time
}

function fault(code: ErrorCode): StorageError {
  return new StorageError(code, code)
}
