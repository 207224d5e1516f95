/** Bans, for administrators: whom no credential lets in, not even one that is being used. */

import type { Ban, Bans } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { administered } from '../http/derived.ts'
import { parseQuery } from '../http/query.ts'
import { parseDuration } from './iso-duration.ts'
import { readMembers, textIn } from './json-body.ts'
import { limitOf } from './list-parts.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

/** Longest name that is looked at. */
const maxName = 2048

export const listBans: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const { limit, after } = parseQuery(x.query, ['limit', 'after'])
  const most = limitOf(limit)
  if (after !== undefined && after.length > maxName) throw new StorageError('invalid', 'after is too long')
  const work = () => bansOf(context).list({ after, most })
  const { bans, next } = await administered(x, 'inspect', 'bans', work)
  return { bans: bans.map(shown), ...(next !== undefined && { next }) }
}

export const addBan: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const members = readMembers(request.headers['content-type'], request.body, ['name', 'validity', 'note'])
  const name = textIn(members.name, 'name')
  const lasts = textIn(members.validity, 'validity')
  const note = textIn(members.note, 'note') ?? ''
  if (name === undefined) throw new StorageError('invalid', 'name is missing')
  if (name.length > maxName) throw new StorageError('invalid', 'name is too long')
  const until = lasts === undefined ? undefined : Date.now() + parseDuration(lasts) * 1000
  await administered(x, 'ban', name, () => bansOf(context).add(x.principal, { name, note, until }))
  return reply.code(204).send()
}

/** Bans a credential that the administrator has in hand, by the name that it carries, which is told. */
export const addRevocation: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const members = readMembers(request.headers['content-type'], request.body, ['token', 'note'])
  const token = textIn(members.token, 'token')
  const note = textIn(members.note, 'note') ?? ''
  if (token === undefined) throw new StorageError('invalid', 'token is missing')
  const work = async () => {
    const bans = bansOf(context)
    const named = await bans.nameOf(new Secret(token))
    await bans.add(x.principal, { ...named, note })
    return named
  }
  const { name, until } = await administered(x, 'ban', 'a credential in hand', work, (named) => named.name)
  return { name, until: until === undefined ? null : new Date(until).toISOString() }
}

export const removeBan: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { name } = parseQuery(x.query, ['name'])
  if (name === undefined) throw new StorageError('invalid', 'the parameter name is missing')
  if (name.length > maxName) throw new StorageError('invalid', 'name is too long')
  await administered(x, 'unban', name, () => bansOf(context).remove(name))
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
