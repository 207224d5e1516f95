/** GET and PUT acl: JSON, or the text of nfs4_getfacl. The entity tag is the time of the object's last change. */

import type { FastifyReply } from 'fastify'
import type { Acl } from '../../acl/acl.ts'
import { aclFromJson, aclToJson } from '../../acl/codec/json.ts'
import { formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { AclView } from '../core/storage.ts'
import { preferred } from '../http/accept.ts'
import { parseEntityTags } from '../http/conditions.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseQuery } from '../http/query.ts'
import { pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

export const getAcl: ApiHandler = async ({ door, storage }, request, reply) => {
  const exchange = await door.authenticate(request)
  const path = begin(exchange, 'read-acl')
  return sendAcl(exchange, await storage.getAcl(exchange.call, path), reply)
}

export const putAcl: ApiHandler = async ({ door, storage }, request, reply) => {
  const exchange = await door.authenticate(request)
  const path = begin(exchange, 'write-acl')
  const ifChanged = changedOf(request.headers['if-match'])
  // Its kind decides what letters mean, its own owner and dialect fill what the sender leaves out.
  const entry = await storage.stat(exchange.call, path)
  requireNoneMatch(request.headers['if-none-match'], entry)
  const acl = readAcl(request.headers['content-type'], request.body, entry)
  const view = await storage.setAcl(exchange.call, path, acl, ifChanged === undefined ? {} : { ifChanged })
  return sendAcl(exchange, view, reply)
}

function begin(exchange: Exchange, action: 'read-acl' | 'write-acl') {
  const path = pathOf(parseQuery(exchange.query, ['path']).path)
  exchange.path = path
  exchange.action = action
  return path
}

function sendAcl({ request }: Exchange, { entry, acl }: AclView, reply: FastifyReply) {
  reply.header('ETag', tagOf(entry)).header('Vary', 'Accept')
  if (preferred(request.headers.accept, ['application/json', 'text/plain']) === 'text/plain') {
    return reply.type('text/plain; charset=utf-8').send(formatNfs4Text(acl.aces))
  }
  return reply.send(aclToJson(acl))
}

function tagOf({ changed }: Entry): string {
  return `"${changed.toString(16)}"`
}

/** One strong tag, as GET gave it; `*` and no header are no condition. Throws `precondition` for a tag that can match nothing. */
function changedOf(header: string | undefined): bigint | undefined {
  if (header === undefined) return undefined
  const tags = parseEntityTags(header)
  if (tags === '*') return undefined
  const [tag, more] = tags
  if (!tag || more) throw new StorageError('invalid', 'If-Match takes one entity tag here')
  if (tag.weak || !/^-?[0-9a-f]{1,32}$/.test(tag.version)) throw new StorageError('precondition', 'the ACL has changed')
  return tag.version.startsWith('-') ? -BigInt(`0x${tag.version.slice(1)}`) : BigInt(`0x${tag.version}`)
}

/** Everything has an ACL, so `*` never holds. Throws `precondition`. */
function requireNoneMatch(header: string | undefined, entry: Entry): void {
  if (header === undefined) return
  const tags = parseEntityTags(header)
  if (tags === '*' || tags.some(({ version }) => `"${version}"` === tagOf(entry))) {
    throw new StorageError('precondition', 'the ACL is there already')
  }
}

function readAcl(type: string | undefined, body: unknown, entry: Entry): Acl {
  const text = textOf(body)
  const { owner, group, dialect = 'rfc8881' } = entry.acl ?? { owner: undefined, group: undefined }
  const media = type?.split(';')[0]?.trim().toLowerCase()
  if (media === 'application/json') return aclFromJson(parseJson(text), { owner, group, dialect })
  if (media === 'text/plain') {
    const aces = parseNfs4Text(text, entry.type === 'directory' ? 'directory' : 'file')
    // Nothing at all is a mistake, which would lock everybody out. Whoever means it writes it down, as JSON.
    if (aces.length === 0) throw new StorageError('invalid', 'the text holds no entry')
    return { owner, group, dialect, aces }
  }
  throw new HttpError(415, 'unsupported', 'an ACL is sent as application/json or text/plain')
}

function textOf(body: unknown): string {
  if (!(body instanceof Uint8Array) || body.length === 0) throw new StorageError('invalid', 'the body is missing')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not UTF-8', { cause })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not JSON', { cause })
  }
}
