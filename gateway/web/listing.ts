/** A directory, for a person. Streamed: a start, rows, an end. All values are plain text, all addresses percent-encoded. */

import { type DirectoryForms, directoryForms, rowForm } from './directory-forms.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'
import { counted, type Kind, kindWords, localityWords, readableSize } from './words.ts'

export type SortKey = 'name' | 'type' | 'size' | 'time'

export interface Sorting {
  readonly key: SortKey
  readonly descending: boolean
}

/** A directory above, from the root down. */
export interface Crumb {
  readonly name: string
  readonly href: string
}

/** What is said of the directory as a whole. */
export interface ListingHead {
  readonly path: string
  readonly header: PageHeader
  readonly crumbs: readonly Crumb[]
  /** Absent for the root. */
  readonly parent?: string
  /** How the rows are sorted; undefined: as the storage has them. */
  readonly sorting: Sorting | undefined
  /** What has just been done. */
  readonly done?: string
  /** The administrator's words. */
  readonly note?: string
  /** Sentences: what the caller may do, how much space there is. */
  readonly about: readonly string[]
  /** There are more entries than are sorted for people; by name the storage's whole listing can be. */
  readonly unsorted?: boolean
  /** Whether files may be on tape; then what happens to who reads one. */
  readonly tape: 'explicit' | 'on-read' | undefined
  /** What can be done here, if anything. */
  readonly forms: DirectoryForms | undefined
  /** Nothing is in it. */
  readonly empty: boolean
}

/** One row. What is absent is not known, or not for the caller to see. */
export interface ListingRow {
  readonly name: string
  readonly type: Kind
  /** Relative to the directory. */
  readonly href: string
  /** Bytes. */
  readonly size?: number
  /** ISO 8601 in UTC. */
  readonly modified?: string
  readonly owner?: string
  readonly locality?: string
  /** What the caller may do. */
  readonly rights?: string
  /** What a symbolic link points to. */
  readonly target?: string
  /** Earlier versions can be asked for. */
  readonly versions?: boolean
  /** What the caller can do with it from this page. */
  readonly acts?: readonly ('rename' | 'delete' | 'stage')[]
}

/** The page down to the first row. */
export function listingStart(head: ListingHead): string {
  const { path, header, done, note, about, forms } = head
  const sentences = about.map((each) => `<li>${escapeHtml(each)}</li>`).join('')
  const paragraphs = [
    done === undefined ? '' : `<p class="note good" role="status">${escapeHtml(done)}</p>\n`,
    note === undefined ? '' : `<p class="note">${escapeHtml(note)}</p>\n`,
    sentences === '' ? '' : `<ul class="about">${sentences}</ul>\n`,
    forms === undefined ? '' : directoryForms(forms),
    head.tape === undefined || head.empty ? '' : tapeNote(head.tape, path),
    head.unsorted ? unsortedNote : '',
  ]
  return `${pageStart(path, header)}${trailOf(head)}<main id="content">
<h1 class="name">${escapeHtml(path)}</h1>
${paragraphs.join('')}${head.empty ? '' : tableStart(head)}`
}

function trailOf({ crumbs, parent }: ListingHead): string {
  const items = crumbs.map(({ name, href }, index) => {
    const here = index === crumbs.length - 1 ? ' aria-current="page"' : ''
    return `<li><a href="${escapeHtml(href)}"${here}><span class="name">${escapeHtml(name)}</span></a></li>`
  })
  const up = parent === undefined ? '' : `<p><a href="${escapeHtml(parent)}">Up to the folder above</a></p>\n`
  return `<nav class="path" aria-label="Path"><ol>${items.join('')}</ol>\n${up}</nav>\n`
}

const unsortedNote =
  '<p class="note">There are too many entries to be sorted for you: they come in the order of the storage. ' +
  'They can be <a href="./?sort=name">sorted by name</a>, which takes a while.</p>\n'

function tapeNote(recall: 'explicit' | 'on-read', path: string): string {
  const effect =
    recall === 'explicit'
      ? 'it cannot be read before it has been brought to disk.'
      : 'reading it has it brought to disk first, so that the first tries fail.'
  const command = `portolan stage ${shellWord(path)}/NAME`
  return `<p class="soft">Of a file that is <em>on tape</em> no copy is on disk: ${effect} That takes minutes to hours; ask for it here, or by the command <code>${escapeHtml(command)}</code>.</p>\n`
}

function shellWord(path: string): string {
  const text = path === '/' ? '' : path
  return /^[\w/.,@%+:-]*$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

const columns: ReadonlyArray<readonly [SortKey, string, string]> = [
  ['name', 'Name', ''],
  ['type', 'Kind', ''],
  ['size', 'Size', ' class="number"'],
  ['time', 'Modified (UTC)', ''],
]

function tableStart({ path, sorting, tape }: ListingHead): string {
  const heads = columns.map(([key, title, attributes]) => sortHead(key, title, attributes, sorting))
  heads.push('<th scope="col" class="plain">Owner</th>')
  if (tape !== undefined) heads.push('<th scope="col" class="plain">Where</th>')
  heads.push('<th scope="col" class="plain">You may</th>', '<th scope="col" class="plain">Actions</th>')
  const order = sorting === undefined ? 'in the order of the storage' : `sorted by ${sortNames[sorting.key]}`
  const direction = sorting?.descending ? ', in descending order' : ''
  return `<table>
<caption>What is in <span class="name">${escapeHtml(path)}</span>, ${order}${direction}</caption>
<thead><tr>${heads.join('')}</tr></thead>
<tbody>
`
}

const sortNames: Readonly<Record<SortKey, string>> = {
  name: 'name',
  type: 'kind',
  size: 'size',
  time: 'time of modification',
}

function sortHead(key: SortKey, title: string, attributes: string, sorting: Sorting | undefined): string {
  const isCurrent = sorting?.key === key
  const descends = isCurrent && sorting.descending
  const state = isCurrent ? ` aria-sort="${descends ? 'descending' : 'ascending'}"` : ''
  const next = isCurrent && !descends ? '&amp;order=desc' : ''
  const arrow = isCurrent ? `<span aria-hidden="true"> ${descends ? '▼' : '▲'}</span>` : ''
  return `<th scope="col"${attributes}${state}><a href="./?sort=${key}${next}">${title}</a>${arrow}</th>`
}

/** One row; a link leads to what it shows, a second one downloads a file. `tape`: as in the head. */
export function listingRow(row: ListingRow, tape: boolean): string {
  const { type, size, rights = '', owner = '', locality } = row
  const label = `<span class="name">${escapeHtml(row.name)}${type === 'directory' ? '/' : ''}</span>`
  const opens = type === 'file' || type === 'directory'
  const link = opens ? `<a href="${escapeHtml(row.href)}">${label}</a>` : label
  const target = row.target === undefined ? '' : ` <span class="soft name">→ ${escapeHtml(row.target)}</span>`
  const bytes = type === 'file' && size !== undefined ? readableSize(size) : ''
  const exact = bytes === '' ? '' : ` title="${size} bytes"`
  const date = row.modified === undefined ? '' : dateCell(row.modified)
  const where = tape ? `<td>${locality === undefined ? '' : escapeHtml(localityWords(locality))}</td>` : ''
  return `<tr><th scope="row">${link}${target}</th><td>${kindWords(row.name, type)}</td><td class="number"${exact}>${bytes}</td><td class="date">${date}</td><td class="who">${escapeHtml(owner).replace('@', '@<wbr>')}</td>${where}<td>${escapeHtml(rights)}</td><td class="acts">${actsOf(row)}</td></tr>\n`
}

/** Every control says what it is for, also to who cannot see the row. */
function actsOf({ name, type, href, versions, acts = [] }: ListingRow): string {
  const of = `<span class="hidden"> ${escapeHtml(name)}</span>`
  let text = type === 'file' ? `<a href="${escapeHtml(href)}?download">Download${of}</a>` : ''
  if (versions) text += `<a href="${escapeHtml(href)}?versions">Versions${of}</a>`
  for (const act of acts) text += rowForm(act, href, of)
  return text
}

/** From the last row to the end of the page. */
export function listingEnd(count: number): string {
  const summary = count === 0 ? 'This folder is empty.' : counted(count, 'entry', 'entries')
  const table = count === 0 ? '' : '</tbody>\n</table>\n'
  return `${table}<p class="soft">${summary}</p>\n</main>\n${pageEnd}`
}

/** `iso` to the minute, and exactly for who points at it. */
export function dateCell(iso: string): string {
  const [day = '', time = ''] = iso.split('T')
  return `<time datetime="${iso}" title="${iso}">${day} ${time.slice(0, 5)}</time>`
}
