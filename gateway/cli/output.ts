/** What goes to the terminal: names made harmless, tables, and lines that wait for a slow reader. */

import { once } from 'node:events'

/** A name or text of others on one line: control and direction characters as JSON writes them. */
export function harmless(text: string): string {
  // C0, DEL, C1, line and paragraph separators, bidirectional controls, and halves of surrogate pairs.
  if (!/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Cs}/u.test(text)) return text
  const escaped = JSON.stringify(text).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return escaped
}

/** One line on standard output. Resolves when the reader can take more. */
export async function say(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}

/** One value as JSON, for programs: one line, unless a person looks. */
export function sayJson(value: unknown): Promise<void> {
  return say(JSON.stringify(value, plain, process.stdout.isTTY ? 2 : 0))
}

/** One line on standard error. */
export function complain(text: string): void {
  process.stderr.write(`portolan: ${text}\n`)
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: ReadonlyArray<readonly string[]>): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ')
  return rows.map(line).join('\n')
}

/** Bytes for people: 1536 is "1.5K". */
export function humanSize(bytes: number): string {
  let value = bytes
  for (const unit of ['', 'K', 'M', 'G', 'T', 'P']) {
    if (value < 1024 || unit === 'P') return unit === '' ? `${value}` : `${value.toFixed(value < 10 ? 1 : 0)}${unit}`
    value /= 1024
  }
  return `${bytes}`
}

/** A bigint (times in ns) does not fit into JSON's numbers. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
