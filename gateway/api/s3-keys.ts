/** Access keys of S3: made, listed, switched and removed by whose they are. */

import type { ListPart, S3KeyInfo, S3KeyOrder, S3Keys } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { apiPrefix } from '../http/problem.ts'
import { parseQuery } from '../http/query.ts'
import { activitiesFor, allowsAll } from './app-passwords.ts'
import { parseDuration } from './iso-duration.ts'
import { readMembers, textIn, textsIn } from './json-body.ts'
import { listFor } from './list-parts.ts'
import { pathOf } from './parameters.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

export const createS3Key: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const names = ['name', 'path', 'allow', 'validity', 'networks'] as const
  const members = readMembers(request.headers['content-type'], request.body, names)
  const lasts = textIn(members.validity, 'validity')
  const where = textIn(members.path, 'path')
  const order: S3KeyOrder = {
    name: textIn(members.name, 'name') ?? '',
    ...(where !== undefined && { path: pathOf(where) }),
    ...boundsFor(members.allow),
    networks: textsIn(members.networks, 'networks'),
    ...(lasts !== undefined && { validity: parseDuration(lasts) }),
  }
  requireCaller(x)
  const keys = keysOf(context)
  const work = () => keys.create(x.principal, order)
  const { secret, ...made } = await audited(x, 'issue', order.path ?? root, work, ({ expires, ...key }) => {
    return `${named(key)} until ${new Date(expires).toISOString()}`
  })
  reply.code(201).header('Location', `${context.publicUrl}${apiPrefix}/s3-keys/${made.id}`)
  return { ...shown(made), secret: secret.reveal() }
}

export const listS3Keys: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const list = (all: boolean, part: ListPart) => keysOf(context).list(x.principal, all, part)
  const { entries, ...more } = await listFor(x, 'access keys', list)
  return { keys: entries.map(shown), ...more }
}

/** Switches one on or off. */
export const switchS3Key: ApiHandler = async (context, request) => {
  const { x, id } = await oneOf(context, request)
  const { enabled } = readMembers(request.headers['content-type'], request.body, ['enabled'])
  if (typeof enabled !== 'boolean') throw new StorageError('invalid', 'enabled is true or false')
  const work = () => keysOf(context).setEnabled(x.principal, id, enabled)
  const tell = (key: S3KeyInfo) => `${named(key)} of ${key.user} ${enabled ? 'enabled' : 'disabled'}`
  return shown(await audited(x, enabled ? 'issue' : 'revoke', root, work, tell, `access key ${id}`))
}

export const removeS3Key: ApiHandler = async (context, request, reply) => {
  const { x, id } = await oneOf(context, request)
  const work = () => keysOf(context).remove(x.principal, id)
  await audited(x, 'revoke', root, work, (key) => `${named(key)} of ${key.user}`, `access key ${id}`)
  return reply.code(204).send()
}

/** For whoever has the session token: ends the temporary key that belongs to it. */
export const endS3Session: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const members = readMembers(request.headers['content-type'], request.body, ['sessionToken'])
  const token = textIn(members.sessionToken, 'sessionToken')
  if (token === undefined) throw new StorageError('invalid', 'sessionToken is missing')
  const work = () => keysOf(context).endSession(x.principal, new Secret(token))
  await audited(x, 'revoke', root, work, (id) => `session ${id}`)
  return reply.code(204).send()
}

/** Both kinds together are no bound: RestoreObject, which no activity gives, is then among what a key is for. */
function boundsFor(allow: unknown): Pick<S3KeyOrder, 'activities'> {
  if (allow === undefined) return {}
  const kinds = textsIn(allow, 'allow')
  const activities = activitiesFor(kinds)
  return kinds.includes('read') && kinds.includes('write') ? {} : { activities }
}

async function oneOf(
  { door }: ApiContext,
  request: Parameters<ApiHandler>[1],
): Promise<{ readonly x: Exchange; readonly id: string }> {
  const x = await door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const { id = '' } = request.params as { readonly id?: string }
  return { x, id }
}

function keysOf({ identity }: ApiContext): S3Keys {
  if (identity.s3) return identity.s3
  throw new StorageError('unsupported', 'there are no access keys here')
}

function named({ id, name }: Pick<S3KeyInfo, 'id' | 'name'>): string {
  return `access key ${id} (${JSON.stringify(name)})`
}

function shown({ id, user, name, enabled, path, activities, networks, created, used, expires }: S3KeyInfo) {
  return {
    ...{ id, user, name, enabled, path, networks },
    allow: (['read', 'write'] as const).filter((kind) => allowsAll(kind, activities)),
    created: new Date(created).toISOString(),
    used: used === undefined ? null : new Date(used).toISOString(),
    expires: new Date(expires).toISOString(),
  }
}
