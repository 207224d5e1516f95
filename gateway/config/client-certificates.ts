/** The parts of a listener that are about certificates of callers. */

import { z } from 'zod'
import type { BrokenRule, KeyPath } from './problems.ts'
import { section, yesNo } from './values.ts'

/** `clientCertificates` in a listener's `tls`. */
export function clientCertificates<File extends z.ZodType>(file: File) {
  return section({
    /** PEM: whose certificates are accepted. */
    ca: file,
    /** PEM: revoked ones, a list of each authority in `ca`. */
    crl: file.exactOptional(),
    /** Connections without an accepted one are not answered at all. */
    required: yesNo.default(false),
  })
}

/** `proxyCertificates` of a listener: TLS ends at a trusted proxy, which tells the certificate in a header. */
export function proxyCertificates<File extends z.ZodType>(file: File) {
  return section({
    header: z
      .string('expected the name of a header')
      .regex(/^[A-Za-z0-9-]{1,100}$/, 'expected the name of a header')
      .transform((name) => name.toLowerCase())
      .default('client-cert'),
    /** PEM: the authorities that issue the certificates themselves. */
    ca: file,
  })
}

interface Listener {
  readonly path: KeyPath
  readonly tls?: { readonly clientCertificates?: object | undefined } | undefined
  readonly proxyCertificates?: { readonly header: string } | undefined
}

/** Headers that mean something else. */
const taken: ReadonlySet<string> = new Set(['authorization', 'cookie', 'host', 'forwarded', 'origin', 'referer'])

export function* certificateRules(listeners: readonly Listener[], proxies: readonly string[]): Generator<BrokenRule> {
  for (const { path, tls, proxyCertificates: told } of listeners) {
    if (!told) continue
    const at = [...path, 'proxyCertificates']
    if (proxies.length === 0) yield { path: at, text: 'needs `trustedProxies` to say whose header is believed' }
    if (tls?.clientCertificates) yield { path: at, text: 'TLS with certificates of callers ends here or at a proxy' }
    if (taken.has(told.header) || told.header.startsWith('x-forwarded-')) {
      yield { path: [...at, 'header'], text: 'this header means something else' }
    }
  }
}
