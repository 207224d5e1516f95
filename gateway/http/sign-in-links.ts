/** Where people sign in and out, for pages of every kind, and where they may come back to. */

import type { Exchange } from './exchange.ts'
import { encodePath } from './target.ts'

export const loginPage = '/.portolan/login'
/** Where a browser is asked for a ticket. */
export const kerberosPage = `${loginPage}/kerberos`
export const logoutPage = '/.portolan/logout'
export const accountPage = '/.portolan/account'
/** Where identities of issuers are linked to it. */
export const linkPage = `${accountPage}/link`
export const whoamiPage = '/.portolan/whoami'

const maxReturn = 4096

/** The sign-in page, from which one comes back here. Undefined where nobody can sign in. */
export function signInHref({ door, path, slash }: Exchange): string | undefined {
  const ways = door.signIn?.ways
  if (!ways || (ways.issuers.length === 0 && !ways.passwords && !ways.kerberos)) return undefined
  // Whoever fails to sign in, or signs out, does not want to come back to that.
  const isPassing = path.startsWith(loginPage) || path === logoutPage
  const back = isPassing ? '/' : `${encodePath(path)}${slash && path !== '/' ? '/' : ''}`
  return `${loginPage}?${new URLSearchParams({ to: back })}`
}

/**
 * A place of ours to send a browser to, as path and query; the top for everything else. Whatever a browser might take
 * for another host is none of ours: `//host`, `/\host`, and what becomes one when dots, tabs or line breaks are resolved.
 */
export function returnPath(text: string | undefined): string {
  if (text === undefined || text.length > maxReturn || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text)) return '/'
  const base = 'http://here.invalid'
  const url = URL.parse(text, base)
  if (url === null || url.origin !== base || url.pathname.startsWith('//')) return '/'
  return `${url.pathname}${url.search}`
}
