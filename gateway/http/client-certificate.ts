/**
 * The certificate that a caller has shown: in TLS to us, or to a trusted proxy at which TLS ends and which tells it in a
 * header (RFC 9440, or URL-encoded PEM as nginx writes it). Nobody else's header is looked at.
 */

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { type ClientCertificate, readCertificate } from '../../acl/client-certificate.ts'
import { StorageError } from '../core/errors.ts'
import type { Connection } from './connection.ts'
import type { Exchange } from './exchange.ts'

/** The header of a listener in which proxies tell certificates, and who may have issued these. */
export class ToldCertificates {
  /** In lower case. */
  readonly header: string
  readonly #file: string
  /** By the header's value: one proxy tells the same ones again and again. */
  readonly #known = new LRUCache<string, ClientCertificate>({ max: 1000 })
  #authorities: readonly X509Certificate[] = []

  constructor({ header, ca }: { readonly header: string; readonly ca: string }) {
    this.header = header
    this.#file = ca
  }

  /** Reads the authorities; call what it gives to use them from now on. Throws `invalid`. */
  async read(): Promise<() => void> {
    const authorities = await readAuthorities(this.#file)
    return () => {
      this.#authorities = authorities
      this.#known.clear()
    }
  }

  /** What the header says; what cannot be read is a certificate that is not accepted. */
  find(value: string): ClientCertificate {
    const known = this.#known.get(value)
    if (known !== undefined) return known
    const found = this.#judge(value)
    this.#known.set(value, found)
    return found
  }

  #judge(value: string): ClientCertificate {
    const certificate = decode(value)
    if (!certificate) return { ...unreadable, problem: 'the proxy tells it in a form that is not understood' }
    const isKnown = this.#authorities.some((authority) => {
      return certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
    })
    return readCertificate(certificate, isKnown ? undefined : 'none of the accepted authorities issued it')
  }
}

const unreadable = { subject: '', thumbprint: '', from: 0, until: 0 }
const maxHeader = 16 * 1024

function decode(value: string): X509Certificate | undefined {
  try {
    if (value.length > maxHeader) return undefined
    // RFC 8941, section 3.3.5: a byte sequence stands between colons.
    const [, bytes] = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(value) ?? []
    if (bytes !== undefined) return new X509Certificate(Buffer.from(bytes, 'base64'))
    const pem = decodeURIComponent(value)
    return /^-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\s*$/.test(pem)
      ? new X509Certificate(pem)
      : undefined
  } catch {
    // Whatever is wrong with it, it is no certificate.
    return undefined
  }
}

/** The certificates in a PEM file. Throws `invalid`. */
export async function readAuthorities(file: string): Promise<readonly X509Certificate[]> {
  try {
    const text = await readFile(file, 'utf8')
    const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
    if (found.length === 0) throw new StorageError('invalid', `${file}: holds no certificate`)
    return found.map((pem) => new X509Certificate(pem))
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    throw new StorageError('invalid', `${file}: the certificates of authorities cannot be read`, { cause })
  }
}

const seen = new WeakMap<Connection, ClientCertificate | undefined>()

/** The certificate that came with the request, accepted or not. */
export function certificateOf({ connection, request }: Exchange): ClientCertificate | undefined {
  const { listener, proxied } = connection
  if (listener.told) {
    const value = proxied ? request.headers[listener.told.header] : undefined
    return typeof value === 'string' && value !== '' ? listener.told.find(value) : undefined
  }
  // What a proxy shows is its own.
  if (!listener.clientCertificates || proxied) return undefined
  if (!seen.has(connection)) seen.set(connection, shownIn(connection))
  return seen.get(connection)
}

/** What goes with a token: where it comes from, and the certificate that it may be bound to. */
export function shownWith(x: Exchange): { readonly from: string; readonly certificate?: string } {
  const certificate = certificateOf(x)
  return { from: x.from, ...(certificate && { certificate: certificate.thumbprint }) }
}

function shownIn({ socket }: Connection): ClientCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  return readCertificate(certificate, socket.authorized ? undefined : problemOf(socket.authorizationError))
}

/** OpenSSL's own names of what is wrong with a chain. */
const problems: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet',
  CERT_REVOKED: 'the certificate was revoked',
  CRL_HAS_EXPIRED: 'the list of revoked certificates is out of date',
  UNABLE_TO_GET_CRL: 'there is no list of revoked certificates of its authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'none of the accepted authorities issued it',
  SELF_SIGNED_CERT_IN_CHAIN: 'none of the accepted authorities issued it',
  UNABLE_TO_GET_ISSUER_CERT: 'none of the accepted authorities issued it',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'none of the accepted authorities issued it',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'none of the accepted authorities issued it',
}

/** Node.js gives the name as the error, where it has one. */
function problemOf(error: unknown): string {
  const code = typeof error === 'string' ? error : String((error as { readonly code?: unknown } | null)?.code)
  const known = Object.hasOwn(problems, code) ? problems[code] : undefined
  return known ?? `its chain is not accepted (${/^[A-Z_]{1,60}$/.test(code) ? code : 'unknown'})`
}
