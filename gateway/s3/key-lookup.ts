/** From the name of an access key to its secret, and what a sender is told where there is none. */

import type { S3Key, S3Keys } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { S3Error, type S3ErrorDetails } from './error.ts'
import { printable } from './refusal.ts'

/** What belongs to an access key. */
export interface SigningIdentity {
  readonly secret: Secret
  readonly principal: Principal
}

/** Undefined for keys that nobody knows. Throws StorageError whose reason has the rule `key-expired` or `token-malformed`, or is another that makes it `unauthenticated`. */
export type KeyLookup = (accessKeyId: string, sessionToken: string | undefined) => Promise<SigningIdentity | undefined>

/** The keys of one request: what it is signed with counts as used when the signature was right. */
export interface KeyDesk {
  readonly key: KeyLookup
  noteUse(): Promise<void>
}

export function keyDesk(keys: Pick<S3Keys, 'key' | 'noteUse'>): KeyDesk {
  let found: S3Key | undefined
  return {
    key: async (id, token) => {
      found = await keys.key(id, token)
      return found
    },
    noteUse: async () => {
      if (found) await keys.noteUse(found)
    },
  }
}

/** Throws S3Error for a key that is unknown, disabled or has expired. */
export async function findKey(
  lookup: KeyLookup,
  accessKeyId: string,
  sessionToken: Secret | undefined,
): Promise<SigningIdentity> {
  try {
    const found = await lookup(accessKeyId, sessionToken?.reveal())
    if (found) return found
  } catch (thrown) {
    throw refusedKey(accessKeyId, StorageError.from(thrown))
  }
  throw unknownKey(accessKeyId)
}

/** Without its secret a session token opens nothing, but it is half of a credential. */
export function readableToken(): S3Error {
  const reason = { rule: 'plain-http', text: 'credentials are accepted over TLS only' }
  return new S3Error('AccessDenied', 'Session tokens are accepted over TLS only.', { reason })
}

/** What the look-up of a key has thrown, in the words of S3; what is no fault of the sender stays as it is. */
function refusedKey(accessKeyId: string, error: StorageError): StorageError {
  const reason = StorageError.reasonOf(error)
  const details = { cause: error, reason }
  if (reason?.rule === 'key-expired') return new S3Error('ExpiredToken', 'The provided token has expired.', details)
  if (reason?.rule === 'token-malformed') {
    return new S3Error('InvalidToken', 'The provided token is malformed or otherwise invalid.', details)
  }
  return error.code === 'unauthenticated' ? unknownKey(accessKeyId, details) : error
}

/** Keys that are disabled are as good as none. */
function unknownKey(accessKeyId: string, details: S3ErrorDetails = {}): S3Error {
  const message = 'The AWS Access Key Id you provided does not exist in our records.'
  const elements = { AWSAccessKeyId: printable(accessKeyId) }
  const reason = details.reason ?? { rule: 'key-unknown', text: 'nobody knows an access key of this name' }
  return new S3Error('InvalidAccessKeyId', message, { ...details, reason, elements })
}
