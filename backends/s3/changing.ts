/** ACL, attributes, properties, digests and records: all of them are in the sidecar. */

import { type Acl, maxAces } from '../../acl/acl.ts'
import { withMode } from '../../acl/mode.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Changes, Digest, Digests, Entry, RecordOptions } from '../backend.ts'
import { startDigest } from '../digesting.ts'
import { requireBefore } from '../recording.ts'
import { keptOf, keptWith } from './copying.ts'
import type { Desk } from './desk.ts'
import { versionOf } from './entries.ts'
import { look, type Seen } from './looking.ts'
import { streamOf } from './opening.ts'
import { lookAgain, requireEntry, requireHead, requireWhole, stale, unhurried } from './requiring.ts'
import type { Sidecar } from './sidecar.ts'

/**
 * A mode changes the ACL, as chmod does; none is kept. A modification time is kept for files. There are no access times:
 * setting one changes nothing. Throws `unsupported` for what cannot be kept: times and high mode bits of directories.
 */
export async function changeSeen(desk: Desk, path: Path, seen: Seen, changes: Changes, call: Call): Promise<Entry> {
  const { type } = requireEntry(seen.trail, path)
  if (type === 'directory' && changes.modified !== undefined) {
    throw new StorageError('unsupported', 'directories of this storage have no times', { path })
  }
  if (type === 'directory' && ((changes.mode ?? 0) & 0o7000) !== 0) {
    throw new StorageError('unsupported', 'this storage keeps no set-user-id, set-group-id or sticky bits', { path })
  }
  return changed(desk, path, seen, call, (content, now) => changedBy(content, now, changes, path))
}

/** Owner and group stay. */
export async function setAcl(
  desk: Desk,
  path: Path,
  seen: Seen,
  acl: Acl,
  ifChanged: bigint | undefined,
  call: Call,
): Promise<Entry> {
  requireEntry(seen.trail, path)
  if (acl.aces.length > maxAces) throw new StorageError('too-large', 'the ACL has too many entries', { path })
  return changed(desk, path, seen, call, (content, { trail }) => {
    if (ifChanged !== undefined && trail.entry?.changed !== ifChanged) {
      throw new StorageError('precondition', 'the object has changed', { path })
    }
    const { owner, group } = content.acl ?? trail.entry?.acl ?? { owner: undefined, group: undefined }
    return { ...content, acl: { ...acl, owner, group } }
  })
}

export function propertiesOf(seen: Seen, path: Path): ReadonlyMap<string, string> {
  requireEntry(seen.trail, path)
  const { kept } = seen
  if (kept?.content === 'unreadable') throw unreadable(path)
  return new Map(kept?.content.properties)
}

export async function setProperties(
  desk: Desk,
  path: Path,
  seen: Seen,
  changes: ReadonlyMap<string, string | undefined>,
  call: Call,
): Promise<void> {
  requireEntry(seen.trail, path)
  await changed(desk, path, seen, call, (content) => {
    const properties = new Map(content.properties)
    for (const [name, value] of changes) {
      if (value === undefined) properties.delete(name)
      else properties.set(name, value)
    }
    return { ...content, properties }
  })
}

/** Kept ones of this version, none computed. */
export function digestsOf(seen: Seen, path: Path): Digests {
  requireHead(seen, path)
  return keptOf(seen).digests
}

/** RecordFacet.set */
export async function setRecord(
  desk: Desk,
  path: Path,
  seen: Seen,
  record: string | undefined,
  { version, before }: RecordOptions,
  call: Call,
): Promise<void> {
  if (versionOf(requireHead(seen, path)) !== version) throw stale(path)
  await changed(desk, path, seen, call, (content) => {
    const kept = keptWith(content, version)
    requireBefore(before, kept, path)
    return { ...content, digests: { version, values: kept.digests, ...(record !== undefined && { record }) } }
  })
}

/** What is not kept is computed by reading the file, and kept. */
export async function computeDigests(
  desk: Desk,
  path: Path,
  seen: Seen,
  kinds: readonly Digest[],
  call: Call,
): Promise<Digests> {
  const head = requireHead(seen, path)
  const kept = digestsOf(seen, path)
  const wanted = kinds.filter((kind) => kept[kind] === undefined)
  if (wanted.length === 0) return chosen(kept, kinds)
  await requireWhole(desk, path, seen, call)
  const digestings = wanted.map((kind) => [kind, startDigest(kind)] as const)
  for await (const chunk of streamOf(desk, path, head, { start: 0, end: head.size }, call)) {
    for (const [, digesting] of digestings) digesting.update(chunk as Buffer)
  }
  const computed = Object.fromEntries(digestings.map(([kind, digesting]) => [kind, digesting.digest()]))
  const values: Digests = { ...kept, ...computed }
  const version = versionOf(head)
  await changed(desk, path, seen, call, (content) => {
    const { digests: others, ...rest } = keptWith(content, version)
    return { ...content, digests: { ...rest, version, values: { ...others, ...values } } }
  })
  return chosen(values, kinds)
}

function chosen(values: Digests, kinds: readonly Digest[]): Digests {
  return Object.fromEntries(kinds.flatMap((kind) => (values[kind] ? [[kind, values[kind]]] : [])))
}

/** Changes the sidecar of the object that was seen, under its lease. Throws `stale` if another one is there now. */
async function changed(
  desk: Desk,
  path: Path,
  seen: Seen,
  call: Call,
  change: (content: Sidecar, now: Seen) => Sidecar,
): Promise<Entry> {
  return desk.underLeases([path], async () => {
    const now = await lookAgain(desk, path, seen, call)
    const after = unhurried(call)
    await desk.sidecars.update(path, after.signal, (content) => change(content, now))
    const { trail } = await look(desk, path, after)
    if (!trail.entry) throw stale(path)
    return trail.entry
  })
}

function changedBy(content: Sidecar, { trail, head }: Seen, changes: Changes, path: Path): Sidecar {
  const { modified, mode, owner, group } = changes
  const kind = trail.entry?.type === 'directory' ? 'directory' : 'file'
  let acl = content.acl
  if (mode !== undefined || owner !== undefined || group !== undefined) {
    const before = acl ?? trail.entry?.acl
    if (!before) throw unreadable(path)
    const named = { ...before, owner: owner ?? before.owner, group: group ?? before.group }
    acl = mode === undefined ? named : withMode(named, mode & 0o777, kind)
  }
  const time = modified === 'now' ? BigInt(Date.now()) * 1_000_000n : modified
  return {
    ...content,
    ...(acl && { acl }),
    ...(head && time !== undefined && { modified: { version: versionOf(head), at: head.modified, time } }),
  }
}

function unreadable(path: Path): StorageError {
  const reason = { rule: 'sidecar', text: 'what is kept for the object cannot be read', path }
  return new StorageError('denied', 'not allowed', { path, reason })
}
