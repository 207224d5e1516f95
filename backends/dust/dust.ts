/**
 * DUST: scratch space of users and groups on GPFS, reached through the GPFS client or, on hosts without it, over NFS.
 *
 * Over NFS the server decides: the thread's user goes over the wire. Its ACL is read where the server shows it; where
 * it does not, what a caller may do is for the server to say and is not guessed here.
 *
 * Space is given to users (/user/NAME) and groups (/group/GROUP/SPACE), and usage is that of the space, whoever asks.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { namesOf, root } from '../../gateway/core/path.ts'
import type { AclFacet, Backend, BackendServices, QuotaFacet, RightsFacet } from '../backend.ts'
import { GpfsBackend, type GpfsOptions } from '../gpfs/gpfs.ts'
import type { FileSystemInfo } from '../gpfs/providers.ts'
import { Forwarding, type Particular, type TreeBackend } from '../posix/forwarding.ts'
import type { PosixOptions } from '../posix/options.ts'
import { PosixBackend } from '../posix/posix.ts'
import { Spaces } from './spaces.ts'

/** Options of the back end that DUST stands on, and which one that is. */
export type DustOptions = OverGpfs | OverNfs

export interface OverGpfs extends GpfsOptions {
  readonly over: 'gpfs'
}

export interface OverNfs extends Omit<PosixOptions, 'aclModule' | 'pathAcls' | 'grade'> {
  readonly over: 'nfs'
  /** Default `native`. */
  readonly grade?: PosixOptions['grade']
  /** Tells quotas, by the management API; without it the server's own count is told. The back end does not close it. */
  readonly info?: FileSystemInfo
  /** Absolute path of the root on the GPFS side, where junctions lie elsewhere than here. */
  readonly path?: string
}

export class DustBackend extends Forwarding {
  readonly #below: GpfsBackend | PosixBackend
  readonly #spaces: Spaces | undefined

  /** Starts the I/O threads at once; `ready` tells when they work. */
  constructor(options: DustOptions, services: BackendServices) {
    const below = options.over === 'gpfs' ? overGpfs(options, services) : overNfs(options, services)
    super(below, options.over === 'gpfs' ? below : asTheServerSays(below))
    this.#below = below
    const info = options.over === 'gpfs' ? options.scale?.info : options.info
    const log = (message: string, cause?: unknown) => options.log?.(`${this.name}: ${message}`, cause)
    this.#spaces = info && new Spaces(info, rootPathOf(options), log)
  }

  /** The space's; outside of spaces what the back end below says. */
  override readonly quotas: QuotaFacet = {
    usage: async (path, call) => {
      const spaces = this.#spaces
      const [kind, ...names] = namesOf(path)
      if (!spaces?.holds(kind, names)) return this.#below.quotas.usage(path, call)
      const pending = await this.#statfs().usage(path, call)
      return { ...pending, proceed: async () => spaces.usage(path, await pending.proceed(), call.signal) }
    },
  }

  /** What the kernel tells, without quotas of the caller. */
  #statfs(): QuotaFacet {
    return this.#below instanceof GpfsBackend ? this.#below.wholeUsage : this.#below.quotas
  }
}

function overGpfs({ over: _, ...options }: OverGpfs, services: BackendServices): GpfsBackend {
  return new GpfsBackend({ ...options, name: options.name ?? `dust:${options.root}` }, services)
}

function overNfs(options: OverNfs, services: BackendServices): PosixBackend {
  const { over: _, info: __, path: ___, grade = 'native', ...others } = options
  const name = options.name ?? `dust:${options.root}`
  // Mode bits that NFS shows are never taken for the ACL behind them.
  return new PosixBackend({ acl: ['nfs4'], ...others, name, grade }, services)
}

/** Facets over NFS. */
function asTheServerSays(below: TreeBackend): Particular {
  const { acls, rights, versions } = below
  return { acls: acls && serversAcls(acls), rights: rights && serversRights(below, rights), versions }
}

/** Where the server hides its ACLs nothing is put in their place. */
function serversAcls(acls: AclFacet): AclFacet {
  return {
    set: async (path, acl, options, call) => {
      const pending = await acls.set(path, acl, options, call)
      const proceed = async () => {
        const { entry } = pending.trail
        // Anything else that could be set would replace what is not seen.
        if (entry && entry.acl === undefined) {
          throw new StorageError('unsupported', 'the server hides its ACLs here', { path })
        }
        return pending.proceed()
      }
      return { ...pending, proceed }
    },
  }
}

/** What the kernel says of access is asked of the server; where that hides its ACL, the rest is unknown. */
function serversRights(below: Backend, rights: RightsFacet): RightsFacet {
  return {
    effective: async (path, call) => {
      const { entry } = await below.walk(path, call)
      if (!entry) throw new StorageError('not-found', 'no such file or directory', { path })
      return entry.acl === undefined ? 'unknown' : rights.effective(path, call)
    },
  }
}

function rootPathOf({ root: top, path }: DustOptions): string {
  return path ?? (typeof top === 'string' ? top : root)
}
