/** Which fileset a path lies in: the one with the longest junction above it. */

import { StorageError } from '../../gateway/core/errors.ts'
import { Fresh } from './fresh.ts'
import type { FileSystemInfo, Fileset } from './providers.ts'

/** ms that a list of filesets is believed. */
const believed = 60_000

/** Where a fileset is linked. One that only the configuration names has no name that Scale would know. */
export interface Junction {
  /** Absolute path. */
  readonly path: string
  readonly fileset: Fileset | undefined
}

export class Filesets {
  readonly #told: Fresh<ReadonlyMap<string, Junction>> | undefined
  readonly #configured: ReadonlyMap<string, Junction>
  readonly #log: (message: string, cause?: unknown) => void

  constructor(
    info: FileSystemInfo | undefined,
    configured: readonly string[],
    log: (message: string, cause?: unknown) => void,
  ) {
    this.#configured = new Map(configured.map((path) => [path, { path, fileset: undefined }]))
    this.#told =
      info && new Fresh(believed, async (signal) => byPath(await info.filesets(signal), [...this.#configured.values()]))
    this.#log = log
  }

  /**
   * The junction at or above an absolute path; undefined where none is known. When Scale cannot tell its filesets
   * only the configured ones count: the kernel still refuses what crosses the others.
   */
  async at(path: string, signal: AbortSignal): Promise<Junction | undefined> {
    return deepest(await this.#junctions(signal), path, () => true)
  }

  /** The deepest independent fileset at or above an absolute path, which may have snapshots of its own. */
  async independentAt(path: string, signal: AbortSignal): Promise<Fileset | undefined> {
    return deepest(await this.#junctions(signal), path, ({ fileset }) => fileset?.independent === true)?.fileset
  }

  /** The fileset that every file system begins with. */
  async root(signal: AbortSignal): Promise<Fileset | undefined> {
    for (const { fileset } of (await this.#junctions(signal)).values()) if (fileset?.name === 'root') return fileset
    return undefined
  }

  /** How many junctions there are. Throws where Scale does not tell. */
  async count(signal: AbortSignal): Promise<number> {
    return this.#told ? (await this.#told.get(signal)).size : this.#configured.size
  }

  async #junctions(signal: AbortSignal): Promise<ReadonlyMap<string, Junction>> {
    if (!this.#told) return this.#configured
    try {
      return await this.#told.get(signal)
    } catch (error) {
      if (StorageError.from(error).code === 'cancelled') throw error
      this.#log('the filesets could not be asked for', error)
      return this.#configured
    }
  }
}

/** What Scale tells of a path counts more than that it was configured. */
function byPath(filesets: readonly Fileset[], configured: readonly Junction[]): ReadonlyMap<string, Junction> {
  const told = filesets.map((fileset): Junction => ({ path: fileset.junction, fileset }))
  return new Map([...configured, ...told].map((junction) => [junction.path, junction]))
}

/** From the path upwards. */
function deepest(
  junctions: ReadonlyMap<string, Junction>,
  path: string,
  counts: (junction: Junction) => boolean,
): Junction | undefined {
  for (let at = path; ; at = at.slice(0, Math.max(1, at.lastIndexOf('/')))) {
    const found = junctions.get(at)
    if (found && counts(found)) return found
    if (at === '/' || at === '') return undefined
  }
}

/** By whole names; both absolute. */
export function isAtOrBelow(path: string, top: string): boolean {
  return top === '/' || path === top || path.startsWith(`${top}/`)
}

/** The names from `top` down to `path`, which lies at or below it. */
export function namesBelow(path: string, top: string): readonly string[] {
  return path
    .slice(top === '/' ? 1 : top.length)
    .split('/')
    .filter((name) => name !== '')
}
