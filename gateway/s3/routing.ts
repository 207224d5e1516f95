/**
 * What a request names: bucket, key, parameters (Amazon S3 User Guide, "Virtual hosting of general purpose buckets").
 *
 * The request-target is taken as it was sent. Nothing is resolved: dot segments and double slashes are refused later,
 * with the key.
 */

import { parseS3Query } from './canonical.ts'
import { S3Error } from './error.ts'
import type { S3Query } from './s3-request.ts'

export interface S3Target {
  /** Undefined for the service itself. */
  readonly bucket: string | undefined
  /** Decoded and not checked; undefined for the bucket itself. */
  readonly key: string | undefined
  /** A plus is a space. */
  readonly query: S3Query
}

/** `label`: what stands in front of our domain in the Host header; '' for the domain itself. Throws InvalidURI. */
export function parseS3Target(url: string, label: string): S3Target {
  if (!url.startsWith('/')) throw invalid('The request target must be a path.')
  const cut = url.indexOf('?')
  const path = cut < 0 ? url : url.slice(0, cut)
  const query = parseS3Query(cut < 0 ? '' : url.slice(cut + 1), 'space')
  if (!query) throw invalid("Couldn't parse the specified URI.")
  if (label !== '') return { bucket: label, key: keyIn(path.slice(1)), query }
  const slash = path.indexOf('/', 1)
  const bucket = decode(slash < 0 ? path.slice(1) : path.slice(1, slash))
  if (bucket !== '') return { bucket, key: slash < 0 ? undefined : keyIn(path.slice(slash + 1)), query }
  if (slash >= 0) throw invalid('The bucket has no name.')
  return { bucket: undefined, key: undefined, query }
}

function keyIn(encoded: string): string | undefined {
  return encoded === '' ? undefined : decode(encoded)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Octets that came unescaped count as they are. Throws InvalidURI for what is not UTF-8 then. */
function decode(text: string): string {
  if (/^[\x21-\x24\x26-\x7e]*$/.test(text)) return text
  try {
    return text.includes('%') && /^[\x20-\x7e]*$/.test(text) ? decodeURIComponent(text) : utf8.decode(octetsOf(text))
  } catch {
    throw invalid("Couldn't parse the specified URI.")
  }
}

/** Throws for an escape that is none. */
function octetsOf(text: string): Buffer {
  const plain = text.replace(/%(..?)?/gs, (whole, digits: string | undefined) => {
    if (!/^[0-9a-f]{2}$/i.test(digits ?? '')) throw invalid(`not an escape: ${whole}`)
    return String.fromCharCode(Number.parseInt(digits ?? '', 16))
  })
  return Buffer.from(plain, 'latin1')
}

function invalid(text: string): S3Error {
  return new S3Error('InvalidURI', text)
}
