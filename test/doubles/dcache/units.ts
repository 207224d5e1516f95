/** Lifetimes as numbers with a unit of java.util.concurrent.TimeUnit. */

import { Failure } from './failure.ts'

const units: Readonly<Record<string, number>> = {
  SECONDS: 1000,
  MINUTES: 60_000,
  HOURS: 3_600_000,
  DAYS: 86_400_000,
}

/** In milliseconds. */
export function durationIn(count: number, unit: string): number {
  const factor = units[unit.toUpperCase()]
  if (factor === undefined || !(count >= 0)) throw new Failure('bad-request', 'bad lifetime')
  return count * factor
}
