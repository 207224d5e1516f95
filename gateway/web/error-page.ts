/** A failed request, for a person. */

import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

export interface ErrorPage {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly call: string
  readonly detail?: string | undefined
  /** Where the reason can be asked for. */
  readonly explain?: string | undefined
  /** A place to go on from; percent-encoded. */
  readonly folder?: string | undefined
}

/** What somebody can do about it, by code. */
const advice: Readonly<Record<string, string>> = {
  unauthenticated: 'You may be allowed to do this once it is known who you are.',
  denied: 'Whoever owns this, or manages the project that it belongs to, can give you the right to do it.',
  'not-found':
    'The address may be mistyped, or what was here has been moved or deleted. What you may not see looks the same.',
  exists: 'Choose another name, or delete what is there first.',
  precondition: 'It has changed since you looked, or is there already. Look again.',
  'not-empty': 'Tick “and everything in it” to delete a folder with what it holds.',
  locked: 'Somebody is working on it. Try again when it is free.',
  quota: 'Delete what is not needed any more, or ask for more space.',
  nearline: 'It has to be brought to disk before it can be read. The page of its folder has a button for that.',
  busy: 'Wait a little, then load the page again.',
  unavailable: 'Wait a little, then look whether it was done.',
  timeout: 'Wait a little, then look whether it was done.',
  internal: 'Tell whoever runs this gateway, with the name of the call below.',
}

/** The page; all values are plain text. */
export function errorPage(page: ErrorPage, header: PageHeader = {}): string {
  const { status, title, code, call, detail, explain, folder } = page
  const links = [
    status === 401 && header.signIn !== undefined ? `<a href="${escapeHtml(header.signIn)}">Sign in</a>` : '',
    explain === undefined ? '' : `<a href="${escapeHtml(explain)}">Ask why</a>`,
    folder === undefined ? '' : `<a href="${escapeHtml(folder)}">Go to the folder</a>`,
  ].filter((link) => link !== '')
  const sentences = [detail, advice[code]].filter((each) => each !== undefined)
  return `${pageStart(`${status} ${title}`, header)}<main id="content">
<h1>${escapeHtml(title)}</h1>
${sentences.map((each) => `<p>${escapeHtml(capital(each))}</p>\n`).join('')}${links.length === 0 ? '' : `<ul class="next"><li>${links.join('</li><li>')}</li></ul>\n`}<dl class="soft">
<dt>Status</dt><dd>${status}</dd>
<dt>Code</dt><dd>${escapeHtml(code)}</dd>
<dt>Call</dt><dd><code>${escapeHtml(call)}</code></dd>
</dl>
</main>
${pageEnd}`
}

/** A sentence of ours; our messages are written as parts of one. */
function capital(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(start) ? start : `${start}.`
}
