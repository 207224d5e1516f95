/**
 * Certificates that callers show in TLS, as far as they can be judged by themselves: what kind they are and whose. Whether
 * the chain is good was checked by TLS itself, or by whoever read the certificate elsewhere.
 *
 * Only a plain certificate of a person or program counts. Proxy certificates (RFC 3820) need rules of their own for the
 * whole chain, which TLS libraries do not apply: they are refused by name.
 */

import { createHash, type X509Certificate } from 'node:crypto'

/** A certificate whose key the caller has shown to have. Times are milliseconds since 1970. */
export interface ClientCertificate {
  /** As in RFC 4514. */
  readonly subject: string
  /** SHA-256 in base64url of its DER. */
  readonly thumbprint: string
  readonly from: number
  readonly until: number
  /** Why it is no credential, if it is none. */
  readonly problem?: string
}

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
