/** A failed request, for a person. */

import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

export interface ErrorPage {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly call: string
  readonly detail?: string
  /** Where the reason can be asked for. */
  readonly explain?: string
}

/** The page; all values are plain text. */
export function errorPage({ status, title, code, call, detail, explain }: ErrorPage, header: PageHeader = {}): string {
  const more = detail === undefined ? '' : `<p>${escapeHtml(detail)}</p>\n`
  const why = explain === undefined ? '' : `<p><a href="${escapeHtml(explain)}">Ask why</a></p>\n`
  const { signIn } = header
  const enter =
    status === 401 && signIn !== undefined ? `<p><a href="${escapeHtml(signIn)}">Sign in</a></p>\n` : ''
  return `${pageStart(`${status} ${title}`, header)}<main id="content">
<h1>${escapeHtml(title)}</h1>
${more}${enter}${why}<dl>
<dt>Status</dt><dd>${status}</dd>
<dt>Code</dt><dd>${escapeHtml(code)}</dd>
<dt>Call</dt><dd><code>${escapeHtml(call)}</code></dd>
</dl>
</main>
${pageEnd}`
}
