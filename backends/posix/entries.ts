/** Entries as an I/O thread tells them: attributes, and ACLs remembered by file id and change time. */

import { isUtf8 } from 'node:buffer'
import { AclReader, type ReadAcl, type ThreadAclSource } from './acl-reading.ts'
import { Teller, type Told } from './interning.ts'
import * as sys from './native/sys.ts'
import type { PosixSetup } from './options.ts'
import type { Spot, Step, Walker } from './walk.ts'
import { type EntryWire, type Expected, type Looked, withoutAccess } from './wire.ts'

/** What is remembered of an object that has not changed for a while. */
interface Remembered extends Told {
  readonly dev: number
  readonly generation: string | undefined
  readonly changed: bigint
  readonly acl: ReadAcl | undefined
  readonly settled: boolean
  /** Of a directory on the way, as it was told. */
  name: string
}

/** A directory on the way: a number when it was told before. */
export type Seen = number | EntryWire

const capacity = 16384
/**
 * ns. An object that changed less than this ago may change again within one tick of the clock that stamps it,
 * and would look the same; so it is not remembered. Covers coarse clocks and a server whose clock is a little off.
 */
const settled = 2_000_000_000n

/** Makes entries for one I/O thread. */
export class EntryMaker {
  readonly acls: AclReader
  readonly teller: Teller
  readonly #setup: PosixSetup
  readonly #walker: Walker
  readonly #remembered = new Map<bigint, Remembered>()
  /** ACLs come by path: the thread reads none, and tells the generations by which they are remembered. */
  readonly #byPath: boolean
  #generations: boolean
  #now = 0n
  #way: string[] = []

  constructor(setup: PosixSetup, walker: Walker, table: number, library?: ThreadAclSource) {
    this.#setup = setup
    this.#walker = walker
    this.#byPath = setup.acl.includes('path')
    this.#generations = this.#byPath
    this.acls = new AclReader(setup, library)
    this.teller = new Teller(table)
  }

  /** Before each operation. */
  begin(whole: boolean): void {
    this.teller.begin(whole)
    this.#now = BigInt(Date.now()) * 1_000_000n
    this.#way = []
  }

  /** A directory on the way, while it is open. */
  readonly directory = (name: string, fd: number, stat: sys.Stat): Seen => {
    const generation = this.#generation(fd, '')
    const known = this.#recall(stat, generation) ?? this.#learn(fd, stat, generation)
    this.#pass(stat, known.acl)
    if (!known.settled) return this.#passed(name, stat, known.acl, generation)
    if (known.name === name && this.teller.knows(known)) return known.number
    if (known.name !== name) known.number = 0
    known.name = name
    // Made anew, so that the ACL it refers to is told before it.
    return this.teller.refer(known, this.#passed(name, stat, known.acl, generation))
  }

  /** A directory on the way that was told before: only `wayTo` speaks of it. */
  readonly passing = (_name: string, fd: number, stat: sys.Stat): undefined => {
    const generation = this.#generation(fd, '')
    this.#pass(stat, (this.#recall(stat, generation) ?? this.#learn(fd, stat, generation)).acl)
  }

  /**
   * All that a decision about a new name depends on: the same text from any thread as long as the way to it leads through
   * the same directories with the same ACLs and modes. Undefined where something is there, or ACLs come by path.
   */
  wayTo(spot: Pick<Spot<unknown>, 'parent' | 'stat' | 'resolved'>): string | undefined {
    if (!spot.parent || spot.stat || this.#byPath) return undefined
    return `${this.#way.join(' ')}${spot.resolved ?? ''}`
  }

  /** Where the kernel decides, the ACLs on the way are its own business; that of the object is for people to see. */
  get readsAcls(): boolean {
    return !this.#setup.native
  }

  /** The way to a spot and what is there. `entry`: the object, already made. */
  looked(spot: Spot<Seen>, entry: EntryWire | undefined): Looked {
    const above: Seen[] = []
    for (const step of spot.via) above.push(step.seen)
    for (let i = 0; i < spot.above.length; i++) above.push((spot.above[i] as Step<Seen>).seen)
    const trouble = this.acls.takeTrouble()
    return {
      above,
      parentExists: spot.parent !== undefined || spot.name === '',
      ...(entry && { entry }),
      ...(spot.resolved !== undefined && { resolved: spot.resolved }),
      ...(trouble && { trouble }),
      ...this.teller.end(),
    }
  }

  /** The object of a spot as it was seen from its directory. */
  ofSpot(spot: Spot<Seen>): EntryWire | undefined {
    const { parent, name, stat } = spot
    if (!stat) return undefined
    if (!parent) return this.ofOpen('', this.#walker.rootFd, stat)
    if (spot.foreign) return this.foreign(name, stat)
    return this.below(parent.fd, name, stat, true)
  }

  /** An object below an open directory, opened only to read an ACL not yet known. */
  below(directory: number, name: string, stat: sys.Stat, acl: boolean): EntryWire {
    const target = isLink(stat) ? linkTarget(directory, name) : undefined
    // Where our own list counts, the mode that is shown is the list's.
    if (!acl && (this.#byPath || !this.readsAcls)) return this.#wire(name, stat, undefined, target)
    if (this.#byPath) {
      // Should the name change hands between the two calls, nothing is remembered of such a pair.
      const generation = this.#generation(directory, name)
      return this.#wire(name, stat, this.acls.read(directory, stat), target, generation)
    }
    const known = this.readsAcls ? this.#recall(stat, undefined) : undefined
    if (known) return this.#wire(name, stat, known.acl, target)
    const fd = this.#walker.open(directory, name, sys.O_PATH)
    try {
      // What the ACL belongs to, which may no longer be what the name was a moment ago.
      return this.ofOpen(name, fd, sys.fstat(fd))
    } finally {
      sys.close(fd)
    }
  }

  /** An object that is no link, as it was seen, with the ACL that was read of it. */
  seen(name: string, stat: sys.Stat, acl: ReadAcl | undefined): EntryWire {
    return this.#wire(name, stat, acl, undefined)
  }

  /** An open object. */
  ofOpen(name: string, fd: number, stat: sys.Stat): EntryWire {
    const generation = this.#generation(fd, '')
    const acl = this.readsAcls
      ? (this.#recall(stat, generation) ?? this.#learn(fd, stat, generation)).acl
      : this.acls.read(fd, stat)
    return this.#wire(name, stat, acl, isLink(stat) ? linkTarget(fd, '') : undefined, generation)
  }

  /** The place where another file system is mounted: something is there, and nobody gets at it. */
  foreign(name: string, stat: sys.Stat): EntryWire {
    return [name, 3, 0, stat.mtimeNs, stat.ctimeNs, this.version(stat), this.id(stat), 0, 1, 0]
  }

  /** Stays with an object over renames. Numbers of files are used again; with the time of birth they are not. */
  id(stat: sys.Stat): string {
    const number = this.#number(stat)
    return stat.btimeNs === undefined ? number : `${number}-${stat.btimeNs.toString(16)}`
  }

  /** Whether an object is the one that was seen, unchanged. Directories change with what is in them. */
  isExpected(stat: sys.Stat, { id, changed }: Expected): boolean {
    if (this.id(stat) !== id) return false
    return (stat.mode & sys.S_IFMT) === sys.S_IFDIR || stat.ctimeNs === changed
  }

  /** The content version. */
  version(stat: sys.Stat): string {
    return `${this.#number(stat)}-${stat.size.toString(16)}-${stat.mtimeNs.toString(16)}`
  }

  /** Of one object at a time. */
  #number(stat: sys.Stat): string {
    const ino = stat.ino.toString(16)
    // Subvolumes have devices of their own without being mounts.
    const isApart = this.#setup.crossMounts || stat.dev !== this.#walker.rootDev
    return isApart ? `${stat.dev.toString(16)}.${ino}` : ino
  }

  #pass(stat: sys.Stat, acl: ReadAcl | undefined): void {
    this.#way.push(`${this.id(stat)}-${stat.mode.toString(8)}-${acl?.print ?? ''}`)
  }

  #recall(stat: sys.Stat, generation: string | undefined): Remembered | undefined {
    const known = this.#remembered.get(stat.ino)
    if (known?.changed !== stat.ctimeNs || known.dev !== stat.dev) return undefined
    return known.generation === generation ? known : undefined
  }

  /** Of one plain name below a directory, or with "" of an open object. */
  #generation(directory: number, name: string): string | undefined {
    if (!this.#generations) return undefined
    const handle = sys.fileHandle(directory, name)
    // A file system has handles for all of its objects or for none.
    if (handle === undefined) this.#generations = false
    return handle
  }

  #learn(fd: number, stat: sys.Stat, generation: string | undefined): Remembered {
    const acl = this.readsAcls ? this.acls.read(fd, stat) : undefined
    // What could not be read may be readable the next time.
    const isSettled = this.#now - stat.ctimeNs > settled && (acl !== undefined || !this.readsAcls)
    const of = { dev: stat.dev, changed: stat.ctimeNs, generation }
    const known: Remembered = { ...of, number: 0, acl, settled: isSettled, name: '' }
    if (isSettled) {
      this.#remembered.set(stat.ino, known)
      if (this.#remembered.size > capacity) this.#remembered.delete(this.#remembered.keys().next().value ?? 0n)
    }
    return known
  }

  #wire(
    name: string,
    stat: sys.Stat,
    read: ReadAcl | undefined,
    target: string | undefined,
    generation?: string,
  ): EntryWire {
    const kind = stat.mode & sys.S_IFMT
    const type = kind === sys.S_IFREG ? 0 : kind === sys.S_IFDIR ? 1 : kind === sys.S_IFLNK ? 2 : 3
    const bits = stat.mode & 0o7777
    const mode = read?.mode === undefined ? bits : (bits & 0o7000) | read.mode
    const acl = read ? this.teller.refer(read, read.acl) : 0
    const size = type === 0 ? stat.size : 0
    const id = this.id(stat)
    const version = this.version(stat)
    const { mtimeNs, ctimeNs, nlink, atimeNs } = stat
    const all = [name, type, size, mtimeNs, ctimeNs, version, id, mode, nlink, acl, atimeNs, stat.blocks * 512] as const
    // Where a list of ours that cannot be read says whose the object is, that is not known.
    if (acl === 0 && (this.#byPath || !this.readsAcls)) return [...all, target, generation, stat.uid, stat.gid]
    if (generation !== undefined) return [...all, target, generation]
    return target === undefined ? all : [...all, target]
  }

  /** A directory on the way is told once, so nothing is told of it that reading changes. */
  #passed(name: string, stat: sys.Stat, acl: ReadAcl | undefined, generation: string | undefined): EntryWire {
    return withoutAccess(this.#wire(name, stat, acl, undefined, generation))
  }
}

function isLink(stat: sys.Stat): boolean {
  return (stat.mode & sys.S_IFMT) === sys.S_IFLNK
}

/** What cannot be said in UTF-8 is told with replacement characters: it is for people to read. */
function linkTarget(directory: number, name: string): string {
  const bytes = sys.readlinkat(directory, name)
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes.toString('utf8').toWellFormed()
}
