/**
 * setAttributes: mode and group, by the frontend. dCache lets nobody give an object away, and offers no way to set times
 * (dCache User Guide, "Frontend", namespace): both are `unsupported`, and so is everything without a frontend.
 */

import { numericId } from '../../acl/who.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Changes, Entry, Pending } from '../backend.ts'
import type { Json } from './attributes.ts'
import type { Desk, Scope } from './desk.ts'
import { walk } from './looking.ts'
import { lookAfter, requireEntry, requireSame, underLease } from './requiring.ts'

/** Backend.setAttributes: each change is a request of its own, all checked before the first. */
export async function setAttributes(desk: Desk, path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
  const scope: Scope = { activities: ['UPDATE_METADATA'], object: desk.inDcache(path) }
  const trail = await walk(desk, path, scope, call)
  const proceed = async () => {
    desk.requireAlive(call)
    const entry = requireEntry(trail, path)
    return underLease(desk, [path], async () => {
      await requireSame(desk, path, entry, scope, call)
      desk.requireAlive(call)
      for (const json of actionsFor(changes, entry, path)) await desk.change(path, json, scope, call)
      return lookAfter(desk, path, scope, call)
    })
  }
  return { trail, proceed, release: async () => {} }
}

function actionsFor({ modified, accessed, mode, owner, group }: Changes, { type }: Entry, path: Path): Json[] {
  const unsupported = (what: string) => new StorageError('unsupported', `dCache cannot set ${what}`, { path })
  if (modified !== undefined || accessed !== undefined) throw unsupported('times')
  if (owner !== undefined) throw unsupported('the owner')
  const gid = group === undefined ? undefined : numericId(group)
  if (group !== undefined && gid === undefined) throw unsupported('a group by its name')
  return [
    ...(gid === undefined ? [] : [{ action: 'chgrp', gid }]),
    // Set-user-id, set-group-id and sticky bits mean nothing on files here.
    ...(mode === undefined ? [] : [{ action: 'chmod', mode: mode & (type === 'directory' ? 0o7777 : 0o777) }]),
  ]
}
