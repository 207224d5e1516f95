/** Keys of macaroons, and macaroons that must not be good any more. They are made by POST on what they are for. */

import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { administered, audited } from '../http/derived.ts'
import { parseQuery } from '../http/query.ts'
import { readMembers, textIn } from './json-body.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

/** For administrators: begins a new key; with `atOnce` what was made with the earlier ones is worth nothing from now on. */
export const rotateMacaroons: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const { atOnce = false } = readMembers(request.headers['content-type'], request.body, ['atOnce'])
  if (typeof atOnce !== 'boolean') throw new StorageError('invalid', 'atOnce is true or false')
  const ends = atOnce ? ', all earlier ones ended' : ''
  const work = () => macaroonsOf(context).rotate(atOnce)
  return administered(x, 'rotate', `keys of macaroons${ends}`, work, ({ epoch }) => `epoch ${epoch}${ends}`)
}

/** For whoever has the macaroon: ends it, the one it was made from, and all that were made from that. */
export const revokeMacaroon: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const text = textIn(readMembers(request.headers['content-type'], request.body, ['macaroon']).macaroon, 'macaroon')
  if (text === undefined) throw new StorageError('invalid', 'macaroon is missing')
  const macaroons = macaroonsOf(context)
  const { id, expires } = await macaroons.identify(new Secret(text))
  const work = () => macaroons.revoke(id, x.principal, expires)
  await audited(x, 'revoke', root, work, () => `macaroon ${id}`)
  return reply.code(204).send()
}

function macaroonsOf({ identity }: ApiContext) {
  if (identity.macaroons) return identity.macaroons
  throw new StorageError('unsupported', 'no macaroons are made here')
}
