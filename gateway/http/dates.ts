/** HTTP dates (RFC 9110, section 5.6.7). */

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const nanoseconds = 1_000_000_000n

/** Whole seconds since 1970, rounded down. */
export function secondsOf(time: bigint): number {
  const seconds = time / nanoseconds
  return Number(time < 0n && seconds * nanoseconds !== time ? seconds - 1n : seconds)
}

let lastSeconds = Number.NaN
let lastText = ''

/** IMF-fixdate of whole seconds since 1970, never later than now (RFC 9110, section 8.8.2.1). */
export function lastModified(time: bigint, now = Date.now()): string {
  const seconds = Math.min(secondsOf(time), Math.floor(now / 1000))
  if (seconds !== lastSeconds) {
    lastSeconds = seconds
    lastText = httpDate(seconds)
  }
  return lastText
}

/** IMF-fixdate; a year that has no four digits gives 1970. */
export function httpDate(seconds: number): string {
  return fourDigits(seconds * 1000).toUTCString()
}

/** ISO 8601 with milliseconds in UTC (RFC 3339, section 5.6); a year that has no four digits gives 1970. */
export function isoDate(time: bigint): string {
  return fourDigits(Number(time / 1_000_000n)).toISOString()
}

const firstYear = Date.UTC(1000, 0)
const afterLastYear = Date.UTC(10_000, 0)

/** Files may be of any time, and clients read no other one. */
function fourDigits(ms: number): Date {
  return new Date(ms >= firstYear && ms < afterLastYear ? ms : 0)
}

const fixdate = /^\w{3}, (\d{2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/
const rfc850 = /^\w{6,9}, (\d{2})-(\w{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/
const asctime = /^\w{3} (\w{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/

/** Whole seconds since 1970; undefined for what is no HTTP date, which recipients ignore. */
export function parseHttpDate(text: string): number | undefined {
  const fixed = fixdate.exec(text)
  if (fixed) return toSeconds(fixed[3], fixed[2], fixed[1], fixed.slice(4, 7))
  const old = rfc850.exec(text)
  if (old) return toSeconds(fullYear(Number(old[3])), old[2], old[1], old.slice(4, 7))
  const c = asctime.exec(text)
  if (c) return toSeconds(c[6], c[1], c[2], c.slice(3, 6))
  return undefined
}

/** A two-digit year more than 50 years ahead is one of the past (RFC 9110, section 5.6.7). */
function fullYear(short: number): string {
  const year = new Date().getUTCFullYear()
  const full = year - (year % 100) + short
  return String(full > year + 50 ? full - 100 : full)
}

function toSeconds(
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  clock: readonly (string | undefined)[],
): number | undefined {
  const [hour, minute, second] = clock.map(Number)
  const index = months.indexOf(month ?? '')
  if (index < 0 || hour === undefined || minute === undefined || second === undefined) return undefined
  if (hour > 23 || minute > 59 || second > 60) return undefined
  const time = Date.UTC(Number(year), index, Number(day), hour, minute, second)
  return Number.isNaN(time) || new Date(time).getUTCDate() !== Number(day) ? undefined : Math.floor(time / 1000)
}
