/** AWS Signature Version 4: keys, strings to sign, signatures. */

import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Secret } from '../../acl/secret.ts'

/** The service whose requests a signature is for. */
export type SignedService = 's3' | 'sts'

/** Which key signs what (`AKID/YYYYMMDD/region/service/aws4_request`). */
export interface CredentialScope {
  readonly accessKeyId: string
  readonly day: string
  readonly region: string
  readonly service: string
}

/** The only algorithm of Signature Version 4 that is spoken here. */
export const algorithm = 'AWS4-HMAC-SHA256'
/** What clients take who were told no other region. */
export const defaultRegion = 'us-east-1'
/** SHA-256 of nothing. */
export const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** Keys of days and regions that are remembered. */
const maxRemembered = 4096

/** Undefined for what does not follow the grammar; the key's own name may contain slashes. */
export function parseCredential(text: string): CredentialScope | undefined {
  const match = /^(.{1,128})\/(\d{8})\/([\w-]{1,64})\/([\w-]{1,32})\/aws4_request$/.exec(text)
  if (!match) return undefined
  const [, accessKeyId = '', day = '', region = '', service = ''] = match
  return { accessKeyId, day, region, service }
}

/** As in the string to sign. */
export function scopeText({ day, region, service }: CredentialScope): string {
  return `${day}/${region}/${service}/aws4_request`
}

/** Four rounds of HMAC-SHA256 from a secret to the key of one day, region and service. */
export function deriveSigningKey(secret: Secret, { day, region, service }: CredentialScope): Buffer {
  const start: Buffer = Buffer.from(`AWS4${secret.reveal()}`)
  return [day, region, service, 'aws4_request'].reduce(hmac, start)
}

/** Remembers derived keys, a bounded number of them. */
export class SigningKeys {
  readonly #known = new LRUCache<string, { readonly secret: string; readonly key: Buffer }>({ max: maxRemembered })

  /** `scope` has been checked: whoever calls cannot fill the memory with days and regions of his own. */
  get(secret: Secret, scope: CredentialScope): Buffer {
    const name = `${scopeText(scope)}/${scope.accessKeyId}`
    const known = this.#known.get(name)
    // A name may have been given to another key meanwhile.
    if (known?.secret === secret.reveal()) return known.key
    const key = deriveSigningKey(secret, scope)
    this.#known.set(name, { secret: secret.reveal(), key })
    return key
  }
}

/** `request`: canonical, one character for each octet. `date`: `YYYYMMDD'T'HHMMSS'Z'`. */
export function stringToSign(request: string, date: string, scope: string): string {
  return `${algorithm}\n${date}\n${scope}\n${hash('sha256', Buffer.from(request, 'latin1'), 'hex')}`
}

/** In lower case hexadecimal digits. */
export function signatureOf(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text, 'latin1').digest('hex')
}

/** Takes as long whatever differs. */
export function isSameSignature(expected: string, shown: string): boolean {
  const a = Buffer.from(expected, 'latin1')
  const b = Buffer.from(shown, 'latin1')
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Milliseconds since 1970 of `YYYYMMDD'T'HHMMSS'Z'`; undefined for anything else. */
export function parseAmzDate(text: string): number | undefined {
  if (!/^\d{8}T\d{6}Z$/.test(text)) return undefined
  const part = (start: number, end: number) => Number(text.slice(start, end))
  const [month, hour, minute, second] = [part(4, 6) - 1, part(9, 11), part(11, 13), part(13, 15)]
  const time = Date.UTC(part(0, 4), month, part(6, 8), hour, minute, second)
  // Days that a month does not have are not to become days of the next.
  const isReal = hour < 24 && minute < 60 && second < 60 && new Date(time).getUTCMonth() === month
  return isReal ? time : undefined
}

/** `YYYYMMDD'T'HHMMSS'Z'` of milliseconds since 1970. */
export function amzDate(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest()
}
