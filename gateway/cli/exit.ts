/** How a command ends: exit codes and the words of failures. */

import { getSystemErrorMessage } from 'node:util'
import { RemoteError } from '../../mounts/client/errors.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import { complain, harmless, visible } from './output.ts'

/** Documented in every --help. */
export const exitCode = { done: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const

export const exitHelp = `
Exit codes: 0 done; 1 refused or failed; 2 wrong usage or configuration; 3 the gateway or its storage
cannot be reached, or is busy: trying again may help; 130 interrupted.`

/** Said here, not by the gateway, these speak of what was written on the command line or in a file it names. */
const own: ReadonlySet<ErrorCode> = new Set(['invalid', 'name-too-long', 'not-found'])
const later: ReadonlySet<ErrorCode> = new Set(['unavailable', 'busy', 'timeout', 'nearline'])

/** What the user did not write as it must be written. */
export class UsageError extends Error {}

/** Prints what went wrong and what to do about it, and returns the exit code. */
export function report(thrown: unknown): number {
  if (thrown instanceof UsageError) {
    complain(thrown.message)
    return exitCode.usage
  }
  if (!(thrown instanceof StorageError)) {
    complain(systemFailure(thrown) ?? 'unexpected failure; this is a bug')
    if (systemFailure(thrown) === undefined) {
      process.stderr.write(`${visible(thrown instanceof Error ? String(thrown.stack) : String(thrown))}\n`)
    }
    return exitCode.failed
  }
  complain(thrown.message)
  for (const hint of hintsOf(thrown)) process.stderr.write(`  ${visible(hint)}\n`)
  if (own.has(thrown.code) && !(thrown instanceof RemoteError)) return exitCode.usage
  if (thrown.code === 'cancelled') return exitCode.interrupted
  return later.has(thrown.code) ? exitCode.unreachable : exitCode.failed
}

/** What this machine could not do with a file or stream; undefined for any other failure. */
export function systemFailure(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('syscall' in thrown)) return undefined
  const { code, errno, path, syscall } = thrown as NodeJS.ErrnoException
  const what = errno === undefined ? '' : `${getSystemErrorMessage(errno)} `
  return `${path ?? syscall}: ${what}(${code})`
}

function hintsOf(error: StorageError): string[] {
  const hints: string[] = []
  if (error.code === 'unauthenticated')
    hints.push(
      'Run `portolan login`, name a token (--token-file, BEARER_TOKEN, BEARER_TOKEN_FILE; `portolan token` judges one), or run kinit where Kerberos is taken.',
    )
  if (error.code === 'nearline') hints.push('`portolan stage --wait PATH` brings it to disk.')
  if (error.retryAfter !== undefined) hints.push(`Try again in ${error.retryAfter} s.`)
  if (!(error instanceof RemoteError)) return hints
  const asked = URL.parse(error.explain ?? '')?.searchParams
  const path = asked?.get('path')
  const action = asked?.get('action')
  if (path && action && /^[a-z-]+$/.test(action)) hints.push(`Why: portolan explain ${action} ${quote(path)}`)
  if (error.callId !== undefined) hints.push(`Call ${error.callId}, for the administrator.`)
  return hints
}

/** A word for a POSIX shell, as far as a terminal can show it. */
export function quote(word: string): string {
  const shown = harmless(word)
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`
}
