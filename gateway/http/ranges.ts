/** Byte ranges (RFC 9110, section 14). */

import type { Entry, Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { parseEntityTags } from './conditions.ts'
import { parseHttpDate, secondsOf } from './dates.ts'

/** As asked for: from `first` to `last`, both included, or the final `suffix` bytes. */
export type RangeSpec = { readonly first: number; readonly last: number | undefined } | { readonly suffix: number }

const maxRanges = 1024
/** Honest clients overlap by accident; many overlaps make a small file into a big answer. */
const maxOverlaps = 8

/**
 * The ranges of a Range header; undefined where the header is to be ignored: another unit, or a
 * syntax error (section 14.2). More than 1,024 are refused with `range`.
 */
export function parseRanges(header: string): readonly RangeSpec[] | undefined {
  const equals = header.indexOf('=')
  if (equals < 0 || header.slice(0, equals).trim().toLowerCase() !== 'bytes') return undefined
  const specs: RangeSpec[] = []
  for (const part of header.slice(equals + 1).split(',')) {
    const text = part.trim()
    if (text === '') continue
    if (specs.length === maxRanges) throw new StorageError('range', `more than ${maxRanges} ranges`)
    const spec = parseSpec(text)
    if (!spec) return undefined
    specs.push(spec)
  }
  return specs.length === 0 ? undefined : specs
}

function parseSpec(text: string): RangeSpec | undefined {
  const match = /^(\d*)-(\d*)$/.exec(text)
  if (!match) return undefined
  const [, first, last] = match
  if (first) {
    const from = Number(first)
    const to = last ? Number(last) : undefined
    return to !== undefined && to < from ? undefined : { first: from, last: to }
  }
  return last ? { suffix: Number(last) } : undefined
}

/**
 * The bytes meant, in the order asked for, without those that lie outside. Undefined: send the whole
 * file (the end of an empty one). Throws `range` when none can be satisfied or too many overlap.
 */
export function resolveRanges(specs: readonly RangeSpec[], size: number): readonly Range[] | undefined {
  const ranges: Range[] = []
  for (const spec of specs) {
    if ('suffix' in spec) {
      if (size === 0 && spec.suffix > 0) return undefined
      if (spec.suffix > 0) ranges.push({ start: Math.max(0, size - spec.suffix), end: size })
    } else if (spec.first < size) {
      ranges.push({ start: spec.first, end: Math.min(size, (spec.last ?? size - 1) + 1) })
    }
  }
  if (ranges.length === 0) throw new StorageError('range', 'no range lies within the file')
  if (countOverlaps(ranges) > maxOverlaps) throw new StorageError('range', 'too many overlapping ranges')
  return ranges
}

function countOverlaps(ranges: readonly Range[]): number {
  if (ranges.length <= maxOverlaps) return 0
  const sorted = [...ranges].sort((a, b) => a.start - b.start)
  let reached = 0
  let overlaps = 0
  for (const range of sorted) {
    if (range.start < reached) overlaps++
    reached = Math.max(reached, range.end)
  }
  return overlaps
}

/**
 * Whether If-Range lets the Range count: the same strong tag, or exactly the date of the last
 * modification (section 13.1.5). What cannot be read means no.
 */
export function rangeCounts(ifRange: string | undefined, entry: Entry): boolean {
  if (ifRange === undefined) return true
  if (!/^\s*(?:W\/)?"/.test(ifRange)) return parseHttpDate(ifRange.trim()) === secondsOf(entry.modified)
  try {
    const tags = parseEntityTags(ifRange)
    const only = tags !== '*' && tags.length === 1 ? tags[0] : undefined
    return only !== undefined && !only.weak && only.version === entry.version
  } catch {
    // A malformed validator matches nothing: the whole file is always a right answer.
    return false
  }
}
