/** A file system in memory behind `Operations`: what tests of the kernel's side mount when no gateway is needed. */

import { Errno } from '../../mounts/fuse/errno.ts'
import type {
  AttributesReply,
  Context,
  DirectoryFiller,
  EntryReply,
  KernelLock,
  NodeAttributes,
  OpenReply,
  Operations,
  SetAttributes,
  WriteRequest,
} from '../../mounts/fuse/operations.ts'

export interface MemoryNode {
  readonly nodeid: number
  mode: number
  uid: number
  gid: number
  nlink: number
  mtime: bigint
  atime: bigint
  data: Buffer
  length: number
  target: string
  readonly names: Map<string, MemoryNode>
  readonly xattrs: Map<string, Buffer>
}

const directoryType = 0o040000
const fileType = 0o100000
const linkType = 0o120000
const typeBits = 0o170000

/** Only what is used; `calls` counts by name, `before` may hold an operation up. */
export class MemoryOperations implements Operations {
  readonly root: MemoryNode
  readonly calls = new Map<string, number>()
  readonly nodes = new Map<number, MemoryNode>()
  readonly lookups = new Map<number, number>()
  readonly handles = new Map<number, number>()
  /** Milliseconds. */
  valid = 1000
  before: ((operation: string, context: Context) => Promise<void>) | undefined
  closed = false
  #next = 1

  constructor() {
    this.root = this.#make(directoryType | 0o755, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 })
  }

  /** A file below the root. */
  put(name: string, data: Buffer, valid: Partial<MemoryNode> = {}): MemoryNode {
    const node = Object.assign(this.#make(fileType | 0o644, this.root), valid)
    Object.assign(node, { data, length: data.length })
    this.root.names.set(name, node)
    return node
  }

  #make(mode: number, { uid, gid }: { uid: number; gid: number }): MemoryNode {
    const nodeid = this.#next
    this.#next += 1
    const now = BigInt(Date.now()) * 1_000_000n
    const node: MemoryNode = {
      ...{ nodeid, mode, uid, gid, nlink: 1, mtime: now, atime: now, data: Buffer.alloc(0), length: 0, target: '' },
      names: new Map(),
      xattrs: new Map(),
    }
    this.nodes.set(nodeid, node)
    return node
  }

  async #begin(operation: string, context: Context): Promise<MemoryNode> {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1)
    if (this.before) await this.before(operation, context)
    return this.#node(context.nodeid)
  }

  #node(nodeid: number): MemoryNode {
    const node = this.nodes.get(nodeid)
    if (!node) throw new Errno('ESTALE')
    return node
  }

  #attributes(node: MemoryNode): NodeAttributes {
    const { nodeid, length, mode, uid, gid, nlink, mtime, atime } = node
    const size = (mode & typeBits) === linkType ? Buffer.byteLength(node.target) : length
    return {
      ...{ ino: BigInt(nodeid), size, blocks: Math.ceil(length / 512), atime, mtime, ctime: mtime },
      ...{ mode, nlink, uid, gid, blksize: 1 << 20 },
    }
  }

  #entry(node: MemoryNode): EntryReply {
    this.lookups.set(node.nodeid, (this.lookups.get(node.nodeid) ?? 0) + 1)
    const { valid } = this
    return {
      ...{ nodeid: node.nodeid, generation: 0, entryValid: valid, attrValid: valid },
      attributes: this.#attributes(node),
    }
  }

  #child(parent: MemoryNode, name: string): MemoryNode {
    const node = parent.names.get(name)
    if (!node) throw new Errno('ENOENT')
    return node
  }

  #add(parent: MemoryNode, name: string, node: MemoryNode): EntryReply {
    if (parent.names.has(name)) throw new Errno('EEXIST')
    parent.names.set(name, node)
    return this.#entry(node)
  }

  #open(node: MemoryNode): OpenReply {
    const fh = this.#next
    this.#next += 1
    this.handles.set(fh, node.nodeid)
    return { fh, flags: 0 }
  }

  async lookup(context: Context, name: string): Promise<EntryReply> {
    return this.#entry(this.#child(await this.#begin('lookup', context), name))
  }

  forget(nodeid: number, lookups: number): void {
    this.lookups.set(nodeid, (this.lookups.get(nodeid) ?? 0) - lookups)
  }

  async getattr(context: Context): Promise<AttributesReply> {
    return { attrValid: this.valid, attributes: this.#attributes(await this.#begin('getattr', context)) }
  }

  async setattr(context: Context, changes: SetAttributes): Promise<AttributesReply> {
    const node = await this.#begin('setattr', context)
    if (changes.size !== undefined) resize(node, changes.size)
    if (changes.mode !== undefined) node.mode = (node.mode & typeBits) | (changes.mode & 0o7777)
    if (typeof changes.mtime === 'bigint') node.mtime = changes.mtime
    if (typeof changes.atime === 'bigint') node.atime = changes.atime
    if (changes.uid !== undefined) node.uid = changes.uid
    if (changes.gid !== undefined) node.gid = changes.gid
    return { attrValid: this.valid, attributes: this.#attributes(node) }
  }

  async readlink(context: Context): Promise<string> {
    return (await this.#begin('readlink', context)).target
  }

  async symlink(context: Context, name: string, target: string): Promise<EntryReply> {
    const parent = await this.#begin('symlink', context)
    return this.#add(parent, name, Object.assign(this.#make(linkType | 0o777, context), { target }))
  }

  async mknod(context: Context, name: string, mode: number, _device: number, umask: number): Promise<EntryReply> {
    const parent = await this.#begin('mknod', context)
    if ((mode & typeBits) !== fileType) throw new Errno('EPERM')
    return this.#add(parent, name, this.#make(mode & ~umask, context))
  }

  async mkdir(context: Context, name: string, mode: number, umask: number): Promise<EntryReply> {
    const parent = await this.#begin('mkdir', context)
    return this.#add(parent, name, this.#make(directoryType | (mode & ~umask & 0o7777), context))
  }

  async unlink(context: Context, name: string): Promise<void> {
    const parent = await this.#begin('unlink', context)
    this.#child(parent, name).nlink -= 1
    parent.names.delete(name)
  }

  async rmdir(context: Context, name: string): Promise<void> {
    const parent = await this.#begin('rmdir', context)
    if (this.#child(parent, name).names.size > 0) throw new Errno('ENOTEMPTY')
    parent.names.delete(name)
  }

  async rename(context: Context, name: string, directory: number, to: string, flags: number): Promise<void> {
    const [parent, target] = [await this.#begin('rename', context), this.#node(directory)]
    const node = this.#child(parent, name)
    const other = target.names.get(to)
    if (flags === 1 && other) throw new Errno('EEXIST')
    if (flags === 2) parent.names.set(name, this.#child(target, to))
    else parent.names.delete(name)
    target.names.set(to, node)
  }

  async link(context: Context, nodeid: number, name: string): Promise<EntryReply> {
    const parent = await this.#begin('link', context)
    const node = this.#node(nodeid)
    node.nlink += 1
    return this.#add(parent, name, node)
  }

  async open(context: Context, flags: number): Promise<OpenReply> {
    const node = await this.#begin('open', context)
    if ((flags & 0o1000) !== 0) resize(node, 0)
    return this.#open(node)
  }

  async create(context: Context, name: string, _flags: number, mode: number, umask: number) {
    const parent = await this.#begin('create', context)
    const node = this.#make(fileType | (mode & ~umask & 0o7777), context)
    return { ...this.#add(parent, name, node), ...this.#open(node) }
  }

  async read(context: Context, _fh: number, offset: number, size: number): Promise<readonly Uint8Array[]> {
    const node = await this.#begin('read', context)
    const end = Math.min(node.length, offset + size)
    return offset < end ? [node.data.subarray(offset, end)] : []
  }

  async write(context: Context, { offset, data }: WriteRequest): Promise<number> {
    const node = await this.#begin('write', context)
    if (offset + data.length > node.length) resize(node, offset + data.length)
    data.copy(node.data, offset)
    node.mtime = BigInt(Date.now()) * 1_000_000n
    return data.length
  }

  async flush(context: Context): Promise<void> {
    await this.#begin('flush', context)
  }

  async fsync(context: Context): Promise<void> {
    await this.#begin('fsync', context)
  }

  async release(context: Context, fh: number): Promise<void> {
    this.handles.delete(fh)
    await this.#begin('release', context)
  }

  async opendir(context: Context): Promise<OpenReply> {
    return this.#open(await this.#begin('opendir', context))
  }

  async readdir(context: Context, _fh: number, cookie: bigint, filler: DirectoryFiller, plus: boolean): Promise<void> {
    const node = await this.#begin(plus ? 'readdirplus' : 'readdir', context)
    const all: [string, MemoryNode][] = [['.', node], ['..', node], ...node.names]
    for (const [index, [name, child]] of all.slice(Number(cookie)).entries()) {
      const known = plus && index + Number(cookie) > 1
      const entry = known ? { entry: this.#entry(child) } : {}
      const place = { ino: BigInt(child.nodeid), type: (child.mode & typeBits) >> 12 }
      if (!filler.add({ name, ...place, cookie: cookie + BigInt(index + 1), ...entry })) {
        if (known) this.forget(child.nodeid, 1)
        return
      }
    }
  }

  async releasedir(context: Context, fh: number): Promise<void> {
    this.handles.delete(fh)
    await this.#begin('releasedir', context)
  }

  async fsyncdir(context: Context): Promise<void> {
    await this.#begin('fsyncdir', context)
  }

  async statfs(context: Context) {
    await this.#begin('statfs', context)
    return { blocks: 1000, bfree: 900, bavail: 800, files: 10, ffree: 5, bsize: 4096, frsize: 4096, namelen: 255 }
  }

  async getxattr(context: Context, name: string): Promise<Uint8Array> {
    const value = (await this.#begin('getxattr', context)).xattrs.get(name)
    if (!value) throw new Errno('ENODATA')
    return value
  }

  async listxattr(context: Context): Promise<readonly string[]> {
    return [...(await this.#begin('listxattr', context)).xattrs.keys()]
  }

  async setxattr(context: Context, name: string, value: Buffer): Promise<void> {
    const node = await this.#begin('setxattr', context)
    node.xattrs.set(name, value)
  }

  async removexattr(context: Context, name: string): Promise<void> {
    const node = await this.#begin('removexattr', context)
    if (!node.xattrs.delete(name)) throw new Errno('ENODATA')
  }

  async access(context: Context): Promise<void> {
    await this.#begin('access', context)
  }

  async getlk(context: Context, _fh: number, _owner: bigint, lock: KernelLock): Promise<KernelLock> {
    await this.#begin('getlk', context)
    return { ...lock, type: 'unlock' }
  }

  async setlk(context: Context, _fh: number, _owner: bigint, _lock: KernelLock, _flock: boolean, wait: boolean) {
    await this.#begin(wait ? 'setlkw' : 'setlk', context)
  }

  async fallocate(context: Context, _fh: number, offset: number, length: number): Promise<void> {
    const node = await this.#begin('fallocate', context)
    if (offset + length > node.length) resize(node, offset + length)
  }

  async lseek(context: Context, _fh: number, offset: number, whence: number): Promise<number> {
    const node = await this.#begin('lseek', context)
    return whence === 3 ? offset : node.length
  }

  async copyFileRange(
    context: Context,
    from: { readonly offset: number },
    to: { readonly nodeid: number; readonly offset: number },
    length: number,
  ): Promise<number> {
    const [source, target] = [await this.#begin('copyFileRange', context), this.#node(to.nodeid)]
    const part = Buffer.from(source.data.subarray(from.offset, Math.min(source.length, from.offset + length)))
    if (to.offset + part.length > target.length) resize(target, to.offset + part.length)
    part.copy(target.data, to.offset)
    return part.length
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

function resize(node: MemoryNode, length: number): void {
  if (length > node.data.length) {
    const grown = Buffer.alloc(Math.max(length, node.data.length * 2))
    node.data.copy(grown, 0, 0, node.length)
    node.data = grown
  } else if (length < node.length) node.data.fill(0, length, node.length)
  node.length = length
}
