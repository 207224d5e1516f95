/** How forms are answered: with a page, or with the directory's page again. */

import { StorageError } from '../../core/errors.ts'
import { wantsHtml } from '../../http/accept.ts'
import { titles } from '../../http/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import { headerOf } from '../../http/page-header.ts'
import { respond } from '../../http/respond.ts'
import type { FormPage } from '../../web/form-pages.ts'
import { formPageHeaders, pageHeaders } from '../../web/page.ts'
import type { Done } from './done.ts'
import { hrefOf } from './listing-page.ts'

/** What every page after a form is about: the directory that it was posted to. */
export function aboutPage(x: Exchange): FormPage {
  return { header: headerOf(x), path: x.path, href: hrefOf(x.path) }
}

export async function sendPage(x: Exchange, status: number, page: string): Promise<void> {
  await respond(x, status, [...(x.linked ? pageHeaders : formPageHeaders), 'Cache-Control', 'no-store'], page)
}

/** Back to the directory, by GET: to load that page again does nothing again. It stays on the host that was asked. */
export async function sendBack(x: Exchange, done: Done): Promise<void> {
  await respond(x, 303, ['Location', `${hrefOf(x.path)}?done=${done}`, 'Cache-Control', 'no-store'])
}

/** For whoever is no browser. */
export async function sendJson(x: Exchange, status: number, value: unknown): Promise<void> {
  await respond(
    x,
    status,
    ['Content-Type', 'application/json', 'Cache-Control', 'no-store'],
    `${JSON.stringify(value)}\n`,
  )
}

export function isForPeople({ request }: Exchange): boolean {
  return wantsHtml(request.headers.accept)
}

/** The reason why something was not done, as far as it may be told to whoever asked. */
export function whyWords(error: StorageError): string {
  if (error.code === 'precondition' || error.code === 'exists') return 'there is something of this name already'
  if (error.code === 'invalid' || error.code === 'name-too-long') return error.message
  const title: string = titles[error.code]
  return title.charAt(0).toLowerCase() + title.slice(1)
}

/** The media type of the body, without its parameters. */
export function mediaTypeOf({ request }: Exchange): string | undefined {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
}

/** Forms are posted to a directory, whose address ends in a slash. */
export function requireDirectory(x: Exchange): void {
  if (!x.slash && x.path !== '/') throw new StorageError('not-directory', 'forms are posted to a directory')
}
