/** Pages about identities of issuers that are linked to an account. */

import { hidden } from './directory-forms.ts'
import { escapeHtml, type PageHeader, pageEnd, pageStart } from './page.ts'

/** Times are ISO 8601. */
export interface ShownLink {
  readonly id: string
  readonly issuer: string
  /** Null: links of this issuer do not count now. */
  readonly label: string | null
  readonly subject: string
  readonly note: string
  readonly proven: string
  readonly expires: string | null
}

export interface LinkSection {
  readonly links: readonly ShownLink[]
  /** Where further identities can be linked from; none where this credential cannot. */
  readonly ways: ReadonlyArray<{ readonly label: string; readonly href: string }>
  /** Where the buttons are sent. */
  readonly action: string
  readonly token: string
}

/** The part of the account's page; empty where nothing is linked and nothing can be. */
export function linkSection({ links, ways, action, token }: LinkSection): string {
  if (links.length === 0 && ways.length === 0) return ''
  const items = ways.map(
    ({ label, href }) => `<li><a href="${escapeHtml(href)}">Link an identity of ${escapeHtml(label)}</a></li>`,
  )
  const offer = items.length === 0 ? '' : `<ul>\n${items.join('\n')}\n</ul>\n`
  const table = links.length === 0 ? '<p>There are none.</p>\n' : tableOf(links, action, token)
  return `<h2>Linked identities</h2>\n${table}${offer}`
}

function tableOf(links: readonly ShownLink[], action: string, token: string): string {
  const rows = links.map(({ id, issuer, label, subject, note, proven, expires }) => {
    const fields = `${hidden('csrf', token)}${hidden('unlink', id)}`
    const button = `<button type="submit" aria-label="${escapeHtml(`Unlink ${subject} of ${label ?? issuer}`)}">Unlink</button>`
    const about = note === '' ? '' : `<br><span class="name soft">${escapeHtml(note)}</span>`
    const where = label === null ? `${issuer} (does not count now)` : label
    return `<tr><th scope="row"><span class="name">${escapeHtml(subject)}</span>${about}</th><td data-of="At">${escapeHtml(where)}</td><td data-of="Proven" class="date">${time(proven)}</td><td data-of="Ends" class="date">${expires === null ? 'never' : time(expires)}</td><td><form method="post" action="${escapeHtml(action)}">${fields}${button}</form></td></tr>`
  })
  return `<table>
<thead><tr><th scope="col">Identity</th><th scope="col">At</th><th scope="col">Proven (UTC)</th><th scope="col">Ends</th><th scope="col"><span class="hidden">Unlink</span></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
`
}

export interface LinkPage {
  readonly header: PageHeader
  readonly action: string
  readonly token: string
  /** Which of the identities that were proven it is about. */
  readonly proof: string
  readonly label: string
  readonly issuer: string
  readonly subject: string
  readonly user: string
  /** Where one goes who does not want to. */
  readonly account: string
}

/** Asks whether to link two; all values are plain text. */
export function linkPage(page: LinkPage): string {
  const { header, action, token, proof, label, issuer, subject, user, account } = page
  return `${pageStart('Link an identity', header)}<main id="content">
<h1>Link this identity to your account?</h1>
<dl>
<dt>Identity</dt><dd class="name">${escapeHtml(subject)}</dd>
<dt>At</dt><dd>${escapeHtml(label)} (<span class="name">${escapeHtml(issuer)}</span>)</dd>
<dt>Account here</dt><dd class="name">${escapeHtml(user)}</dd>
</dl>
<p>Whoever signs in there as this identity, or comes with a token of it, will be this account here. Confirm only if both are yours.</p>
<form method="post" action="${escapeHtml(action)}">${hidden('csrf', token)}${hidden('proof', proof)}
<p><label for="note">Note, to know it by</label><br><input id="note" name="note" maxlength="200" autocomplete="off"></p>
<p><button type="submit">Link</button></p>
</form>
<p><a href="${escapeHtml(account)}">Back to the account</a></p>
</main>
${pageEnd}`
}

/** Tells why nothing was linked; all values are plain text. */
export function notLinkedPage(page: {
  readonly header: PageHeader
  readonly problem: string
  readonly account: string
}): string {
  return `${pageStart('Nothing was linked', page.header)}<main id="content">
<h1>Nothing was linked</h1>
<p class="bad" role="alert">${escapeHtml(page.problem)}.</p>
<p><a href="${escapeHtml(page.account)}">Back to the account</a></p>
</main>
${pageEnd}`
}

function time(iso: string): string {
  return `<time datetime="${escapeHtml(iso)}">${escapeHtml(`${iso.slice(0, 10)} ${iso.slice(11, 16)}`)}</time>`
}
