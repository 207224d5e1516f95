/** GET of a directory: HTML for people, JSON and NDJSON for programs. Streamed, page by page. */

import type { Entry } from '../../backends/backend.ts'
import { isWithin, join, namesOf, type Path, root } from '../core/path.ts'
import { preferred } from '../http/accept.ts'
import { etagOf } from '../http/conditions.ts'
import { isoDate } from '../http/dates.ts'
import type { Exchange } from '../http/exchange.ts'
import { sendText } from '../http/send.ts'
import { encodePath } from '../http/target.ts'
import { type Crumb, listingEnd, listingRow, listingStart } from '../web/listing.ts'
import { pageHeaders } from '../web/page.ts'

const json = 'application/json'
const lines = 'application/x-ndjson'
const html = 'text/html'

/** A directory that fits into this many entries is sorted for people; bigger ones come as the storage lists them. */
const sortable = 1000

type Pages = AsyncIterable<readonly Entry[]>

/** One entry, for programs. */
export interface ListedEntry {
  readonly name: string
  readonly type: Entry['type']
  /** Bytes; of files whose attributes the caller may see. */
  readonly size?: number
  /** ISO 8601. */
  readonly modified?: string
  readonly etag?: string
  readonly mode?: number
  readonly target?: string
  readonly locality?: string
}

/** Sends the directory in the form that Accept likes best; HTML only to who names it. */
export async function sendListing(x: Exchange): Promise<void> {
  const accept = x.request.headers.accept
  const form = preferred(accept, [json, lines, html])
  const { pages } = await x.door.storage.list(x.call, x.path, { order: 'native' })
  const render =
    form === html
      ? renderHtml(x.path, noteFor(x), pages())
      : form === json
        ? renderJson(x.path, pages())
        : renderLines(pages())
  const type = form === html ? pageHeaders : ['Content-Type', form, 'X-Content-Type-Options', 'nosniff']
  const location = `${encodePath(x.path === root ? '' : x.path)}/`
  const headers = [
    ...type,
    'Content-Location',
    location,
    'Cache-Control',
    'private, no-cache',
    'Vary',
    'Accept',
    'X-Request-Id',
    x.id,
  ]
  await sendText(x, { status: 200, headers }, render)
}

/** Where the caller may not see attributes, the entry has no version. */
function listed(entry: Entry): ListedEntry {
  const { name, type, version, mode, target, locality } = entry
  if (version === '') return { name, type }
  return {
    name,
    type,
    ...(type === 'file' && { size: entry.size }),
    modified: isoDate(entry.modified),
    ...(type === 'file' && { etag: etagOf(version) }),
    ...(mode !== undefined && { mode }),
    ...(target !== undefined && { target }),
    ...(locality !== undefined && { locality }),
  }
}

async function* renderJson(path: Path, pages: Pages): AsyncGenerator<string> {
  let text = `{"path":${JSON.stringify(path)},"entries":[`
  let separator = '\n'
  for await (const page of pages) {
    for (const entry of page) {
      text += separator + JSON.stringify(listed(entry))
      separator = ',\n'
    }
    if (text !== '') yield text
    text = ''
  }
  yield `${text}\n]}\n`
}

async function* renderLines(pages: Pages): AsyncGenerator<string> {
  for await (const page of pages) {
    if (page.length > 0) yield page.map((entry) => `${JSON.stringify(listed(entry))}\n`).join('')
  }
}

/** What the administrator says of this part of the namespace. */
function noteFor(x: Exchange): string | undefined {
  const covering = x.door.storage.mounts(x.call).filter(({ path }) => isWithin(x.path, path))
  return covering.at(-1)?.note
}

async function* renderHtml(path: Path, note: string | undefined, pages: Pages): AsyncGenerator<string> {
  const notes = (...more: readonly string[]) => [...(note === undefined ? [] : [note]), ...more]
  let waiting: Entry[] | undefined = []
  let count = 0
  for await (const page of pages) {
    count += page.length
    if (waiting && count <= sortable) {
      waiting.push(...page)
      continue
    }
    if (waiting) yield listingStart(path, crumbsOf(path), notes('In the order of the storage.')) + rows(waiting)
    waiting = undefined
    yield rows(page)
  }
  if (waiting) yield listingStart(path, crumbsOf(path), notes()) + rows(sorted(waiting))
  yield listingEnd(count)
}

/** Directories first, then by name as people count. */
function sorted(entries: readonly Entry[]): Entry[] {
  const { compare } = new Intl.Collator('en', { numeric: true })
  const rank = (entry: Entry) => (entry.type === 'directory' ? 0 : 1)
  return entries.toSorted((a, b) => rank(a) - rank(b) || compare(a.name, b.name))
}

function rows(entries: readonly Entry[]): string {
  let text = ''
  for (const entry of entries) {
    const { name, type, size, modified, target } = listed(entry)
    // A name that begins like a scheme must not become one.
    const href = `./${encodePath(name)}${type === 'directory' ? '/' : ''}`
    text += listingRow({
      name,
      type,
      href,
      ...(size !== undefined && { size }),
      ...(modified !== undefined && { modified }),
      ...(target !== undefined && { target }),
    })
  }
  return text
}

function crumbsOf(path: Path): Crumb[] {
  let at: Path = root
  const crumbs: Crumb[] = [{ name: 'Portolan', href: '/' }]
  for (const name of namesOf(path)) {
    at = join(at, name)
    crumbs.push({ name, href: `${encodePath(at)}/` })
  }
  return crumbs
}
