/** Live properties: RFC 4918, 4331 and 3744, and those that clients of grids, ownCloud and Windows ask for. */

import { type Acl, type Rights, right } from '../../acl/acl.ts'
import type { Digest, Digests, Entry, Locality, Usage } from '../../backends/backend.ts'
import type { LockView } from '../core/locking.ts'
import type { Path } from '../core/path.ts'
import { kindOf } from '../http/content-type.ts'
import { isoDate, lastModified, secondsOf } from '../http/dates.ts'
import { digestText } from '../http/digests.ts'
import { lockDiscovery, supportedLock } from './lock-elements.ts'
import { apache, dcache, keyOf, lcgdm, microsoft, own, owncloud, prefixes, srm } from './names.ts'
import { aclContent, aclText, principalHref, principals, privilegeSet, supportedPrivileges } from './privileges.ts'
import { dav, escapeXml, type XmlName } from './xml.ts'

/** Digests that properties tell of. */
export const toldDigests: readonly Digest[] = ['adler32', 'md5', 'sha-256', 'sha-512', 'crc32c']

/** What is asked beyond the entry itself, only where a property wants it. */
export type Extra = 'rights' | 'acl' | 'digests' | 'usage' | 'locality' | 'locks'

/** One resource, with what was asked. What the caller may not know is not there. */
export interface Subject {
  readonly entry: Entry
  readonly path: Path
  /** Who asks: an NFSv4 name; undefined for nobody in particular. */
  readonly user: string | undefined
  readonly rights?: Rights | 'unknown' | undefined
  readonly acl?: Acl | undefined
  readonly digests?: Digests | undefined
  readonly usage?: Usage | undefined
  readonly locality?: Locality | undefined
  /** Absent where there are no locks at all. */
  readonly locks?: readonly LockView[] | undefined
}

export interface LiveProperty extends XmlName {
  /** Allprop tells it. */
  readonly common: boolean
  readonly extra: Extra | undefined
  /** A dead property of this name takes its place. */
  readonly overridable: boolean
  /** XML of the content; undefined where the resource has no such property, or the caller may not know it. */
  value(subject: Subject): string | undefined
  /** Ready to be sent: empty, and around content. */
  readonly empty: string
  readonly open: string
  readonly close: string
}

interface Definition {
  readonly common?: boolean
  readonly extra?: Extra
  readonly overridable?: boolean
  /** Told even where the attributes are closed to the caller: it shows name and type only. */
  readonly always?: true
  value(subject: Subject): string | undefined
}

const isDirectory = ({ entry }: Subject) => entry.type === 'directory'
const aclKind = (subject: Subject) => (isDirectory(subject) ? 'directory' : 'file')
const href = (kind: 'users' | 'groups', name: string | undefined) =>
  name === undefined ? undefined : principalHref(kind, name)
const held = ({ rights }: Subject, mask: Rights) => typeof rights === 'number' && (rights & mask) === mask

const webdavProperties: Readonly<Record<string, Definition>> = {
  // No storage of ours tells when a file was made; it was not after these two.
  creationdate: { common: true, value: ({ entry }) => creationDate(entry) },
  displayname: {
    common: true,
    always: true,
    overridable: true,
    value: ({ entry }) => escapeXml(entry.name === '' ? '/' : entry.name),
  },
  getcontentlength: { common: true, value: ({ entry }) => (entry.type === 'file' ? String(entry.size) : undefined) },
  getcontenttype: {
    common: true,
    always: true,
    value: (subject) => (isDirectory(subject) ? 'httpd/unix-directory' : kindOf(subject.entry.name).type),
  },
  getetag: {
    common: true,
    value: ({ entry }) => (entry.type === 'file' ? etag(entry.version) : undefined),
  },
  getlastmodified: { common: true, value: ({ entry }) => lastModified(entry.modified) },
  resourcetype: { common: true, always: true, value: (subject) => (isDirectory(subject) ? '<D:collection/>' : '') },
  supportedlock: { common: true, extra: 'locks', always: true, value: ({ locks }) => (locks ? supportedLock : '') },
  lockdiscovery: { common: true, extra: 'locks', value: ({ locks }) => locks && lockDiscovery(locks) },
  'quota-available-bytes': {
    extra: 'usage',
    value: ({ usage }) => (usage?.available === undefined ? undefined : String(usage.available)),
  },
  'quota-used-bytes': { extra: 'usage', value: ({ usage }) => (usage ? String(usage.used) : undefined) },
  owner: { extra: 'acl', value: ({ entry, acl = entry.acl }) => href('users', acl?.owner) },
  group: { extra: 'acl', value: ({ entry, acl = entry.acl }) => href('groups', acl?.group) },
  'current-user-principal': {
    always: true,
    value: ({ user }) => href('users', user) ?? '<D:unauthenticated/>',
  },
  'principal-collection-set': { always: true, value: () => `<D:href>${principals}</D:href>` },
  'supported-privilege-set': { always: true, value: (subject) => supportedPrivileges(aclKind(subject)) },
  'current-user-privilege-set': {
    extra: 'rights',
    value: (subject) =>
      typeof subject.rights === 'number' ? privilegeSet(subject.rights, aclKind(subject)) : undefined,
  },
  acl: { extra: 'acl', value: (subject) => subject.acl && aclContent(subject.acl, aclKind(subject)) },
  'acl-restrictions': { always: true, value: () => '' },
  'inherited-acl-set': { always: true, value: () => '' },
}

const others: ReadonlyArray<readonly [string, string, Definition]> = [
  [own, 'nfs4-acl', { extra: 'acl', value: ({ acl }) => acl && aclText(acl) }],
  [apache, 'executable', { value: ({ entry }) => executable(entry) }],
  [owncloud, 'id', { value: ({ entry }) => escapeXml(entry.id) }],
  [owncloud, 'fileid', { value: ({ entry }) => escapeXml(entry.id) }],
  [owncloud, 'size', { value: ({ entry }) => (entry.type === 'file' ? String(entry.size) : undefined) }],
  [owncloud, 'permissions', { extra: 'rights', value: permissions }],
  [
    owncloud,
    'checksums',
    { extra: 'digests', value: ({ digests }) => wrapped('oc:checksum', digests && digestText(digests, 'oc')) },
  ],
  [
    dcache,
    'Checksums',
    { extra: 'digests', value: ({ digests }) => digests && (digestText(digests, 'rfc3230') || undefined) },
  ],
  [srm, 'FileLocality', { extra: 'locality', value: ({ locality }) => locality && localities[locality] }],
  [lcgdm, 'mode', { value: ({ entry }) => modeOf(entry) }],
  [lcgdm, 'owner', { extra: 'acl', value: ({ entry, acl = entry.acl }) => acl?.owner && escapeXml(acl.owner) }],
  [lcgdm, 'group', { extra: 'acl', value: ({ entry, acl = entry.acl }) => acl?.group && escapeXml(acl.group) }],
  [microsoft, 'Win32LastModifiedTime', { value: ({ entry }) => lastModified(entry.modified) }],
]

/** All of them, by `keyOf`. */
export const live: ReadonlyMap<string, LiveProperty> = new Map(
  [...Object.entries(webdavProperties).map(([local, definition]) => [dav, local, definition] as const), ...others].map(
    ([uri, local, definition]) => [keyOf({ uri, local }), property({ uri, local }, definition)],
  ),
)

/** One that another room adds, such as that of locks. */
export function property(
  name: XmlName,
  { common = false, extra, overridable = false, always, value }: Definition,
): LiveProperty {
  const tag = `${prefixes[name.uri] ?? 'D'}:${name.local}`
  return {
    ...name,
    common,
    extra,
    overridable,
    value: (subject) => (always || subject.entry.version !== '' ? value(subject) : undefined),
    empty: `<${tag}/>`,
    open: `<${tag}>`,
    close: `</${tag}>`,
  }
}

/** In the words of the Storage Resource Manager, as dCache tells it. */
const localities: Readonly<Record<Locality, string>> = {
  disk: 'ONLINE',
  tape: 'NEARLINE',
  'disk-and-tape': 'ONLINE_AND_NEARLINE',
  unavailable: 'UNAVAILABLE',
  lost: 'LOST',
  none: 'NONE',
}

let lastSecond = Number.NaN
let lastDate = ''

/** In whole seconds; neighbours in a directory often share one. */
function creationDate({ modified, changed }: Entry): string {
  const time = modified < changed ? modified : changed
  const second = secondsOf(time)
  if (second !== lastSecond) {
    lastSecond = second
    lastDate = `${isoDate(time).slice(0, -5)}Z`
  }
  return lastDate
}

/** What `etagOf` says, in XML. */
function etag(version: string): string {
  return `&quot;${escapeXml(version)}&quot;`
}

/** Undefined for what cannot be run, and where there are no mode bits. */
function executable({ type, mode }: Entry): string | undefined {
  if (type !== 'file' || mode === undefined) return undefined
  return (mode & 0o111) === 0 ? 'F' : 'T'
}

const typeBits = { file: 0o100000, directory: 0o040000, symlink: 0o120000, other: 0 } as const

/** st_mode in octal, as grid storage tells it and davix reads it. */
function modeOf({ type, mode }: Entry): string | undefined {
  return mode === undefined ? undefined : (mode | typeBits[type]).toString(8)
}

/** The letters of ownCloud: G read, D delete, N rename, V move, W write, C make files, K make directories. */
function permissions(subject: Subject): string | undefined {
  if (typeof subject.rights !== 'number') return undefined
  const letters = [
    held(subject, right.readData) ? 'G' : '',
    held(subject, right.delete) ? 'DNV' : '',
    !isDirectory(subject) && held(subject, right.writeData) ? 'W' : '',
    isDirectory(subject) && held(subject, right.addFile) ? 'C' : '',
    isDirectory(subject) && held(subject, right.addSubdirectory) ? 'K' : '',
  ]
  return letters.join('')
}

function wrapped(tag: string, text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : `<${tag}>${text}</${tag}>`
}
