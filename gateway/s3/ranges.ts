/** The Range of a GET: one range, or the whole object (Amazon S3 API Reference, GetObject). */

import type { Range } from '../../backends/backend.ts'
import { S3Error } from './error.ts'

const form = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i

/**
 * The bytes meant; undefined where the header is to be ignored: another unit, several ranges, a syntax error, the end of
 * an empty object. Throws InvalidRange.
 */
export function rangeOf(header: string | undefined, size: number): Range | undefined {
  const [, first = '', last = ''] = form.exec(header ?? '') ?? []
  if (header === undefined || (first === '' && last === '')) return undefined
  if (first === '') {
    const suffix = Number(last)
    if (suffix === 0) throw outside(header, size)
    return size === 0 ? undefined : { start: Math.max(0, size - suffix), end: size }
  }
  const start = Number(first)
  const end = last === '' ? size : Math.min(size, Number(last) + 1)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= size) throw outside(header, size)
  return { start, end }
}

/** The same without refusing anything, for who only wants to know how much is asked for. */
export function hintOf(header: string | undefined, size: number): readonly Range[] | undefined {
  try {
    const range = rangeOf(header, size)
    return range && [range]
  } catch (error) {
    if (error instanceof S3Error) return undefined
    throw error
  }
}

/** `bytes=a-b` of the source of a part, both ends given. Throws InvalidArgument, and InvalidRange past the end. */
export function sourceRangeOf(header: string, size: number): Range {
  const match = /^bytes=(\d+)-(\d+)$/.exec(header.trim())
  const [start, last] = match ? [Number(match[1]), Number(match[2])] : [1, 0]
  if (start > last) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      { elements: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header } },
    )
  }
  if (last >= size) {
    throw new S3Error('InvalidArgument', `Range specified is not valid for source object of size: ${size}`, {
      elements: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header },
    })
  }
  return { start, end: last + 1 }
}

function outside(header: string, size: number): S3Error {
  return new S3Error('InvalidRange', 'The requested range is not satisfiable', {
    elements: { RangeRequested: header, ActualObjectSize: String(size) },
    headers: ['Content-Range', `bytes */${size}`],
  })
}
