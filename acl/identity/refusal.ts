/** How a credential is refused: one message for every caller, the reason for the audit log and `explain`. */

import { StorageError } from '../../gateway/core/errors.ts'

/** The rules that may refuse a credential; the words of `Reason.rule`. */
export type Rule =
  | 'token-size'
  | 'token-format'
  | 'token-algorithm'
  | 'token-key'
  | 'token-issuer'
  | 'token-signature'
  | 'token-type'
  | 'token-expired'
  | 'token-not-yet-valid'
  | 'token-lifetime'
  | 'token-audience'
  | 'token-profile'
  | 'token-scope'
  | 'token-binding'
  | 'token-inactive'
  | 'certificate'
  | 'macaroon-format'
  | 'macaroon-key'
  | 'macaroon-signature'
  | 'macaroon-caveat'
  | 'macaroon-issuer'
  | 'password'
  | 'app-password'
  | 's3-key'
  | 'key-expired'
  | 'key-disabled'
  | 'token-malformed'
  | 'session'
  | 'link'
  | 'kerberos-token'
  | 'kerberos-ticket'
  | 'kerberos-service'
  | 'kerberos-realm'
  | 'kerberos-cookie'
  | 'sign-in'
  | 'revoked'
  | 'mapping-none'
  | 'mapping-ambiguous'
  | 'account-unknown'
  | 'account-refused'

/** The credential itself is bad: `unauthenticated`. `text` names the claim and what was expected, never the credential. */
export function refuse(rule: Rule, text: string, cause?: unknown): StorageError {
  return new StorageError('unauthenticated', 'the credential was not accepted', { reason: { rule, text }, cause })
}

/** The credential is good, but nobody here is meant by it: `denied`. */
export function deny(rule: Rule, text: string): StorageError {
  return new StorageError('denied', 'no account here belongs to this credential', { reason: { rule, text } })
}

/** A value of a claim for a reason's text: quoted, without control characters, at most 120 characters. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}
