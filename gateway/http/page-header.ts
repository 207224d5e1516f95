/** The head of our pages for whoever is looking at them. */

import type { PageHeader } from '../web/page.ts'
import type { Exchange } from './exchange.ts'
import { logoutPage, signInHref } from './sign-in-links.ts'

/** Who the caller is, and where he signs out; or where somebody unknown signs in, also one who has followed a link. */
export function headerOf(x: Exchange): PageHeader {
  const { user, session, macaroon } = x.principal
  if (user === undefined) return { signIn: signInHref(x) }
  if (macaroon) return { link: user, signIn: signInHref(x) }
  return { account: { name: user, ...(session !== undefined && { signOut: logoutPage }) } }
}
