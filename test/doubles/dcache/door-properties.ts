/** PROPFIND and PROPPATCH of the door (user guide, WebDAV, "Properties"). */

import { bodyText } from './bodies.ts'
import { checksumKinds } from './content.ts'
import {
  escapeXml,
  multistatus,
  type PropertyName,
  type PropertyResult,
  parseChanges,
  parseFind,
  type ResourceResult,
} from './dav-xml.ts'
import type { DoorCall } from './door.ts'
import { etagOf } from './etag.ts'
import { Failure } from './failure.ts'
import type { Answer } from './serving.ts'
import type { Node } from './tree.ts'
import { digestHeader } from './uploading.ts'

const dcache = 'http://www.dcache.org/2013/webdav'
const srm = 'http://srm.lbl.gov/StorageResourceManager'
const xattr = 'http://www.dcache.org/2020/xattr'
const dav = 'DAV:'

/** The others are dear, so they are given by name only. */
const allProperties = [
  'creationdate',
  'displayname',
  'getcontentlength',
  'getcontenttype',
  'getetag',
  'getlastmodified',
  'resourcetype',
  'iscollection',
]

export async function findProperties(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  const { gate } = site
  const asked = parseFind(await bodyText(ask))
  const names = asked ?? allProperties.map((name) => ({ namespace: dav, name }))
  const node = gate.get(login, path)
  const depth = String(ask.headers.depth ?? 'infinity')
  if (!['0', '1', 'infinity'].includes(depth)) throw new Failure('bad-request', 'bad Depth')
  const found: ResourceResult[] = []
  const add = (at: Node, atPath: string, left: number) => {
    found.push(describe(call, at, atPath, names, asked === undefined))
    if (at.type !== 'directory' || left === 0) return
    gate.demand(login, 'LIST', atPath)
    gate.require(login, 'list', at)
    for (const child of at.children.values()) {
      const childPath = `${atPath === '/' ? '' : atPath}/${child.name}`
      if (gate.permits(login, 'READ_METADATA', childPath)) add(child, childPath, left - 1)
    }
  }
  add(node, path, depth === 'infinity' ? Number.POSITIVE_INFINITY : Number(depth))
  return {
    status: 207,
    reason: 'Multi-Status',
    headers: { 'Content-Type': 'text/xml; charset=UTF-8', DAV: '1, 2' },
    body: multistatus(found),
  }
}

/** Extended attributes only. Releases say 404 of a property that did change. */
export async function changeProperties(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  site.gate.demand(login, 'UPDATE_METADATA', path)
  const node = site.gate.get(login, path)
  site.gate.requireAttributes(login, node)
  const changes = parseChanges(await bodyText(ask))
  const properties = changes.map(({ namespace, name, value }): PropertyResult => {
    if (namespace !== xattr) return { namespace, name, status: 403, xml: '' }
    if (value === undefined) node.xattrs.delete(name)
    else node.xattrs.set(name, value)
    return { namespace, name, status: site.options.vaguePatch ? 404 : 200, xml: '' }
  })
  site.tree.touch(node)
  const body = multistatus([{ href: hrefOf(call, node, path), properties }])
  return { status: 207, reason: 'Multi-Status', headers: { 'Content-Type': 'text/xml; charset=UTF-8' }, body }
}

function describe(
  call: DoorCall,
  node: Node,
  path: string,
  names: readonly PropertyName[],
  isAll: boolean,
): ResourceResult {
  const properties = names.map(({ namespace, name }): PropertyResult => {
    const xml = propertyOf(call, node, namespace, name)
    return { namespace, name, status: xml === undefined ? 404 : 200, xml: xml ?? '' }
  })
  // Only what was asked for by name can be missing.
  const shown = isAll ? properties.filter(({ status }) => status === 200) : properties
  return { href: hrefOf(call, node, path), properties: shown }
}

/** In the user's terms: below the user's root. */
function hrefOf({ login }: DoorCall, node: Node, path: string): string {
  const own = login.root === '/' ? path : path.slice(login.root.length) || '/'
  const encoded = own.split('/').map(encodeURIComponent).join('/')
  return node.type === 'directory' && !encoded.endsWith('/') ? `${encoded}/` : encoded
}

function propertyOf(call: DoorCall, node: Node, namespace: string, name: string): string | undefined {
  if (namespace === dav) return davValue(node, name)
  if (namespace === xattr) {
    const value = node.xattrs.get(name)
    return value === undefined ? undefined : escapeXml(value)
  }
  if (node.type === 'directory') return undefined
  if (namespace === dcache && name === 'Checksums') return digestHeader(node.checksums, checksumKinds) || undefined
  if (namespace !== srm) return undefined
  if (name === 'AccessLatency') return node.latency
  if (name === 'RetentionPolicy') return node.retention
  return name === 'FileLocality' ? call.site.tape.locality(node) : undefined
}

function davValue(node: Node, name: string): string | undefined {
  switch (name) {
    case 'creationdate':
      return new Date(node.created).toISOString().replace(/\.\d+/, '')
    case 'displayname':
      return escapeXml(node.name)
    case 'getcontentlength':
      return node.type === 'file' ? `${node.content?.size ?? 0}` : undefined
    case 'getcontenttype':
      return node.type === 'file' ? 'application/octet-stream' : 'text/html; charset=utf-8'
    case 'getetag':
      return escapeXml(etagOf(node))
    case 'getlastmodified':
      return new Date(node.modified).toUTCString()
    case 'resourcetype':
      return node.type === 'directory' ? '<d:collection/>' : ''
    case 'iscollection':
      return node.type === 'directory' ? 'TRUE' : 'FALSE'
    default:
      return undefined
  }
}
