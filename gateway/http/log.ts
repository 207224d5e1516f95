/** One line a request. Decisions are in the audit log; this one is for those who look after the door. */

import type { Exchange } from './exchange.ts'
import type { Observation } from './options.ts'
import { redactTarget } from './redact.ts'

const quiet = new Set(['info', 'warn', 'error', 'fatal', 'silent'])
/** Failures of the storage, which callers are told nothing more about. */
const storages: ReadonlySet<string | undefined> = new Set(['unavailable', 'bad-checksum'])

/** Failures of ours are errors and those of the storage warnings, with their cause; the rest is for debugging. Counts the request too. */
export function logRequest(exchange: Exchange, observe: ((observation: Observation) => void) | undefined): void {
  const { response, request, door, failed: error } = exchange
  const status = response.headersSent ? response.statusCode : 499
  observe?.({ method: request.method ?? '', status, seconds: (performance.now() - exchange.started) / 1000 })
  const ours = error?.code === 'internal'
  const storage = storages.has(error?.code)
  if (!ours && !storage && quiet.has(door.log.level)) return
  const line = {
    call: exchange.id,
    method: request.method,
    target: redactTarget(request.url ?? ''),
    status,
    ms: Math.round(performance.now() - exchange.started),
    from: exchange.from,
    principal: exchange.principal.id,
    ...(error && { code: error.code }),
  }
  if (ours) door.log.error({ ...line, err: error.cause ?? error }, 'request failed')
  else if (storage) door.log.warn({ ...line, err: error?.cause, because: error?.message }, 'the storage failed')
  else door.log.debug(line, 'request')
}
