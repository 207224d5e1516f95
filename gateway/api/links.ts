/** Identities of issuers that are linked to accounts: listed and taken back by whose they are. They are linked with a browser. */

import type { Link, Links, ListPart } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseQuery } from '../http/query.ts'
import { listFor } from './list-parts.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

export const listLinks: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const list = (all: boolean, part: ListPart) => linksOf(context).list(x.principal, all, part)
  const { entries, ...more } = await listFor(x, 'linked identities', list)
  return { links: entries.map(shownLink), ...more }
}

export const removeLink: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const { id = '' } = request.params as { readonly id?: string }
  await endLink(context, x, id)
  return reply.code(204).send()
}

/** With a line in the audit log. Throws as `Links.remove`. */
export async function endLink(context: ApiContext, x: Exchange, id: string): Promise<Link> {
  const links = linksOf(context)
  return audited(x, 'unlink', root, () => links.remove(x.principal, id), toldOf, `link ${id}`)
}

/** For the audit log. */
export function toldOf({ id, issuer, subject, user }: Link): string {
  return `link ${id} of ${JSON.stringify(`${issuer}|${subject}`)} to ${user}`
}

export function linksOf({ identity }: ApiContext): Links {
  if (identity.links) return identity.links
  throw new StorageError('unsupported', 'nobody links identities here')
}

export function shownLink({ id, issuer, subject, label, user, by, note, created, proven, expires }: Link) {
  return {
    ...{ id, issuer, subject, user, by, note },
    /** Null: links of this issuer do not count now. */
    label: label ?? null,
    created: new Date(created).toISOString(),
    proven: new Date(proven).toISOString(),
    expires: expires === undefined ? null : new Date(expires).toISOString(),
  }
}
