/** What a running gateway can take over from a new configuration, and what has to wait for a restart. */

import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config.ts'

/** Keys of the top level that processes are built around. */
const fixed = [
  'publicUrl',
  'hosts',
  'siteName',
  'listen',
  's3',
  'domain',
  'runAs',
  'workers',
  'trustedProxies',
  'redirects',
  'thirdParty',
  'metrics',
  'state',
  'audit',
  'limits',
  'uploads',
] as const

export interface Reloaded {
  /** The new configuration, with the old values of what cannot change. */
  readonly config: Config
  /** Keys whose new values wait for a restart. */
  readonly waiting: readonly string[]
}

/** Pure. What is in a listener's certificate file may change; where the file is, as its address, may not. */
export function forRunning(old: Config, next: Config): Reloaded {
  const waiting: string[] = fixed.filter((key) => !isDeepStrictEqual(old[key], next[key]))
  const kept: Partial<Record<(typeof fixed)[number], unknown>> = {}
  for (const key of fixed) kept[key] = old[key]
  const log = { ...old.log, level: next.log.level }
  if (old.log.file !== next.log.file) waiting.push('log.file')
  // Which keytab it is the processes were told at their start; what is in it is read all the time.
  const isOther = old.kerberos?.keytab !== next.kerberos?.keytab
  if (isOther) waiting.push('kerberos.keytab')
  const { kerberos, ...others } = next
  const tickets = isOther ? old.kerberos : kerberos
  // Every key of `fixed` has the type it has in Config; the loop above cannot show that to the compiler.
  const now = { ...others, ...(tickets && { kerberos: tickets }) }
  return { config: { ...now, ...(kept as Pick<Config, (typeof fixed)[number]>), log }, waiting }
}
