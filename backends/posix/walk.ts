/**
 * Finds the way from the tree's top to an object, one name after the other, each through the descriptor of
 * the directory before it. Nothing outside the tree is ever opened: a name cannot hold a slash, ".." of a
 * link goes back along the directories already open, and openat2 refuses links and, if so configured, mounts.
 */

import { isUtf8 } from 'node:buffer'
import { StorageError } from '../../gateway/core/errors.ts'
import { namesOf, type Path, root } from '../../gateway/core/path.ts'
import { sharedTop } from './handles.ts'
import * as sys from './native/sys.ts'
import { isHidden, type PosixSetup } from './options.ts'

/** A directory on the way. */
export interface Step<S> {
  readonly name: string
  readonly fd: number
  readonly stat: sys.Stat
  /** What was made of it while it was open. */
  readonly seen: S
}

/** Makes of a directory on the way what the caller of a walk wants to know. */
export type Visit<S> = (name: string, fd: number, stat: sys.Stat) => S

/** Where a path led. */
export interface Spot<S> {
  /** Directories that a link led through and away from; the caller went through them too. */
  readonly via: ReadonlyArray<Step<S>>
  /** The directories from the root down to the parent, as far as they exist. Only the last one's descriptor is open. */
  readonly above: ReadonlyArray<Step<S>>
  /** The parent; undefined for the root and where there is none. */
  readonly parent: Step<S> | undefined
  readonly name: string
  readonly stat: sys.Stat | undefined
  /** The object belongs to another mount than its directory, and mounts are not crossed. */
  readonly foreign: boolean
  /** The path without links, where one was followed. */
  readonly resolved: Path | undefined
}

/** The tree's top. */
interface Top {
  readonly fd: number
  /** As the kernel names it. */
  readonly path: string
  readonly dev: number
}

const maxLinks = 40
const directoryFlags = sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW

/** Walks for one I/O thread. */
export class Walker {
  readonly #setup: PosixSetup
  readonly #reserved: ReadonlySet<string>
  /** Of openat2, for one plain name. */
  readonly resolve: number
  #root: Top | undefined

  constructor(setup: PosixSetup) {
    this.#setup = setup
    this.#reserved = new Set(setup.reserved)
    const confined = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_MAGICLINKS | sys.RESOLVE_NO_SYMLINKS
    this.resolve = setup.crossMounts ? confined : confined | sys.RESOLVE_NO_XDEV
  }

  /** Names that do not exist for anybody: configured ones and our own. */
  isReserved(name: string): boolean {
    return this.#reserved.has(name) || isHidden(name)
  }

  /** The top's descriptor, opened with O_PATH at the first call. */
  get rootFd(): number {
    return this.#top().fd
  }

  /** The device of the tree's top. */
  get rootDev(): number {
    return this.#top().dev
  }

  /** Opens one name below a directory, never through a link. */
  open(directory: number, name: string, flags: number, mode = 0): number {
    return sys.openat2(directory, name, flags | sys.O_NOFOLLOW, mode, this.resolve)
  }

  /**
   * Runs `work` on the spot; the parent's descriptor is open as long. `follow`: a link as the last name is
   * followed too, where the mount follows links at all.
   */
  at<S, T>(path: Path, options: { readonly follow: boolean; readonly visit: Visit<S> }, work: (spot: Spot<S>) => T): T {
    const trip = new Trip<S>(this, this.#setup, this.#top(), path, options)
    try {
      return work(trip.run())
    } finally {
      trip.end()
    }
  }

  /** Whether an object below a directory lies on another mount that must not be entered. */
  isForeign(directory: sys.Stat, child: sys.Stat): boolean {
    if (this.#setup.crossMounts) return false
    if (child.mount !== undefined && directory.mount !== undefined) return child.mount !== directory.mount
    return child.dev !== directory.dev
  }

  #top(): Top {
    if (this.#root) return this.#root
    const { root, claims } = this.#setup
    const flags = sys.O_PATH | sys.O_DIRECTORY
    const open = () =>
      typeof root === 'number' ? sys.openat(root, '.', flags, 0) : sys.openat(sys.AT_FDCWD, root, flags, 0)
    const fd = sharedTop(new Int32Array(claims), open, sys.close)
    const path = sys.readlinkat(sys.AT_FDCWD, sys.procPath(fd)).toString('utf8')
    this.#root = { fd, path, dev: sys.fstat(fd).dev }
    return this.#root
  }
}

/** One walk. */
class Trip<S> {
  readonly #walker: Walker
  readonly #setup: PosixSetup
  readonly #top: Top
  readonly #follow: boolean
  readonly #visit: Visit<S>
  readonly #via: Step<S>[] = []
  readonly #stack: Step<S>[] = []
  /** Names still to go, the next one last. */
  readonly #names: string[]
  #links = 0

  constructor(
    walker: Walker,
    setup: PosixSetup,
    top: Top,
    path: Path,
    options: { readonly follow: boolean; readonly visit: Visit<S> },
  ) {
    this.#walker = walker
    this.#setup = setup
    this.#top = top
    this.#follow = options.follow
    this.#visit = options.visit
    this.#names = namesOf(path).reverse()
  }

  run(): Spot<S> {
    this.#push('', this.#top.fd)
    for (;;) {
      const name = this.#names.pop()
      if (name === undefined) return this.#atDirectory()
      if (name === '..') {
        this.#up()
      } else if (this.#walker.isReserved(name)) {
        return this.#spot(name, undefined, this.#names.length === 0)
      } else if (this.#names.length === 0) {
        const spot = this.#last(name)
        if (spot) return spot
      } else if (!this.#enter(name)) {
        return this.#spot(name, undefined, false)
      }
    }
  }

  end(): void {
    for (const step of this.#stack) this.#close(step)
  }

  #close({ fd }: Step<S>): void {
    if (fd >= 0 && fd !== this.#top.fd) sys.close(fd)
  }

  get #here(): Step<S> {
    return this.#stack[this.#stack.length - 1] as Step<S>
  }

  /** The path, or a link in it, ended in "..", "." or nothing: the object is the directory we are in. */
  #atDirectory(): Spot<S> {
    const directory = this.#here
    if (this.#stack.length === 1) return { ...this.#spot('', directory.stat, false), above: [], parent: undefined }
    this.#stack.pop()
    this.#close(directory)
    return this.#spot(directory.name, directory.stat, true)
  }

  /** The last name; undefined when it was a link to follow. */
  #last(name: string): Spot<S> | undefined {
    const { fd } = this.#here
    let stat: sys.Stat
    try {
      stat = sys.fstatat(fd, name, sys.AT_SYMLINK_NOFOLLOW)
    } catch (error) {
      // The name may be longer than this file system knows; then there is nothing of it.
      if (sys.isErrno(error, 'ENOENT')) return this.#spot(name, undefined, true)
      throw error
    }
    const isLink = (stat.mode & sys.S_IFMT) === sys.S_IFLNK
    if (isLink && this.#follow && this.#setup.followLinks) {
      this.#expand(name)
      return undefined
    }
    return this.#spot(name, stat, true)
  }

  /** One directory further down. False: there is no such directory that we would enter. */
  #enter(name: string): boolean {
    const from = this.#here
    let fd: number
    try {
      fd = this.#walker.open(from.fd, name, directoryFlags)
    } catch (error) {
      if (sys.isErrno(error, 'ENOENT') || sys.isErrno(error, 'EXDEV')) return false
      if (!sys.isErrno(error, 'ENOTDIR') && !sys.isErrno(error, 'ELOOP')) throw error
      if (!this.#setup.followLinks || !this.#isLink(name)) return false
      this.#expand(name)
      return true
    }
    if (!this.#setup.followLinks) this.#forget(from)
    this.#push(name, fd)
    return true
  }

  #push(name: string, fd: number): void {
    try {
      const stat = sys.fstat(fd)
      this.#stack.push({ name, fd, stat, seen: this.#visit(name, fd, stat) })
    } catch (error) {
      if (fd !== this.#top.fd) sys.close(fd)
      throw error
    }
  }

  /** Without links there is no way back up, so a directory's descriptor is needed no more. */
  #forget(step: Step<S>): void {
    this.#close(step)
    this.#stack[this.#stack.length - 1] = { ...step, fd: -1 }
  }

  #isLink(name: string): boolean {
    const { mode } = sys.fstatat(this.#here.fd, name, sys.AT_SYMLINK_NOFOLLOW)
    return (mode & sys.S_IFMT) === sys.S_IFLNK
  }

  #up(): void {
    const step = this.#stack.pop()
    if (!step || this.#stack.length === 0) {
      if (step) this.#stack.push(step)
      throw outside()
    }
    this.#via.push(step)
    this.#close(step)
  }

  /** Puts a link's target in the place of its name. */
  #expand(name: string): void {
    if (++this.#links > maxLinks) throw new StorageError('denied', 'too many symbolic links')
    const bytes = sys.readlinkat(this.#here.fd, name)
    if (!isUtf8(bytes)) throw outside()
    const target = bytes.toString('utf8')
    if (target.startsWith('/')) this.#names.push(...this.#below(target).reverse())
    else this.#names.push(...partsOf(target).reverse())
  }

  /** An absolute target stays in the tree only by naming the tree's own path. */
  #below(target: string): string[] {
    const { path } = this.#top
    if (target !== path && !target.startsWith(path === '/' ? '/' : `${path}/`)) throw outside()
    while (this.#stack.length > 1) this.#up()
    return partsOf(target.slice(path.length))
  }

  #spot(name: string, stat: sys.Stat | undefined, parentExists: boolean): Spot<S> {
    const above = this.#stack
    const parent = parentExists ? this.#here : undefined
    const foreign = parent !== undefined && stat !== undefined && this.#walker.isForeign(parent.stat, stat)
    return { via: this.#via, above, parent, name, stat, foreign, resolved: this.#resolved(name) }
  }

  #resolved(name: string): Path | undefined {
    if (this.#links === 0) return undefined
    const names = this.#stack.slice(1).map((step) => step.name)
    if (name !== '') names.push(name)
    // Below what does not exist there is nothing to go back from.
    names.push(...this.#names.toReversed().filter((rest) => rest !== '..'))
    return names.length === 0 ? root : (`/${names.join('/')}` as Path)
  }
}

function partsOf(target: string): string[] {
  return target.split('/').filter((part) => part !== '' && part !== '.')
}

function outside(): StorageError {
  const reason = { rule: 'symlink', text: 'a symbolic link leads out of the tree' }
  return new StorageError('denied', 'symbolic links out of the tree are not followed', { reason })
}
