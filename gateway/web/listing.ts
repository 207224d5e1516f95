/** A directory, for a person. Streamed: a start, rows, an end. */

import { escapeHtml, pageEnd, pageStart } from './page.ts'

/** One row, all values plain text. */
export interface ListingRow {
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'other'
  /** Percent-encoded, relative to the directory. */
  readonly href: string
  /** Bytes; absent where the caller may not see it or there is none. */
  readonly size?: number
  /** ISO 8601 in UTC; absent where the caller may not see it. */
  readonly modified?: string
  /** What a symbolic link points to. */
  readonly target?: string
}

/** A directory above, from the root down. */
export interface Crumb {
  readonly name: string
  readonly href: string
}

/** The page down to the first row. */
export function listingStart(path: string, crumbs: readonly Crumb[], notes: readonly string[]): string {
  const trail = crumbs.map((crumb, index) => {
    const here = index === crumbs.length - 1 ? ' aria-current="page"' : ''
    return `<li><a href="${escapeHtml(crumb.href)}"${here}><span class="name">${escapeHtml(crumb.name)}</span></a></li>`
  })
  const remarks = notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>\n`).join('')
  return `${pageStart(path)}<nav class="path" aria-label="Path"><ol>${trail.join('')}</ol></nav>
<main id="content">
<h1 class="name">${escapeHtml(path)}</h1>
${remarks}<table>
<thead><tr><th scope="col">Name</th><th scope="col" class="number">Size</th><th scope="col">Modified (UTC)</th><th scope="col">Download</th></tr></thead>
<tbody>
`
}

/** One row; a link leads to what it shows, a second one downloads a file. */
export function listingRow(row: ListingRow): string {
  const name = `<span class="name">${escapeHtml(row.name)}${row.type === 'directory' ? '/' : ''}</span>`
  const opens = row.type === 'file' || row.type === 'directory'
  const link = opens ? `<a href="${escapeHtml(row.href)}">${name}</a>` : name
  const target = row.target === undefined ? '' : ` <span class="soft name">→ ${escapeHtml(row.target)}</span>`
  const size = row.type === 'file' && row.size !== undefined ? readableSize(row.size) : ''
  const exact = row.size === undefined || size === '' ? '' : ` title="${row.size} bytes"`
  const date = row.modified === undefined ? '' : dateCell(row.modified)
  const download =
    row.type === 'file'
      ? `<a href="${escapeHtml(row.href)}?download" aria-label="Download ${escapeHtml(row.name)}">↓</a>`
      : ''
  return `<tr><td>${link}${target}</td><td class="number"${exact}>${size}</td><td class="date">${date}</td><td>${download}</td></tr>\n`
}

/** From the last row to the end of the page. */
export function listingEnd(count: number): string {
  const summary = count === 0 ? 'This directory is empty.' : count === 1 ? '1 entry' : `${count} entries`
  return `</tbody>\n</table>\n<p class="soft">${summary}</p>\n</main>\n${pageEnd}`
}

function dateCell(iso: string): string {
  return `<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)}</time>`
}

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** 1536 is "1.5 KiB". */
export function readableSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes / 1024
  let unit = 0
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(1)} ${units[unit]}`
}
