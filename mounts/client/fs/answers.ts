/** Answers that are no success: whose they are, and what they say. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { RemoteError, remoteError, singleLine } from '../errors.ts'
import { list, members, text } from '../members.ts'
import { Broken, type WireAnswer } from './wire.ts'

const problem = /^application\/(problem\+)?json\b/i

/** Another server's answer to the beginning of a session: ours makes one, or says in JSON why not. */
export function isStranger({ status, headers }: WireAnswer): boolean {
  if (status < 400) return status !== 201
  return (status === 404 || status === 405) && !problem.test(String(headers['content-type']))
}

/**
 * Throws `Broken` for the words of a proxy that has not reached the gateway, or has lost it, and of a server that was tired
 * of waiting for a request (RFC 9110, sections 15.5.9 and 15.6.3 to 15.6.5): the outcome is not known.
 */
export function requireGatewaysOwn({ status, headers }: WireAnswer, origin: URL): void {
  if (![408, 502, 503, 504].includes(status)) return
  if (headers['portolan-worker'] !== undefined || problem.test(String(headers['content-type']))) return
  const text = `${origin.origin}: what lies before the gateway answers ${status}; the outcome is unknown`
  throw new Broken(new StorageError('unavailable', text), false)
}

/** The gateway's reason. */
export function refusal(answer: WireAnswer): StorageError {
  return remoteError(answer.status, answer.headers, textOf(answer))
}

/** A refusal of the credential, with what the gateway explains to whoever shows it (rules: docs/identity.md). */
export function withReason(refused: StorageError, explanation: WireAnswer): StorageError {
  if (!(refused instanceof RemoteError) || explanation.status !== 200) return refused
  try {
    const steps = list(members(JSON.parse(textOf(explanation))).steps, 'steps').map(members)
    const { reason } = steps.find(({ check, allowed }) => check === 'credential' && allowed === false) ?? {}
    if (reason === undefined) return refused
    const rule = text(members(reason).rule, 'rule')
    const why = singleLine(text(members(reason).text, 'text'))
    const todo = rule === 'token-audience' ? `the token is for another service (${why}): get one for this gateway` : why
    const { code, message, status, callId, explain } = refused
    return new RemoteError(code, `${message}: ${todo}`, { status, callId, explain })
  } catch {
    // Then the refusal has to do.
    return refused
  }
}

export function textOf({ body }: WireAnswer): string {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
}
