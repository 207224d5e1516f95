/** Continuation tokens of ListObjectsV2: where a listing goes on, signed, so that nothing has to be kept for it. */

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { WalkPosition } from '../core/walking.ts'
import { S3Error } from './error.ts'

const macBytes = 16
/** Characters: more than the longest key, escaped as it may have to be, and everything around it take. */
const maxLength = 12_288

/** Good for this bucket alone, in all processes that have the key. */
export function writeToken(key: Uint8Array, bucket: string, { after, beyond, since }: WalkPosition): string {
  const text = Buffer.from(JSON.stringify([after, beyond ? 1 : 0, since ?? 0]))
  return Buffer.concat([macOf(key, bucket, text), text]).toString('base64url')
}

/** Throws InvalidArgument for everything that `writeToken` did not give. */
export function readToken(key: Uint8Array, bucket: string, token: string): WalkPosition {
  const bytes = Buffer.from(token.slice(0, maxLength), 'base64url')
  const text = bytes.subarray(macBytes)
  const isOurs = bytes.length > macBytes && timingSafeEqual(bytes.subarray(0, macBytes), macOf(key, bucket, text))
  // Other spellings of the same bytes are none that we gave.
  if (!isOurs || bytes.toString('base64url') !== token) {
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', {
      elements: { ArgumentName: 'continuation-token' },
    })
  }
  // Signed by us, so it is of the form that we gave it.
  const [after, beyond, since] = JSON.parse(text.toString()) as readonly [string, number, number]
  return { after, ...(beyond === 1 && { beyond: true }), ...(since > 0 && { since }) }
}

function macOf(key: Uint8Array, bucket: string, text: Uint8Array): Buffer {
  const hmac = createHmac('sha256', key).update(`list\0${bucket}\0`)
  return hmac.update(text).digest().subarray(0, macBytes)
}
