/** GET, HEAD and OPTIONS of the door. */

import type { DoorCall } from './door.ts'
import { etagOf } from './etag.ts'
import { Failure } from './failure.ts'
import { ranged } from './pools.ts'
import type { Answer } from './serving.ts'
import type { DirectoryNode, FileNode } from './tree.ts'
import { digestHeader, wantedKinds } from './uploading.ts'

export async function options(): Promise<Answer> {
  const allow = 'GET, HEAD, OPTIONS, PUT, DELETE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK'
  return { status: 200, headers: { DAV: '1, 2', Allow: allow, 'MS-Author-Via': 'DAV' } }
}

/** GET is redirected to a pool by a 307, or relayed where that is switched off. HEAD never leaves the door. */
export async function read(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  if (ask.method === 'GET') {
    const node = site.gate.get(login, path)
    site.gate.demand(login, node.type === 'directory' ? 'LIST' : 'DOWNLOAD', path)
    return node.type === 'directory' ? listing(call, node) : await readFile(call, node)
  }
  const node = site.gate.get(login, path)
  if (node.type === 'directory') return { status: 200, headers: { 'Content-Type': 'text/html; charset=utf-8' } }
  return { status: 200, headers: { ...headersOf(call, node), 'Content-Length': `${node.content?.size ?? 0}` } }
}

async function readFile(call: DoorCall, file: FileNode): Promise<Answer> {
  const { site, ask, login, path } = call
  site.gate.require(login, 'read', file)
  if (!file.content) throw new Failure('forbidden', 'File is being written')
  // The request waits as long as the file is staged (webdav.limits.idle-time allows five minutes).
  await site.tape.fetch(file)
  if (file.content.size === 0 && file.pool === undefined) throw new Failure('internal', 'File is unavailable.')
  file.accessed = site.clock.now()
  const disposition = ask.url.searchParams.get('action') === 'show' ? 'inline' : 'attachment'
  if (site.options.redirectReads === false) {
    return ranged(file.content, ask.headers.range, {
      ...headersOf(call, file),
      'Content-Disposition': `${disposition};filename="${file.name}"`,
    })
  }
  const location = new URL(ask.url.pathname, call.base).href
  const url = site.pools.offerRead(path, {
    file,
    kinds: wantedKinds(ask.headers['want-digest']),
    disposition,
    location,
  })
  return { status: 307, headers: { Location: url.href } }
}

function headersOf({ ask }: DoorCall, file: FileNode): Record<string, string> {
  const digest = digestHeader(file.checksums, wantedKinds(ask.headers['want-digest']))
  return {
    'Content-Type': 'application/octet-stream',
    'Accept-Ranges': 'bytes',
    ETag: etagOf(file),
    'Last-Modified': new Date(file.modified).toUTCString(),
    ...(digest === '' ? {} : { Digest: digest }),
  }
}

/** A page for people. */
function listing({ site, ask, login, path, base }: DoorCall, directory: DirectoryNode): Answer {
  site.gate.require(login, 'list', directory)
  if (!ask.path.endsWith('/')) return { status: 302, headers: { Location: `${new URL(ask.url.pathname, base)}/` } }
  const rows = [...directory.children.values()]
    .filter((child) => site.gate.permits(login, 'READ_METADATA', `${path === '/' ? '' : path}/${child.name}`))
    .map(({ name }) => `<li><a href="${encodeURIComponent(name)}">${name.replace(/[<>&"]/g, '')}</a></li>`)
  return {
    status: 200,
    headers: { 'Content-Type': 'text/html; charset=utf-8' },
    body: `<!DOCTYPE html><html><head><title>dCache</title></head><body><ul>${rows.join('')}</ul></body></html>\n`,
  }
}
