/** Durations of ISO 8601, as far as they have a fixed length. */

import { StorageError } from '../core/errors.ts'

const grammar =
  /^P(?:(?<weeks>\d{1,9})W|(?=\d|T\d)(?:(?<days>\d{1,9})D)?(?:T(?=\d)(?:(?<hours>\d{1,9})H)?(?:(?<minutes>\d{1,9})M)?(?:(?<seconds>\d{1,9}(?:[.,]\d{1,9})?)S)?)?)$/

const lengths = { weeks: 604_800, days: 86_400, hours: 3600, minutes: 60, seconds: 1 } as const

/**
 * Whole seconds, rounded up. Throws `invalid` for anything else than weeks, or days, hours, minutes and seconds in
 * this order: years and months have no fixed length, and letters are capitals.
 */
export function parseDuration(text: string): number {
  const { groups } = grammar.exec(text) ?? {}
  if (!groups) throw new StorageError('invalid', 'a duration is written such as PT1H or P1DT12H')
  const parts = Object.entries(lengths).map(([unit, length]) => {
    const value = groups[unit]
    return value === undefined ? 0 : Number(value.replace(',', '.')) * length
  })
  return Math.ceil(parts.reduce((sum, part) => sum + part, 0))
}
