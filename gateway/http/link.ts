/**
 * Macaroons in the URL (`?authz=`), as clients of dCache and XRootD send them, and what becomes of them in a browser: a
 * cookie for that path alone and a URL that can be shown to anybody.
 *
 * The cookie opens GET and HEAD on the namespace and nothing else, so no page of somebody else's can change anything with it.
 */

import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { wantsHtml } from './accept.ts'
import type { Exchange } from './exchange.ts'
import { respond } from './respond.ts'
import { encodePath } from './target.ts'

/** Cookies of one name that are tried: shares lie in one another. */
const maxTried = 4
/** Browsers keep no longer ones. */
const maxCookie = 3800
/** Longest Cookie header that is looked at. */
const maxHeader = 32 * 1024

/**
 * The macaroon in the query, which goes out of `exchange.query`. Throws `invalid` for two of them, `unauthenticated`
 * for a token of another kind: those live in the header alone.
 */
export function takeFromQuery(exchange: Exchange): Secret | undefined {
  const { query } = exchange
  if (query === '' || !/authz|%/i.test(query)) return undefined
  let found: string | undefined
  const rest: string[] = []
  for (const part of query.split('&')) {
    const [[name, value] = ['', '']] = [...new URLSearchParams(part)]
    if (name !== 'authz') rest.push(part)
    else if (found === undefined) found = value
    else throw new StorageError('invalid', 'more than one credential was sent')
  }
  if (found === undefined) return undefined
  exchange.query = rest.join('&')
  exchange.linked = true
  exchange.response.setHeader('Referrer-Policy', 'no-referrer')
  const token = found.replace(/^Bearer /i, '')
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(token)) {
    throw new StorageError('unauthenticated', 'this kind of credential is not accepted in a URL', {
      reason: { rule: 'token-in-url', text: 'of credentials only macaroons are accepted in a URL' },
    })
  }
  return new Secret(token)
}

/** The macaroons of our cookies, that of the longest path first. None but for GET and HEAD. */
export function fromCookies({ request, door }: Exchange): readonly Secret[] {
  const { cookie } = request.headers
  if (cookie === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) return []
  const start = `${cookieName(door.publicUrl)}=`
  const found: Secret[] = []
  for (const pair of cookie.slice(0, maxHeader).split(';')) {
    const text = pair.trim()
    if (!text.startsWith(start)) continue
    const value = text.slice(start.length)
    if (/^[A-Za-z0-9_-]+$/.test(value) && found.push(new Secret(value)) === maxTried) break
  }
  return found
}

/** A person has followed a link: the URL is to be seen by nobody who looks at the screen, the history or a proxy's log. */
export function isFollowed({ request, linked }: Exchange): boolean {
  const { accept, 'sec-fetch-mode': mode } = request.headers
  return linked && request.method === 'GET' && (mode === undefined ? wantsHtml(accept) : mode === 'navigate')
}

/** Sends the browser to the same place without the macaroon. False where the macaroon fits into no cookie. */
export async function sendToCleanUrl(exchange: Exchange, principal: Principal): Promise<boolean> {
  const { macaroon, grants, expires } = principal
  const path = grants === 'unbounded' ? undefined : grants[0]?.path
  const value = macaroon?.reveal().replace(/=+$/, '')
  if (path === undefined || expires === undefined || value === undefined || value.length > maxCookie) return false
  const { publicUrl } = exchange.door
  const seconds = Math.max(1, Math.floor(expires - Date.now() / 1000))
  const secure = publicUrl.startsWith('https:') ? '; Secure' : ''
  const cookie = `${cookieName(publicUrl)}=${value}; Path=${encodePath(path)}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`
  const query = exchange.query === '' ? '' : `?${exchange.query}`
  // Relative, so that it stays on the host that gets the cookie.
  const location = `${encodePath(exchange.path)}${exchange.slash && exchange.path !== '/' ? '/' : ''}${query}`
  const guards = ['Referrer-Policy', 'no-referrer', 'Cache-Control', 'no-store']
  await respond(exchange, 303, ['Location', location, 'Set-Cookie', cookie, ...guards])
  return true
}

/** The prefix makes browsers refuse it from anybody but a TLS server. */
function cookieName(publicUrl: string): string {
  return publicUrl.startsWith('https:') ? '__Secure-portolan-link' : 'portolan-link'
}
