/** Times on the command line. */

import { InvalidArgumentError } from 'commander'

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `2h`, or a date or instant of ISO 8601 that lies ahead, as seconds from now. */
export function until(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const isDate = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?$/.test(text)
  const seconds = isDate
    ? Math.ceil((Date.parse(text) - Date.now()) / 1000)
    : Number(digits) * (units[unit] ?? Number.NaN)
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds
  throw new InvalidArgumentError('A time is written such as 90s, 30m, 2h, 7d, or 2030-12-31.')
}
