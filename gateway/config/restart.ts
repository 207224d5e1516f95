/** What a running gateway can take over from a new configuration, and what has to wait for a restart. */

import { isDeepStrictEqual } from 'node:util'
import type { Config, ListenerConfig } from '../config.ts'

/** Keys of the top level that processes are built around. */
const fixed = [
  'publicUrl',
  'hosts',
  'domain',
  'runAs',
  'workers',
  'trustedProxies',
  'metrics',
  'state',
  'audit',
  'limits',
] as const

export interface Reloaded {
  /** The new configuration, with the old values of what cannot change. */
  readonly config: Config
  /** Keys whose new values wait for a restart. */
  readonly waiting: readonly string[]
}

/** Pure. Certificates of a listener may change, its address may not. */
export function forRunning(old: Config, next: Config): Reloaded {
  const waiting: string[] = fixed.filter((key) => !isDeepStrictEqual(old[key], next[key]))
  const kept: Partial<Record<(typeof fixed)[number], unknown>> = {}
  for (const key of fixed) kept[key] = old[key]
  const isSameListening = isDeepStrictEqual(old.listen.map(socketOf), next.listen.map(socketOf))
  if (!isSameListening) waiting.push('listen')
  const log = { ...old.log, level: next.log.level }
  if (old.log.file !== next.log.file) waiting.push('log.file')
  const listen = isSameListening ? next.listen : old.listen
  // Every key of `fixed` has the type it has in Config; the loop above cannot show that to the compiler.
  return { config: { ...next, ...(kept as Pick<Config, (typeof fixed)[number]>), listen, log }, waiting }
}

function socketOf({ tls, ...socket }: ListenerConfig): object {
  return { ...socket, tls: tls !== undefined }
}
