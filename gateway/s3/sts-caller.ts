/**
 * Who asks for a role (AssumeRole) with a credential of his own in the Authorization header, which AWS has no word for:
 * a Kerberos ticket, a password or a token; or by the certificate of his connection. The keys that he gets are those of AssumeRoleWithWebIdentity.
 */

import type { Identity } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import { parseAuthorization } from '../http/authenticate.ts'
import { certificateOf, shownWith } from '../http/client-certificate.ts'
import { requireNoOtherSite } from '../http/csrf.ts'
import type { Exchange } from '../http/exchange.ts'
import { negotiateToken, showTicket } from '../http/negotiate.ts'
import { StsError } from './sts-error.ts'

/** Throws an error of the token service for nobody, `unauthenticated` or `denied` for somebody who is not let in. */
export async function callerOf(x: Exchange, identity: Pick<Identity, 'authenticate' | 'kerberos'>): Promise<Principal> {
  const { authorization: header } = x.request.headers
  const certificate = header === undefined ? certificateOf(x) : undefined
  if (!certificate && (header === undefined || /^AWS4?[- ]/.test(header))) {
    throw new StsError(
      'MissingAuthenticationToken',
      'A role is for who shows a ticket, a password, a token or a certificate.',
    )
  }
  if (!x.isPrivate) {
    const reason = { rule: 'plain-http', text: 'credentials are accepted over TLS only' }
    throw new StsError(
      'AccessDenied',
      'Credentials are accepted over TLS only.',
      new StorageError('denied', '', { reason }),
    )
  }
  // Browsers add tickets, certificates and remembered passwords by themselves, and a role may be asked for with GET.
  requireNoOtherSite(x)
  if (certificate) return identity.authenticate({ kind: 'certificate', certificate })
  const token = negotiateToken(header)
  if (token) return showTicket(identity.kerberos, x, token)
  const credential = parseAuthorization(header)
  if (credential.kind === 'basic') return identity.authenticate({ ...credential, from: x.from })
  return identity.authenticate(credential.kind === 'bearer' ? { ...credential, ...shownWith(x) } : credential)
}
