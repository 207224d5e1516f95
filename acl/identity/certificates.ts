/** Whom the certificate that a caller shows in TLS stands for here. */

import type { ClientCertificate } from '../client-certificate.ts'
import type { Principal } from '../principal.ts'
import { traceAccount } from './account-trace.ts'
import { principalOf } from './accounts.ts'
import { isAdministrator } from './administrators.ts'
import type { BearerContext } from './bearer.ts'
import type { CredentialCache, Known } from './credential-cache.ts'
import { mapCertificate } from './mapping.ts'
import { refuse } from './refusal.ts'

interface Means extends Pick<BearerContext, 'now' | 'trace' | 'options' | 'accounts'> {
  readonly cache: CredentialCache
}

/** As `authenticateCertificate`, kept for a while; `hold` is given whom it lets in. */
export async function recognizeCertificate(
  certificate: ClientCertificate,
  means: Means,
  hold: (found: Omit<Known, 'until'>) => Known,
): Promise<Known> {
  const { cache, now } = means
  const { thumbprint, problem } = certificate
  const known = problem === undefined ? cache.certificate(thumbprint, now) : undefined
  if (known !== undefined) return known
  const principal = await authenticateCertificate(certificate, means)
  const holder = { id: principal.id, user: principal.user, tokenId: undefined }
  return cache.keepCertificate(thumbprint, hold({ principal, holder }), now)
}

/** Throws `unauthenticated` for a certificate that is not accepted, `denied` for one that no mapping rule knows. */
export async function authenticateCertificate(
  certificate: ClientCertificate,
  { now, trace, options, accounts }: Omit<Means, 'cache'>,
): Promise<Principal> {
  const { subject, problem, from, until } = certificate
  if (problem !== undefined) throw refuse('certificate', problem)
  // Written as refusals of what is not so, so that a date that could not be read is one.
  if (!(now >= from)) throw refuse('certificate', 'the certificate is not valid yet')
  if (!(now < until)) throw refuse('certificate', 'the certificate has expired')
  trace('certificate', `the certificate of ${subject} is accepted, until ${new Date(until).toISOString()}`)
  const mapped = mapCertificate(subject, options.mapping)
  for (const sentence of mapped.explanation) trace('mapping', sentence)
  const account = await accounts.find(mapped.account)
  const local = principalOf(account, options.domain, { groups: new Set(), joined: new Map() })
  traceAccount(trace, account, local, { accounts, domain: options.domain })
  return {
    id: `dn:${subject}`,
    ...local,
    grants: 'unbounded',
    expires: until / 1000,
    ...(isAdministrator({ ...local, grants: 'unbounded' }, options) && { administrator: true }),
  }
}
