/** Application passwords: made, listed and revoked by whose they are. */

import type { AppPassword, AppPasswordOrder, AppPasswords, ListPart } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, root } from '../core/path.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { apiPrefix } from '../http/problem.ts'
import { parseQuery } from '../http/query.ts'
import { parseDuration } from './iso-duration.ts'
import { readMembers, textIn, textsIn } from './json-body.ts'
import { listFor } from './list-parts.ts'
import { pathOf } from './parameters.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

/** What people choose from; all of it is everything that a program may be given. */
const choices: Readonly<Record<'read' | 'write', readonly string[]>> = {
  read: ['READ_METADATA', 'LIST', 'DOWNLOAD'],
  write: ['READ_METADATA', 'UPLOAD', 'DELETE', 'MANAGE', 'UPDATE_METADATA'],
}

export const createAppPassword: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const members = ['name', 'path', 'allow', 'validity', 'networks'] as const
  const { name, path, allow, validity, networks } = readMembers(request.headers['content-type'], request.body, members)
  const lasts = textIn(validity, 'validity')
  const where = textIn(path, 'path')
  const kinds = allow === undefined ? undefined : textsIn(allow, 'allow')
  const { password, ...made } = await makeAppPassword(context, x, {
    name: textIn(name, 'name') ?? '',
    ...(where !== undefined && { path: pathOf(where) satisfies Path }),
    ...(kinds && { activities: activitiesFor(kinds) }),
    networks: textsIn(networks, 'networks'),
    ...(lasts !== undefined && { validity: parseDuration(lasts) }),
  })
  reply.code(201).header('Location', `${context.publicUrl}${apiPrefix}/app-passwords/${made.id}`)
  return { ...shownPassword(made), password: password.reveal() }
}

export const listAppPasswords: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const list = (all: boolean, part: ListPart) => passwordsOf(context).list(x.principal, all, part)
  const { entries, ...more } = await listFor(x, 'application passwords', list)
  return { appPasswords: entries.map(shownPassword), ...more }
}

export const revokeAppPassword: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const { id = '' } = request.params as { readonly id?: string }
  await endAppPassword(context, x, id)
  return reply.code(204).send()
}

/** With a line in the audit log. Throws as `AppPasswords.create`. */
export async function makeAppPassword(context: ApiContext, x: Exchange, order: AppPasswordOrder) {
  requireCaller(x)
  const passwords = passwordsOf(context)
  const work = () => passwords.create(x.principal, order)
  return audited(x, 'issue', order.path ?? root, work, ({ id, name, expires }) => {
    return `application password ${id} (${JSON.stringify(name)}) until ${new Date(expires).toISOString()}`
  })
}

/** With a line in the audit log. Throws as `AppPasswords.revoke`. */
export async function endAppPassword(context: ApiContext, x: Exchange, id: string): Promise<AppPassword> {
  const passwords = passwordsOf(context)
  const work = () => passwords.revoke(x.principal, id)
  const tell = ({ name, user }: AppPassword) => `application password ${id} (${JSON.stringify(name)}) of ${user}`
  return audited(x, 'revoke', root, work, tell, `application password ${id}`)
}

/** Throws `invalid`. */
export function activitiesFor(kinds: readonly string[]): readonly string[] {
  const wanted = kinds.map((kind) => {
    if (kind === 'read' || kind === 'write') return choices[kind]
    throw new StorageError('invalid', 'allow holds read and write only')
  })
  return [...new Set(wanted.flat())]
}

/** Whether there is nothing of this kind that is not allowed. */
export function allowsAll(kind: 'read' | 'write', activities: readonly string[] | 'all'): boolean {
  return activities === 'all' || choices[kind].every((each) => activities.includes(each))
}

export function passwordsOf({ identity }: ApiContext): AppPasswords {
  if (identity.appPasswords) return identity.appPasswords
  throw new StorageError('unsupported', 'there are no application passwords here')
}

export function shownPassword({ id, user, name, path, activities, networks, created, used, expires }: AppPassword) {
  return {
    id,
    user,
    name,
    path,
    allow: (['read', 'write'] as const).filter((kind) => allowsAll(kind, activities)),
    networks,
    created: new Date(created).toISOString(),
    used: used === undefined ? null : new Date(used).toISOString(),
    expires: new Date(expires).toISOString(),
  }
}
