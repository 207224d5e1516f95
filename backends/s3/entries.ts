/** Entries: what the store and the sidecar tell of an object, in the terms of the gateway. */

import { createHash } from 'node:crypto'
import type { Acl } from '../../acl/acl.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { aclOfNew } from '../../acl/inherit.ts'
import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import { unavailable } from './errors.ts'
import type { Sidecar } from './sidecar.ts'
import type { Kept } from './sidecars.ts'
import { wholeSeconds } from './times.ts'

/** What the store tells of an object. */
export interface Head {
  /** As told, for conditions. */
  readonly etag: string
  readonly size: number
  /** ns since 1970, in whole seconds. */
  readonly modified: bigint
}

/** With the quotes that conditions need and some stores leave out; empty where the store told none. */
export function quoted(etag: string | undefined): string {
  return etag === undefined || etag === '' || etag.includes('"') ? (etag ?? '') : `"${etag}"`
}

/** Throws `unavailable` where the store does not tell what every object has. */
export function makeHead(etag: string | undefined, size: number | undefined, time: Date | undefined): Head {
  if (!etag || size === undefined || !Number.isSafeInteger(size) || size < 0) {
    throw unavailable('the storage does not tell what an object is')
  }
  return { etag: quoted(etag), size, modified: wholeSeconds(time) }
}

/** What is known of a sidecar without reading it. */
export type Written = Pick<Kept, 'changed'> & { readonly content?: Kept['content'] }

/** The content version: equal bytes written twice by one request each are one version, since S3 tells them not apart. */
export function versionOf({ etag, size }: Pick<Head, 'etag' | 'size'>): string {
  const bare = etag.replace(/^(W\/)?"(.*)"$/, '$2')
  const plain = /^[A-Za-z0-9+/=._-]{1,128}$/.test(bare) ? bare : createHash('sha256').update(etag).digest('hex')
  return `${plain}-${size.toString(16)}`
}

export function fileEntry(desk: Desk, path: Path, head: Head, kept: Written | undefined, acl: Acl | undefined): Entry {
  return {
    name: nameOf(path),
    type: 'file',
    size: head.size,
    modified: timeOf(head, contentOf(kept)),
    changed: kept && kept.changed > head.modified ? kept.changed : head.modified,
    version: versionOf(head),
    id: desk.idOf(desk.keys.object(path)),
    ...(acl && { acl }),
  }
}

/**
 * When a sidecar was written, ns since 1970. The store tells whole seconds; what is below them tells the states of one
 * second apart, in no order, for those who change an ACL only if it is still the one they saw.
 */
export function changedAt({ etag, modified }: Pick<Head, 'etag' | 'modified'>): bigint {
  return modified + BigInt(createHash('sha256').update(etag).digest().readUInt32BE() % 999_999_999) + 1n
}

/** A directory has no time but that of its sidecar: 1970 without one. */
export function directoryEntry(desk: Desk, path: Path, kept: Written | undefined, acl: Acl | undefined): Entry {
  const time = kept?.changed ?? 0n
  return {
    name: nameOf(path),
    type: 'directory',
    size: 0,
    modified: time - (time % 1_000_000_000n),
    changed: time,
    version: 'directory',
    id: desk.idOf(desk.keys.directory(path)),
    ...(acl && { acl }),
  }
}

/** The modification time: the one that was set, while the object is still the one it was set for. */
function timeOf(head: Head, content: Sidecar | undefined): bigint {
  const set = content?.modified
  return set && set.version === versionOf(head) && set.at === head.modified ? set.time : head.modified
}

function contentOf(kept: Written | undefined): Sidecar | undefined {
  return kept?.content === 'unreadable' ? undefined : kept?.content
}

/** The ACL of an object: its sidecar's, or what its directory's gives. Undefined where what is kept cannot be read. */
export function aclOf(kept: Kept | undefined, kind: ObjectKind, parent: Acl | undefined): Acl | undefined {
  if (kept?.content === 'unreadable') return undefined
  return kept?.content.acl ?? (parent && inherited(parent, kind))
}

/** The ACL of what others have put into the bucket: as if the directory's owner had made it. */
function inherited(parent: Acl, kind: ObjectKind): Acl {
  const { owner, group } = parent
  return aclOfNew(parent, { kind, owner, group, defaultMode: defaultModes[kind] })
}

/** The ACL of what the caller makes in a directory. Throws `denied` where the directory's is not known. */
export function aclForNew(parent: Acl | undefined, kind: ObjectKind, { user, groups, posix }: Principal): Acl {
  if (!parent) {
    const reason = { rule: 'no-acl', text: 'the ACL of the directory could not be read' }
    throw new StorageError('denied', 'the directory has no ACL', { reason })
  }
  const [first] = groups
  const group = posix ? String(posix.gid) : first
  return aclOfNew(parent, { kind, owner: user, group, defaultMode: defaultModes[kind] })
}

const defaultModes: Readonly<Record<ObjectKind, number>> = { file: 0o600, directory: 0o700 }
