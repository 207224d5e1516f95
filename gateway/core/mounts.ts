/** What callers are told about mounts, without asking any storage. */

import { permitsPath } from '../../acl/authorizer.ts'
import type { Mount } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { type Gate, leadsAnonymous } from './deciding.ts'
import type { Path } from './path.ts'

/** A part of the namespace, as its users need to know it. */
export interface MountView {
  readonly path: Path
  /** The administrator's words, such as "scratch, no backup". */
  readonly note: string | undefined
  readonly readOnly: boolean
  /** Who decides beside the credential: we, the kernel, or the storage itself. */
  readonly enforce: Mount['enforce']
  /** Files may be on tape; then whether a read brings them back by itself. */
  readonly tape: Mount['recall'] | undefined
  /** Earlier versions of files can be asked for. */
  readonly versions: boolean
}

/** Those that the caller may at least see the way to, by name. What is in them is for their ACLs to say. */
export function mounts({ namespace }: Gate, { principal }: Call): readonly MountView[] {
  const admitted = ({ at }: Mount) => principal.user !== undefined || leadsAnonymous(namespace, at)
  return namespace.mounts
    .filter((mount) => admitted(mount) && permitsPath(principal, 'stat', mount.at).allowed)
    .map(({ at, note, readOnly, enforce, recall, backend }) => ({
      ...{ path: at, note, readOnly, enforce },
      tape: backend.tape ? recall : undefined,
      versions: backend.versions !== undefined,
    }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
}
