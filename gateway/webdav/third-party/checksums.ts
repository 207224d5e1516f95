/** Checksums as the two sides of a copy tell them to each other (RFC 3230 and RFC 9530). */

import type { IncomingMessage } from 'node:http'
import type { Digest, Digests } from '../../../backends/backend.ts'
import { sameDigest } from '../../core/digests.ts'
import { StorageError } from '../../core/errors.ts'
import { digestHeaders, parseExpected } from '../../http/digests.ts'
import { RemoteFailure } from './failure.ts'

/** The checksum that every grid storage knows. */
export const common: Digest = 'adler32'

/** Asks the other server for it in both vocabularies. */
export const wanting = { 'Want-Digest': common, 'Want-Repr-Digest': 'adler=10' } as const

/** What the other server says of the file; empty if nothing. Throws RemoteFailure for what cannot be read. */
export function toldBy({ headers }: Pick<IncomingMessage, 'headers'>): Digests {
  try {
    return parseExpected(headers) ?? {}
  } catch (cause) {
    throw new RemoteFailure('its checksums cannot be read or contradict each other', { cause })
  }
}

/** As headers of a PUT. */
export function telling(digests: Digests): Record<string, string> {
  const kinds = Object.keys(digests) as Digest[]
  const told = digestHeaders(digests, { kinds, older: kinds, modern: kinds })
  const headers: Record<string, string> = {}
  for (let at = 0; at + 1 < told.length; at += 2) headers[told[at] ?? ''] = told[at + 1] ?? ''
  return headers
}

/** Whether at least one kind is known of both. Throws `bad-checksum` where one differs. */
export function compare(own: Digests, told: Digests): boolean {
  let compared = false
  for (const [kind, value] of Object.entries(told) as [Digest, Uint8Array][]) {
    const mine = own[kind]
    if (!mine) continue
    if (!sameDigest(mine, value)) throw new StorageError('bad-checksum', `the ${kind} of the two sides differs`)
    compared = true
  }
  return compared
}

export function unverified(): RemoteFailure {
  return new RemoteFailure('it tells no checksum that could be compared, and RequireChecksumVerification asks for one')
}
