/**
 * Against pages of somebody else's that make a browser send requests with credentials of its own: a cookie, a
 * remembered password, a Kerberos ticket. Clients that are no browsers send none of the headers, and notice nothing.
 *
 * Sec-Fetch-Site (W3C Fetch Metadata) and Origin (Fetch standard, section 3.2) are written by the browser, never by a
 * page. Forms carry a token besides, which no other page can know.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { StorageError } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'

/** Methods that change nothing (RFC 9110, section 9.2.1; RFC 4918, section 9.1; RFC 3253, section 3.6; RFC 5323). */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT', 'SEARCH'])

/** Forms that were opened longer ago are to be opened again: milliseconds. */
const tokenLifetime = 24 * 3_600_000
const tokenGrammar = /^([0-9a-z]{6,10})\.([A-Za-z0-9_-]{43})$/

/** Whether a request by this method may change something. */
export function isChanging(method: string | undefined): boolean {
  return !safeMethods.has(method ?? '')
}

/** Throws `denied`, rule `cross-site`, for a request that changes something and that a browser sent for a page that is not ours. */
export function requireSameOrigin(x: Exchange): void {
  if (isChanging(x.request.method)) requireNoOtherSite(x)
}

/** The same, whatever the method: for what gives something out. Throws `denied`, rule `cross-site`. */
export function requireNoOtherSite(x: Exchange): void {
  if (siteOf(x) === 'other') throw crossSite('a page of another site sent the request')
}

/**
 * The same for a request that a session cookie speaks for: here the browser must have said that the page is ours.
 * Throws `denied`, rule `cross-site`.
 */
export function requireOwnPage(x: Exchange): void {
  if (isChanging(x.request.method) && siteOf(x) !== 'own') {
    throw crossSite('a session may change something from pages of the gateway only')
  }
}

/**
 * Whether the certificate that a browser shows may speak for the request: it is shown for pages of any site. It may where
 * no other page is behind it, and where a person follows a link to here, which changes nothing.
 */
export function mayBeCertified(x: Exchange): boolean {
  const { method, headers } = x.request
  if (siteOf(x) !== 'other') return true
  return !isChanging(method) && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}

/** Throws `denied`, rule `cross-site`, for a request that a page of another site made without the person coming here. */
export function requireVisit(x: Exchange): void {
  if (!mayBeCertified(x)) throw crossSite('a page of another site sent the request, and nobody came here')
}

/** What goes into the hidden field `csrf` of every form on a page for this caller. */
export function formToken(x: Exchange): string {
  const issued = Date.now().toString(36)
  return `${issued}.${signatureOf(x, issued)}`
}

/** Throws `denied`, rule `cross-site`, for a form that was not made for this caller within the last day. */
export function requireFormToken(x: Exchange, value: string | undefined): void {
  const [, issued = '', signature = ''] = tokenGrammar.exec(value ?? '') ?? []
  const age = Date.now() - Number.parseInt(issued, 36)
  const expected = Buffer.from(signatureOf(x, issued))
  const isOurs = signature.length === expected.length && timingSafeEqual(Buffer.from(signature), expected)
  // Clocks of several gateways differ a little.
  if (isOurs && age > -60_000 && age < tokenLifetime) return
  throw crossSite('the form was made for somebody else, or too long ago')
}

/** Another sign-in is another caller: its forms are not those of the one before. */
function signatureOf({ door, principal }: Exchange, issued: string): string {
  const { session } = principal
  const owner = session === undefined ? `principal ${principal.id}` : `session ${session}`
  return createHmac('sha256', door.formKey).update(`${issued} ${owner}`).digest('base64url')
}

/** Where the browser says that the request comes from; `unsaid` where nothing tells that it is a browser. */
function siteOf(x: Exchange): 'own' | 'other' | 'unsaid' {
  const { 'sec-fetch-site': site, origin } = x.request.headers
  // `none`: the person did it, in the address line or with a bookmark.
  if (site !== undefined) return site === 'same-origin' || site === 'none' ? 'own' : 'other'
  if (origin === undefined) return 'unsaid'
  return isOwn(x, origin) ? 'own' : 'other'
}

/** Our address, or whatever accepted name the request was sent to, over the same scheme. */
function isOwn({ door, request, connection }: Exchange, origin: string): boolean {
  const url = URL.parse(origin)
  if (url === null || url.origin !== origin) return false
  if (origin === new URL(door.publicUrl).origin) return true
  const { host, 'x-forwarded-proto': forwarded } = request.headers
  const secure = connection.isEncrypted(typeof forwarded === 'string' ? forwarded : forwarded?.join(','))
  return host !== undefined && URL.parse(`${secure ? 'https' : 'http'}://${host}`)?.origin === origin
}

function crossSite(text: string): StorageError {
  return new StorageError('denied', 'the request did not come from a page of this gateway', {
    reason: { rule: 'cross-site', text },
  })
}
