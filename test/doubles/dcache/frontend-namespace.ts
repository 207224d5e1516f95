/** Resource "namespace" of the frontend (user guide, Frontend, "namespace"). */

import { bodyObject, numberOf, textOf, textsOf } from './bodies.ts'
import { Failure } from './failure.ts'
import { json, type RestCall } from './frontend.ts'
import { describeNode, type Facets } from './frontend-attributes.ts'
import type { Answer } from './serving.ts'
import type { Node } from './tree.ts'
import { durationIn } from './units.ts'

export async function namespaceResource(call: RestCall): Promise<Answer> {
  const { site, ask, login, rest } = call
  const path = site.gate.resolve(login, rest)
  switch (ask.method) {
    case 'GET':
      return json(200, attributes(call, path))
    case 'POST':
      await change(call, path)
      return json(201, { status: 'success' })
    case 'DELETE': {
      site.gate.demand(login, 'DELETE', path)
      const node = site.gate.get(login, path)
      site.gate.requireDelete(login, node)
      site.tree.remove(node)
      return json(200, { status: 'success' })
    }
    default:
      throw new Failure('unsupported', 'HTTP 405 Method Not Allowed')
  }
}

function attributes({ site, ask, login }: RestCall, path: string): unknown {
  const { gate } = site
  const query = ask.url.searchParams
  const is = (name: string) => query.get(name) === 'true'
  const facets: Facets = {
    locality: is('locality'),
    locations: is('locations'),
    qos: is('qos'),
    xattr: is('xattr'),
    labels: is('labels'),
    checksum: is('checksum'),
    optional: is('optional'),
  }
  if (facets.qos && login.uid === undefined) throw new Failure('denied', 'Permission denied')
  const node = gate.get(login, path)
  const found = describeNode(site, node, facets)
  if (node.type !== 'directory' || !is('children')) return found
  gate.demand(login, 'LIST', path)
  gate.require(login, 'list', node)
  const offset = count(query.get('offset'), 0)
  const limit = count(query.get('limit'), Number.POSITIVE_INFINITY)
  const children: unknown[] = []
  let index = 0
  for (const child of node.children.values()) {
    if (!gate.permits(login, 'READ_METADATA', `${path === '/' ? '' : path}/${child.name}`)) continue
    if (index >= offset + limit) break
    if (index++ >= offset) children.push({ fileName: child.name, ...describeNode(site, child, facets) })
  }
  return { ...found, children }
}

function count(text: string | null, otherwise: number): number {
  if (text === null) return otherwise
  if (!/^-?\d+$/.test(text)) throw new Failure('bad-request', 'limit and offset must be an integer value.')
  if (Number(text) < 0) throw new Failure('bad-request', 'limit and offset can not be less than zero.')
  return Number(text)
}

type Json = Readonly<Record<string, unknown>>
type Action = (call: RestCall, node: Node, path: string, json: Json) => void

async function change(call: RestCall, path: string): Promise<void> {
  const request = await bodyObject(call.ask)
  const name = textOf(request, 'action')
  const node = call.site.gate.get(call.login, path)
  const action = actions[name]
  if (!action) throw new Failure('bad-request', `Unknown action: ${name}`)
  action(call, node, path, request)
}

const actions: Readonly<Record<string, Action>> = {
  mkdir({ site, login }, node, path, request) {
    const name = textOf(request, 'name')
    if (name === '' || name === '.' || name === '..' || name.includes('/')) {
      throw new Failure('bad-request', `Invalid name: ${name}`)
    }
    const target = `${path === '/' ? '' : path}/${name}`
    site.gate.demand(login, 'MANAGE', target)
    if (node.type !== 'directory') throw new Failure('bad-request', 'Not a directory')
    site.gate.require(login, 'lookup', node)
    site.gate.require(login, 'addDirectory', node)
    const group = (node.mode & 0o2000) !== 0 ? node.group : (login.gids[0] ?? 0)
    site.tree.makeDirectory(node, name, { owner: login.uid ?? 0, group })
  },

  /** Relative destinations are against the path itself; what is there is replaced. */
  mv({ site, login }, node, path, request) {
    const destination = textOf(request, 'destination')
    const target = destination.startsWith('/')
      ? site.gate.resolve(login, destination)
      : decodeURIComponent(
          new URL(destination.replace(/[%?#]/g, encodeURIComponent), `file://${encodeURI(path)}/`).pathname,
        )
    site.gate.demand(login, 'MANAGE', path)
    site.gate.demand(login, 'MANAGE', target)
    const { parent, name } = site.gate.parent(login, target)
    site.gate.requireDelete(login, node)
    site.gate.require(login, 'addFile', parent)
    const existing = parent.children.get(name)
    if (existing && existing !== node) {
      site.gate.demand(login, 'DELETE', target)
      site.gate.requireDelete(login, existing)
    }
    site.tree.move(node, parent, name)
  },

  chmod(call, node, path, request) {
    const mode = numberOf(request, 'mode')
    call.site.gate.demand(call.login, 'UPDATE_METADATA', path)
    call.site.gate.requireOwner(call.login, node)
    node.mode = mode & 0o7777
    call.site.tree.touch(node)
  },

  chgrp(call, node, path, request) {
    const gid = numberOf(request, 'gid')
    call.site.gate.demand(call.login, 'UPDATE_METADATA', path)
    call.site.gate.requireOwner(call.login, node)
    if (call.login.uid !== 0 && !call.login.gids.includes(gid)) throw new Failure('denied', 'Permission denied')
    node.group = gid
    call.site.tree.touch(node)
  },

  qos({ site, login }, node, path, request) {
    const target = textOf(request, 'target')
    site.gate.demand(login, 'UPDATE_METADATA', path)
    site.gate.requireOwner(login, node)
    if (node.type !== 'file') throw new Failure('bad-request', 'Transition for directories not supported')
    if (!['disk', 'tape', 'disk+tape'].includes(target))
      throw new Failure('bad-request', `Unknown target QoS: ${target}`)
    if (target === 'disk' && site.tape.locality(node) !== 'ONLINE') {
      throw new Failure('bad-request', 'Unsupported QoS transition')
    }
    if (target === 'disk') return
    node.onTape = true
    node.retention = 'CUSTODIAL'
    if (target === 'disk+tape') site.tape.hold(node, 'qos', Number.POSITIVE_INFINITY)
    else site.tape.unpin(node, 'qos')
  },

  pin({ site, login }, node, path, request) {
    site.gate.demand(login, 'UPDATE_METADATA', path)
    if (node.type !== 'file') throw new Failure('bad-request', 'Not a file')
    site.gate.require(login, 'read', node)
    const lifetime = request.lifetime === undefined ? 5 : numberOf(request, 'lifetime')
    const unit = request['lifetime-unit'] === undefined ? 'MINUTES' : textOf(request, 'lifetime-unit')
    site.tape.hold(node, `user-${login.uid}`, durationIn(lifetime, unit))
  },

  unpin({ site, login }, node) {
    if (node.type === 'file') site.tape.unpin(node, `user-${login.uid}`)
  },

  'set-xattr'({ site, login }, node, path, request) {
    site.gate.demand(login, 'UPDATE_METADATA', path)
    site.gate.requireAttributes(login, node)
    const mode = request.mode === undefined ? 'EITHER' : textOf(request, 'mode')
    const given = request.attributes
    if (typeof given !== 'object' || given === null) throw new Failure('bad-request', 'attributes is not an object')
    for (const name of Object.keys(given)) {
      if (mode === 'CREATE' && node.xattrs.has(name)) throw new Failure('conflict', 'Attribute already exists')
      if (mode === 'MODIFY' && !node.xattrs.has(name)) throw new Failure('conflict', 'Attribute does not exist')
    }
    for (const [name, value] of Object.entries(given)) node.xattrs.set(name, String(value))
    site.tree.touch(node)
  },

  'rm-xattr'({ site, login }, node, path, request) {
    site.gate.demand(login, 'UPDATE_METADATA', path)
    site.gate.requireAttributes(login, node)
    for (const name of textsOf(request, 'names', true)) {
      if (!node.xattrs.delete(name)) throw new Failure('missing', 'No such attribute')
    }
    site.tree.touch(node)
  },

  'set-label'({ site, login }, node, path, request) {
    site.gate.demand(login, 'UPDATE_METADATA', path)
    site.gate.requireAttributes(login, node)
    if (node.type !== 'file') throw new Failure('bad-request', 'Labels are for files')
    node.labels.add(textOf(request, 'label'))
    site.tree.touch(node)
  },

  'rm-label'({ site, login }, node, path, request) {
    site.gate.demand(login, 'UPDATE_METADATA', path)
    site.gate.requireAttributes(login, node)
    if (!node.labels.delete(textOf(request, 'label'))) throw new Failure('missing', 'No such label')
    site.tree.touch(node)
  },
}
