/** An object as JSON of the frontend (user guide, Frontend, "namespace"; class JsonFileAttributes). */

import type { DcacheAce, DcacheWho } from './acl-text.ts'
import type { ChecksumKind } from './content.ts'
import type { Site } from './site.ts'
import type { Node } from './tree.ts'

/** What was asked for by flags of the query. */
export interface Facets {
  readonly locality: boolean
  readonly locations: boolean
  readonly qos: boolean
  readonly xattr: boolean
  readonly labels: boolean
  readonly checksum: boolean
  readonly optional: boolean
}

/** Constants of class ChecksumType. */
const checksumTypes: Readonly<Record<ChecksumKind, string>> = {
  adler32: 'ADLER32',
  md5: 'MD5_TYPE',
  sha: 'SHA1',
  'sha-256': 'SHA256',
  'sha-512': 'SHA512',
}

export function describeNode(site: Site, node: Node, facets: Facets): Record<string, unknown> {
  const isFile = node.type === 'file'
  return {
    fileMimeType: isFile ? 'application/octet-stream' : 'application/vnd.dcache.folder',
    fileType: isFile ? 'REGULAR' : 'DIR',
    pnfsId: node.pnfsId,
    mode: node.mode,
    nlink: isFile ? 1 : 2 + [...node.children.values()].filter(({ type }) => type === 'directory').length,
    mtime: node.modified,
    creationTime: node.created,
    ...(isFile ? (node.content ? { size: node.content.size } : {}) : { size: 512 }),
    ...(facets.locality && isFile ? { fileLocality: site.tape.locality(node) } : {}),
    ...(facets.locations && isFile ? { locations: node.pool === undefined ? [] : [node.pool] } : {}),
    ...(facets.xattr ? { extendedAttributes: Object.fromEntries(node.xattrs) } : {}),
    ...(facets.labels ? { labels: [...node.labels] } : {}),
    ...(facets.checksum && isFile ? { checksums: checksums(node.checksums) } : {}),
    ...(facets.qos ? qos(site, node) : {}),
    ...(facets.optional ? optional(node) : {}),
  }
}

function checksums(sums: ReadonlyMap<ChecksumKind, Buffer>): unknown[] {
  return [...sums].map(([kind, sum]) => ({ type: checksumTypes[kind], value: sum.toString('hex') }))
}

function optional(node: Node): Record<string, unknown> {
  return {
    owner: node.owner,
    group: node.group,
    ctime: node.changed,
    atime: node.accessed,
    acl: aclOf(node),
    ...(node.type === 'file' ? { accessLatency: node.latency, retentionPolicy: node.retention } : {}),
    storageClass: 'test:default',
  }
}

const whoNames: Readonly<Record<DcacheWho, string>> = {
  USER: 'USER',
  GROUP: 'GROUP',
  'OWNER@': 'OWNER',
  'GROUP@': 'OWNER_GROUP',
  'EVERYONE@': 'EVERYONE',
  'ANONYMOUS@': 'ANONYMOUS',
  'AUTHENTICATED@': 'AUTHENTICATED',
}

/** Classes ACL and ACE as their getters show them. An object without an ACL has an empty one. */
function aclOf({ acl = [], type }: Node): unknown {
  const list = acl.map((ace) => ({
    type: ace.allow ? 'ACCESS_ALLOWED_ACE_TYPE' : 'ACCESS_DENIED_ACE_TYPE',
    flags: flagBits(ace),
    accessMsk: ace.mask,
    who: whoNames[ace.who],
    whoID: ace.id ?? -1,
  }))
  return { list, rsType: type === 'directory' ? 'DIR' : 'FILE', empty: list.length === 0 }
}

/** Bits of RFC 8881, section 6.2.1.4. Entries of groups are marked as such. */
function flagBits({ who, flags }: DcacheAce): number {
  const isGroup = who === 'GROUP' || who === 'GROUP@' || flags.includes('g')
  return (
    (flags.includes('f') ? 1 : 0) | (flags.includes('d') ? 2 : 0) | (flags.includes('o') ? 8 : 0) | (isGroup ? 0x40 : 0)
  )
}

function qos(site: Site, node: Node): Record<string, unknown> {
  if (node.type === 'directory') return { currentQos: 'disk' }
  const locality = site.tape.locality(node)
  if (locality === 'ONLINE') return { currentQos: 'disk' }
  if (locality === 'NEARLINE') return { currentQos: 'tape' }
  if (locality === 'ONLINE_AND_NEARLINE') return { currentQos: site.tape.isPinned(node) ? 'disk+tape' : 'tape' }
  return { currentQos: locality === 'NONE' ? 'disk' : 'UNAVAILABLE' }
}
