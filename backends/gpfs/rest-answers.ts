/** What answers of the management API mean: status codes, states of jobs, numbers. */

import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import { brokenAnswer, codeOfMessages, failure, failureOfCommand } from './failures.ts'

/** Members of a JSON object, none of them checked. */
export type Members = Readonly<Record<string, unknown>>

/** Throws `unavailable` for what is no object. */
export function membersOf(value: unknown): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw brokenAnswer('an object is missing')
  return value as Members
}

/** A member that is text; undefined where it is not there. */
export function textOf(members: Members, name: string): string | undefined {
  const value = members[name]
  return typeof value === 'string' ? value : undefined
}

const byStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  403: 'denied',
  404: 'not-found',
  405: 'unsupported',
}

/** Marks what the API says may be tried again (500 and 503), and connections that broke. */
const passing = new WeakSet<StorageError>()

/** The error of a status code. 401 is about the gateway's own credentials, which no caller can mend. */
export function failureOfStatus(status: number, message: string): StorageError {
  const code = (status === 400 ? codeOfMessages(message) : undefined) ?? byStatus[status] ?? 'unavailable'
  const error = failure(code, `the management API answered ${status}`)
  if (status === 500 || status === 503) passing.add(error)
  return error
}

/** Whether asking the same again may help at once. */
export function isPassing(error: unknown): boolean {
  return error instanceof StorageError && passing.has(error)
}

/** Makes an error one that `isPassing`. */
export function markPassing(error: StorageError): StorageError {
  passing.add(error)
  return error
}

/**
 * Whether a job is done; throws for one that has failed. A job may be COMPLETED with an exit code other than 0.
 * What it printed is looked at for message codes only.
 */
export function requireFinished(job: Members): boolean {
  const { status } = job
  if (status !== 'COMPLETED' && status !== 'FAILED' && status !== 'CANCELLED') return false
  const result = membersOf(job.result)
  const exit = Number.isSafeInteger(result.exitCode) ? Number(result.exitCode) : null
  if (status === 'COMPLETED' && exit === 0) return true
  const told = Array.isArray(result.stderr) ? result.stderr.filter((line) => typeof line === 'string') : []
  throw failureOfCommand(exit, told.join('\n'))
}
