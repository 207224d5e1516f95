/** How the parts of `portolan check` tell what they found. */

import type { Finding } from '../../backends/backend.ts'
import { ConfigError } from '../config.ts'
import { StorageError } from '../core/errors.ts'

/** Called with each finding as it comes; `part` is what it is about: "configuration", "issuers", "mount /data-dust". */
export type Report = (part: string, finding: Finding) => void

export function ok(subject: string, text: string): Finding {
  return { subject, level: 'ok', text }
}

/** `what to do` belongs into the text of these two. */
export function warning(subject: string, text: string): Finding {
  return { subject, level: 'warning', text }
}

export function problem(subject: string, text: string): Finding {
  return { subject, level: 'error', text }
}

/** The result, or undefined after a finding of level `error`. */
export async function attempt<T>(
  report: Report,
  part: string,
  subject: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof ConfigError) {
      for (const { line, key, text } of thrown.problems) {
        report(part, problem(subject, `line ${line}${key === '' ? '' : `, ${key}`}: ${text}`))
      }
    } else {
      report(part, problem(subject, StorageError.from(thrown).message))
    }
    return undefined
  }
}

/** "1 day", "12 days". */
export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`
}
