/**
 * What mm commands print with -Y (IBM Storage Scale, command reference): colon-separated, percent-encoded lines of
 * which one says HEADER and names the columns. Columns were added over time, so they are found by name.
 */

import { brokenAnswer } from './failures.ts'

/** One line of data. */
export interface Row {
  /** The decoded text of a column; undefined where the line has none of that name or it is not UTF-8. */
  find(column: string): string | undefined
  /** The same; throws `unavailable` where there is none. */
  text(column: string): string
}

/** Columns before those with names: command, section, HEADER or 0, version, two reserved. */
const fixed = 6

/**
 * The lines of data that `command` printed. Lines of others (a shell that warns about a locale) are passed over.
 * Undefined when there is no header, as where a command has nothing to list. Throws `unavailable` for an answer that
 * is cut off or has data before its header.
 */
export function parseLines(command: string, output: string): Row[] | undefined {
  if (output !== '' && !output.endsWith('\n')) throw brokenAnswer('it is cut off')
  let columns: ReadonlyMap<string, number> | undefined
  const rows: Row[] = []
  for (const line of output.split('\n')) {
    const fields = line.split(':')
    if (fields[0] !== command || fields[1] !== '') continue
    if (fields[2] === 'HEADER') columns = columnsOf(fields)
    else if (columns) rows.push(rowOf(columns, fields))
    else throw brokenAnswer('it has no header')
  }
  return columns && rows
}

/** A number of digits only. Throws `unavailable` for anything else and for what is not exact. */
export function numberOf(text: string, factor = 1): number {
  const value = Number(text) * factor
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) throw brokenAnswer('a number is none')
  return value
}

function columnsOf(fields: readonly string[]): ReadonlyMap<string, number> {
  const columns = new Map<string, number>()
  for (const [index, name] of fields.entries()) {
    if (index >= fixed && name !== '' && !columns.has(name)) columns.set(name, index)
  }
  return columns
}

function rowOf(columns: ReadonlyMap<string, number>, fields: readonly string[]): Row {
  const find = (column: string) => {
    const index = columns.get(column)
    const field = index === undefined ? undefined : fields[index]
    return field === undefined ? undefined : decode(field)
  }
  const text = (column: string) => {
    const found = find(column)
    if (found === undefined) throw brokenAnswer('a column is missing')
    return found
  }
  return { find, text }
}

function decode(field: string): string | undefined {
  try {
    return decodeURIComponent(field)
  } catch {
    // Bytes that are no UTF-8, or a percent sign that stands for itself: nobody can name such a thing here.
    return undefined
  }
}
