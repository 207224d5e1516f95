/** PUT, DELETE, MKCOL, MOVE and COPY of the door. */

import type { DoorCall } from './door.ts'
import { Failure } from './failure.ts'
import type { Answer } from './serving.ts'
import { thirdPartyCopy } from './third-party.ts'
import { type DirectoryNode, type FileNode, type Node, namesOf } from './tree.ts'
import { digestHeader, receive, type Upload, wantedKinds } from './uploading.ts'

/** With "Expect: 100-continue" a 307 to a pool; the bytes of all others are relayed. */
export async function put(call: DoorCall): Promise<Answer> {
  const { site, ask, path } = call
  if (ask.headers['content-range'] !== undefined) throw new Failure('bad-request', 'Content-Range is not supported')
  const length = ask.headers['content-length']
  const size = length === undefined ? undefined : Number(length)
  site.quotas.demand(call.login, size ?? 0)
  const file = beginFile(call, size)
  const xattrs = [...ask.url.searchParams].filter(([name]) => name.startsWith('xattr.'))
  for (const [name, value] of xattrs) file.xattrs.set(name.slice('xattr.'.length), value)
  const upload: Upload = {
    file,
    kinds: wantedKinds(ask.headers['want-digest']),
    md5: ask.headers['content-md5'] === undefined ? undefined : String(ask.headers['content-md5']),
    length: size,
    maxSize: call.login.maxUpload,
  }
  if (ask.expects && site.options.redirectWrites !== false) {
    const own = new URL(ask.url.pathname, call.base).href
    return { status: 307, headers: { Location: site.pools.offerWrite(path, upload, own).href } }
  }
  await receive(site, upload, ask.body())
  const digest = digestHeader(file.checksums, upload.kinds)
  return { status: 201, ...(digest === '' ? {} : { headers: { Digest: digest } }) }
}

/** The new name in the namespace, after what was there is gone: overwriting is never in place. */
export function beginFile(call: DoorCall, size: number | undefined): FileNode {
  const { site, login, path } = call
  const { gate, tree } = site
  gate.demand(login, 'UPLOAD', path)
  if ((size ?? 0) > login.maxUpload) throw new Failure('denied', 'Upload too large')
  const existing = gate.look(login, path)
  if (existing?.type === 'directory') throw new Failure('conflict', 'Target is a directory')
  if (existing) {
    if (site.options.overwrite === false) throw new Failure('forbidden', 'File exists')
    gate.demand(login, 'DELETE', path)
    gate.requireDelete(login, existing)
  }
  const { parent, name } = makeParents(call)
  gate.require(login, 'addFile', parent)
  if (existing) tree.remove(existing)
  return tree.makeFile(parent, name, ownership(call, parent))
}

/** Milton, the library below the door, makes directories that a PUT lacks. */
function makeParents(call: DoorCall): { readonly parent: DirectoryNode; readonly name: string } {
  const { site, login, path } = call
  const names = namesOf(path)
  const name = names.pop() ?? ''
  let at: DirectoryNode = site.tree.root
  for (const part of names) {
    site.gate.require(login, 'lookup', at)
    const next: Node | undefined = at.children.get(part)
    if (next?.type === 'file') throw new Failure('conflict', 'Parent is not a directory')
    if (!next) {
      site.gate.demand(login, 'MANAGE', path)
      site.gate.require(login, 'addDirectory', at)
    }
    at = next ?? site.tree.makeDirectory(at, part, ownership(call, at))
  }
  return { parent: at, name }
}

export async function remove({ site, login, path }: DoorCall): Promise<Answer> {
  site.gate.demand(login, 'DELETE', path)
  removeAll({ site, login }, site.gate.get(login, path), path)
  return { status: 204 }
}

/**
 * Milton (DeleteHelperImpl) goes through a collection and deletes what it finds before the collection itself, unless
 * the resource says that it can do so: then dCache refuses a directory that is not empty.
 */
function removeAll({ site, login }: Pick<DoorCall, 'site' | 'login'>, node: Node, path: string): void {
  const { gate, tree } = site
  if (node.type === 'directory' && !site.options.keepsFullDirectories) {
    if (node.children.size > 0) gate.require(login, 'list', node)
    for (const child of [...node.children.values()]) removeAll({ site, login }, child, `${path}/${child.name}`)
  }
  gate.demand(login, 'DELETE', path)
  gate.requireDelete(login, node)
  tree.remove(node)
}

export async function makeDirectory(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  site.gate.demand(login, 'MANAGE', path)
  if (Number(ask.headers['content-length'] ?? 0) > 0) return { status: 415 }
  const { parent, name } = site.gate.parent(login, path)
  if (parent.children.has(name)) throw new Failure('exists', 'Method Not Allowed')
  site.gate.require(login, 'addDirectory', parent)
  site.tree.makeDirectory(parent, name, ownership(call, parent))
  return { status: 201 }
}

/** What is at the destination goes first, with "Overwrite: T" only: Milton takes no header for F. */
export async function move(call: DoorCall): Promise<Answer> {
  const { site, login, path } = call
  const { gate, tree } = site
  const target = destination(call)
  gate.demand(login, 'MANAGE', path)
  gate.demand(login, 'MANAGE', target)
  const node = gate.get(login, path)
  const { parent, name } = gate.parent(login, target)
  gate.requireDelete(login, node)
  gate.require(login, 'addFile', parent)
  const existing = replaceable(call, target)
  if (existing === node) throw new Failure('forbidden', 'Source and destination are the same')
  if (existing) removeAll(call, existing, target)
  tree.move(node, parent, name)
  return { status: existing ? 204 : 201 }
}

/** A copy inside dCache, or with a remote server if the headers name one. */
export async function copy(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  const { gate, tree } = site
  const { source, destination: to } = ask.headers
  if ((source === undefined) === (to === undefined)) throw new Failure('bad-request', 'Source or Destination needed')
  if (source !== undefined || isRemote(call, String(to))) return await thirdPartyCopy(call)
  const target = destination(call)
  gate.demand(login, 'DOWNLOAD', path)
  gate.demand(login, 'UPLOAD', target)
  const node = gate.get(login, path)
  if (node.type !== 'file' || !node.content) throw new Failure('bad-request', 'Not a file')
  gate.require(login, 'read', node)
  const { parent, name } = gate.parent(login, target)
  gate.require(login, 'addFile', parent)
  await site.tape.fetch(node)
  const existing = replaceable(call, target)
  if (existing) removeAll(call, existing, target)
  const file = tree.makeFile(parent, name, ownership(call, parent))
  const { content } = node
  await receive(
    site,
    { file, kinds: [], md5: undefined, length: content.size, maxSize: login.maxUpload },
    content.read(0, content.size),
  )
  return { status: existing ? 204 : 201 }
}

/** What is in the way of a MOVE or COPY, after the caller was found to have the right to remove it. */
function replaceable({ site, ask, login }: DoorCall, target: string): Node | undefined {
  const existing = site.gate.look(login, target)
  if (!existing) return undefined
  if (ask.headers.overwrite !== 'T') throw new Failure('precondition', 'Destination exists')
  site.gate.demand(login, 'DELETE', target)
  site.gate.requireDelete(login, existing)
  return existing
}

function destination({ site, ask, login, base }: DoorCall): string {
  const header = String(ask.headers.destination ?? '')
  const url = URL.canParse(header, base.href) ? new URL(header, base) : undefined
  if (!url || header === '') throw new Failure('bad-request', 'bad Destination')
  if (url.host !== base.host) throw new Failure('bad-request', 'Destination is on another host')
  return site.gate.resolve(login, decodeURIComponent(url.pathname))
}

function isRemote({ base }: DoorCall, to: string): boolean {
  return URL.canParse(to) && new URL(to).host !== base.host
}

/** Set-gid directories pass their group on. */
function ownership({ login }: DoorCall, parent: DirectoryNode): { readonly owner: number; readonly group: number } {
  const group = (parent.mode & 0o2000) !== 0 ? parent.group : (login.gids[0] ?? 0)
  return { owner: login.uid ?? 0, group }
}
