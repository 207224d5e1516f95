/** Earlier versions of a file, for a person. All values are plain text, all addresses percent-encoded. */

import { dateCell } from './listing.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'
import { readableSize } from './words.ts'

export interface VersionRow {
  /** ISO 8601 in UTC: when the storage kept it, and when it was last modified before. */
  readonly kept: string
  readonly modified: string
  /** Bytes. */
  readonly size: number
  readonly href: string
}

export interface VersionsPage {
  readonly header: PageHeader
  /** The file as it is today. */
  readonly path: string
  /** Its directory. */
  readonly directory: string
  /** Newest first. */
  readonly versions: readonly VersionRow[]
}

export function versionsPage({ header, path, directory, versions }: VersionsPage): string {
  const rows = versions.map(
    ({ kept, modified, size, href }) =>
      `<tr><th scope="row" class="date"><a href="${escapeHtml(href)}">${dateCell(kept)}</a></th><td class="date">${dateCell(modified)}</td><td class="number" title="${size} bytes">${readableSize(size)}</td></tr>\n`,
  )
  const table = `<table>
<caption>Newest first; times in UTC</caption>
<thead><tr><th scope="col">Kept</th><th scope="col">Modified</th><th scope="col" class="number">Size</th></tr></thead>
<tbody>
${rows.join('')}</tbody>
</table>`
  return `${pageStart(`Versions of ${path}`, header)}<main id="content">
<h1>Earlier versions of <span class="name">${escapeHtml(path)}</span></h1>
${rows.length === 0 ? '<p>None are kept that you may see.</p>' : table}
<p><a href="${escapeHtml(directory)}">Back to the folder</a></p>
</main>
${pageEnd}`
}
