/** What a browser keeps for us between leaving for an issuer and coming back. */

import type { PendingSignIn } from '../../acl/identity/identity.ts'
import type { Exchange } from '../http/exchange.ts'
import { dropCookie, openCookie, sealCookie } from '../http/sealed-cookie.ts'
import { loginPage } from '../http/sign-in-links.ts'
import type { ApiContext } from './routes.ts'

const name = 'portolan-login'
/** Seconds for typing a password, and another factor, at an issuer. */
const patience = 900

export interface Pending {
  readonly pending: PendingSignIn
  /** Where to go then. */
  readonly to: string
  /** The session of who is to link the identity that comes back to his account; absent where somebody signs in. */
  readonly link?: string
}

/** A Set-Cookie header. */
export function keepPending(x: Exchange, pending: Pending): string {
  return sealCookie(x, name, pending, patience)
}

/** What `keepPending` was given, if that is not too long ago. */
export function pendingOf(x: Exchange): Pending | undefined {
  // Sealed by us, so it is of the form that we gave it.
  return openCookie(x, name) as Pending | undefined
}

/** A Set-Cookie header that takes it away. */
export function dropPending(x: Exchange): string {
  return dropCookie(x, name)
}

/** Where an issuer sends people back to. Each has an address of its own. */
export function callbackOf({ publicUrl }: Pick<ApiContext, 'publicUrl'>, issuer: string): string {
  return `${publicUrl}${loginPage}/callback/${encodeURIComponent(issuer)}`
}
