/** Share links: made, listed and taken back by who signs in; opened by whoever has them. */

import type { FastifyRequest } from 'fastify'
import type { ListPart, Share, Shares } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, root } from '../core/path.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { apiPrefix } from '../http/problem.ts'
import { parseQuery } from '../http/query.ts'
import { encodePath } from '../http/target.ts'
import { parseDuration } from './iso-duration.ts'
import { readMembers, textIn, textsIn } from './json-body.ts'
import { listFor } from './list-parts.ts'
import { pathOf } from './parameters.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

/** What people choose from. */
const choices: Readonly<Record<string, readonly string[]>> = {
  read: ['READ_METADATA', 'LIST', 'DOWNLOAD'],
  upload: ['READ_METADATA', 'UPLOAD'],
}

export const createShare: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const shares = sharesOf(context)
  const order = readOrder(request)
  x.path = order.path
  x.action = 'stat'
  // What he cannot see himself he cannot show.
  const { type } = await context.storage.stat(x.call, order.path)
  const { macaroon, ...share } = await audited(
    x,
    'issue',
    order.path,
    () => shares.create(x.principal, order),
    ({ id, expires }) => `share ${id} until ${new Date(expires).toISOString()}`,
  )
  const slash = type === 'directory' && order.path !== root ? '/' : ''
  const url = `${context.publicUrl}${encodePath(order.path)}${slash}?authz=${macaroon.reveal()}`
  reply.code(201).header('Location', `${context.publicUrl}${apiPrefix}/shares/${share.id}`)
  return { ...shown(share), url }
}

export const listShares: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const list = (all: boolean, part: ListPart) => sharesOf(context).list(x.principal, all, part)
  const { entries, ...more } = await listFor(x, 'links', list)
  return { shares: entries.map(shown), ...more }
}

export const revokeShare: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const { id = '' } = request.params as { readonly id?: string }
  const work = () => sharesOf(context).revoke(x.principal, id)
  await audited(x, 'revoke', root, work, ({ path, user }) => `share ${id} of ${path}, made by ${user}`, `share ${id}`)
  return reply.code(204).send()
}

function sharesOf({ identity }: ApiContext): Shares {
  if (identity.shares) return identity.shares
  throw new StorageError('unsupported', 'no links are made here')
}

/** Throws `unauthenticated` for a caller without a credential. */
export function requireCaller({ principal }: Exchange): void {
  if (principal.user !== undefined) return
  throw new StorageError('unauthenticated', 'a credential is needed', {
    reason: { rule: 'anonymous', text: 'callers without a credential have nothing of their own' },
  })
}

function readOrder({ headers, body }: FastifyRequest) {
  const { path, allow, validity, networks, note } = readMembers(headers['content-type'], body, [
    'path',
    'allow',
    'validity',
    'networks',
    'note',
  ])
  const kinds = textsIn(allow ?? ['read'], 'allow')
  const lasts = textIn(validity, 'validity')
  const remark = textIn(note, 'note')
  return {
    path: pathOf(textIn(path, 'path')) satisfies Path,
    activities: [...new Set(kinds.flatMap(activitiesOf))],
    networks: textsIn(networks, 'networks'),
    ...(lasts !== undefined && { validity: parseDuration(lasts) }),
    ...(remark !== undefined && { note: remark }),
  }
}

function activitiesOf(kind: string): readonly string[] {
  const found = Object.hasOwn(choices, kind) ? choices[kind] : undefined
  if (!found) throw new StorageError('invalid', `allow holds ${Object.keys(choices).join(' and ')} only`)
  return found
}

function shown({ id, user, path, activities, networks, note, created, expires }: Share) {
  const allow = Object.keys(choices).filter((kind) => choices[kind]?.every((each) => activities.includes(each)))
  const times = { created: new Date(created).toISOString(), expires: new Date(expires).toISOString() }
  return { id, user, path, allow, networks, ...times, ...(note !== undefined && { note }) }
}
