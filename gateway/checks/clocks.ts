/** Clocks: those of issuers, by which tokens have expired or are not valid yet, and the one of the KDC. */

import type { Finding } from '../../backends/backend.ts'
import type { Config } from '../config.ts'
import { ok, type Report } from './report.ts'

/** Seconds that clocks may differ before tokens are taken for expired or not yet valid. */
const tokenTolerance = 60
const patience = 5000

/** Against the clocks of issuers that keys are fetched from. */
export async function checkClocks({ issuers }: Config, report: Report): Promise<void> {
  const addresses = issuers.flatMap(({ issuer, keys }) => (keys.discovery ? [issuer] : (keys.jwksUrl ?? [])))
  if (addresses.length === 0) {
    report('process', ok('clock', `${new Date().toISOString()}; there is no issuer to compare with`))
  }
  for (const address of addresses) {
    const date = await dateOf(address)
    if (date === undefined) continue
    report('process', clockFinding((Date.now() - date) / 1000, new URL(address).host, tokenTolerance))
  }
}

/** `ahead`: seconds that our clock is ahead of that of `whose`. */
export function clockFinding(ahead: number, whose: string, tolerance: number): Finding {
  const seconds = Math.round(ahead)
  const isFar = Math.abs(seconds) > tolerance
  const toDo = isFar
    ? `, more than the ${tolerance} s that are tolerated: see that chrony or ntpd runs here and there`
    : ''
  const text = `${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} ${whose}${toDo}`
  return { subject: 'clock', level: isFar ? 'error' : 'ok', text }
}

async function dateOf(address: string): Promise<number | undefined> {
  try {
    const signal = AbortSignal.timeout(patience)
    const response = await fetch(address, { method: 'HEAD', redirect: 'manual', signal })
    const date = Date.parse(response.headers.get('date') ?? '')
    // A cache on the way gives the time at which it was told (RFC 9111, section 5.1).
    const [age = '0'] = /^\d{1,9}$/.exec(response.headers.get('age') ?? '') ?? []
    return Number.isNaN(date) ? undefined : date + Number(age) * 1000
  } catch {
    // Whether its keys can be fetched is told with the issuers.
    return undefined
  }
}
