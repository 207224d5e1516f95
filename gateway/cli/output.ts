/** What goes to the terminal: names made harmless, tables, and lines that wait for a slow reader. */

import { once } from 'node:events'

/** A name or text of others on one line: control and direction characters as JSON writes them. */
export function harmless(text: string): string {
  // C0, DEL, C1, line and paragraph separators, bidirectional controls, and halves of surrogate pairs.
  if (!/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Cs}/u.test(text)) return text
  return jsonText(text)
}

/** JSON that holds nothing a terminal would obey, which JSON itself allows. A bigint (times in ns) is written as text. */
export function jsonText(value: unknown, indent = 0): string {
  const plain = (_key: string, each: unknown) => (typeof each === 'bigint' ? String(each) : each)
  return visible(JSON.stringify(value, plain, indent))
}

/** Text of several lines with what a terminal would obey escaped. */
export function visible(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** One line on standard output. Resolves when the reader can take more. */
export async function say(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}

/** One value as JSON, for programs: one line, unless a person looks. */
export function sayJson(value: unknown): Promise<void> {
  return say(jsonText(value, process.stdout.isTTY ? 2 : 0))
}

/** What went wrong, on standard error. */
export function complain(text: string): void {
  process.stderr.write(`portolan: ${visible(text)}\n`)
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
