/** GET of a directory: HTML for people, JSON and NDJSON for programs. Streamed, page by page. */

import type { Entry } from '../../backends/backend.ts'
import { type Path, root } from '../core/path.ts'
import { preferred } from '../http/accept.ts'
import { etagOf } from '../http/conditions.ts'
import { isoDate } from '../http/dates.ts'
import type { Exchange } from '../http/exchange.ts'
import { sendText } from '../http/send.ts'
import { encodePath } from '../http/target.ts'
import { formPageHeaders, pageHeaders } from '../web/page.ts'
import { asksForNames, listingPage } from './browser/listing-page.ts'
import { canPost } from './browser/surroundings.ts'

const json = 'application/json'
const lines = 'application/x-ndjson'
const html = 'text/html'

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

/** Whether it would be a page, whose links need the slash behind the directory's name. */
export function isPage({ request }: Exchange): boolean {
  return formOf(request.headers.accept) === html
}

function formOf(accept: string | undefined) {
  return preferred(accept, [json, lines, html])
}

/** Sends the directory in the form that Accept likes best; HTML only to who names it. */
export async function sendListing(x: Exchange): Promise<void> {
  const form = formOf(x.request.headers.accept)
  const listed = await x.door.storage.list(x.call, x.path, { order: asksForNames(x) ? 'name' : 'native' })
  const { pages } = listed
  const render =
    form === html ? listingPage(x, listed) : form === json ? renderJson(x.path, pages()) : renderLines(pages())
  const page = canPost(x) ? formPageHeaders : pageHeaders
  const type = form === html ? page : ['Content-Type', form, 'X-Content-Type-Options', 'nosniff']
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
