/**
 * The cookie that a session is known by. It counts for what people do with a browser: pages, the REST interface, GET
 * and HEAD on the namespace and the forms of our own pages there. For WebDAV it does not count.
 */

import { Secret } from '../../acl/secret.ts'
import type { Protocol } from '../core/call.ts'
import type { Exchange } from './exchange.ts'

/** Longest Cookie header that is looked at. */
const maxHeader = 32 * 1024
const forms: ReadonlySet<string> = new Set(['multipart/form-data', 'application/x-www-form-urlencoded'])

/** What our own session cookie holds, if it counts for this request; whether it opens anything is for Identity to say. */
export function sessionCookie(x: Exchange, protocol: Protocol): Secret | undefined {
  if (!(protocol === 'api' || isForPeople(x))) return undefined
  const value = cookieOf(x, sessionName(x))
  return value === undefined ? undefined : new Secret(value)
}

/**
 * The value of the one cookie of this name. With two of them there is none: a server of a neighbouring name, or
 * somebody on the way, has put one beside ours.
 */
export function cookieOf({ request }: Exchange, name: string): string | undefined {
  const { cookie } = request.headers
  if (cookie === undefined || cookie.length > maxHeader) return undefined
  const start = `${name}=`
  const [value, ...others] = cookie.split(';').flatMap((pair) => {
    const text = pair.trim()
    return text.startsWith(start) ? text.slice(start.length) : []
  })
  return others.length === 0 ? value : undefined
}

/** A Set-Cookie header for a session; `expires` in milliseconds since 1970. */
export function setSession(x: Exchange, secret: Secret, expires: number): string {
  return setCookie(x, sessionName(x), secret.reveal(), Math.floor((expires - Date.now()) / 1000))
}

/** A Set-Cookie header that takes the session's cookie away. */
export function clearSession(x: Exchange): string {
  return setCookie(x, sessionName(x), '', 0)
}

/** A Set-Cookie header for this host and all of its paths, good for `seconds`. `Strict`: pages of others never make a browser send it. */
export function setCookie(
  x: Exchange,
  name: string,
  value: string,
  seconds: number,
  site: 'Lax' | 'Strict' = 'Lax',
): string {
  const secure = isSecure(x) ? '; Secure' : ''
  return `${name}=${value}; Path=/; Max-Age=${Math.max(0, seconds)}; HttpOnly; SameSite=${site}${secure}`
}

/** With the prefix browsers take it over TLS and from this very host alone (RFC 6265bis, section 4.1.3.2). */
export function cookieName(x: Exchange, name: string): string {
  return isSecure(x) ? `__Host-${name}` : name
}

function sessionName(x: Exchange): string {
  return cookieName(x, 'portolan-session')
}

function isSecure({ door }: Exchange): boolean {
  return door.publicUrl.startsWith('https:')
}

function isForPeople({ request: { method, headers } }: Exchange): boolean {
  if (method === 'GET' || method === 'HEAD') return true
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  return method === 'POST' && type !== undefined && forms.has(type)
}
