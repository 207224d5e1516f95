/**
 * The step that makes bytes visible: under the lease of the path, after a fresh look, with a condition of the store's
 * own where it honours one. A new object has its sidecar before it is seen; a replaced one keeps its.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Entry } from '../backend.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { aclForNew, type Head, versionOf } from './entries.ts'
import { isRefusal } from './errors.ts'
import { look, lookAtNew, type Seen } from './looking.ts'
import { requireCondition, requireFile, requirePlace, stale } from './requiring.ts'
import type { Sidecar } from './sidecar.ts'
import type { Condition } from './trials.ts'

/** Makes the bytes visible, if the condition holds, and returns their ETag; empty where the store does not tell it. */
export type Publish = (condition: Condition) => Promise<string>

export interface Commit extends CommitOptions {
  readonly call: Call
}

/** How often somebody outside our state store may be faster. */
const rivals = 3

/**
 * Throws what `decide` throws, `exists` or `precondition` for the condition, `is-directory`, `stale` for a directory
 * that went away, and `unavailable` where it is not known whether the bytes are visible.
 */
export function commit(desk: Desk, path: Path, seen: Seen, publish: Publish, options: Commit): Promise<Entry> {
  return desk.underLeases([path], () => commitNow(desk, path, seen, publish, options))
}

/** As `commit`; the caller holds the lease. */
export async function commitNow(desk: Desk, path: Path, seen: Seen, publish: Publish, options: Commit): Promise<Entry> {
  for (let left = rivals; ; left--) {
    const now = await look(desk, path, options.call)
    if (!now.trail.parentExists && seen.trail.parentExists) throw stale(path)
    options.decide(now.trail)
    requirePlace(desk, now.trail, path)
    requireCondition(options.condition, now.trail, path)
    if (now.trail.entry) requireFile(now.trail, path)
    try {
      return await place(desk, path, now, publish, options)
    } catch (error) {
      if (!isCode(error, 'precondition') || left === 0) throw error
    }
  }
}

async function place(desk: Desk, path: Path, now: Seen, publish: Publish, options: Commit): Promise<Entry> {
  const { call } = options
  const { head } = now
  if (!head) await writeFirst(desk, path, now, call)
  let etag: string
  try {
    etag = await publish(head ? { IfMatch: head.etag } : { IfNoneMatch: '*' })
  } catch (error) {
    // What may have become visible keeps its ACL.
    if (!head && error instanceof StorageError && isRefusal(error)) await removeFirst(desk, path)
    throw error
  }
  const made = await lookAtNew(desk, path, now.parentAcl, call)
  if (!made) throw stale(path)
  if (!needsMore(now, options)) return made.entry
  // Digests are of our bytes: they are not filed under those that somebody else has put there since.
  const isOurs = etag === made.head.etag
  await desk.sidecars.update(path, call.signal, (content) => completed(content, made.head, isOurs, options))
  return (await lookAtNew(desk, path, now.parentAcl, call))?.entry ?? made.entry
}

/** The ACL of a new object, before anybody can see it. */
async function writeFirst(desk: Desk, path: Path, { parentAcl, kept }: Seen, call: Call): Promise<void> {
  const acl = aclForNew(parentAcl, 'file', call.principal)
  await desk.sidecars.write(path, { acl }, kept, call.signal)
}

async function removeFirst(desk: Desk, path: Path): Promise<void> {
  try {
    await desk.sidecars.remove(path, undefined)
  } catch (error) {
    // The next one who makes the object replaces it.
    desk.log('a sidecar without an object could not be removed', error)
  }
}

/** Whether something is to be filed under the new version, or what was filed under the old one must go. */
function needsMore({ head, kept }: Seen, { digests, modified }: CommitOptions): boolean {
  if (modified !== undefined || (digests && Object.keys(digests).length > 0)) return true
  if (!head || !kept || kept.content === 'unreadable') return false
  return kept.content.modified !== undefined || kept.content.digests !== undefined
}

function completed(
  { acl, properties }: Sidecar,
  head: Head,
  isOurs: boolean,
  { digests, modified }: CommitOptions,
): Sidecar {
  const version = versionOf(head)
  return {
    ...(acl && { acl }),
    ...(properties && { properties }),
    ...(isOurs && digests && { digests: { version, values: digests } }),
    ...(isOurs && modified !== undefined && { modified: { version, at: head.modified, time: modified } }),
  }
}
