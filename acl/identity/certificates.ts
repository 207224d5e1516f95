/**
 * Certificates that callers show in TLS. Whether the chain is good was checked by TLS itself (or by the proxy at which it
 * ends); here it is asked what kind of certificate it is and whom it stands for.
 *
 * Only a plain certificate of a person or program counts. Proxy certificates (RFC 3820) need rules of their own for the
 * whole chain, which TLS libraries do not apply: they are refused by name.
 */

import { createHash, type X509Certificate } from 'node:crypto'
import type { Principal } from '../principal.ts'
import { traceAccount } from './account-trace.ts'
import { principalOf } from './accounts.ts'
import { isAdministrator } from './administrators.ts'
import type { BearerContext } from './bearer.ts'
import type { ClientCertificate } from './identity.ts'
import { mapCertificate } from './mapping.ts'
import { refuse } from './refusal.ts'

const mostText = 1000

/** What counts of a certificate. `problem`: why whoever checked its chain does not accept it. */
export function readCertificate(certificate: X509Certificate, problem?: string): ClientCertificate {
  const raw = certificate.raw
  return {
    subject: nameOf(certificate.subject),
    thumbprint: createHash('sha256').update(raw).digest('base64url'),
    from: Date.parse(certificate.validFrom),
    until: Date.parse(certificate.validTo),
    ...whatIsWrong(certificate, problem),
  }
}

function whatIsWrong(certificate: X509Certificate, problem: string | undefined): { readonly problem?: string } {
  if (isProxy(certificate)) return { problem: 'proxy certificates (RFC 3820) are not accepted; send a token' }
  if (certificate.ca) return { problem: 'it is the certificate of an authority' }
  if (problem !== undefined) return { problem }
  const { keyUsage: purposes } = certificate
  // RFC 5280, section 4.2.1.12: the purposes that are named are the only ones.
  if (purposes !== undefined && !purposes.some((each) => each === clientAuth || each === anyUse)) {
    return { problem: 'it is not for clients (extended key usage)' }
  }
  const isNamed = certificate.subject !== undefined && certificate.subject !== ''
  if (!isNamed || certificate.subject.length > mostText)
    return { problem: 'it has no subject, or one that is too long' }
  return {}
}

const clientAuth = '1.3.6.1.5.5.7.3.2'
const anyUse = '2.5.29.37.0'

/** The object identifiers, as DER, of proxyCertInfo: RFC 3820, and Globus before it. */
const proxyExtensions = ['06082b0601050507010e', '060a2b060104019b5001815e'].map((hex) => Buffer.from(hex, 'hex'))
/** The last name of proxies that are older than the extension. */
const oldProxy = /(?:^|\n)CN=(?:limited )?proxy$/

function isProxy({ raw, subject = '' }: X509Certificate): boolean {
  return proxyExtensions.some((extension) => raw.includes(extension)) || oldProxy.test(subject)
}

/** As RFC 4514 writes it: Node.js tells a line for each part, from the top down, with its values escaped. */
function nameOf(subject: string | undefined): string {
  return (subject ?? '').split('\n').toReversed().join(',')
}

/** Throws `unauthenticated` for a certificate that is not accepted, `denied` for one that no mapping rule knows. */
export async function authenticateCertificate(
  certificate: ClientCertificate,
  { now, trace, options, accounts }: Pick<BearerContext, 'now' | 'trace' | 'options' | 'accounts'>,
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
