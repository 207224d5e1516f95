/** Under which name a credential is banned that an administrator has in hand, such as one that was found in a log. */

import { StorageError } from '../../gateway/core/errors.ts'
import { member } from '../json.ts'
import type { Secret } from '../secret.ts'
import { looksLikeAppPassword } from './app-passwords.ts'
import type { Epochs } from './epochs.ts'
import { decodeToken } from './jwt.ts'
import { maxNameLength, maxTokenLength } from './limits.ts'
import { looksLikeMacaroon, readGenuine } from './macaroons.ts'
import { openSession } from './s3-sessions.ts'

export interface NamingMeans {
  /** By the exact text of `iss`. */
  readonly issuers: ReadonlyMap<string, unknown>
  readonly epochs: Epochs | undefined
}

interface Named {
  readonly name: string
  /** Milliseconds since 1970 when nothing of it is good any more; undefined where that cannot be known. */
  readonly until: number | undefined
}

/** Nothing is fetched for it, and the signature of a token does not matter: to ban a false one does no harm. Throws `invalid`. */
export async function nameOfCredential(credential: Secret, { issuers, epochs }: NamingMeans): Promise<Named> {
  const text = credential.reveal()
  if (text.length > maxTokenLength) throw none(`it is longer than ${maxTokenLength} characters`)
  if (looksLikeAppPassword(credential)) throw none('it is an application password, which is taken back by its id')
  const session = epochs && (await openSession(text, epochs))
  if (session) return { name: `s3-key:${session.accessKeyId}`, until: session.expires }
  if (looksLikeMacaroon(text)) return nameOfMacaroon(text, epochs)
  const { iss, jti } = claimsOf(text)
  if (iss === undefined || !issuers.has(iss)) throw none('it is of no issuer of the configuration')
  if (jti === undefined) throw none('it has no jti: ban its subject, principal:ISSUER|SUB')
  // What was made with it carries its name, and may outlive it.
  return { name: `token:${iss}|${jti}`, until: undefined }
}

async function nameOfMacaroon(text: string, epochs: Epochs | undefined): Promise<Named> {
  if (!epochs) throw none('it is no token, and no macaroons are made here')
  try {
    const { snapshot } = await readGenuine(text, epochs)
    return { name: `macaroon:${snapshot.id}`, until: snapshot.expires }
  } catch (cause) {
    if (StorageError.from(cause).code !== 'unauthenticated') throw cause
    throw none('it is no macaroon of ours; of an opaque token ban its subject, principal:ISSUER|SUB', cause)
  }
}

function claimsOf(text: string): { readonly iss: string | undefined; readonly jti: string | undefined } {
  const payload = decodeToken(text)?.payload
  if (payload === undefined) throw none('it is not a signed JWT')
  const textOf = (name: string) => {
    const value = member(payload, name)
    return typeof value === 'string' && /^[\x20-\x7e]+$/.test(value) ? value : undefined
  }
  const jti = textOf('jti')
  return { iss: textOf('iss'), jti: jti !== undefined && jti.length <= maxNameLength ? jti : undefined }
}

function none(text: string, cause?: unknown): StorageError {
  return new StorageError('invalid', `this credential has no name to ban it by: ${text}`, { cause })
}
