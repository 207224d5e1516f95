/** Bodies in chunks, for raw requests. */

import { hmac, type SignedHeaders, sha256 } from './signing.ts'

const emptyHash = sha256('')

/** What a body is made of. */
export interface Chunks {
  readonly chunks: readonly string[]
  /** `name:value` */
  readonly trailer?: string
  /** The head, whose signature the first chunk follows; without it chunks have none. */
  readonly signed: SignedHeaders | undefined
}

/** The body as clients write it (Amazon S3 API Reference, "Signature Calculations", chunked uploads). */
export function framed({ chunks, trailer, signed }: Chunks): string {
  let previous = signed?.signature ?? ''
  const signature = (kind: string, digests: string) => {
    if (!signed) return ''
    const text = `AWS4-HMAC-SHA256-${kind}\n${signed.date}\n${signed.scope}\n${previous}\n${digests}`
    previous = hmac(signed.signingKey, text).toString('hex')
    return previous
  }
  const lines = [...chunks, ''].map((data) => {
    const mark = signed ? `;chunk-signature=${signature('PAYLOAD', `${emptyHash}\n${sha256(data)}`)}` : ''
    return `${data.length.toString(16)}${mark}\r\n${data}${data === '' ? '' : '\r\n'}`
  })
  const end = trailer === undefined ? '' : `${trailer}\r\n`
  const trailerSignature = trailer !== undefined && signed ? signature('TRAILER', sha256(`${trailer}\n`)) : ''
  return `${lines.join('')}${end}${trailerSignature && `x-amz-trailer-signature:${trailerSignature}\r\n`}\r\n`
}
