/**
 * Open files without a name (mkstemp(3), unlink(2), then fchmod(2) or futimens(3)): the gateway changes what has a path. With
 * the last name gone nobody but those who have it open sees the object again, so such changes are kept here.
 */

import type { Attributes, Changes } from '../client/fs/remote.ts'
import { Errno } from './errno.ts'
import type { FileState } from './open-files.ts'

/** Of the change that is kept; ESTALE where the object may have other names, EPERM where it is not the caller's. */
export function changeNameless(state: FileState, seen: Attributes, changes: Changes): void {
  if (seen.links !== 0) throw new Errno('ESTALE')
  if (!seen.mine || changes.owner !== undefined || changes.group !== undefined) throw new Errno('EPERM')
  const now = BigInt(Date.now()) * 1_000_000n
  const { mode, modified, accessed } = changes
  state.nameless = {
    ...state.nameless,
    ...(mode !== undefined && { mode }),
    ...(modified !== undefined && { modified: modified === 'now' ? now : modified }),
    ...(accessed !== undefined && { accessed: accessed === 'now' ? now : accessed }),
    changed: now,
  }
}

/** Something was written: from then on the times are the storage's. */
export function wroteNameless(state: FileState): void {
  if (!state.nameless) return
  const { modified: _modified, changed: _changed, ...rest } = state.nameless
  state.nameless = rest
}

/** With what was kept. */
export function withKept(state: FileState | undefined, seen: Attributes): Attributes {
  return state?.nameless ? { ...seen, ...state.nameless } : seen
}
