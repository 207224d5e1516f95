/**
 * The scheme Negotiate (RFC 4559) on HTTP, and the cookie that stands for a ticket for a few minutes. A ticket counts for
 * the request that brought it and for no other on the same connection, which proxies share between people.
 */

import type { Negotiation } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'
import { cookieName, cookieOf, setCookie } from './session-cookie.ts'

const cookie = 'portolan-ticket'
const grammar = /^[\w.-]{40,2000}$/

/** The token of an Authorization header of this scheme; undefined for any other header. Throws `invalid` for what is no base64. */
export function negotiateToken(header: string | undefined): Buffer | undefined {
  const [, scheme] = /^(negotiate)(?: |$)/i.exec(header ?? '') ?? []
  if (header === undefined || scheme === undefined) return undefined
  const text = header.slice(scheme.length).trim()
  const token = Buffer.from(text, 'base64')
  if (token.toString('base64') === text) return token
  throw new StorageError('invalid', 'the token of Negotiate is not base64')
}

/** Who shows this token. The answer that proves us to him, and the cookie, go with whatever the response will be. Throws as `accept`. */
export async function showTicket(kerberos: Negotiation | undefined, x: Exchange, token: Buffer): Promise<Principal> {
  if (kerberos === undefined) {
    throw new StorageError('unauthenticated', 'this kind of credential is not accepted', {
      reason: { rule: 'unknown-scheme', text: 'the Authorization header names Negotiate, which is not offered here' },
    })
  }
  const { principal, answer, cookie: made } = await kerberos.accept(token, x.from)
  const { response } = x
  if (answer) response.setHeader('WWW-Authenticate', `Negotiate ${answer.toString('base64')}`)
  if (made) {
    const seconds = Math.floor((made.expires - Date.now()) / 1000)
    response.appendHeader('Set-Cookie', setCookie(x, cookieName(x, cookie), made.secret.reveal(), seconds, 'Strict'))
  }
  return principal
}

/** What our own cookie holds in place of a ticket; whether it opens anything is for Identity to say. */
export function ticketCookie(x: Exchange): Secret | undefined {
  const value = cookieOf(x, cookieName(x, cookie))
  return value !== undefined && grammar.test(value) ? new Secret(value) : undefined
}

/** A Set-Cookie header that takes it away. */
export function dropTicket(x: Exchange): string {
  return setCookie(x, cookieName(x, cookie), '', 0, 'Strict')
}
