/**
 * NFSv4 rights and ACLs in the words of RFC 3744. It has fewer words, so every right is also told by its own name in
 * our namespace, and every entry as nfs4_acl(5) writes it. All of it is for reading: ACLs are changed by the API.
 */

import { type Ace, type Acl, aceFlag, type Rights, right } from '../../acl/acl.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { rightsNames } from '../../acl/rights-names.ts'
import { whoName } from '../../acl/who.ts'
import { escapeXml } from './xml.ts'

/** A standard privilege is held where all its rights are; each of them alone is too little to be called so. */
const standard: Readonly<Record<ObjectKind, ReadonlyArray<readonly [string, Rights]>>> = {
  file: [
    ['read', right.readData],
    ['write', right.writeData | right.appendData | right.writeAttributes],
    ['write-content', right.writeData | right.appendData],
    ['write-properties', right.writeAttributes],
    ['read-acl', right.readAcl],
    ['write-acl', right.writeAcl],
  ],
  directory: [
    ['read', right.listDirectory],
    ['write', right.addFile | right.addSubdirectory | right.deleteChild | right.writeAttributes],
    ['write-properties', right.writeAttributes],
    ['bind', right.addFile | right.addSubdirectory],
    ['unbind', right.deleteChild],
    ['read-acl', right.readAcl],
    ['write-acl', right.writeAcl],
  ],
}

const always = privilege('<D:read-current-user-privilege-set/>')
const known: Readonly<Record<ObjectKind, Map<Rights, string>>> = { file: new Map(), directory: new Map() }

/** Of members nothing is changed by who may not pass through their directory. */
const throughDirectory: ReadonlySet<string> = new Set(['write', 'bind', 'unbind'])

/** The content of current-user-privilege-set. */
export function privilegeSet(rights: Rights, kind: ObjectKind): string {
  let text = known[kind].get(rights)
  if (text === undefined) {
    const isClosed = kind === 'directory' && (rights & right.traverse) === 0
    text = always + privilegesOf(rights, kind, isClosed ? throughDirectory : none)
    if (known[kind].size > 1024) known[kind].clear()
    known[kind].set(rights, text)
  }
  return text
}

const none: ReadonlySet<string> = new Set()

function privilegesOf(rights: Rights, kind: ObjectKind, without = none): string {
  let text = ''
  for (const [name, mask] of standard[kind]) {
    if ((rights & mask) === mask && !without.has(name)) text += privilege(`<D:${name}/>`)
  }
  for (const name of rightsNames(rights & ~inBoth, kind)) if (isWord(name)) text += privilege(ownElement(name))
  return text
}

/** RFC 3744 has the same words for these. */
const inBoth = right.readAcl | right.writeAcl

/** Bits without a name are given as a number, which no element can be called. */
function isWord(name: string): boolean {
  return !name.startsWith('0x')
}

function privilege(element: string): string {
  return `<D:privilege>${element}</D:privilege>`
}

/** ADD_FILE is p:add-file. */
function ownElement(name: string): string {
  return `<p:${name.toLowerCase().replaceAll('_', '-')}/>`
}

/** The content of supported-privilege-set (RFC 3744, section 5.3). */
export function supportedPrivileges(kind: ObjectKind): string {
  const one = (element: string, inner = '', abstract = false) =>
    `<D:supported-privilege>${privilege(element)}${abstract ? '<D:abstract/>' : ''}${inner}</D:supported-privilege>`
  const own = (rights: Rights) =>
    rightsNames(rights, kind)
      .map((name) => one(ownElement(name)))
      .join('')
  const others = right.readNamedAttributes | right.readAttributes | right.execute
  const writes = one('<D:write-properties/>', own(right.writeAttributes | right.writeNamedAttributes))
  const changes =
    kind === 'file'
      ? one('<D:write-content/>', own(right.writeData | right.appendData))
      : one('<D:bind/>', own(right.addFile | right.addSubdirectory)) + one('<D:unbind/>', own(right.deleteChild))
  const parts = [
    one('<D:read/>', own(right.readData | others) + one('<D:read-current-user-privilege-set/>')),
    one('<D:write/>', changes + writes),
    one('<D:read-acl/>'),
    one('<D:write-acl/>'),
    own(right.delete | right.writeOwner | right.synchronize | right.writeRetention | right.writeRetentionHold),
  ]
  return one('<D:all/>', parts.join(''), true)
}

/** The content of DAV:acl: entries that allow or deny something here, in their order, which counts. */
export function aclContent(acl: Acl, kind: ObjectKind): string {
  return acl.aces
    .filter(({ type, flags }) => (type === 'allow' || type === 'deny') && (flags & aceFlag.inheritOnly) === 0)
    .map((ace) => aceElement(ace, kind))
    .join('')
}

/** The whole list, one entry a line as nfs4_getfacl(1) prints it. */
export function aclText(acl: Acl): string {
  return escapeXml(acl.aces.map(formatEntry).join('\n'))
}

function aceElement(ace: Ace, kind: ObjectKind): string {
  const privileges = privilegesOf(ace.mask, kind)
  const verdict = ace.type === 'allow' ? `<D:grant>${privileges}</D:grant>` : `<D:deny>${privileges}</D:deny>`
  const inherited = (ace.flags & aceFlag.inherited) === 0 ? '' : '<p:inherited/>'
  const entry = `<p:nfs4-ace>${escapeXml(formatEntry(ace))}</p:nfs4-ace>`
  return `<D:ace><D:principal>${principalOf(ace)}</D:principal>${verdict}<D:protected/>${inherited}${entry}</D:ace>`
}

function principalOf({ who }: Ace): string {
  switch (who) {
    case 'OWNER@':
      return '<D:property><D:owner/></D:property>'
    case 'GROUP@':
      return '<D:property><D:group/></D:property>'
    case 'EVERYONE@':
      return '<D:all/>'
    case 'ANONYMOUS@':
      return '<D:unauthenticated/>'
    case 'AUTHENTICATED@':
      return '<D:authenticated/>'
    default:
      return principalHref('group' in who ? 'groups' : 'users', whoName(who))
  }
}

/** Where principals are named; nothing is served there. */
export const principals = '/.portolan/principals/'

/** An href that names a user or a group. */
export function principalHref(kind: 'users' | 'groups', name: string): string {
  return `<D:href>${principals}${kind}/${encodeURIComponent(name.toWellFormed()).replaceAll("'", '%27')}</D:href>`
}
