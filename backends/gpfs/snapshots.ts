/**
 * Earlier versions out of snapshots: of the independent fileset that a path lies in, and of the whole file system.
 *
 * Snapshots are in a directory at the root of the fileset or file system, below which is the tree as it was. They are
 * looked at through trees of their own, which the names of the mount do not reach, and only for reading.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { checkName, namesOf, type Path, root } from '../../gateway/core/path.ts'
import type { Entry, FileVersion, OpenFile, Pending, Trail, VersionFacet } from '../backend.ts'
import type { PosixBackend } from '../posix/posix.ts'
import { type Filesets, isAtOrBelow, namesBelow } from './filesets.ts'
import { Fresh } from './fresh.ts'
import type { FileSystemInfo, Snapshot } from './providers.ts'

/** Before the names of snapshots of the whole file system; a fileset may have one of the same name. */
const wholePrefix = 'global~'
/** Snapshots looked at for one list, the newest; and how many at a time. */
const most = 256
const atOnce = 8
/** ms that a list of snapshots is believed, and how many filesets' lists are kept. */
const believed = 60_000
const keptLists = 256

export interface SnapshotOptions {
  readonly info: FileSystemInfo
  readonly filesets: Filesets
  /** Absolute path of the mount's root. */
  readonly rootPath: string
  /** Name of the directory of snapshots. */
  readonly directory: string
  /** The tree of today. */
  readonly live: PosixBackend
  /** Names that exist for no caller, today as then. */
  readonly reserved: ReadonlySet<string>
  /**
   * A tree from an absolute path down, or with undefined from the mount's root, in which nothing is reserved and no
   * link is followed: those of then would lead into what is there today.
   */
  open(top: string | undefined): PosixBackend
}

/** Where the snapshots are that hold a path. */
interface Source {
  /** Asked of Scale: a fileset, or undefined for the whole file system. */
  readonly fileset: string | undefined
  /** Absolute path of what was taken a snapshot of. */
  readonly top: string
}

/** One snapshot, and the path in it. */
interface Place {
  readonly tree: PosixBackend
  readonly path: Path
  /** Directories of the look that lie above the object's tree of then, and how many of them are also above it today. */
  readonly above: number
  readonly shared: number
}

export class Snapshots implements VersionFacet {
  readonly #options: SnapshotOptions
  readonly #trees = new Map<string, PosixBackend>()
  readonly #lists = new Map<string, Fresh<readonly Snapshot[]>>()
  #closed = false

  constructor(options: SnapshotOptions) {
    this.#options = options
  }

  async list(path: Path, call: Call): Promise<Pending<readonly FileVersion[]>> {
    const trail = await this.#options.live.walk(path, call)
    return { trail, proceed: () => this.#list(path, call), release: async () => {} }
  }

  async open(file: Path, version: string, call: Call): Promise<Pending<OpenFile>> {
    const place = await this.#placeOf(file, version, call)
    const pending = await place.tree.open(place.path, {}, call)
    return { ...pending, trail: trailOf(pending.trail, place, file) }
  }

  async close(): Promise<void> {
    this.#closed = true
    const trees = [...this.#trees.values()]
    this.#trees.clear()
    await Promise.all(trees.map((tree) => tree.close()))
  }

  async #list(path: Path, call: Call): Promise<readonly FileVersion[]> {
    const found: Array<{ readonly source: Source; readonly snapshot: Snapshot }> = []
    for (const source of await this.#sources(path, call)) {
      for (const snapshot of await this.#snapshots(source, call)) found.push({ source, snapshot })
    }
    found.sort((a, b) => (a.snapshot.created < b.snapshot.created ? 1 : -1))
    const versions: FileVersion[] = []
    for (let at = 0; at < Math.min(found.length, most); at += atOnce) {
      const some = found.slice(at, Math.min(at + atOnce, most))
      const looked = await Promise.all(some.map(({ source, snapshot }) => this.#version(path, source, snapshot, call)))
      for (const version of looked) if (version) versions.push(version)
    }
    return versions
  }

  /** Undefined where the snapshot does not hold it, or holds it where the caller cannot get. */
  async #version(path: Path, source: Source, snapshot: Snapshot, call: Call): Promise<FileVersion | undefined> {
    const place = this.#place(path, source, snapshot.name)
    try {
      const trail = trailOf(await place.tree.walk(place.path, call), place, path)
      if (!trail.entry) return undefined
      return { version: versionName(source, snapshot), kept: snapshot.created, entry: trail.entry, trail }
    } catch (error) {
      const { code } = StorageError.from(error)
      // A snapshot can be deleted while it is looked at.
      if (['denied', 'not-found', 'not-directory', 'stale'].includes(code)) return undefined
      throw error
    }
  }

  async #placeOf(path: Path, version: string, call: Call): Promise<Place> {
    const isWhole = version.startsWith(wholePrefix)
    const name = isWhole ? version.slice(wholePrefix.length) : version
    for (const source of await this.#sources(path, call)) {
      if ((source.fileset === undefined) !== isWhole) continue
      const snapshots = await this.#snapshots(source, call)
      if (snapshots.some((snapshot) => snapshot.name === name)) return this.#place(path, source, name)
    }
    throw new StorageError('not-found', 'no such version', { path })
  }

  async #sources(path: Path, { signal }: Call): Promise<readonly Source[]> {
    const { filesets, rootPath, reserved } = this.#options
    if (namesOf(path).some((name) => reserved.has(name))) return []
    const absolute = path === root ? rootPath : `${rootPath === '/' ? '' : rootPath}${path}`
    const whole = await filesets.root(signal)
    const own = await filesets.independentAt(absolute, signal)
    const sources: Source[] = []
    if (own && own.name !== whole?.name) sources.push({ fileset: own.name, top: own.junction })
    if (whole && isAtOrBelow(absolute, whole.junction)) sources.push({ fileset: undefined, top: whole.junction })
    return sources
  }

  async #snapshots({ fileset }: Source, { signal }: Call): Promise<readonly Snapshot[]> {
    const { info } = this.#options
    const key = fileset ?? ''
    let list = this.#lists.get(key)
    if (!list) {
      list = new Fresh(believed, (own) => info.snapshots(fileset, own))
      this.#lists.set(key, list)
      if (this.#lists.size > keptLists) this.#lists.delete(this.#lists.keys().next().value ?? '')
    }
    return (await list.get(signal)).filter(({ name }) => isPlainName(name) && !name.startsWith(wholePrefix))
  }

  #place(path: Path, { top }: Source, snapshot: string): Place {
    const { rootPath, directory } = this.#options
    const names = namesOf(path)
    if (isAtOrBelow(top, rootPath)) {
      // The snapshots lie inside the mount's tree: what is above them is as it is today.
      const down = namesBelow(top, rootPath)
      const inside = [...down, directory, snapshot, ...names.slice(down.length)]
      return { tree: this.#tree(undefined), path: pathOf(inside), above: down.length + 2, shared: down.length }
    }
    const down = namesBelow(rootPath, top)
    const inside = [directory, snapshot, ...down, ...names]
    return { tree: this.#tree(top), path: pathOf(inside), above: 2 + down.length, shared: 0 }
  }

  /** Three at most: that of the mount's root, of the fileset it lies in, and of the file system. */
  #tree(top: string | undefined): PosixBackend {
    if (this.#closed) throw new StorageError('unavailable', 'the mount is closed')
    const key = top ?? ''
    let tree = this.#trees.get(key)
    if (!tree) {
      tree = this.#options.open(top)
      this.#trees.set(key, tree)
    }
    return tree
  }
}

/** As deep as the trail of today, with the objects of then from the top of the snapshot down. */
function trailOf({ ancestors, entry, parentExists }: Trail, { above, shared }: Place, path: Path): Trail {
  // The top of a snapshot goes by the snapshot's name there, and by its own here.
  const names = ['', ...namesOf(path)]
  const way = [...ancestors.slice(0, shared), ...ancestors.slice(above)]
  return {
    ancestors: way.map((directory, i): Entry => ({ ...directory, name: names[i] ?? '' })),
    parentExists,
    entry: entry && { ...entry, name: names.at(-1) ?? '' },
  }
}

function versionName({ fileset }: Source, { name }: Snapshot): string {
  return fileset === undefined ? `${wholePrefix}${name}` : name
}

function isPlainName(name: string): boolean {
  try {
    checkName(name)
    return true
  } catch {
    return false
  }
}

function pathOf(names: readonly string[]): Path {
  return `/${names.join('/')}` as Path
}
