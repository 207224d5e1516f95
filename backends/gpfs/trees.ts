/** The trees of one mount, today's and those of snapshots, and where their ACLs come from. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { BackendServices } from '../backend.ts'
import type { PosixOptions } from '../posix/options.ts'
import { PosixBackend } from '../posix/posix.ts'
import { FetchedAcls, type FetchedAclsOptions } from './fetched-acls.ts'
import { Fresh } from './fresh.ts'
import { libgpfsModule } from './library-module.ts'
import type { GpfsOptions } from './options.ts'
import type { FileSystemSettings } from './providers.ts'

/** Of a mount: its name and the absolute path of its root. */
export type TreesOptions = GpfsOptions & { readonly name: string; readonly path: string }

/** ms that the settings of a file system are believed. */
const believed = 10 * 60_000

export class Trees {
  /** Name of the directories of snapshots. */
  readonly directory: string
  /** Names that exist for no caller. */
  readonly reserved: ReadonlySet<string>
  readonly settings: Fresh<FileSystemSettings> | undefined
  /** What went wrong with ACLs by path, and how often. */
  readonly trouble = new Map<string, number>()
  readonly #options: TreesOptions
  readonly #services: BackendServices

  constructor(options: TreesOptions, services: BackendServices) {
    const { scale, reserved = [], snapshotDirectory = '.snapshots' } = options
    this.#options = options
    this.#services = services
    this.directory = snapshotDirectory
    this.reserved = new Set([...reserved, snapshotDirectory])
    this.settings = scale && new Fresh(believed, (signal) => scale.info.settings(signal))
  }

  /** The tree of today. To be called once. */
  live(): PosixBackend {
    const { root, path, exclusive } = this.#options
    const writing = exclusive ? 'by-name' : 'held'
    return new PosixBackend({ ...this.#optionsOf(root, path, writing), reserved: [...this.reserved] }, this.#services)
  }

  /** One of snapshots, from an absolute path down, or with undefined from the mount's root. */
  ofSnapshots(top: string | undefined): PosixBackend {
    const { root, path } = this.#options
    // Nothing can be taken away there.
    const { abandoned: _, ...base } = this.#optionsOf(top ?? root, top ?? path, 'never')
    // By another name, since what the journal holds of the mount itself is not for these trees to sweep.
    const name = `${base.name}, snapshots`
    const own = { name, reserved: [], symlinks: 'none', threads: 1, dataThreads: 2 } as const
    return new PosixBackend({ ...base, ...own }, this.#services)
  }

  #optionsOf(root: string | number, path: string, writing: FetchedAclsOptions['writing']): PosixOptions {
    const { scale, library, ...options } = this.#options
    const base = { ...options, root }
    if (library !== undefined) return { ...base, acl: [], aclModule: libgpfsModule(library).href }
    if (!scale) return { ...base, acl: [] }
    const pathAcls = new FetchedAcls({
      provider: scale.acls,
      root: path,
      snapshotDirectory: this.directory,
      remembered: options.remembered ?? 100_000,
      writing,
      clockTolerance: options.clockTolerance ?? 2000,
      requireWritable: (signal) => this.#requireWritable(signal),
      trouble: (word) => void this.trouble.set(word, (this.trouble.get(word) ?? 0) + 1),
    })
    return { ...base, acl: ['path'], pathAcls }
  }

  /** Throws `unsupported` where the file system stores no NFSv4 ACLs; what cannot be told is tried. */
  async #requireWritable(signal: AbortSignal): Promise<void> {
    let semantics: FileSystemSettings['aclSemantics']
    try {
      semantics = (await this.settings?.get(signal))?.aclSemantics
    } catch (error) {
      if (StorageError.from(error).code === 'cancelled') throw error
      return
    }
    if (semantics === 'posix') throw new StorageError('unsupported', 'this file system stores no NFSv4 ACLs (-k posix)')
  }
}
