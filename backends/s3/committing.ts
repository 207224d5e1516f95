/**
 * The step that makes bytes visible: under the lease of the path, after a fresh look, with a condition of the store's
 * own where it honours one. A new object has its sidecar before it is seen; a replaced one keeps its.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Entry, Kept } from '../backend.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { aclForNew, type Head, versionOf } from './entries.ts'
import { isRefusal } from './errors.ts'
import { withSidecar } from './journal.ts'
import { look, lookAtNew, type Seen, surely } from './looking.ts'
import { deleteKey } from './removing.ts'
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
    const now = await look(desk, path, options.call, surely)
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
  if (now.head) return placed(desk, path, now, undefined, publish, options)
  // Without its object the sidecar would be that of whatever gets the name.
  return withSidecar(desk, path, async () => {
    const first = await writeFirst(desk, path, now, options.call)
    return placed(desk, path, now, first, publish, options)
  })
}

async function placed(
  desk: Desk,
  path: Path,
  now: Seen,
  first: First | undefined,
  publish: Publish,
  options: Commit,
): Promise<Entry> {
  const { call } = options
  const { head } = now
  let etag: string
  try {
    etag = await publish(head ? { IfMatch: head.etag } : { IfNoneMatch: '*' })
  } catch (error) {
    // What may have become visible keeps its ACL.
    if (first && error instanceof StorageError && isRefusal(error)) await takeBack(desk, path, first, now)
    throw error
  }
  const [made] = await Promise.all([
    lookAtNew(desk, path, now.parentAcl, call),
    first && requireWay(desk, path, now, first, call),
  ])
  if (!made) throw stale(path)
  const isOurs = etag === made.head.etag
  // Another gateway, of another state store, wanted to make the same object and came too late.
  const isReplaced = first !== undefined && isOurs && made.kept?.etag !== first.etag
  if (!isReplaced && !needsMore(now, options)) return made.entry
  await desk.sidecars.update(path, call.signal, (content) =>
    completed(isReplaced ? first.content : content, made.head, isOurs, options),
  )
  return (await lookAtNew(desk, path, now.parentAcl, call))?.entry ?? made.entry
}

/** The sidecar of a new object, as it was written before anybody could see the object. */
interface First {
  readonly etag: string
  readonly content: Sidecar
}

async function writeFirst(desk: Desk, path: Path, { parentAcl, kept }: Seen, call: Call): Promise<First> {
  const content = { acl: aclForNew(parentAcl, 'file', call.principal) }
  return { etag: await desk.sidecars.write(path, content, kept, call.signal), content }
}

/**
 * Somebody may have removed the directory after the look. It would be there again with our file, but without the ACL that
 * it had, so that the file goes. A directory is emptied of its sidecar before it is looked into for the last time.
 */
async function requireWay(desk: Desk, path: Path, { above }: Seen, { etag }: First, call: Call): Promise<void> {
  const gone = await Promise.all(
    above.map(async ([level, kept]) => kept !== undefined && !(await desk.sidecars.read(level, call.signal))),
  )
  if (!gone.includes(true)) return
  await deleteKey(desk, desk.keys.object(path), path, call)
  await desk.sidecars.takeBack(path, etag)
  throw stale(path)
}

/** What was there before is there again: it may be that of one who was faster to make the object. */
async function takeBack(desk: Desk, path: Path, { etag }: First, { kept }: Seen): Promise<void> {
  const before = kept?.content
  if (before === undefined || before === 'unreadable') await desk.sidecars.takeBack(path, etag)
  else if ((await desk.sidecars.read(path, undefined))?.etag === etag) {
    await desk.sidecars.update(path, undefined, () => before)
  }
}

/** Whether something is to be filed under the new version, or what was filed under the old one must go. */
function needsMore({ head, kept }: Seen, { digests, record, modified }: CommitOptions): boolean {
  if (modified !== undefined || record !== undefined || (digests && Object.keys(digests).length > 0)) return true
  if (!head || !kept || kept.content === 'unreadable') return false
  const { modified: time, digests: sums, moving } = kept.content
  return time !== undefined || sums !== undefined || moving !== undefined
}

/** What is kept with the bytes of this version, as a sidecar has it. */
export function keptAs(version: string, { digests: values, record }: Kept): Pick<Sidecar, 'digests'> {
  if (record === undefined && Object.keys(values).length === 0) return {}
  return { digests: { version, values, ...(record !== undefined && { record }) } }
}

/** Digests, record and time are of our bytes: they are not filed under those that somebody else has put there since. */
function completed(
  { acl, properties }: Sidecar,
  head: Head,
  isOurs: boolean,
  { digests = {}, record, modified }: CommitOptions,
): Sidecar {
  const version = versionOf(head)
  return {
    ...(acl && { acl }),
    ...(properties && { properties }),
    ...(isOurs && keptAs(version, { digests, ...(record !== undefined && { record }) })),
    ...(isOurs && modified !== undefined && { modified: { version, at: head.modified, time: modified } }),
  }
}
