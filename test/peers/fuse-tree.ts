/** A small tree in memory that answers the requests of the FUSE protocol (linux/fuse.h, version 7.31 and later). */

interface Node {
  readonly id: number
  mode: number
  uid: number
  gid: number
  links: number
  /** ns since 1970. */
  modified: bigint
  changed: bigint
  bytes: Buffer
  readonly children: Map<string, Node> | undefined
  readonly attributes: Map<string, Buffer>
}

const errors = {
  ENOENT: 2,
  EEXIST: 17,
  ENOTDIR: 20,
  EINVAL: 22,
  ERANGE: 34,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ENODATA: 61,
  EDQUOT: 122,
}

/** What a tree can be told to be short of. */
export interface Shortage {
  /** Bytes that may still be written; a write beyond is cut, and the next one EDQUOT, as of a quota (write(2)). */
  readonly bytes?: number
  /** Operations that are EDQUOT: where a name needs a block of its directory, or the server tells late. */
  readonly refused?: readonly ('create' | 'tmpfile' | 'link' | 'rename' | 'rename2' | 'setxattr' | 'fsync')[]
  /** A directory cannot be put on disk: EINVAL (fsync(2)). */
  readonly directoriesUnsynced?: boolean
  /** The file system has files without a name (O_TMPFILE). To be said before the first is asked for. */
  readonly unnamed?: boolean
}
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFMT = 0o170000
const O_TRUNC = 0o1000
/** Every read comes to us: nothing is answered from the page cache while we hang. */
const directIo = 1
/** No FLUSH at close: a process that ends would wait for its answer, beyond the reach of SIGKILL. */
const noFlush = 32

class Refusal extends Error {
  readonly errno: number

  constructor(name: keyof typeof errors) {
    super(name)
    this.errno = errors[name]
  }
}

/** One request: its header's ids and its body. */
interface Request {
  readonly node: Node
  readonly uid: number
  readonly gid: number
  readonly body: Buffer
}

type Answer = Buffer | undefined
const done = Buffer.alloc(0)

/** Answers requests one at a time. */
export class FuseTree {
  readonly #nodes = new Map<number, Node>()
  #next = 1
  #shortage: Shortage = {}
  #written = 0

  constructor(files: Readonly<Record<string, Uint8Array>>) {
    const top = this.#make(S_IFDIR | 0o777, 0, 0)
    for (const [name, bytes] of Object.entries(files)) {
      const node = this.#make(S_IFREG | 0o644, 0, 0)
      node.bytes = Buffer.from(bytes)
      top.children?.set(name, node)
    }
  }

  /** From now on; an empty one is plenty. */
  shorten(shortage: Shortage): void {
    this.#shortage = shortage
    this.#written = 0
  }

  /** The whole reply to a whole request; undefined for one that gets none. */
  answer(request: Buffer): Buffer | undefined {
    const operation = operations[request.readUInt32LE(4)]
    const unique = request.subarray(8, 16)
    try {
      const node = this.#nodes.get(Number(request.readBigUInt64LE(16)))
      const ids = { uid: request.readUInt32LE(24), gid: request.readUInt32LE(28) }
      if (request.readUInt32LE(4) === INIT) return reply(unique, 0, init(request.subarray(40)))
      // Only this tells the kernel that there is no such request here, so that it does without (STATX, for one).
      if (!operation) return reply(unique, -errors.ENOSYS, done)
      if (operation === 'tmpfile' && !this.#shortage.unnamed) return reply(unique, -errors.ENOSYS, done)
      if (!node) return reply(unique, -errors.ENOENT, done)
      if (this.#shortage.refused?.some((refused) => refused === operation)) throw new Refusal('EDQUOT')
      const body = this[operation]({ node, ...ids, body: request.subarray(40) })
      return body && reply(unique, 0, body)
    } catch (error) {
      if (error instanceof Refusal) return reply(unique, -error.errno, done)
      throw error
    }
  }

  lookup({ node, body }: Request): Answer {
    return entry(childOf(node, text(body)))
  }

  forget(): Answer {
    return undefined
  }

  getattr({ node }: Request): Answer {
    return attributes(node)
  }

  setattr({ node, body }: Request): Answer {
    const valid = body.readUInt32LE(0)
    if (valid & 1) node.mode = (node.mode & S_IFMT) | (body.readUInt32LE(68) & 0o7777)
    if (valid & 2) node.uid = body.readUInt32LE(76)
    if (valid & 4) node.gid = body.readUInt32LE(80)
    if (valid & 8) resize(node, Number(body.readBigUInt64LE(16)))
    if (valid & 0x20) node.modified = body.readBigUInt64LE(40) * 1_000_000_000n + BigInt(body.readUInt32LE(60))
    node.changed = now()
    return attributes(node)
  }

  mkdir({ node, uid, gid, body }: Request): Answer {
    return entry(this.#add(node, text(body.subarray(8)), S_IFDIR | (body.readUInt32LE(0) & 0o7777), uid, gid))
  }

  create({ node, uid, gid, body }: Request): Answer {
    const name = text(body.subarray(16))
    const child = this.#add(node, name, S_IFREG | (body.readUInt32LE(4) & 0o7777), uid, gid)
    return Buffer.concat([entry(child), opened(child)])
  }

  tmpfile({ uid, gid, body }: Request): Answer {
    const child = this.#make(S_IFREG | (body.readUInt32LE(4) & 0o7777), uid, gid)
    child.links = 0
    return Buffer.concat([entry(child), opened(child)])
  }

  link({ node, body }: Request): Answer {
    const source = this.#nodes.get(Number(body.readBigUInt64LE(0)))
    const name = text(body.subarray(8))
    if (!source) throw new Refusal('ENOENT')
    if (childrenOf(node).has(name)) throw new Refusal('EEXIST')
    childrenOf(node).set(name, source)
    source.links++
    return entry(source)
  }

  unlink({ node, body }: Request): Answer {
    const child = childOf(node, text(body))
    childrenOf(node).delete(text(body))
    child.links--
    return done
  }

  rmdir({ node, body }: Request): Answer {
    if (childrenOf(childOf(node, text(body))).size > 0) throw new Refusal('ENOTEMPTY')
    childrenOf(node).delete(text(body))
    return done
  }

  rename({ node, body }: Request): Answer {
    return this.#move(node, Number(body.readBigUInt64LE(0)), body.subarray(8), 0)
  }

  rename2({ node, body }: Request): Answer {
    return this.#move(node, Number(body.readBigUInt64LE(0)), body.subarray(16), body.readUInt32LE(8))
  }

  open({ node, body }: Request): Answer {
    if (body.readUInt32LE(0) & O_TRUNC) resize(node, 0)
    return opened(node)
  }

  read({ node, body }: Request): Answer {
    const offset = Number(body.readBigUInt64LE(8))
    return node.bytes.subarray(offset, offset + body.readUInt32LE(16))
  }

  write({ node, body }: Request): Answer {
    const offset = Number(body.readBigUInt64LE(8))
    const size = Math.min(body.readUInt32LE(16), (this.#shortage.bytes ?? Number.POSITIVE_INFINITY) - this.#written)
    if (size <= 0) throw new Refusal('EDQUOT')
    this.#written += size
    if (node.bytes.length < offset + size) resize(node, offset + size)
    body.copy(node.bytes, offset, 40, 40 + size)
    node.modified = now()
    node.changed = node.modified
    const answer = Buffer.alloc(8)
    answer.writeUInt32LE(size, 0)
    return answer
  }

  readdir({ node, body }: Request): Answer {
    const offset = Number(body.readBigUInt64LE(8))
    const room = body.readUInt32LE(16)
    const names: [string, Node][] = [['.', node], ['..', node], ...childrenOf(node)]
    const records: Buffer[] = []
    let size = 0
    for (const [index, [name, child]] of names.entries()) {
      if (index < offset) continue
      const record = direntry(name, child, index + 1)
      size += record.length
      if (size > room) break
      records.push(record)
    }
    return Buffer.concat(records)
  }

  statfs(): Answer {
    const answer = Buffer.alloc(80)
    for (const at of [0, 8, 16, 24, 32]) answer.writeBigUInt64LE(1_000_000n, at)
    for (const [value, at] of [
      [4096, 40],
      [255, 44],
      [4096, 48],
    ] as const)
      answer.writeUInt32LE(value, at)
    return answer
  }

  nothing(): Answer {
    return done
  }

  fsync(): Answer {
    return done
  }

  fsyncdir(): Answer {
    if (this.#shortage.directoriesUnsynced) throw new Refusal('EINVAL')
    return done
  }

  getxattr({ node, body }: Request): Answer {
    const value = node.attributes.get(text(body.subarray(8)))
    if (!value) throw new Refusal('ENODATA')
    return sized(value, body.readUInt32LE(0))
  }

  listxattr({ node, body }: Request): Answer {
    return sized(Buffer.from([...node.attributes.keys()].map((name) => `${name}\0`).join('')), body.readUInt32LE(0))
  }

  setxattr({ node, body }: Request): Answer {
    const size = body.readUInt32LE(0)
    node.attributes.set(text(body.subarray(8)), Buffer.from(body.subarray(body.length - size)))
    node.changed = now()
    return done
  }

  removexattr({ node, body }: Request): Answer {
    if (!node.attributes.delete(text(body))) throw new Refusal('ENODATA')
    return done
  }

  #make(mode: number, uid: number, gid: number): Node {
    const time = now()
    const children = (mode & S_IFMT) === S_IFDIR ? new Map<string, Node>() : undefined
    const id = this.#next++
    const rest = { links: 1, modified: time, changed: time, bytes: done, attributes: new Map<string, Buffer>() }
    const node: Node = { id, mode, uid, gid, children, ...rest }
    this.#nodes.set(id, node)
    return node
  }

  #add(parent: Node, name: string, mode: number, uid: number, gid: number): Node {
    if (childrenOf(parent).has(name)) throw new Refusal('EEXIST')
    const node = this.#make(mode, uid, gid)
    childrenOf(parent).set(name, node)
    parent.modified = node.modified
    return node
  }

  #move(from: Node, toId: number, names: Buffer, flags: number): Answer {
    const [old = '', fresh = ''] = names.toString().split('\0')
    const to = this.#nodes.get(toId)
    if (!to) throw new Refusal('ENOENT')
    const node = childOf(from, old)
    if (flags > 1) throw new Refusal('EINVAL')
    if (flags === 1 && childrenOf(to).has(fresh)) throw new Refusal('EEXIST')
    childrenOf(from).delete(old)
    childrenOf(to).set(fresh, node)
    node.changed = now()
    return done
  }
}

type Operation = Exclude<keyof FuseTree, 'answer' | 'shorten'>

const INIT = 26
/** FUSE opcodes. Never ENOSYS for the rest: the kernel would not ask again for the life of the mount. */
const operations: Readonly<Record<number, Operation>> = {
  1: 'lookup',
  2: 'forget',
  3: 'getattr',
  4: 'setattr',
  9: 'mkdir',
  10: 'unlink',
  11: 'rmdir',
  12: 'rename',
  13: 'link',
  14: 'open',
  15: 'read',
  16: 'write',
  17: 'statfs',
  18: 'nothing', // RELEASE
  20: 'fsync',
  21: 'setxattr',
  22: 'getxattr',
  23: 'listxattr',
  24: 'removexattr',
  25: 'nothing', // FLUSH
  27: 'open', // OPENDIR
  28: 'readdir',
  29: 'nothing', // RELEASEDIR
  30: 'fsyncdir',
  34: 'nothing', // ACCESS
  35: 'create',
  36: 'forget', // INTERRUPT
  42: 'forget', // BATCH_FORGET
  45: 'rename2',
  51: 'tmpfile',
}

function reply(unique: Uint8Array, error: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeInt32LE(error, 4)
  header.set(unique, 8)
  return Buffer.concat([header, body])
}

function init(body: Buffer): Buffer {
  const answer = Buffer.alloc(64)
  const ASYNC_READ = 1
  const ATOMIC_O_TRUNC = 8
  const BIG_WRITES = 32
  const MAX_PAGES = 1 << 22
  answer.writeUInt32LE(7, 0)
  answer.writeUInt32LE(Math.min(body.readUInt32LE(4), 45), 4)
  answer.writeUInt32LE(body.readUInt32LE(8), 8)
  answer.writeUInt32LE((ASYNC_READ | ATOMIC_O_TRUNC | BIG_WRITES | MAX_PAGES) & body.readUInt32LE(12), 12)
  answer.writeUInt16LE(64, 16)
  answer.writeUInt16LE(48, 18)
  answer.writeUInt32LE(maxWrite, 20)
  answer.writeUInt32LE(1, 24)
  answer.writeUInt16LE(maxWrite / 4096, 28)
  return answer
}

/** Bytes of the largest WRITE. */
export const maxWrite = 128 * 1024

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}

function childrenOf(node: Node): Map<string, Node> {
  if (!node.children) throw new Refusal('ENOTDIR')
  return node.children
}

function childOf(node: Node, name: string): Node {
  const child = childrenOf(node).get(name)
  if (!child) throw new Refusal('ENOENT')
  return child
}

function resize(node: Node, size: number): void {
  const bytes = Buffer.alloc(size)
  node.bytes.copy(bytes)
  node.bytes = bytes
  node.modified = now()
  node.changed = node.modified
}

function sized(value: Buffer, room: number): Buffer {
  if (room > 0 && value.length > room) throw new Refusal('ERANGE')
  if (room > 0) return value
  const answer = Buffer.alloc(8)
  answer.writeUInt32LE(value.length, 0)
  return answer
}

function opened(node: Node): Buffer {
  const answer = Buffer.alloc(16)
  answer.writeUInt32LE(node.children ? noFlush : directIo | noFlush, 8)
  return answer
}

/** Valid for no time at all, so that each look comes to us. */
function entry(node: Node): Buffer {
  const head = Buffer.alloc(40)
  head.writeBigUInt64LE(BigInt(node.id), 0)
  return Buffer.concat([head, attr(node)])
}

function attributes(node: Node): Buffer {
  return Buffer.concat([Buffer.alloc(16), attr(node)])
}

function attr(node: Node): Buffer {
  const answer = Buffer.alloc(88)
  const second = 1_000_000_000n
  const size = BigInt(node.bytes.length)
  const words = [BigInt(node.id), size, (size + 511n) / 512n]
  const times = [node.modified, node.modified, node.changed]
  for (const [index, word] of [...words, ...times.map((time) => time / second)].entries()) {
    answer.writeBigUInt64LE(word, index * 8)
  }
  const small = [...times.map((time) => Number(time % second)), node.mode, node.links, node.uid, node.gid, 0, 4096]
  for (const [index, word] of small.entries()) answer.writeUInt32LE(word, 48 + index * 4)
  return answer
}

function direntry(name: string, node: Node, next: number): Buffer {
  const bytes = Buffer.from(name)
  const record = Buffer.alloc(Math.ceil((24 + bytes.length) / 8) * 8)
  record.writeBigUInt64LE(BigInt(node.id), 0)
  record.writeBigUInt64LE(BigInt(next), 8)
  record.writeUInt32LE(bytes.length, 16)
  record.writeUInt32LE((node.mode & S_IFMT) >> 12, 20)
  bytes.copy(record, 24)
  return record
}

function now(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
