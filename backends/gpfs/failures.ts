/** From what Storage Scale answers when it fails to the gateway's errors: by numbers and message codes, never by prose. */

import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'

/** Seconds after which asking again may help. */
const pause = 10

/** How much of standard error is looked at, in characters. */
export const maxToldLength = 16_384

/** Numbers in severity tags, which are those of errno. Any other is `unavailable`. */
const byNumber: Readonly<Record<string, ErrorCode>> = {
  1: 'denied',
  2: 'not-found',
  11: 'busy',
  13: 'denied',
  16: 'busy',
  20: 'not-found',
  22: 'invalid',
  28: 'no-space',
  30: 'read-only',
  36: 'invalid',
  95: 'unsupported',
  116: 'stale',
  122: 'quota',
}

/** Message codes of the commands and of the management API that say what is wrong whatever the number. */
const byMessage: Readonly<Record<string, ErrorCode>> = {
  '6027-2612': 'not-found',
  EFSSP0010C: 'not-found',
  EFSSG0072C: 'not-found',
}

const texts: Readonly<Partial<Record<ErrorCode, string>>> = {
  denied: 'Storage Scale refuses the gateway',
  'not-found': 'Storage Scale knows no such object',
  busy: 'Storage Scale is busy',
  invalid: 'Storage Scale refuses this',
  unsupported: 'the file system cannot do this',
}

/**
 * The error of a command that ended with `exit` (null: by a signal) and printed `told` to standard error. A number
 * in a severity tag, "[E:2]", is the return code of that problem (Problem Determination Guide, Message severity
 * tags); the plain return code only says that there was one.
 */
export function failureOfCommand(exit: number | null, told: string): StorageError {
  const words = told.slice(0, maxToldLength)
  const number = /\[[A-Z]:(\d{1,5})\]/.exec(words)?.[1]
  const code = codeOfMessages(words) ?? byNumber[number ?? ''] ?? 'unavailable'
  return failure(code, `a command of Storage Scale ended with ${exit ?? 'a signal'}${number ? ` [${number}]` : ''}`)
}

/** The code that the first known message code among `words` stands for. */
export function codeOfMessages(words: string): ErrorCode | undefined {
  for (const [message] of words.slice(0, maxToldLength).matchAll(/\b(?:6027-\d{3,4}|EFSS[A-Z]\d{4}[A-Z])\b/g)) {
    const code = byMessage[message]
    if (code) return code
  }
  return undefined
}

/** An error with the words that belong to its code; `what` is for the log alone. */
export function failure(code: ErrorCode, what: string): StorageError {
  const waits = code === 'unavailable' || code === 'busy'
  return new StorageError(code, texts[code] ?? 'Storage Scale does not answer', {
    cause: new Error(what),
    ...(waits && { retryAfter: pause }),
    ...(code === 'denied' && { reason: { rule: 'gpfs', text: 'Storage Scale refuses what the gateway asks of it' } }),
  })
}

/**
 * What an ACL that could not be parsed with `error` means: one of more entries than are read speaks of its object
 * alone, anything else of whoever told it.
 */
export function unreadableAcl(error: unknown): StorageError {
  if (!(error instanceof StorageError)) return brokenAnswer('the ACL is no text')
  return error.code === 'too-large' ? failure('unsupported', error.message) : brokenAnswer(error.message)
}

/** An answer that does not follow the documented format. */
export function brokenAnswer(what: string): StorageError {
  return new StorageError('unavailable', 'Storage Scale gave an answer that cannot be read', {
    cause: new Error(what),
    retryAfter: 30,
  })
}
