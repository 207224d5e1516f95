/** Bans, for administrators: whom no credential lets in, not even one that is being used. */

import type { Ban, Bans } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { audited } from '../http/derived.ts'
import { parseQuery } from '../http/query.ts'
import { parseDuration } from './iso-duration.ts'
import { readMembers, textIn } from './json-body.ts'
import { requireAdministrator } from './macaroons.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

export const listBans: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireAdministrator(x)
  return { bans: (await bansOf(context).list()).map(shown) }
}

export const addBan: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireAdministrator(x)
  const members = readMembers(request.headers['content-type'], request.body, ['name', 'validity', 'note'])
  const name = textIn(members.name, 'name')
  const lasts = textIn(members.validity, 'validity')
  const note = textIn(members.note, 'note') ?? ''
  if (name === undefined) throw new StorageError('invalid', 'name is missing')
  const until = lasts === undefined ? undefined : Date.now() + parseDuration(lasts) * 1000
  const bans = bansOf(context)
  await audited(
    x,
    'ban',
    root,
    () => bans.add(x.principal, { name, note, until }),
    () => name,
  )
  return reply.code(204).send()
}

export const removeBan: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { name } = parseQuery(x.query, ['name'])
  requireAdministrator(x)
  if (name === undefined) throw new StorageError('invalid', 'the parameter name is missing')
  const bans = bansOf(context)
  await audited(
    x,
    'unban',
    root,
    () => bans.remove(name),
    () => name,
  )
  return reply.code(204).send()
}

function bansOf({ identity }: ApiContext): Bans {
  if (identity.bans) return identity.bans
  throw new StorageError('unsupported', 'this gateway keeps no bans')
}

function shown({ name, principal, note, added, until }: Ban) {
  return {
    name,
    by: principal,
    note,
    added: new Date(added).toISOString(),
    until: until === undefined ? null : new Date(until).toISOString(),
  }
}
