/** What a mount of the GPFS back end is configured with. */

import type { PosixOptions } from '../posix/options.ts'
import type { Scale } from './providers.ts'

/** The data path and the grades are those of the POSIX back end; where ACLs come from is said here. */
export interface GpfsOptions
  extends Omit<PosixOptions, 'acl' | 'aclModule' | 'pathAcls' | 'operationsModule' | 'crossMounts'> {
  /**
   * libgpfs: a path, or a name for the loader. ACLs are then read and written on the I/O threads by descriptor, in
   * the `native` grade as the user; to be preferred there.
   */
  readonly library?: string
  /**
   * Storage Scale by its commands or its management API: ACLs by path where there is no `library`; filesets, quotas
   * and snapshots in any case. The back end closes it. Without either, ACLs are neither shown nor set, which the
   * `gateway` grade cannot do without.
   */
  readonly scale?: Scale
  /** The root's absolute path, where `root` is a descriptor. */
  readonly path?: string
  /** Name of the directory of snapshots (mmsnapdir). Default ".snapshots". */
  readonly snapshotDirectory?: string
  /** Junctions of filesets, absolute, besides those that `scale` tells. */
  readonly junctions?: readonly string[]
  /** Quotas of users and groups are kept for each fileset (mmchfs --perfileset-quota). Default false. */
  readonly perFilesetQuotas?: boolean
  /**
   * Nobody but this gateway changes names in the tree, by whatever way. ACLs may then be set by name where they cannot
   * be set through a descriptor, as by the management API. Default false: they are not set there.
   */
  readonly exclusive?: boolean
  /** ACLs remembered, where they come by path. Default 100,000. */
  readonly remembered?: number
  /** ms: what changed less than this ago is not remembered, since clocks differ and tick. Default 2000. */
  readonly clockTolerance?: number
}
